// The store: the only room that knows RocksDB. Five column families behind one write-ahead log:
//   default  small records, by KeyKind (format/keys.h)
//   log      record batches by commit number: one ascending range, so that nothing is merged twice
//   index    topic, first offset → where the batch is
//   schedule messages that wait for their time, and an index of them by due time
//   scratch  spilled key queues: not in the write-ahead log, emptied at open
//
// Concurrency. write() is called by one thread at a time; sync() may run beside it, one at a time; everything else from any thread.
// Errors. After a failed write() that is not `storage_full` all further writes answer `stopped`; after `storage_full` the same WriteSet may be
// written again (it is idempotent), and resume() tries to get RocksDB going.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/format/keys.h"
#include "broker/format/record_batch.h"
#include "weir/care.h"
#include "weir/log.h"
#include "weir/status.h"

namespace rocksdb {
class FileSystem;
}

namespace weir::store {

/// One atomic write. Reusable after clear().
class WriteSet {
 public:
  WriteSet();
  ~WriteSet();
  WriteSet(WriteSet&&) noexcept;
  WriteSet& operator=(WriteSet&&) noexcept;

  void put(std::string_view key, std::string_view value);   ///< default family
  void erase(std::string_view key);
  void erase_prefix(std::string_view prefix);
  void erase_range(std::string_view begin, std::string_view end);   ///< keys from `begin` up to and without `end`
  void put_batch(TopicId topic, const format::IndexEntry& entry, std::string_view bytes);
  void erase_batch(TopicId topic, const format::IndexEntry& entry);
  void put_scheduled(const format::DueKey& due, std::string_view record);
  void erase_scheduled(const format::DueKey& due);
  bool empty() const noexcept;
  std::size_t bytes() const noexcept;
  void clear();

  struct Impl;
  Impl& impl() noexcept { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

struct StoreOptions {
  bool create_if_missing = true;
  std::uint64_t memtable_bytes = 64u << 20;
  std::uint64_t wal_bytes_max = 128u << 20;
  std::uint64_t block_cache_bytes = 32u << 20;
  LogSink log;
  /// Tests: what RocksDB uses instead of the real file system. Not owned.
  std::shared_ptr<rocksdb::FileSystem> file_system;
};

struct StoreStatistics {
  std::uint64_t disk_bytes = 0;
  std::uint64_t memory_bytes = 0;       ///< memtables, block cache, table readers
  std::uint64_t wal_bytes_written = 0;  ///< since open
  std::uint64_t flush_bytes_written = 0;
  std::uint64_t compaction_bytes_written = 0;
};

/// The records as of one moment: between two writes, whatever is written meanwhile. Thread-safe. Must not outlive its store.
class Snapshot {
 public:
  ~Snapshot();
  Result<std::optional<std::string>> get(std::string_view key) const;
  /// Calls `visit` for the keys from `begin` to `end` (exclusive), in order; stops when it answers false.
  Status scan(std::string_view begin, std::string_view end, const std::function<bool(std::string_view key, std::string_view value)>& visit) const;

  struct Impl;
  explicit Snapshot(std::unique_ptr<Impl> impl);

 private:
  std::unique_ptr<Impl> impl_;
};

class Store {
 public:
  /// Opens or creates the RocksDB of `directory`/db. Errors: corruption (names file and place), not_found (missing and not to be created),
  /// already_open, storage_full, stopped.
  static Result<std::unique_ptr<Store>> open(const std::string& directory, StoreOptions options);
  ~Store();   ///< flushes nothing: the log has it all

  Status write(WriteSet& set);                ///< in the log and with the operating system when it returns
  Status sync();                              ///< everything written before this call is on the device when it returns
  Status resume();                            ///< after storage_full

  Result<std::optional<std::string>> get(std::string_view key) const;
  /// Calls `visit` for each key with that prefix, in order, from `from` (a whole key; empty: the first); stops when it answers false.
  Status scan(std::string_view prefix, std::string_view from, const std::function<bool(std::string_view key, std::string_view value)>& visit) const;

  std::unique_ptr<Snapshot> snapshot() const;

  /// The batch that holds `offset`, or else the first one behind it.
  Result<std::optional<format::IndexEntry>> find(TopicId topic, Offset offset) const;
  Result<std::optional<format::IndexEntry>> last(TopicId topic) const;
  /// Index entries in order from the one that holds `offset` (or the first behind it).
  Status scan_index(TopicId topic, Offset offset, const std::function<bool(const format::IndexEntry&)>& visit) const;
  /// Reads and verifies; that the bytes agree with the entry is checked too.
  Result<std::shared_ptr<const format::RecordBatch>> read(TopicId topic, const format::IndexEntry& entry) const;

  /// Gives the space of erased batches back where whole files hold nothing else: batches of commits before `commit` are all erased.
  Status trim_log(std::uint64_t first_live_commit);
  std::uint64_t log_table_bytes() const;   ///< of the log's table files
  /// Writes the log's table files anew without what is erased. Takes as long as that; ends early when end_care() is called.
  Status compact_log();
  /// The commit number of the oldest batch that is still there; nothing when there is none.
  Result<std::optional<std::uint64_t>> first_live_commit(std::uint64_t from) const;

  // Messages that wait for their time (S-7).
  /// Visits the index by due time in its order, from the first entry at or behind `from`; stops when `visit` answers false.
  Status scan_due(const format::DueKey& from, const std::function<bool(const format::DueKey&)>& visit) const;
  /// Visits the messages of a topic in the order of publishing, from that number on, likewise.
  Status scan_scheduled(TopicId topic, std::uint64_t from, const std::function<bool(std::uint64_t number, std::string_view record)>& visit) const;
  Result<std::optional<std::string>> get_scheduled(TopicId topic, std::uint64_t number) const;
  /// Puts what stands in memory and the write-ahead log into table files, of all families, and waits for that.
  Status flush();

  // Scratch: survives nothing, costs no log.
  Status scratch_put(std::string_view key, std::string_view value);
  Status scratch_erase(std::string_view key);
  /// The first entry with that prefix.
  Result<std::optional<std::pair<std::string, std::string>>> scratch_first(std::string_view prefix) const;
  Status scratch_erase_prefix(std::string_view prefix);

  Result<std::uint64_t> disk_free_bytes() const;
  /// What table files will take of that for what is in memory and the log only.
  std::uint64_t unflushed_bytes() const;
  StoreStatistics statistics() const;
  /// Reads everything and checks every checksum. Errors: cancelled (by end_care), stopped; what is wrong with the store is in the report.
  Result<VerifyReport> verify() const;
  /// Adds a backup to a directory of them (backups.h), while the store is in use. Errors: busy (another one is under way), cancelled, storage_full …
  Result<BackupInfo> backup(const std::string& directory, std::uint64_t incarnation, std::uint64_t name);
  /// Ends what verify() and backup() do on other threads; later ones end at once.
  void end_care();

  struct Impl;

 private:
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::store
