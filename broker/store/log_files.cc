#include "broker/store/log_files.h"

#include <algorithm>
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
bool in(const std::string& directory, const std::string& name) {
  return name.starts_with(directory) && name.find('/', directory.size() + 1) == std::string::npos;
}

const std::string& zeros() {
  static const std::string piece(kPieceBytes, '\0');
  return piece;
}

}  // namespace

/// What is known of a log file while it is open.
class OpenLogs::File {
 public:
  explicit File(FSWritableFile* file) : file_(file) {}

  /// By the thread that appends.
  void appended(bool ok) noexcept {
    if (!ok) append_failed_ = true;
    unsynced_ = true;
  }
  bool append_failed() const noexcept { return append_failed_; }
  /// Syncs since the last call.
  std::uint64_t take_syncs() noexcept { return syncs_.exchange(0, std::memory_order_relaxed); }

  /// One at a time: a failure is told once for a descriptor, and whoever is told must tell the others.
  IOStatus sync(const IOOptions& options, IODebugContext* debug) {
    std::lock_guard lock(mutex_);
    if (sync_failed_) return IOStatus::IOError("a sync of this log file failed before");
    if (file_ == nullptr || !unsynced_.exchange(false)) return IOStatus::OK();
    syncs_.fetch_add(1, std::memory_order_relaxed);
    IOStatus status = file_->Sync(options, debug);
    sync_failed_ = !status.ok();
    return status;
  }
  /// RocksDB closes a log when what is in it is in tables, and at the end.
  void closed() {
    std::lock_guard lock(mutex_);
    file_ = nullptr;
  }

 private:
  std::atomic<bool> unsynced_{false};
  std::atomic<bool> append_failed_{false};
  std::atomic<std::uint64_t> syncs_{0};
  std::mutex mutex_;       ///< guards what follows, and is held while the file is synced
  FSWritableFile* file_;   ///< null: closed
  bool sync_failed_ = false;
};

IOStatus OpenLogs::sync() {
  std::vector<std::shared_ptr<File>> files;
  std::shared_ptr<rocksdb::FSDirectory> directory;
  std::uint64_t made = 0;
  {
    std::lock_guard lock(mutex_);
    files = files_;
    made = made_;
    if (made > made_synced_) directory = directory_;
  }
  for (const std::shared_ptr<File>& file : files)
    if (IOStatus status = file->sync(IOOptions(), nullptr); !status.ok()) return status;
  if (!directory) return IOStatus::OK();
  IOStatus status = directory->FsyncWithDirOptions(IOOptions(), nullptr, rocksdb::DirFsyncOptions(rocksdb::DirFsyncOptions::FsyncReason::kNewFileSynced));
  if (!status.ok()) return status;
  std::lock_guard lock(mutex_);
  made_synced_ = std::max(made_synced_, made);
  return status;
}

bool OpenLogs::last_failed() const {
  std::lock_guard lock(mutex_);
  return !files_.empty() && files_.back()->append_failed();
}

void OpenLogs::add(std::shared_ptr<File> file, const std::shared_ptr<rocksdb::FSDirectory>& directory) {
  std::lock_guard lock(mutex_);
  files_.push_back(std::move(file));
  directory_ = directory;
  ++made_;
}

void OpenLogs::remove(const std::shared_ptr<File>& file) {
  file->closed();
  std::lock_guard lock(mutex_);
  std::erase(files_, file);
}

namespace {

class LogWriter final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  /// `ahead` may be null: then nothing is written ahead.
  LogWriter(std::unique_ptr<FSWritableFile> target, std::unique_ptr<FSRandomRWFile> ahead, const std::shared_ptr<rocksdb::FSDirectory>& directory,
            std::atomic<bool>& small, std::shared_ptr<OpenLogs> logs)
      : FSWritableFileOwnerWrapper(std::move(target)),
        ahead_(std::move(ahead)),
        small_(small),
        logs_(std::move(logs)),
        file_(std::make_shared<OpenLogs::File>(this->target())) {
    logs_->add(file_, directory);
  }
  ~LogWriter() override { logs_->remove(file_); }

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    return appended(data, target()->Append(data, options, debug));
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo& check, IODebugContext* debug) override {
    return appended(data, target()->Append(data, options, check, debug));
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override { return file_->sync(options, debug); }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override { return file_->sync(options, debug); }
  IOStatus Close(const IOOptions& options, IODebugContext* debug) override {
    logs_->remove(file_);
    // What is ahead goes; if it does not, it is in nobody's way.
    if (ahead_ && zeroed_ > end_) (void)target()->Truncate(end_, options, debug);
    ahead_.reset();
    return target()->Close(options, debug);
  }

 private:
  IOStatus appended(const Slice& data, IOStatus status) {
    end_ += data.size();
    if (!status.ok()) ahead_.reset();
    file_->appended(status.ok());
    if (ahead_ && end_ > zeroed_) look_ahead();
    return status;
  }

  /// By the thread that appends, so the zeros are behind everything that is there.
  void look_ahead() {
    if (end_ >= decide_at_) {
      const std::uint64_t syncs = file_->take_syncs();
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
  const std::shared_ptr<OpenLogs> logs_;
  const std::shared_ptr<OpenLogs::File> file_;
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
  LogFiles(std::shared_ptr<FileSystem> target, std::string directory, std::shared_ptr<OpenLogs> logs)
      : FileSystemWrapper(std::move(target)), directory_(std::move(directory)), logs_(std::move(logs)) {}
  const char* Name() const override { return "weir log files"; }

  IOStatus NewWritableFile(const std::string& name, const FileOptions& options, std::unique_ptr<FSWritableFile>* result,
                           IODebugContext* debug) override {
    IOStatus status = target()->NewWritableFile(name, options, result, debug);
    if (!status.ok() || !is_log(name) || !in(directory_, name)) return status;
    std::unique_ptr<rocksdb::FSDirectory> parent;
    status = target()->NewDirectory(directory_, IOOptions(), &parent, debug);
    if (!status.ok()) return status;
    std::unique_ptr<FSRandomRWFile> ahead;
    if (!target()->NewRandomRWFile(name, options, &ahead, debug).ok()) ahead.reset();
    *result = std::make_unique<LogWriter>(std::move(*result), std::move(ahead), std::move(parent), small_, logs_);
    return status;
  }
  IOStatus NewSequentialFile(const std::string& name, const FileOptions& options, std::unique_ptr<FSSequentialFile>* result,
                             IODebugContext* debug) override {
    IOStatus status = target()->NewSequentialFile(name, options, result, debug);
    if (status.ok() && is_log(name)) *result = std::make_unique<LogReader>(std::move(*result));
    return status;
  }

 private:
  const std::string directory_;
  const std::shared_ptr<OpenLogs> logs_;
  std::atomic<bool> small_{true};
};

}  // namespace

std::shared_ptr<FileSystem> with_log_files(std::shared_ptr<FileSystem> target, std::string directory, std::shared_ptr<OpenLogs> logs) {
  return std::make_shared<LogFiles>(std::move(target), std::move(directory), std::move(logs));
}

}  // namespace weir::store
