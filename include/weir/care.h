// Care for a store: backups, restoring them, and the great check.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/status.h"
#include "weir/types.h"

namespace weir {

/// One backup of a directory of backups.
struct BackupInfo {
  std::uint32_t number = 0;   ///< rises from backup to backup
  Time time{};                ///< when it was begun, by the machine's clock
  std::uint64_t bytes = 0;    ///< of its files, those it shares with other backups included
  std::uint64_t files = 0;
  std::uint64_t incarnation = 0;   ///< of the store that was backed up (S-14)
  /// A file of it is missing, has not its size, or cannot be read: it cannot be restored, and only its number is told. The others of the directory
  /// can. That a file has wrong bytes is noticed when it is restored.
  bool damaged = false;
};

/// The backups of a directory, oldest first. Errors: not_found (no such directory), stopped (a directory that cannot be read).
Result<std::vector<BackupInfo>> list_backups(std::string_view directory);

/// Removes all backups but the newest `keep` (at least 1) that are not damaged, and the files that only they needed. Not while a backup to the same directory runs.
Status prune_backups(std::string_view directory, std::uint32_t keep);

struct RestoreOptions {
  std::optional<std::uint32_t> number{};   ///< which backup; default: the newest, which is an error when that is damaged
};

/// Makes a store at `location` of a backup, after checking each file's checksum. Nothing is ever overwritten: `location` must not exist, be empty, or be
/// what an interrupted restore left. It is there wholly or not at all, also across a crash.
///
/// The restored store's epochs are above all that the original gave out after the backup (S-14), as long as that was opened less than 65,536
/// times since: tokens and positions of then are refused. What was published, settled or put since the backup is not there: restore means to go back.
/// Errors: not_found (no backup, or not that one), already_exists, invalid_argument (a location that cannot be made), corruption (a damaged backup; names what is wrong),
/// storage_full, stopped (other errors of the file system, with its words).
Status restore_backup(std::string_view directory, std::string_view location, RestoreOptions options = {});

/// What is wrong with a store, where, and what can be done.
struct Problem {
  std::string place{};    ///< a file, or a topic with an offset
  std::string what{};
  std::string advice{};
};

/// What Broker::verify() read. The store is whole when there is no problem.
struct VerifyReport {
  std::uint64_t table_files = 0;
  std::uint64_t batches = 0;
  std::uint64_t messages = 0;
  std::uint64_t records = 0;        ///< of topics, groups, cursors and everything else
  std::vector<Problem> problems{};  ///< the first 1,000
  bool more = false;                ///< there are more of them
};

}  // namespace weir
