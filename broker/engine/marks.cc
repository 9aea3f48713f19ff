#include "broker/engine/marks.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

namespace weir::engine {
namespace {
constexpr char kMagic[8] = {'w', 'e', 'i', 'r', 'm', 'r', 'k', '1'};
constexpr std::size_t kHeaderBytes = 4096;
constexpr std::size_t kSlotBytes = 64;
constexpr std::size_t kFileBytes = kHeaderBytes + kSlotBytes * Marks::kSlots;
enum SlotState : std::uint32_t { kFreeSlot = 0, kBegun = 1, kFinished = 2 };

Status io_error(const std::string& path, const char* what) {
  const ErrorCode code = errno == ENOSPC ? ErrorCode::storage_full : ErrorCode::stopped;
  return {code, path + ": " + what + ": " + std::strerror(errno)};
}
}  // namespace

struct Marks::Header {
  char magic[8];
  std::uint64_t incarnation;
  std::atomic<std::uint64_t> acknowledged;
  std::atomic<std::uint64_t> synced;
  char boot_id[64];
};

struct Marks::Slot {
  std::uint64_t group, topic, offset, letter, epoch;
  std::atomic<std::uint32_t> state;
  std::uint32_t unused[5];
};

Marks::Header& Marks::header() const { return *static_cast<Header*>(map_); }
Marks::Slot& Marks::slot(std::uint32_t index) const {
  static_assert(sizeof(Slot) == kSlotBytes && sizeof(Header) <= kHeaderBytes);
  return *reinterpret_cast<Slot*>(static_cast<char*>(map_) + kHeaderBytes + kSlotBytes * index);
}

Result<std::unique_ptr<Marks>> Marks::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return io_error(path, "open");
  // A hole in a mapped file would be a signal on a full disk, so all of it is given room now.
  const int full = ::posix_fallocate(fd, 0, static_cast<off_t>(kFileBytes));
  if (full != 0) {
    errno = full;
    const Status status = io_error(path, "reserve");
    ::close(fd);
    return status;
  }
  void* map = ::mmap(nullptr, kFileBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  const Status failed = map == MAP_FAILED ? io_error(path, "map") : Status{};
  ::close(fd);
  if (!failed.ok()) return failed;
  std::unique_ptr<Marks> marks(new Marks(map));
  // A new file begins with zeros, also after a crash in its making: its name is written last.
  constexpr char kNoMagic[sizeof kMagic] = {};
  const char* const magic = marks->header().magic;
  if (std::memcmp(magic, kMagic, sizeof kMagic) != 0 && std::memcmp(magic, kNoMagic, sizeof kNoMagic) != 0)
    return Status{ErrorCode::corruption, path + ": at byte 0: this is not a file of begun marks; remove it to accept that running deliveries are not known"};
  return marks;
}

Marks::~Marks() { ::munmap(map_, kFileBytes); }

std::vector<Mark> Marks::left_behind(std::uint64_t incarnation) const {
  std::vector<Mark> out;
  if (std::memcmp(header().magic, kMagic, sizeof kMagic) != 0 || header().incarnation != incarnation) return out;
  for (std::uint32_t i = 0; i < kSlots; ++i) {
    const Slot& s = slot(i);
    const std::uint32_t state = s.state.load(std::memory_order_acquire);
    if (state == kBegun || state == kFinished) out.push_back({s.group, s.topic, s.offset, s.letter, s.epoch, state == kFinished});
  }
  return out;
}

std::uint64_t Marks::incarnation() const {
  return std::memcmp(header().magic, kMagic, sizeof kMagic) == 0 ? header().incarnation : 0;
}

std::uint64_t Marks::must_have(std::uint64_t incarnation, const std::string& boot_id) const {
  if (std::memcmp(header().magic, kMagic, sizeof kMagic) != 0 || header().incarnation != incarnation) return 0;
  const bool same_boot = boot_id == std::string(header().boot_id, ::strnlen(header().boot_id, sizeof header().boot_id));
  return same_boot ? header().acknowledged.load() : header().synced.load();
}

void Marks::start(std::uint64_t incarnation, const std::string& boot_id) {
  for (std::uint32_t i = 0; i < kSlots; ++i)
    if (slot(i).state.load(std::memory_order_relaxed) != kFreeSlot) slot(i).state.store(kFreeSlot);
  header().incarnation = incarnation;
  header().acknowledged = 0;
  header().synced = 0;
  std::memset(header().boot_id, 0, sizeof header().boot_id);
  std::memcpy(header().boot_id, boot_id.data(), std::min(boot_id.size(), sizeof header().boot_id));
  std::memcpy(header().magic, kMagic, sizeof kMagic);
}

void Marks::clean() {
  for (std::uint32_t i = 0; i < used_; ++i) slot(i).state.store(kFreeSlot);
}

std::uint32_t Marks::begin(const Mark& mark) {
  std::uint32_t index;
  if (!free_.empty()) {
    index = free_.back();
    free_.pop_back();
  } else if (used_ < kSlots) {
    index = used_++;
  } else {
    return core::kNoSlot;
  }
  Slot& s = slot(index);
  s.group = mark.group;
  s.topic = mark.topic;
  s.offset = mark.offset;
  s.letter = mark.letter;
  s.epoch = mark.epoch;
  s.state.store(kBegun, std::memory_order_release);
  return index;
}

void Marks::finished(std::uint32_t index) { slot(index).state.store(kFinished, std::memory_order_release); }

void Marks::free(std::uint32_t index) {
  slot(index).state.store(kFreeSlot, std::memory_order_release);
  free_.push_back(index);
}

void Marks::acknowledged(std::uint64_t commit) { header().acknowledged.store(commit, std::memory_order_release); }
void Marks::synced(std::uint64_t commit) { header().synced.store(commit, std::memory_order_release); }

}  // namespace weir::engine
