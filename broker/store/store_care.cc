// Space, figures and backups.
#include <rocksdb/convenience.h>
#include <rocksdb/statistics.h>

#include "broker/store/errors.h"
#include "broker/store/store_impl.h"

namespace weir::store {

Status Store::trim_log(std::uint64_t first_live_commit) {
  if (first_live_commit == 0) return {};
  const std::string begin = format::log_key({0, 0}), end = format::log_key({first_live_commit, 0});
  const rocksdb::Slice from(begin), to(end);
  const rocksdb::RangePtr range(&from, &to);
  return error_of(rocksdb::DeleteFilesInRanges(impl_->db, impl_->log, &range, 1, /*include_end=*/false), "trimming the log");
}

std::uint64_t Store::log_table_bytes() const {
  std::uint64_t bytes = 0;
  return impl_->db->GetIntProperty(impl_->log, rocksdb::DB::Properties::kLiveSstFilesSize, &bytes) ? bytes : 0;
}

Status Store::compact_log() {
  rocksdb::CompactRangeOptions options;
  options.exclusive_manual_compaction = false;
  options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
  options.canceled = &impl_->care_ends;
  const rocksdb::Status status = impl_->db->CompactRange(options, impl_->log, nullptr, nullptr);
  return status.IsIncomplete() || status.IsManualCompactionPaused() ? Status{} : error_of(status, "compacting the log");
}

Result<std::optional<std::uint64_t>> Store::first_live_commit(std::uint64_t from) const {
  const auto at = impl_->iterator(impl_->log, nullptr, nullptr);
  at->Seek(format::log_key({from, 0}));
  if (!at->Valid()) {
    if (!at->status().ok()) return error_of(at->status(), "reading the log");
    return std::optional<std::uint64_t>();
  }
  if (at->key().size() != format::log_key({}).size()) return Status{ErrorCode::corruption, "a key of the log has a wrong size"};
  return std::optional(format::read_u64(view(at->key())));
}

Result<std::uint64_t> Store::disk_free_bytes() const {
  std::uint64_t bytes = 0;
  const rocksdb::Status status = impl_->env->GetFreeSpace(impl_->path, &bytes);
  if (!status.ok()) return error_of(status, "asking for free space");
  return bytes;
}

std::uint64_t Store::unflushed_bytes() const {
  std::uint64_t bytes = 0;
  return impl_->db->GetAggregatedIntProperty(rocksdb::DB::Properties::kCurSizeAllMemTables, &bytes) ? bytes : 0;
}

StoreStatistics Store::statistics() const {
  StoreStatistics out;
  std::vector<std::string> names;
  if (impl_->env->GetChildren(impl_->path, &names).ok()) {
    for (const std::string& name : names) {
      std::uint64_t bytes = 0;
      if (impl_->env->GetFileSize(impl_->path + "/" + name, &bytes).ok()) out.disk_bytes += bytes;
    }
  }
  for (rocksdb::ColumnFamilyHandle* family : {impl_->records, impl_->log, impl_->index, impl_->schedule, impl_->scratch}) {
    for (const std::string* property : {&rocksdb::DB::Properties::kSizeAllMemTables, &rocksdb::DB::Properties::kEstimateTableReadersMem}) {
      std::uint64_t bytes = 0;
      if (impl_->db->GetIntProperty(family, *property, &bytes)) out.memory_bytes += bytes;
    }
  }
  out.memory_bytes += impl_->cache->GetUsage();
  out.wal_bytes_written = impl_->tickers->getTickerCount(rocksdb::WAL_FILE_BYTES);
  out.flush_bytes_written = impl_->tickers->getTickerCount(rocksdb::FLUSH_WRITE_BYTES);
  out.compaction_bytes_written = impl_->tickers->getTickerCount(rocksdb::COMPACT_WRITE_BYTES);
  return out;
}

Result<BackupInfo> Store::backup(const std::string& directory, std::uint64_t incarnation, std::uint64_t name) {
  std::shared_ptr<Backups> backups;
  {
    std::lock_guard lock(impl_->care_mutex);
    if (impl_->care_ends) return Status{ErrorCode::cancelled, "the broker is being closed"};
    if (impl_->backups) return Status{ErrorCode::busy, "a backup of this store is under way"};
    Result<std::unique_ptr<Backups>> opened = Backups::open(directory, true, impl_->env);
    if (!opened.ok()) return opened.status();
    backups = impl_->backups = std::move(*opened);
  }
  Result<BackupInfo> made = backups->add(impl_->db, incarnation, name);
  std::lock_guard lock(impl_->care_mutex);
  impl_->backups.reset();
  return made;
}

void Store::end_care() {
  std::lock_guard lock(impl_->care_mutex);
  impl_->care_ends = true;
  if (impl_->backups) impl_->backups->stop();
}

}  // namespace weir::store
