// The files of the write-ahead log: given room ahead while commits are small, and read up to where their records end.
#pragma once

#include <rocksdb/file_system.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace weir::store {

/// The log files that are open, and what became of them. Thread-safe.
///
/// Why. DB::SyncWAL takes no failure that another thread of RocksDB has met with the same file: it ends the process (an assertion, which Debian's
/// library has) when a flush could not sync a log file, or an append had no room, while it waits for its turn. So the files are synced
/// here, by the same call on the same descriptor. RocksDB still syncs a closed log before it flushes what is in it; it finds it synced.
class OpenLogs {
 public:
  class File;

  /// Everything appended before the call is on the device when it answers OK. A file of which a sync failed, whoever asked for it, stays
  /// failed: the device may have dropped what it was given, and the next sync would not say so.
  rocksdb::IOStatus sync();
  /// An append to the file that is written now has failed, so RocksDB must not be given anything to write: it would end the process.
  bool last_failed() const;

  // Of those who make files.
  void add(std::shared_ptr<File> file, const std::shared_ptr<rocksdb::FSDirectory>& directory);
  void remove(const std::shared_ptr<File>& file);


 private:
  mutable std::mutex mutex_;                  ///< guards everything below
  std::vector<std::shared_ptr<File>> files_;  ///< in the order of opening
  std::shared_ptr<rocksdb::FSDirectory> directory_;
  std::uint64_t made_ = 0;                    ///< files so far
  std::uint64_t made_synced_ = 0;             ///< of these, how many have their names on the device
};

/// Why. A sync of a file that grew writes the file's size as well; overwriting bytes that are there already saves that, and makes a small
/// synced commit nearly twice as fast. RocksDB's own way, reusing old log files, is off under point-in-time recovery, so zeros are
/// written ahead of the log, a piece at a time, as long as what lies between two syncs is small against a piece.
///
/// Consequence. A log file that was not closed ends in zeros, and after a power loss zeros may lie before records that were never synced
/// and reached the device all the same. RocksDB steps over zeros without a word; here reading ends at the first record of zeros, so
/// that commits are lost from the end or not at all.
///
/// The log files are those of `directory`; `logs` knows them while they are open for writing. Everything else goes to `target` as it is. Thread-safe
/// as `target` is; appends to one file, as always, by one thread at a time.
std::shared_ptr<rocksdb::FileSystem> with_log_files(std::shared_ptr<rocksdb::FileSystem> target, std::string directory, std::shared_ptr<OpenLogs> logs);

}  // namespace weir::store
