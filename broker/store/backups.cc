#include "broker/store/backups.h"

#include <rocksdb/env.h>
#include <rocksdb/utilities/backup_engine.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "broker/store/errors.h"

namespace weir::store {
namespace {

BackupInfo info_of(const rocksdb::BackupInfo& backup) {
  BackupInfo out;
  out.number = backup.backup_id;
  out.time = Time{std::chrono::seconds{backup.timestamp}};
  out.bytes = backup.size;
  out.files = backup.number_files;
  std::from_chars(backup.app_metadata.data(), backup.app_metadata.data() + backup.app_metadata.size(), out.incarnation);
  return out;
}

}  // namespace

Backups::Backups(std::string directory) : directory_(std::move(directory)) {}
Backups::~Backups() = default;

Result<std::unique_ptr<Backups>> Backups::open(const std::string& directory, bool create, rocksdb::Env* env) {
  std::error_code error;
  const bool exists = std::filesystem::is_directory(directory, error);
  if (!create && (!exists || !std::filesystem::is_directory(directory + "/meta", error))) return Status{ErrorCode::not_found, directory + ": no directory of backups"};
  error.clear();
  if (!exists) std::filesystem::create_directories(directory, error);
  if (error) return Status{error == std::errc::no_space_on_device ? ErrorCode::storage_full : ErrorCode::invalid_argument, "directory: " + directory + ": " + error.message()};
  rocksdb::BackupEngineOptions options(directory);
  options.share_table_files = true;
  options.share_files_with_checksum = true;
  options.sync = true;
  options.max_background_operations = 1;
  rocksdb::BackupEngine* engine = nullptr;
  const rocksdb::IOStatus opened = rocksdb::BackupEngine::Open(options, env != nullptr ? env : rocksdb::Env::Default(), &engine);
  if (!opened.ok()) return error_of(opened, "opening the backups of " + directory);
  std::unique_ptr<Backups> out(new Backups(directory));
  out->engine_.reset(engine);
  return out;
}

Result<BackupInfo> Backups::add(rocksdb::DB* db, std::uint64_t incarnation, std::uint64_t store) {
  const std::string name = std::to_string(store);
  std::vector<rocksdb::BackupInfo> others;
  engine_->GetBackupInfo(&others);
  for (const rocksdb::BackupInfo& other : others)
    if (other.app_metadata.substr(other.app_metadata.find(' ') + 1) != name)
      return Status{ErrorCode::failed_precondition, directory_ + ": backup " + std::to_string(other.backup_id) + " is of another store; choose a directory for each store"};
  rocksdb::CreateBackupOptions options;
  // What is in table files is shared with other backups; the log is not.
  options.flush_before_backup = true;
  rocksdb::BackupID number = 0;
  const rocksdb::IOStatus made = engine_->CreateNewBackupWithMetadata(options, db, std::to_string(incarnation) + ' ' + name, &number);
  if (made.IsIncomplete()) return Status{ErrorCode::cancelled, "the broker was closed while it was backed up"};
  if (!made.ok()) return error_of(made, "backing up to " + directory_);
  rocksdb::BackupInfo backup;
  const rocksdb::Status known = engine_->GetBackupInfo(number, &backup);
  if (!known.ok()) return error_of(known, "looking at the backup");
  return info_of(backup);
}

std::vector<BackupInfo> Backups::list() const {
  std::vector<rocksdb::BackupInfo> found;
  engine_->GetBackupInfo(&found);
  std::vector<BackupInfo> out;
  for (const rocksdb::BackupInfo& backup : found) out.push_back(info_of(backup));
  for (const rocksdb::BackupID number : damaged()) {
    out.emplace_back().number = number;
    out.back().damaged = true;
  }
  std::sort(out.begin(), out.end(), [](const BackupInfo& a, const BackupInfo& b) { return a.number < b.number; });
  return out;
}

/// Those of which a file is missing, has another size, or is no list of files.
std::vector<std::uint32_t> Backups::damaged() const {
  std::vector<rocksdb::BackupID> out;
  engine_->GetCorruptedBackups(&out);
  return out;
}

Status Backups::prune(std::uint32_t keep) {
  if (keep < 1) return {ErrorCode::invalid_argument, "keep: at least 1"};
  for (const rocksdb::BackupID number : damaged())
    if (const rocksdb::IOStatus deleted = engine_->DeleteBackup(number); !deleted.ok()) return error_of(deleted, "removing the damaged backup " + std::to_string(number) + " of " + directory_);
  const rocksdb::IOStatus purged = engine_->PurgeOldBackups(keep);
  if (!purged.ok()) return error_of(purged, "removing old backups of " + directory_);
  const rocksdb::IOStatus collected = engine_->GarbageCollect();
  return error_of(collected, "removing old backups of " + directory_);
}

Status Backups::restore(std::uint32_t number, const std::string& to) {
  const rocksdb::IOStatus whole = engine_->VerifyBackup(number, /*verify_with_checksum=*/true);
  const std::vector<std::uint32_t> damaged = this->damaged();
  if (std::find(damaged.begin(), damaged.end(), number) != damaged.end()) {
    rocksdb::BackupInfo unused;
    return {ErrorCode::corruption, directory_ + ": backup " + std::to_string(number) + " is damaged: " + engine_->GetBackupInfo(number, &unused).ToString()};
  }
  if (whole.IsNotFound()) return {ErrorCode::not_found, directory_ + " has no backup " + std::to_string(number)};
  if (whole.IsCorruption() || whole.IsAborted()) return {ErrorCode::corruption, directory_ + ": backup " + std::to_string(number) + ": " + whole.ToString()};
  if (!whole.ok()) return error_of(whole, "checking the backup");
  return error_of(engine_->RestoreDBFromBackup(rocksdb::RestoreOptions(), number, to, to), "restoring to " + to);
}

void Backups::stop() { engine_->StopBackup(); }

}  // namespace weir::store
