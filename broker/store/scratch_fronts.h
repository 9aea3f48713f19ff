// Where the queues of the scratch family begin, so that what was taken from them is not stepped over again and again.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace weir::store {

/// RocksDB keeps erased keys until it merges them, and a seek to a queue's first key passes all of them. This remembers, for the
/// prefixes looked at last, a key below which nothing is. Thread-safe.
class ScratchFronts {
 public:
  /// Where to seek for the first key with that prefix, and how many puts there had been.
  struct Start {
    std::string key;
    std::uint64_t puts = 0;
  };
  Start from(std::string_view prefix) const;
  /// A seek from there found `key` as the first one. If something was put meanwhile, that says nothing.
  void found(std::string_view prefix, std::string_view key, std::uint64_t puts);
  /// To be called after the key was erased or put.
  void erased(std::string_view key);
  void put(std::string_view key);

 private:
  static constexpr std::size_t kPrefixesMax = 16;
  struct Front {
    std::string prefix;
    std::string first;          ///< no key with that prefix is below this one
    bool gone = false;          ///< and this one is erased
  };
  mutable std::mutex mutex_;
  std::vector<Front> fronts_;   ///< the one found longest ago first; guarded by mutex_
  std::uint64_t puts_ = 0;      ///< guarded by mutex_
};

}  // namespace weir::store
