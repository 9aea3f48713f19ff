#include "broker/core/id_index.h"

#include <algorithm>
#include <new>
#include <utility>

namespace weir::core {
namespace {

void* zeroed(std::size_t bytes) {
  void* const memory = std::calloc(bytes, 1);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

IdIndex::IdIndex(std::size_t slots_max)
    : slot_bits_(std::bit_width(slots_max)),
      bucket_mask_(std::bit_ceil(slots_max / 8 + 1) - 1),
      memory_(zeroed((bucket_mask_ + 2) * sizeof(Bucket))),
      table_(reinterpret_cast<Bucket*>((reinterpret_cast<std::uintptr_t>(memory_.get()) + sizeof(Bucket) - 1) / sizeof(Bucket) * sizeof(Bucket))) {}

void IdIndex::append(std::uint64_t hash, Slot slot) {
  const std::size_t number = hash & bucket_mask_;
  ++size_;
  for (std::uint32_t& entry : table_[number].entries) {
    if (entry != 0) continue;
    entry = entry_of(hash, slot);
    return;
  }
  overflow_.emplace(number, entry_of(hash, slot));
}

bool IdIndex::erase(std::uint64_t hash, Slot slot) {
  const std::size_t number = hash & bucket_mask_;
  const std::uint32_t wanted = entry_of(hash, slot);
  std::uint32_t* const begin = table_[number].entries;
  std::uint32_t* const end = std::find(begin, begin + kBucketEntries, std::uint32_t{0});
  const auto spilled = end == begin + kBucketEntries && !overflow_.empty() ? overflow_.equal_range(number) : std::pair{overflow_.end(), overflow_.end()};
  std::uint32_t* const found = std::find(begin, end, wanted);
  if (found == end) {
    const auto entry = std::find_if(spilled.first, spilled.second, [&](const auto& each) { return each.second == wanted; });
    if (entry == spilled.second) return false;
    overflow_.erase(entry);
  } else if (spilled.first != spilled.second) {
    *found = spilled.first->second;  // the bucket stays full
    overflow_.erase(spilled.first);
  } else {
    *found = *(end - 1);
    *(end - 1) = 0;
  }
  --size_;
  return true;
}

}  // namespace weir::core
