// Recent writes: which keys were written in the last commits, so that a transaction can be told whether what it read still stands (S-28).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>

#include <absl/container/flat_hash_map.h>

#include "weir/transaction.h"

namespace weir::core {

/// Operation. note() each key with the number of the commit that writes it; check() what was read as of a commit. Nothing is read from disk:
/// what was forgotten for want of room is "too old to tell".
///
/// Concurrency. None: one thread at a time.
///
/// Limitations. At most `writes_max` writes and `bytes_max` bytes of keys; past it the oldest are forgotten. A check of keys looks at each; one of
/// ranges walks over the writes since, at most all that are remembered.
class RecentWrites {
 public:
  static constexpr std::size_t kWritesMax = 65'536;
  static constexpr std::size_t kBytesMax = 8u << 20;

  enum class Verdict : std::uint8_t {
    kUnchanged,
    kOverwritten,   ///< `key` was written since
    kTooOld,        ///< what was written since is not all remembered
  };
  struct Answer {
    Verdict verdict = Verdict::kUnchanged;
    std::string_view key{};   ///< valid until the next note()
  };

  explicit RecentWrites(std::size_t writes_max = kWritesMax, std::size_t bytes_max = kBytesMax) : writes_max_(writes_max), bytes_max_(bytes_max) {}
  RecentWrites(const RecentWrites&) = delete;
  RecentWrites& operator=(const RecentWrites&) = delete;

  /// At open: nothing is known of commits up to this one.
  void start(std::uint64_t commit);
  /// The commit writes (or erases) that key. Commits do not go back.
  void note(std::string_view key, std::uint64_t commit);
  /// Whether any of the keys, or any key in one of the ranges, was written behind commit `read_at`.
  Answer check(std::uint64_t read_at, std::span<const std::string> keys, std::span<const StateRange> ranges) const;
  Answer check(std::uint64_t read_at, std::string_view key) const;

  std::size_t size() const noexcept { return writes_.size(); }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  struct Write {
    std::uint64_t commit;
    std::string key;
  };
  void forget_oldest();

  const std::size_t writes_max_, bytes_max_;
  std::deque<Write> writes_;   // by commit; elements never move
  absl::flat_hash_map<std::string_view, std::uint64_t> last_;   // the newest commit of each key in writes_, whose string it is keyed by
  std::size_t bytes_ = 0;
  std::uint64_t known_from_ = 0;   // all writes of commits behind this one are in writes_
};

}  // namespace weir::core
