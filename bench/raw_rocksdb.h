// The raw limit of the log: RocksDB with one key per message.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "bench/measure.h"

namespace rocksdb {
class DB;
}

namespace bench {

inline constexpr const char* kRawRocksDb = "raw rocksdb, batches of 100";

/// Ascending 16-byte keys, one message each, 64 MiB memtables, no compression, write-ahead log on: what a program would do by itself.
class RawRocksDb {
 public:
  /// Opens or creates it; throws when it cannot.
  explicit RawRocksDb(const std::filesystem::path& directory, std::uint64_t memtable_bytes = std::uint64_t{64} << 20);
  ~RawRocksDb();

  /// Writes batches until the time is up or `messages_max` are written.
  Tally put_for(double seconds, std::size_t payload_bytes, bool sync, std::size_t batch = 100, std::uint64_t messages_max = ~std::uint64_t{0});
  /// Flushes the memtable and waits until no background work is left.
  void settle();

 private:
  std::unique_ptr<rocksdb::DB> db_;
  std::uint64_t next_ = 0;
};

}  // namespace bench
