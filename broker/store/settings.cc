#include "broker/store/settings.h"

#include <rocksdb/cache.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/statistics.h>
#include <rocksdb/table.h>

#include <algorithm>

#include "broker/store/log_lines.h"

namespace weir::store {
namespace {

constexpr std::uint64_t kSmallMemtableBytes = 16u << 20;
/// Table files kept open: well below the 1024 that a process may usually open.
constexpr int kOpenFilesMax = 512;

}  // namespace

rocksdb::DBOptions database_settings(const StoreOptions& options, rocksdb::Env* env) {
  rocksdb::DBOptions out;
  out.env = env;
  out.create_if_missing = options.create_if_missing;
  out.create_missing_column_families = true;
  out.info_log = log_lines(options.log);
  out.max_background_jobs = 2;
  out.max_open_files = kOpenFilesMax;
  // Everything before the first damaged record is served, nothing behind it: commits are lost from the end or not at all.
  out.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  // RocksDB 7.8 reuses no log files under this recovery mode; log_files.h has what takes its place.
  out.recycle_log_file_num = 0;
  out.max_total_wal_size = options.wal_bytes_max;
  // A log file that is lost as a whole is noticed, too: those that were synced are noted in the manifest.
  out.track_and_verify_wals_in_manifest = true;
  // The log has everything, so closing needs no flush.
  out.avoid_flush_during_shutdown = true;
  // One thread writes; what RocksDB does for several only costs it.
  out.allow_concurrent_memtable_write = false;
  out.enable_pipelined_write = false;
  out.two_write_queues = false;
  out.statistics = rocksdb::CreateDBStatistics();
  out.statistics->set_stats_level(rocksdb::StatsLevel::kExceptHistogramOrTimers);
  out.stats_dump_period_sec = 0;
  out.stats_persist_period_sec = 0;
  return out;
}

FamilySettings::FamilySettings(const StoreOptions& options)
    : memtable_bytes_(options.memtable_bytes), cache_(rocksdb::NewLRUCache(options.block_cache_bytes)) {}

rocksdb::ColumnFamilyOptions FamilySettings::family(std::uint64_t memtable_bytes, std::size_t block_bytes, bool bloom) const {
  rocksdb::ColumnFamilyOptions out;
  out.write_buffer_size = memtable_bytes;
  out.compression = rocksdb::kNoCompression;
  out.bottommost_compression = rocksdb::kDisableCompressionOption;
  out.level_compaction_dynamic_level_bytes = true;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache_;
  table.block_size = block_bytes;
  table.format_version = 5;
  table.cache_index_and_filter_blocks = true;
  table.cache_index_and_filter_blocks_with_high_priority = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  if (bloom) table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  out.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return out;
}

rocksdb::ColumnFamilyOptions FamilySettings::records() const { return family(std::min(memtable_bytes_, kSmallMemtableBytes), 4 << 10, true); }

rocksdb::ColumnFamilyOptions FamilySettings::log() const {
  rocksdb::ColumnFamilyOptions out = family(memtable_bytes_, 16 << 10, false);
  // A second one is written while the first is flushed, and a third while the disk is slow.
  out.max_write_buffer_number = 3;
  return out;
}

rocksdb::ColumnFamilyOptions FamilySettings::index() const { return family(std::min(memtable_bytes_, kSmallMemtableBytes), 4 << 10, false); }
// Read in order, and messages one by one when they are due: every one that is looked for is there.
rocksdb::ColumnFamilyOptions FamilySettings::schedule() const { return family(std::min(memtable_bytes_, kSmallMemtableBytes), 16 << 10, false); }
rocksdb::ColumnFamilyOptions FamilySettings::scratch() const { return family(std::min(memtable_bytes_, kSmallMemtableBytes), 4 << 10, false); }

}  // namespace weir::store
