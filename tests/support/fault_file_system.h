// A file system for RocksDB that fails when it is told to, and that can lose what was not synced.
#pragma once

#include <rocksdb/file_system.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace weir::test {

/// Bad luck as an input, for the files of a store. Thread-safe. Operations on the log are the appends and syncs of *.log files;
/// a flush is none, since it does nothing on a real file system.
class FaultFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  enum class Error { kInputOutput, kNoSpace };
  /// How much of the failing append reaches the file; a failing sync syncs only after kWhole.
  enum class Passed { kNothing, kHalf, kWhole };

  /// Over the real file system.
  FaultFileSystem();
  const char* Name() const override { return "FaultFileSystem"; }

  /// The nth operation on the log from now on fails, and only that one. n >= 1.
  void fail_wal_operation(std::uint64_t n, Error error = Error::kInputOutput, Passed passed = Passed::kNothing);
  /// Whether that failure has happened.
  bool failed() const;
  /// Operations on the log so far.
  std::uint64_t wal_operations() const;
  /// Syncs of the log among them.
  std::uint64_t wal_syncs() const;

  /// What GetFreeSpace says from now on; nothing: the truth.
  void set_free_space(std::optional<std::uint64_t> bytes);
  /// A disk of so many bytes, of which what is below `directory` takes some: it can be filled, and emptied, as a real one.
  void set_capacity(const std::string& directory, std::uint64_t bytes);
  /// While set, there is no room for any byte more.
  void set_no_space(bool no_space);
  /// From now on nothing is changed on the disk; whoever tries gets an error.
  void cut_power();
  /// To be called when nobody has the files open any more: takes from every file what was not synced, and away the files that
  /// never were. Of the unsynced bytes at a file's end `keep` may keep some: it gets their number and answers how many.
  /// Afterwards the power is on again.
  void drop_unsynced(const std::function<std::uint64_t(std::uint64_t unsynced)>& keep = {});
  /// The same, but where a file had room already each unsynced write is lost or not by itself, as devices do; `lost` decides.
  void drop_some_unsynced(const std::function<bool()>& lost);

  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* result, rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus ReopenWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                       std::unique_ptr<rocksdb::FSWritableFile>* result, rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus ReuseWritableFile(const std::string& name, const std::string& old_name, const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSWritableFile>* result, rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewRandomRWFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSRandomRWFile>* result, rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus DeleteFile(const std::string& name, const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus Truncate(const std::string& name, std::size_t size, const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus LinkFile(const std::string& from, const std::string& to, const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus GetFreeSpace(const std::string& path, const rocksdb::IOOptions& options, std::uint64_t* bytes,
                                 rocksdb::IODebugContext* debug) override;

 private:
  class File;
  class FileAhead;
  /// What is known of a file that was opened for writing.
  struct Written {
    bool synced_once = false;
    std::uint64_t size = 0;      ///< bytes written by its present writer
    std::uint64_t synced = 0;    ///< of these, how many are on the device
    std::uint64_t old_size = 0;  ///< so many bytes the file has on the device anyhow: it was reused, or written ahead and synced
    std::uint64_t ahead = 0;     ///< end of what was written ahead
    /// What bytes behind `synced` were before they were written over, in the order of writing.
    std::vector<std::pair<std::uint64_t, std::string>> before;
  };

  void drop(const std::function<std::uint64_t(std::uint64_t unsynced)>& keep, const std::function<bool()>& lost);
  std::optional<rocksdb::IOStatus> refused(std::uint64_t bytes = 0) const;   ///< to write so many; mutex_ is held
  std::uint64_t room() const;                                                 ///< likewise
  rocksdb::IOStatus refused_now() const;
  /// Counts an operation on the log; the error, if this is the one that fails.
  std::optional<rocksdb::IOStatus> wal_operation(bool sync);

  mutable std::mutex mutex_;  ///< guards everything below
  std::map<std::string, std::shared_ptr<Written>> files_;
  std::uint64_t operations_ = 0;
  std::uint64_t syncs_ = 0;
  std::uint64_t failing_ = 0;   ///< the operation that fails; 0: none
  Error error_ = Error::kInputOutput;
  Passed passed_ = Passed::kNothing;
  bool failed_ = false;
  bool no_space_ = false;
  bool power_cut_ = false;
  std::optional<std::uint64_t> free_space_;
  std::string disk_;                 ///< where the bytes of capacity_ go
  std::uint64_t capacity_ = 0;       ///< 0: as much as there is
};

}  // namespace weir::test
