// What Store's files share.
#pragma once

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/write_batch.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "broker/store/backups.h"
#include "broker/store/log_files.h"
#include "broker/store/scratch_fronts.h"
#include "broker/store/store.h"
#include "broker/store/write_set.h"

namespace weir::store {

inline std::string_view view(const rocksdb::Slice& slice) noexcept { return {slice.data(), slice.size()}; }
inline rocksdb::Slice slice(std::string_view text) noexcept { return {text.data(), text.size()}; }

struct Store::Impl {
  ~Impl();
  Status open(const std::string& directory, const StoreOptions& options);
  rocksdb::ColumnFamilyHandle* of(Family family) const;
  Status empty_scratch(const rocksdb::ColumnFamilyOptions& settings);
  Status stop(const rocksdb::Status& status, std::string_view what);
  Status stopped_status() const;
  Status try_room() const;
  void verify_schedule(const std::function<void(std::string place, std::string what)>& note, std::uint64_t& records) const;
  std::unique_ptr<rocksdb::Iterator> iterator(rocksdb::ColumnFamilyHandle* family, const rocksdb::Slice* lower, const rocksdb::Slice* upper) const;

  // Constant after open().
  std::string path;                               ///< of the database
  const std::shared_ptr<OpenLogs> logs = std::make_shared<OpenLogs>();
  std::unique_ptr<rocksdb::Env> env_owner;
  rocksdb::Env* env = nullptr;
  std::shared_ptr<rocksdb::Cache> cache;
  std::shared_ptr<rocksdb::Statistics> tickers;
  rocksdb::DB* db = nullptr;
  rocksdb::ColumnFamilyHandle* records = nullptr;
  rocksdb::ColumnFamilyHandle* log = nullptr;
  rocksdb::ColumnFamilyHandle* index = nullptr;
  rocksdb::ColumnFamilyHandle* schedule = nullptr;
  rocksdb::ColumnFamilyHandle* scratch = nullptr;

  rocksdb::WriteBatch batch;                      ///< of write(), kept for its buffer
  std::size_t refused_bytes = 0;                  ///< of the last write that found no room; of the thread that writes
  mutable ScratchFronts fronts;                   ///< own locking
  std::mutex care_mutex;
  std::shared_ptr<Backups> backups;               ///< while one is made; guarded by care_mutex
  std::atomic<bool> care_ends{false};             ///< set under care_mutex
  std::atomic<bool> stopped{false};
  mutable std::mutex reason_mutex;
  std::string reason;                             ///< why it stopped; guarded by reason_mutex
};

}  // namespace weir::store
