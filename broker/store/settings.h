// How RocksDB is set for weir, and why (docs/FORMAT.md, "The database").
#pragma once

#include <rocksdb/options.h>

#include <memory>

#include "broker/store/store.h"

namespace weir::store {

rocksdb::DBOptions database_settings(const StoreOptions& options, rocksdb::Env* env);

/// The settings of the five column families. They share one block cache.
class FamilySettings {
 public:
  explicit FamilySettings(const StoreOptions& options);

  rocksdb::ColumnFamilyOptions records() const;
  rocksdb::ColumnFamilyOptions log() const;
  rocksdb::ColumnFamilyOptions index() const;
  rocksdb::ColumnFamilyOptions schedule() const;
  rocksdb::ColumnFamilyOptions scratch() const;
  const std::shared_ptr<rocksdb::Cache>& cache() const noexcept { return cache_; }

 private:
  rocksdb::ColumnFamilyOptions family(std::uint64_t memtable_bytes, std::size_t block_bytes, bool bloom) const;

  const std::uint64_t memtable_bytes_;
  const std::shared_ptr<rocksdb::Cache> cache_;
};

}  // namespace weir::store
