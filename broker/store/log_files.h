// The files of the write-ahead log: given room ahead while commits are small, and read up to where their records end.
#pragma once

#include <rocksdb/file_system.h>

#include <memory>

namespace weir::store {

/// Why. A sync of a file that grew writes the file's size as well; overwriting bytes that are there already saves that, and makes a small
/// synced commit nearly twice as fast. RocksDB's own way, reusing old log files, is off under point-in-time recovery, so zeros are
/// written ahead of the log, a piece at a time, as long as what lies between two syncs is small against a piece.
///
/// Consequence. A log file that was not closed ends in zeros, and after a power loss zeros may lie before records that were never synced
/// and reached the device all the same. RocksDB steps over zeros without a word; here reading ends at the first record of zeros, so
/// that commits are lost from the end or not at all.
///
/// Everything else goes to `target` as it is. Thread-safe as `target` is; appends to one file, as always, by one thread at a time.
std::shared_ptr<rocksdb::FileSystem> with_log_files(std::shared_ptr<rocksdb::FileSystem> target);

}  // namespace weir::store
