#include "broker/store/log_files.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>

#include "broker/store/log_end.h"

namespace weir::store {
namespace {

using rocksdb::FileOptions;
using rocksdb::FileSystem;
using rocksdb::FSRandomRWFile;
using rocksdb::FSSequentialFile;
using rocksdb::FSWritableFile;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

constexpr std::uint64_t kPieceBytes = 256u << 10;
/// More than this between two syncs, and writing everything twice costs more than it saves.
constexpr std::uint64_t kSmallBytes = 32u << 10;

bool is_log(const std::string& name) { return name.ends_with(".log"); }

const std::string& zeros() {
  static const std::string piece(kPieceBytes, '\0');
  return piece;
}

class LogWriter final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  /// `ahead` may be null: then nothing is written ahead.
  LogWriter(std::unique_ptr<FSWritableFile> target, std::unique_ptr<FSRandomRWFile> ahead, std::atomic<bool>& small, std::shared_ptr<LogHealth> health)
      : FSWritableFileOwnerWrapper(std::move(target)), ahead_(std::move(ahead)), small_(small), health_(std::move(health)) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    return appended(data, target()->Append(data, options, debug));
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo& check, IODebugContext* debug) override {
    return appended(data, target()->Append(data, options, check, debug));
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    syncs_.fetch_add(1, std::memory_order_relaxed);
    return target()->Sync(options, debug);
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    syncs_.fetch_add(1, std::memory_order_relaxed);
    return target()->Fsync(options, debug);
  }
  IOStatus Close(const IOOptions& options, IODebugContext* debug) override {
    // What is ahead goes; if it does not, it is in nobody's way.
    if (ahead_ && zeroed_ > end_) (void)target()->Truncate(end_, options, debug);
    ahead_.reset();
    return target()->Close(options, debug);
  }

 private:
  IOStatus appended(const Slice& data, IOStatus status) {
    end_ += data.size();
    if (!status.ok()) {
      ahead_.reset();
      health_->failed(status.IsNoSpace());
    }
    if (ahead_ && end_ > zeroed_) look_ahead();
    return status;
  }

  /// By the thread that appends, so the zeros are behind everything that is there.
  void look_ahead() {
    if (end_ >= decide_at_) {
      const std::uint64_t syncs = syncs_.exchange(0, std::memory_order_relaxed);
      if (decide_at_ > 0) small_ = syncs > 0 && (end_ - decided_) / syncs <= kSmallBytes;
      decided_ = end_;
      decide_at_ = end_ + kPieceBytes;
    }
    zeroed_ = end_;
    if (!small_) return;
    if (ahead_->Write(end_, zeros(), IOOptions(), nullptr).ok())
      zeroed_ = end_ + kPieceBytes;
    else
      ahead_.reset();
  }

  std::unique_ptr<FSRandomRWFile> ahead_;   ///< the same file
  std::atomic<bool>& small_;                ///< whether commits are small: what one file learns, the next one knows
  const std::shared_ptr<LogHealth> health_;
  std::atomic<std::uint64_t> syncs_{0};     ///< since the last decision; syncs may run beside appends
  std::uint64_t end_ = 0;                   ///< of what was appended
  std::uint64_t zeroed_ = 0;                ///< end of the zeros ahead
  std::uint64_t decided_ = 0;
  std::uint64_t decide_at_ = 0;
};

class LogReader final : public rocksdb::FSSequentialFileOwnerWrapper {
 public:
  using FSSequentialFileOwnerWrapper::FSSequentialFileOwnerWrapper;

  IOStatus Read(std::size_t bytes, const IOOptions& options, Slice* result, char* scratch, IODebugContext* debug) override {
    IOStatus status = target()->Read(bytes, options, result, scratch, debug);
    if (status.ok()) *result = Slice(result->data(), end_.take({result->data(), result->size()}));
    return status;
  }
  IOStatus Skip(std::uint64_t bytes) override {
    end_.lost();
    return target()->Skip(bytes);
  }

 private:
  LogEnd end_;
};

class LogFiles final : public rocksdb::FileSystemWrapper {
 public:
  LogFiles(std::shared_ptr<FileSystem> target, std::shared_ptr<LogHealth> health) : FileSystemWrapper(std::move(target)), health_(std::move(health)) {}
  const char* Name() const override { return "weir log files"; }

  IOStatus NewWritableFile(const std::string& name, const FileOptions& options, std::unique_ptr<FSWritableFile>* result,
                           IODebugContext* debug) override {
    IOStatus status = target()->NewWritableFile(name, options, result, debug);
    if (!status.ok() || !is_log(name)) return status;
    std::unique_ptr<FSRandomRWFile> ahead;
    if (!target()->NewRandomRWFile(name, options, &ahead, debug).ok()) ahead.reset();
    *result = std::make_unique<LogWriter>(std::move(*result), std::move(ahead), small_, health_);
    return status;
  }
  IOStatus NewSequentialFile(const std::string& name, const FileOptions& options, std::unique_ptr<FSSequentialFile>* result,
                             IODebugContext* debug) override {
    IOStatus status = target()->NewSequentialFile(name, options, result, debug);
    if (status.ok() && is_log(name)) *result = std::make_unique<LogReader>(std::move(*result));
    return status;
  }

 private:
  std::atomic<bool> small_{true};
  const std::shared_ptr<LogHealth> health_;
};

/// Syncs take milliseconds. One that takes longer than this may itself be waiting for the thread whose append failed.
constexpr std::chrono::seconds kSyncMax{5};

}  // namespace

void LogHealth::failed(bool for_want_of_room) noexcept {
  State well = State::kWell;
  if (!for_want_of_room)
    state_ = State::kBroken;
  else
    state_.compare_exchange_strong(well, State::kFull);
  if (syncing_.try_lock_for(kSyncMax)) syncing_.unlock();
}

void LogHealth::recovered() noexcept {
  State full = State::kFull;
  state_.compare_exchange_strong(full, State::kWell);
}

std::shared_ptr<FileSystem> with_log_files(std::shared_ptr<FileSystem> target, std::shared_ptr<LogHealth> health) {
  return std::make_shared<LogFiles>(std::move(target), std::move(health));
}

}  // namespace weir::store
