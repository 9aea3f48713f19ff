// Opening and writing. Reading is in store_read.cc, scratch.cc and store_care.cc.
#include "broker/store/store.h"

#include <rocksdb/file_system.h>
#include <rocksdb/statistics.h>

#include "broker/store/errors.h"
#include "broker/store/log_files.h"
#include "broker/store/settings.h"
#include "broker/store/store_impl.h"
#include "broker/store/write_set.h"

namespace weir::store {
namespace {

constexpr const char* kLog = "log";
constexpr const char* kIndex = "index";
constexpr const char* kSchedule = "schedule";
constexpr const char* kScratch = "scratch";
/// A write batch that grew larger than this is not kept for the next write.
constexpr std::size_t kKeptBytes = std::size_t{4} << 20;

/// A file that only a database has that was opened before; RocksDB would take it for garbage of an unfinished creation.
std::string data_file(rocksdb::Env& env, const std::string& directory) {
  std::vector<std::string> names;
  if (!env.GetChildren(directory, &names).ok()) return {};
  for (const std::string& name : names)
    if (name.ends_with(".sst") || name.ends_with(".log")) return name;
  return {};
}

}  // namespace

Store::Impl::~Impl() {
  if (db == nullptr) return;
  for (rocksdb::ColumnFamilyHandle* family : {records, log, index, schedule, scratch})
    if (family != nullptr) db->DestroyColumnFamilyHandle(family);
  delete db;
}

rocksdb::ColumnFamilyHandle* Store::Impl::of(Family family) const {
  switch (family) {
    case Family::kRecords: return records;
    case Family::kLog: return log;
    case Family::kIndex: return index;
    case Family::kSchedule: return schedule;
  }
  return records;
}

Status Store::Impl::open(const std::string& directory, const StoreOptions& options) {
  path = directory + "/db";
  env_owner = rocksdb::NewCompositeEnv(with_log_files(options.file_system ? options.file_system : rocksdb::FileSystem::Default(), path, logs));
  env = env_owner.get();
  const bool exists = env->FileExists(path + "/CURRENT").ok();
  if (!exists && !options.create_if_missing) return {ErrorCode::not_found, path + " holds no store, and create_if_missing is off"};
  if (!exists) {
    if (const std::string name = data_file(*env, path); !name.empty()) return {ErrorCode::corruption, path + " has " + name + ", but no CURRENT"};
    rocksdb::Status made = env->CreateDirIfMissing(directory);
    if (made.ok()) made = env->CreateDirIfMissing(path);
    if (!made.ok()) return open_error_of(made, directory);
  }
  const FamilySettings families(options);
  rocksdb::DBOptions settings = database_settings(options, env);
  cache = families.cache();
  tickers = settings.statistics;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  const rocksdb::Status opened = rocksdb::DB::Open(settings, path,
                                                   {{rocksdb::kDefaultColumnFamilyName, families.records()},
                                                    {kLog, families.log()},
                                                    {kIndex, families.index()},
                                                    {kSchedule, families.schedule()},
                                                    {kScratch, families.scratch()}},
                                                   &handles, &db);
  if (!opened.ok()) return open_error_of(opened, path);
  records = handles[0];
  log = handles[1];
  index = handles[2];
  schedule = handles[3];
  scratch = handles[4];
  return empty_scratch(families.scratch());
}

/// What of scratch was flushed before the store was closed is of no use to anybody.
Status Store::Impl::empty_scratch(const rocksdb::ColumnFamilyOptions& settings) {
  {
    const auto any = iterator(scratch, nullptr, nullptr);
    any->SeekToFirst();
    if (any->status().ok() && !any->Valid()) return {};
  }
  rocksdb::Status status = db->DropColumnFamily(scratch);
  if (!status.ok()) return open_error_of(status, path);
  status = db->DestroyColumnFamilyHandle(scratch);
  scratch = nullptr;
  if (status.ok()) status = db->CreateColumnFamily(settings, kScratch, &scratch);
  return open_error_of(status, path);
}

/// The sentence is kept: all later writes answer it.
Status Store::Impl::stop(const rocksdb::Status& status, std::string_view what) {
  {
    std::lock_guard lock(reason_mutex);
    if (!stopped) reason = error_of(status, what).message();
    stopped = true;
  }
  return stopped_status();
}

Status Store::Impl::stopped_status() const {
  std::lock_guard lock(reason_mutex);
  return {ErrorCode::stopped, reason};
}

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::open(const std::string& directory, StoreOptions options) {
  auto impl = std::make_unique<Impl>();
  Status status = impl->open(directory, options);
  if (!status.ok()) return status;
  return std::unique_ptr<Store>(new Store(std::move(impl)));
}

Status Store::write(WriteSet& set) {
  Impl& impl = *impl_;
  if (impl.stopped) return impl.stopped_status();
  rocksdb::WriteBatch& batch = impl.batch;
  batch.Clear();
  rocksdb::Status status;
  set.impl().for_each([&](Family family, Action action, std::string_view key, std::string_view value) {
    rocksdb::ColumnFamilyHandle* const to = impl.of(family);
    rocksdb::Status added;
    switch (action) {
      case Action::kPut: added = batch.Put(to, slice(key), slice(value)); break;
      case Action::kErase: added = batch.Delete(to, slice(key)); break;
      case Action::kEraseRange: added = batch.DeleteRange(to, slice(key), slice(value)); break;
      case Action::kErasePrefix: added = batch.DeleteRange(to, slice(key), format::prefix_end(std::string(key))); break;
    }
    if (status.ok()) status = added;
  });
  // Until RocksDB has resumed with another log file, it is not asked.
  if (status.ok() && impl.logs->last_failed()) status = rocksdb::Status::NoSpace("there was none before");
  if (status.ok()) status = impl.db->Write(rocksdb::WriteOptions(), &batch);
  if (status.IsNoSpace()) impl.refused_bytes = batch.GetDataSize();
  if (batch.GetDataSize() > kKeptBytes) batch = rocksdb::WriteBatch();
  if (status.ok()) return {};
  if (status.IsNoSpace()) return error_of(status, "writing the log");
  return impl.stop(status, "writing the log");
}

Status Store::sync() {
  Impl& impl = *impl_;
  if (impl.stopped) return impl.stopped_status();
  const rocksdb::IOStatus status = impl.logs->sync();
  // Whatever the reason: nobody knows any more what of the unsynced bytes is on the device.
  return status.ok() ? Status{} : impl.stop(status, "syncing the log");
}

/// Writes a mebibyte and what was refused next to the log, and takes it away again.
Status Store::Impl::try_room() const {
  const std::string file = path + "/room";
  const std::string bytes((1u << 20) + refused_bytes, '\0');
  std::unique_ptr<rocksdb::WritableFile> out;
  rocksdb::Status status = env->NewWritableFile(file, &out, rocksdb::EnvOptions());
  if (status.ok()) status = out->Append(bytes);
  if (status.ok()) status = out->Sync();
  if (out) {
    const rocksdb::Status closed = out->Close();
    if (status.ok()) status = closed;
  }
  (void)env->DeleteFile(file);
  return status.ok() ? Status{} : Status{ErrorCode::storage_full, "trying for room: " + status.ToString()};
}

Status Store::resume() {
  Impl& impl = *impl_;
  if (impl.stopped) return impl.stopped_status();
  // A resumption that runs out of room again is final for RocksDB, so room is tried with a file of our own first.
  if (Status room = impl.try_room(); !room.ok()) return room;
  const rocksdb::Status status = impl.db->Resume();
  // Busy: RocksDB is at it by itself.
  if (status.IsBusy()) return {ErrorCode::storage_full, "resuming: " + status.ToString()};
  // It begins another log file only where there is something to flush. The next write to this one would end the process.
  if (status.ok() && impl.logs->last_failed()) return impl.stop(rocksdb::Status::NoSpace(), "writing to a log file that had just been begun");
  return error_of(status, "resuming");
}

}  // namespace weir::store
