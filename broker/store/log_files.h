// The files of the write-ahead log: given room ahead while commits are small, and read up to where their records end.
#pragma once

#include <rocksdb/file_system.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <shared_mutex>

namespace weir::store {

/// Keeps syncs of the log away from a log file that failed. RocksDB ends the process when a file is synced to which it could not append (an
/// assertion, which Debian's library has), and an append may fail while a sync begins on another thread. Thread-safe.
class LogHealth {
 public:
  enum class State { kWell, kFull, kBroken };

  /// Held while the log is synced. An append that fails meanwhile is reported to RocksDB when the sync is over.
  std::shared_lock<std::shared_timed_mutex> syncing() { return std::shared_lock(syncing_); }
  State state() const noexcept { return state_.load(std::memory_order_acquire); }
  void failed(bool for_want_of_room) noexcept;
  /// A write has succeeded: RocksDB has given up the file that failed.
  void recovered() noexcept;

 private:
  std::shared_timed_mutex syncing_;
  std::atomic<State> state_{State::kWell};
};

/// Why. A sync of a file that grew writes the file's size as well; overwriting bytes that are there already saves that, and makes a small
/// synced commit nearly twice as fast. RocksDB's own way, reusing old log files, is off under point-in-time recovery, so zeros are
/// written ahead of the log, a piece at a time, as long as what lies between two syncs is small against a piece.
///
/// Consequence. A log file that was not closed ends in zeros, and after a power loss zeros may lie before records that were never synced
/// and reached the device all the same. RocksDB steps over zeros without a word; here reading ends at the first record of zeros, so
/// that commits are lost from the end or not at all.
///
/// `health` is told of appends that fail. Everything else goes to `target` as it is. Thread-safe as `target` is; appends to one file, as always, by
/// one thread at a time.
std::shared_ptr<rocksdb::FileSystem> with_log_files(std::shared_ptr<rocksdb::FileSystem> target, std::shared_ptr<LogHealth> health);

}  // namespace weir::store
