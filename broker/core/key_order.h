// The messages of one key, where anything about the key is going on: in delivery, given back, or blocked behind that (S-13).
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "weir/types.h"

namespace weir::core {

/// Where blocked offsets go past the look-ahead bound: an index on disk (engine/spill.h), or a map in tests.
class SpillIndex {
 public:
  virtual ~SpillIndex() = default;
  /// Adds a chunk of ascending offsets behind all chunks of that key.
  virtual void append(std::uint64_t key, std::span<const std::uint64_t> offsets) = 0;
  /// Takes the key's first chunk out; nothing when it cannot be read.
  virtual std::optional<std::vector<std::uint64_t>> take_first(std::uint64_t key) = 0;
  virtual void clear() = 0;
};

/// What waits behind a key: first what was given back, by offset; then blocked offsets in memory, then chunks on disk, then
/// the chunk that is being filled. All ascend.
struct Backlog {
  std::vector<std::uint32_t> returned;  ///< slots of items that wait or are ready, by offset
  std::vector<std::uint32_t> chain;     ///< slots leased together by one fetch, by offset
  std::deque<std::uint64_t> blocked;
  std::uint64_t chunks = 0;             ///< in the spill index
  std::uint64_t spilled = 0;            ///< offsets in them
  std::vector<std::uint64_t> filling;
  bool mixed = false;                   ///< something in `returned` may stand behind something blocked (Cursor::reach)

  bool has_blocked() const noexcept { return !blocked.empty() || chunks > 0 || !filling.empty(); }
  bool empty() const noexcept { return returned.empty() && chain.empty() && !has_blocked(); }
};

/// A key that has something in delivery, given back or blocked. Keys with nothing are not remembered.
struct KeyState {
  std::uint32_t leased = 0;       ///< messages in delivery
  std::uint32_t holds = 0;        ///< dead letters that hold the key (S-25)
  bool queued = false;            ///< stands in the cursor's queue of keys to look at
  std::uint32_t slot = 0;         ///< the first leased item, while `leased` > 0
  std::uint64_t fetch = 0;        ///< which fetch holds them
  std::unique_ptr<Backlog> backlog;

  Backlog& need_backlog() {
    if (!backlog) backlog = std::make_unique<Backlog>();
    return *backlog;
  }
  bool has_returned() const noexcept { return backlog && !backlog->returned.empty(); }
  bool has_blocked() const noexcept { return backlog && backlog->has_blocked(); }
};

}  // namespace weir::core
