// What the store's parts share of RocksDB.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>

#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <rocksdb/statistics.h>
#include <rocksdb/write_batch.h>

#include "broker/store/store.h"

namespace weir::store {

/// RocksDB's words for what happened, as ours. `what` names what was tried.
Status to_status(const rocksdb::Status& status, const std::string& what);

inline rocksdb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view view(const rocksdb::Slice& s) { return {s.data(), s.size()}; }

/// A write set does not know the open store's handles: families are numbered in the order they are opened in.
enum Family : std::uint32_t { kDefault = 0, kLog = 1, kIndex = 2, kScratch = 3, kFamilies = 4 };

struct WriteSet::Impl {
  struct Entry {
    enum class Kind : std::uint8_t { kPut, kErase, kErasePrefix } kind;
    Family family;
    std::string key;
    std::string value;
  };
  std::vector<Entry> entries;
  std::size_t bytes = 0;
};

struct Store::Impl {
  std::string directory;   ///< of RocksDB
  std::unique_ptr<rocksdb::Env> env;            // null: the default one
  std::shared_ptr<rocksdb::FileSystem> file_system;
  std::shared_ptr<rocksdb::Statistics> statistics;
  std::shared_ptr<rocksdb::Cache> cache;
  std::unique_ptr<rocksdb::DB> db;
  std::array<rocksdb::ColumnFamilyHandle*, kFamilies> families{};
  std::atomic<bool> stopped{false};             // a write failed for another reason than want of room

  ~Impl();
  rocksdb::ColumnFamilyHandle* operator[](Family family) const { return families[family]; }
};

}  // namespace weir::store
