// Backups, restoring them, and the great check.
#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "broker/base/hash.h"
#include "broker/core/item.h"
#include "broker/engine/answer.h"
#include "broker/store/backups.h"

namespace weir::engine {
namespace {

namespace fs = std::filesystem;

/// How far a restored store's incarnation is ahead of its original's: as often that may have been opened since the backup.
constexpr std::uint64_t kRestoredAhead = 65'536;
constexpr std::uint64_t kIncarnationMax = (std::uint64_t{1} << (64 - core::kEpochBits)) - 1;
constexpr const char* kRestoring = "restoring";   // what an interrupted restore leaves

Status no_disk() { return {ErrorCode::unsupported, "a broker without a disk has nothing to back up"}; }

Status file_error(const fs::path& path, const std::error_code& error) {
  const bool place = error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory || error == std::errc::permission_denied ||
                     error == std::errc::read_only_file_system || error == std::errc::invalid_argument;
  const ErrorCode code = error == std::errc::no_space_on_device ? ErrorCode::storage_full : place ? ErrorCode::invalid_argument : ErrorCode::stopped;
  return {code, "\"" + path.string() + "\": " + error.message()};
}

/// That names in a directory are what they are is on the device.
Status sync_directory(const fs::path& directory) {
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool ok = fd >= 0 && ::fsync(fd) == 0;
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (!ok) return file_error(directory, {error, std::generic_category()});
  return {};
}

/// Only what an interrupted restore left may be there.
Status check_target(const fs::path& location) {
  std::error_code error;
  if (!fs::exists(location, error)) return {};
  if (!fs::is_directory(location, error)) return {ErrorCode::already_exists, location.string() + " exists, and is no directory"};
  for (const auto& entry : fs::directory_iterator(location, error))
    if (entry.path().filename() != "owner" && entry.path().filename() != kRestoring)
      return {ErrorCode::already_exists, location.string() + " is not empty (" + entry.path().filename().string() + "): nothing is overwritten; restore to another place"};
  if (error) return file_error(location, error);
  return {};
}

/// Epochs of the restored store are above all that the original has given out meanwhile (S-14).
Status raise_incarnation(const fs::path& directory) {
  store::StoreOptions options;
  options.create_if_missing = false;
  Result<std::unique_ptr<store::Store>> opened = store::Store::open(directory.string(), options);
  if (!opened.ok()) return opened.status();
  store::Store& store = **opened;
  const auto stored = store.get(format::store_key());
  if (!stored.ok()) return stored.status();
  if (!*stored) return {ErrorCode::corruption, directory.string() + ": the backup has no store record"};
  Result<format::StoreRecord> record = format::decode_store(**stored, directory.string() + ": store record");
  if (!record.ok()) return record.status();
  if (record->incarnation > kIncarnationMax - 2 * kRestoredAhead) return {ErrorCode::limit_exceeded, "the store was restored too often: its epochs are used up"};
  record->incarnation += kRestoredAhead;
  store::WriteSet set;
  set.put(format::store_key(), format::encode(*record));
  if (Status written = store.write(set); !written.ok()) return written;
  return store.sync();
}

/// Made aside and moved into place at the end: there is no half of a store.
Status restore(store::Backups& backups, std::uint32_t number, const fs::path& target) {
  if (Status free = check_target(target); !free.ok()) return free;
  std::error_code error;
  fs::create_directories(target, error);
  if (error) return file_error(target, error);
  Result<std::unique_ptr<Owner>> owner = Owner::take((target / "owner").string());
  if (!owner.ok()) return owner.status();
  const fs::path aside = target / kRestoring;
  fs::remove_all(aside, error);
  if (!error) fs::create_directories(aside, error);
  if (error) return file_error(aside, error);
  Status status = backups.restore(number, (aside / "db").string());
  if (status.ok()) status = raise_incarnation(aside);
  if (status.ok()) status = sync_directory(aside / "db");
  if (!status.ok()) {
    fs::remove_all(aside, error);
    return status;
  }
  fs::rename(aside / "db", target / "db", error);
  if (error) return file_error(target, error);
  fs::remove(aside, error);
  return sync_directory(target);
}

}  // namespace

/// Not in the workshop: it takes as long as reading the whole store, and fetches wait there.
void Engine::take_care(UniqueFunction<void()> task) {
  std::lock_guard lock(close_mutex_);
  if (!care_) care_ = std::make_unique<Runner>("weir-care");
  care_->post(std::move(task));
}

void Engine::async_backup(std::string directory, CallContext context, Callback<BackupInfo> done) {
  const Use use(*this);
  Status usable = check_usable();
  if (usable.ok()) usable = check_in_time(context);
  if (usable.ok() && !store_) usable = no_disk();
  if (usable.ok() && directory.empty()) usable = {ErrorCode::invalid_argument, "directory: empty"};
  if (!usable.ok()) return answer<BackupInfo>(std::move(done), usable, context);
  auto backup = [this, directory = std::move(directory)]() -> Result<BackupInfo> {
    Result<BackupInfo> made = store_->backup(directory, incarnation_, base::hash64("a store's name in its backups", hash_seed_));
    if (made.ok()) log(LogLevel::kInfo, "backed up to " + directory + ": backup " + std::to_string(made->number) + ", " + std::to_string(made->bytes) + " bytes");
    return made;
  };
  if (context.caller_waits) return done(backup());
  take_care([this, backup = std::move(backup), context, done = std::move(done)]() mutable { answer<BackupInfo>(std::move(done), backup(), context); });
}

void Engine::async_verify(CallContext context, Callback<VerifyReport> done) {
  const Use use(*this);
  Status usable = check_usable();
  if (usable.ok()) usable = check_in_time(context);
  if (!usable.ok()) return answer<VerifyReport>(std::move(done), usable, context);
  const auto verify = [this]() -> Result<VerifyReport> { return store_ ? store_->verify() : VerifyReport{}; };
  if (context.caller_waits) return done(verify());
  take_care([this, verify, context, done = std::move(done)]() mutable { answer<VerifyReport>(std::move(done), verify(), context); });
}

}  // namespace weir::engine

namespace weir {

Result<std::vector<BackupInfo>> list_backups(std::string_view directory) {
  const auto backups = store::Backups::open(std::string(directory), false);
  if (!backups.ok()) return backups.status();
  return (*backups)->list();
}

Status prune_backups(std::string_view directory, std::uint32_t keep) {
  const auto backups = store::Backups::open(std::string(directory), false);
  if (!backups.ok()) return backups.status();
  return (*backups)->prune(keep);
}

Status restore_backup(std::string_view directory, std::string_view location, RestoreOptions options) {
  if (location.empty()) return {ErrorCode::invalid_argument, "location: empty"};
  const auto backups = store::Backups::open(std::string(directory), false);
  if (!backups.ok()) return backups.status();
  const std::vector<BackupInfo> all = (*backups)->list();
  if (all.empty()) return {ErrorCode::not_found, std::string(directory) + " has no backup"};
  return engine::restore(**backups, options.number.value_or(all.back().number), std::string(location));
}

}  // namespace weir
