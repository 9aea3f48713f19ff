// Backups of a store's database, in a directory of their own (RocksDB's BackupEngine).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "weir/care.h"

namespace rocksdb {
class BackupEngine;
class DB;
class Env;
}  // namespace rocksdb

namespace weir::store {

/// A directory of backups. Table files that several backups have in common lie there once, so a further backup costs what is new. Not thread-safe, and one
/// at a time on a directory, but for stop().
class Backups {
 public:
  /// `create`: for a first backup; else not_found when there is none. `env`: of the database that is backed up; nullptr: the machine's.
  static Result<std::unique_ptr<Backups>> open(const std::string& directory, bool create, rocksdb::Env* env = nullptr);
  ~Backups();

  /// Backs up a database that is in use. What was written before this call is in it, and of what is written meanwhile a part without gaps.
  /// `store` tells whose it is: failed_precondition when the directory has backups of another store.
  Result<BackupInfo> add(rocksdb::DB* db, std::uint64_t incarnation, std::uint64_t store);
  std::vector<BackupInfo> list() const;   ///< by number; of damaged ones nothing but the number is known
  /// Removes damaged ones, too.
  Status prune(std::uint32_t keep);
  /// Puts a backup's database into the directory `to`, which it creates.
  Status restore(std::uint32_t number, const std::string& to);
  /// Another thread's add() ends soon, and leaves nothing.
  void stop();

 private:
  explicit Backups(std::string directory);
  std::vector<std::uint32_t> damaged() const;
  const std::string directory_;
  std::unique_ptr<rocksdb::BackupEngine> engine_;
};

}  // namespace weir::store
