// What a cursor knows of one message that is not simply settled or not yet looked at.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "weir/dead_letter.h"
#include "weir/types.h"

namespace weir::core {

/// An epoch is the incarnation of the store and, in its low bits, a count of the hand-overs since it was opened (S-14).
inline constexpr unsigned kEpochBits = 40;
constexpr std::uint64_t incarnation_of(std::uint64_t epoch) { return epoch >> kEpochBits; }
constexpr std::uint64_t first_epoch(std::uint64_t incarnation) { return (incarnation << kEpochBits) + 1; }
/// Beside the values of Settle: a delivery that ended by an expired lease, a crash, a seek or drop_oldest.
inline constexpr std::uint8_t kNoSettlement = 255;
inline constexpr std::uint32_t kNoSlot = std::numeric_limits<std::uint32_t>::max();

/// What a message is, to one group: its place in the log, or (letter > 0) a dead letter that was given back, whose place is where it
/// stood originally.
struct ItemId {
  Offset offset;
  std::uint64_t letter = 0;  ///< 0, or 1 + offset of the dead letter
  friend auto operator<=>(const ItemId&, const ItemId&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const ItemId& id) {
    return H::combine(std::move(h), id.offset.value, id.letter);
  }
};

/// The failures of a message so far; only messages that failed have one.
struct History {
  std::optional<Time> first_failure;
  std::optional<Time> last_failure;
  std::string error;              ///< the last one, ≤ 4 KiB
  std::vector<Attempt> attempts;  ///< the last five
  Time published;                 ///< of redriven ones
};

enum class ItemState : std::uint8_t {
  kFree,     ///< the slot is unused
  kLeased,   ///< handed to a member
  kWaiting,  ///< until `due`
  kReady,    ///< may be handed out, when its key allows
};

/// States: kReady → kLeased (grant) → gone (ack, death, expiry) | kWaiting (failure) | kReady (release); kWaiting → kReady (due).
struct Item {
  ItemId id;
  std::uint64_t key_hash = 0;   ///< 0: no order to keep
  std::uint64_t epoch = 0;      ///< of the newest hand-over
  std::uint64_t fetch = 0;      ///< which fetch took it
  MemberId member;
  std::int64_t lease_until_ms = 0;
  std::int64_t lease_ms = 0;
  std::int64_t extend_until_ms = 0;  ///< the lease prolongs itself until then
  std::int64_t due_ms = 0;
  std::uint32_t deliveries = 0;
  std::uint32_t failures = 0;
  std::uint32_t crashes = 0;         ///< deaths of the process while it ran beside others
  std::uint32_t crash_failures = 0;  ///< of `failures`: those by a crash
  std::uint32_t redrives = 0;
  std::uint32_t mark = kNoSlot;      ///< its begun mark
  ItemState state = ItemState::kFree;
  bool begun = false;
  bool recorded = false;             ///< a retry record of it is on disk, or will be with the next commit
  bool holds_gate = false;
  bool ahead = false;                ///< loaded from a record, and the log before it was not looked at yet
  // The settlement that ended the last delivery, so that the same one again can be answered (S-14).
  std::uint8_t last_kind = kNoSettlement;
  std::uint64_t last_epoch = 0;
  std::int64_t last_ms = 0;
  std::unique_ptr<History> history;

  bool crash_charged() const noexcept { return crashes + crash_failures > 0; }
};

}  // namespace weir::core
