#include "tests/support/fault_file_system.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace weir::test {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

namespace {

bool is_wal(const std::string& name) { return name.ends_with(".log"); }

IOStatus no_space() {
  IOStatus status = IOStatus::NoSpace("injected: no space left on device");
  status.SetRetryable(true);   // as the real one is
  return status;
}

std::string read_at(const std::string& name, std::uint64_t offset, std::size_t bytes) {
  std::ifstream in(name, std::ios::binary);
  in.seekg(static_cast<std::streamoff>(offset));
  std::string out(bytes, '\0');
  in.read(out.data(), static_cast<std::streamsize>(bytes));
  out.resize(static_cast<std::size_t>(in.gcount()));
  return out;
}

void write_at(const std::string& name, std::uint64_t offset, const std::string& bytes) {
  std::fstream out(name, std::ios::in | std::ios::out | std::ios::binary);
  out.seekp(static_cast<std::streamoff>(offset));
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace

class FaultFileSystem::File final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  File(FaultFileSystem& system, std::string name, std::shared_ptr<Written> written, std::unique_ptr<rocksdb::FSWritableFile> target)
      : FSWritableFileOwnerWrapper(std::move(target)), system_(system), name_(std::move(name)), wal_(is_wal(name_)), written_(std::move(written)) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    return append(data, [&](const Slice& part) { return target()->Append(part, options, debug); });
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo& check, IODebugContext* debug) override {
    return append(data, [&](const Slice& part) {
      return part.size() == data.size() ? target()->Append(part, options, check, debug) : target()->Append(part, options, debug);
    });
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    return sync([&] { return target()->Sync(options, debug); });
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return sync([&] { return target()->Fsync(options, debug); });
  }
  IOStatus Truncate(std::uint64_t size, const IOOptions& options, IODebugContext* debug) override {
    std::lock_guard lock(system_.mutex_);
    if (auto refused = system_.refused()) return *refused;
    written_->size = size;
    written_->synced = std::min(written_->synced, size);
    written_->old_size = std::min(written_->old_size, size);
    written_->ahead = std::min(written_->ahead, size);
    return target()->Truncate(size, options, debug);
  }
  IOStatus Allocate(std::uint64_t offset, std::uint64_t length, const IOOptions& options, IODebugContext* debug) override {
    if (IOStatus refused = system_.refused_now(); !refused.ok()) return refused;
    return target()->Allocate(offset, length, options, debug);
  }

 private:
  template <class Pass>
  IOStatus append(const Slice& data, Pass&& pass) {
    std::lock_guard lock(system_.mutex_);
    if (auto refused = system_.refused(data.size())) return *refused;
    std::optional<IOStatus> failure = wal_ ? system_.wal_operation(false) : std::nullopt;
    Slice part = data;
    if (failure && system_.passed_ == Passed::kNothing) return *failure;
    if (failure && system_.passed_ == Passed::kHalf) part = Slice(data.data(), data.size() / 2);
    if (written_->size < std::max(written_->old_size, written_->ahead))
      written_->before.emplace_back(written_->size, read_at(name_, written_->size, part.size()));
    IOStatus status = pass(part);
    if (status.ok()) written_->size += part.size();
    return failure ? *failure : status;
  }

  template <class Pass>
  IOStatus sync(Pass&& pass) {
    std::uint64_t size = 0, ahead = 0;
    std::size_t before = 0;
    std::optional<IOStatus> failure;
    {
      std::lock_guard lock(system_.mutex_);
      if (system_.power_cut_) return *system_.refused();   // a sync needs no room: it was there for the appends
      if (wal_) failure = system_.wal_operation(true);
      if (failure && system_.passed_ != Passed::kWhole) return *failure;
      size = written_->size;
      ahead = written_->ahead;
      before = written_->before.size();
    }
    // Appends go on meanwhile; they may or may not be part of this sync, so they are not.
    const IOStatus status = pass();
    if (status.ok()) {
      std::lock_guard lock(system_.mutex_);
      written_->synced_once = true;
      written_->synced = std::max(written_->synced, std::min(size, written_->size));
      written_->old_size = std::max(written_->old_size, std::min(ahead, written_->ahead));
      before = std::min(before, written_->before.size());
      written_->before.erase(written_->before.begin(), written_->before.begin() + static_cast<std::ptrdiff_t>(before));
    }
    return failure ? *failure : status;
  }

  FaultFileSystem& system_;
  const std::string name_;
  const bool wal_;
  const std::shared_ptr<Written> written_;
};

/// A second way into a file, by which room is written ahead of its appends.
class FaultFileSystem::FileAhead final : public rocksdb::FSRandomRWFileOwnerWrapper {
 public:
  FileAhead(FaultFileSystem& system, std::shared_ptr<Written> written, std::unique_ptr<rocksdb::FSRandomRWFile> target)
      : FSRandomRWFileOwnerWrapper(std::move(target)), system_(system), written_(std::move(written)) {}

  IOStatus Write(std::uint64_t offset, const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    std::lock_guard lock(system_.mutex_);
    if (auto refused = system_.refused(data.size())) return *refused;
    IOStatus status = target()->Write(offset, data, options, debug);
    if (status.ok()) written_->ahead = std::max(written_->ahead, offset + data.size());
    return status;
  }

 private:
  FaultFileSystem& system_;
  const std::shared_ptr<Written> written_;
};

FaultFileSystem::FaultFileSystem() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}

void FaultFileSystem::fail_wal_operation(std::uint64_t n, Error error, Passed passed) {
  std::lock_guard lock(mutex_);
  failing_ = operations_ + n;
  error_ = error;
  passed_ = passed;
  failed_ = false;
}

bool FaultFileSystem::failed() const {
  std::lock_guard lock(mutex_);
  return failed_;
}

std::uint64_t FaultFileSystem::wal_operations() const {
  std::lock_guard lock(mutex_);
  return operations_;
}

std::uint64_t FaultFileSystem::wal_syncs() const {
  std::lock_guard lock(mutex_);
  return syncs_;
}

void FaultFileSystem::set_free_space(std::optional<std::uint64_t> bytes) {
  std::lock_guard lock(mutex_);
  free_space_ = bytes;
}

void FaultFileSystem::set_no_space(bool no_space) {
  std::lock_guard lock(mutex_);
  no_space_ = no_space;
}

void FaultFileSystem::cut_power() {
  std::lock_guard lock(mutex_);
  power_cut_ = true;
}

void FaultFileSystem::set_capacity(const std::string& directory, std::uint64_t bytes) {
  std::lock_guard lock(mutex_);
  disk_ = directory;
  capacity_ = bytes;
}

std::uint64_t FaultFileSystem::room() const {
  std::uint64_t used = 0;
  std::error_code gone;   // files come and go meanwhile
  for (const auto& entry : std::filesystem::recursive_directory_iterator(disk_, gone))
    if (entry.is_regular_file(gone)) {
      const std::uint64_t bytes = entry.file_size(gone);
      if (!gone) used += bytes;
    }
  return capacity_ - std::min(used, capacity_);
}

std::optional<IOStatus> FaultFileSystem::refused(std::uint64_t bytes) const {
  if (power_cut_) return IOStatus::IOError("injected: the power is cut");
  if (no_space_ || (capacity_ > 0 && bytes > 0 && room() < bytes)) return no_space();
  return std::nullopt;
}

IOStatus FaultFileSystem::refused_now() const {
  std::lock_guard lock(mutex_);
  return refused().value_or(IOStatus::OK());
}

std::optional<IOStatus> FaultFileSystem::wal_operation(bool sync) {
  ++operations_;
  syncs_ += sync;
  if (operations_ != failing_) return std::nullopt;
  failed_ = true;
  return error_ == Error::kNoSpace ? no_space() : IOStatus::IOError("injected: input/output error");
}

void FaultFileSystem::drop_unsynced(const std::function<std::uint64_t(std::uint64_t unsynced)>& keep) { drop(keep, {}); }
void FaultFileSystem::drop_some_unsynced(const std::function<bool()>& lost) { drop({}, lost); }

void FaultFileSystem::drop(const std::function<std::uint64_t(std::uint64_t unsynced)>& keep, const std::function<bool()>& lost) {
  namespace fs = std::filesystem;
  std::lock_guard lock(mutex_);
  for (const auto& [name, written] : files_) {
    if (!fs::exists(name)) continue;
    const std::uint64_t unsynced = written->size - written->synced;
    const std::uint64_t kept = written->synced + (keep && unsynced > 0 ? std::min(keep(unsynced), unsynced) : 0);
    if (!written->synced_once && kept == 0 && written->old_size == 0) {
      fs::remove(name);
      continue;
    }
    for (auto before = written->before.rbegin(); before != written->before.rend(); ++before) {
      if (lost && !lost()) continue;
      const std::uint64_t from = std::max(before->first, kept);
      if (from < before->first + before->second.size()) write_at(name, from, before->second.substr(from - before->first));
    }
    const std::uint64_t size = std::max(kept, written->old_size);
    if (fs::file_size(name) > size) fs::resize_file(name, size);
  }
  files_.clear();
  power_cut_ = false;
}

IOStatus FaultFileSystem::NewWritableFile(const std::string& name, const FileOptions& options, std::unique_ptr<rocksdb::FSWritableFile>* result,
                                          IODebugContext* debug) {
  if (IOStatus refused = refused_now(); !refused.ok()) return refused;
  IOStatus status = target()->NewWritableFile(name, options, result, debug);
  if (!status.ok()) return status;
  std::lock_guard lock(mutex_);
  auto& written = files_[name] = std::make_shared<Written>();
  *result = std::make_unique<File>(*this, name, written, std::move(*result));
  return status;
}

IOStatus FaultFileSystem::ReopenWritableFile(const std::string& name, const FileOptions& options,
                                             std::unique_ptr<rocksdb::FSWritableFile>* result, IODebugContext* debug) {
  if (IOStatus refused = refused_now(); !refused.ok()) return refused;
  IOStatus status = target()->ReopenWritableFile(name, options, result, debug);
  if (!status.ok()) return status;
  std::lock_guard lock(mutex_);
  auto& written = files_[name];
  if (!written) {
    written = std::make_shared<Written>();
    written->size = written->synced = std::filesystem::file_size(name);
    written->synced_once = true;
  }
  *result = std::make_unique<File>(*this, name, written, std::move(*result));
  return status;
}

IOStatus FaultFileSystem::ReuseWritableFile(const std::string& name, const std::string& old_name, const FileOptions& options,
                                            std::unique_ptr<rocksdb::FSWritableFile>* result, IODebugContext* debug) {
  if (IOStatus refused = refused_now(); !refused.ok()) return refused;
  const std::uint64_t old_size = std::filesystem::exists(old_name) ? std::filesystem::file_size(old_name) : 0;
  IOStatus status = target()->ReuseWritableFile(name, old_name, options, result, debug);
  if (!status.ok()) return status;
  std::lock_guard lock(mutex_);
  files_.erase(old_name);
  auto& written = files_[name] = std::make_shared<Written>();
  written->old_size = old_size;
  *result = std::make_unique<File>(*this, name, written, std::move(*result));
  return status;
}

IOStatus FaultFileSystem::NewRandomRWFile(const std::string& name, const FileOptions& options, std::unique_ptr<rocksdb::FSRandomRWFile>* result,
                                          IODebugContext* debug) {
  if (IOStatus refused = refused_now(); !refused.ok()) return refused;
  IOStatus status = target()->NewRandomRWFile(name, options, result, debug);
  if (!status.ok()) return status;
  std::lock_guard lock(mutex_);
  if (const auto found = files_.find(name); found != files_.end()) *result = std::make_unique<FileAhead>(*this, found->second, std::move(*result));
  return status;
}

IOStatus FaultFileSystem::DeleteFile(const std::string& name, const IOOptions& options, IODebugContext* debug) {
  std::lock_guard lock(mutex_);
  if (power_cut_) return *refused();   // a full disk does not keep anybody from deleting
  files_.erase(name);
  return target()->DeleteFile(name, options, debug);
}

IOStatus FaultFileSystem::Truncate(const std::string& name, std::size_t size, const IOOptions& options, IODebugContext* debug) {
  std::lock_guard lock(mutex_);
  if (power_cut_) return *refused();
  if (const auto found = files_.find(name); found != files_.end()) {
    found->second->size = std::min<std::uint64_t>(found->second->size, size);
    found->second->synced = std::min<std::uint64_t>(found->second->synced, size);
    found->second->old_size = std::min<std::uint64_t>(found->second->old_size, size);
    found->second->ahead = std::min<std::uint64_t>(found->second->ahead, size);
  }
  return target()->Truncate(name, size, options, debug);
}

IOStatus FaultFileSystem::RenameFile(const std::string& from, const std::string& to, const IOOptions& options, IODebugContext* debug) {
  std::lock_guard lock(mutex_);
  if (power_cut_) return *refused();
  IOStatus status = target()->RenameFile(from, to, options, debug);
  if (!status.ok()) return status;
  files_.erase(to);
  if (auto moved = files_.extract(from)) {
    moved.key() = to;
    files_.insert(std::move(moved));
  }
  return status;
}

IOStatus FaultFileSystem::LinkFile(const std::string& from, const std::string& to, const IOOptions& options, IODebugContext* debug) {
  std::lock_guard lock(mutex_);
  if (auto why = refused()) return *why;
  IOStatus status = target()->LinkFile(from, to, options, debug);
  if (status.ok())
    if (const auto found = files_.find(from); found != files_.end()) files_[to] = found->second;
  return status;
}

IOStatus FaultFileSystem::GetFreeSpace(const std::string& path, const IOOptions& options, std::uint64_t* bytes, IODebugContext* debug) {
  {
    std::lock_guard lock(mutex_);
    if (free_space_) {
      *bytes = *free_space_;
      return IOStatus::OK();
    }
    if (capacity_ > 0) {
      *bytes = room();
      return IOStatus::OK();
    }
  }
  return target()->GetFreeSpace(path, options, bytes, debug);
}

}  // namespace weir::test
