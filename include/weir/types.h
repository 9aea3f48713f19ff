// The small types that all of weir speaks: time, positions, ids, durability.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <functional>
#include <ostream>
#include <string>
#include <string_view>

namespace weir {

/// Wall-clock time in milliseconds since 1970 UTC, as given by the broker's Clock.
using Time = std::chrono::sys_time<std::chrono::milliseconds>;
/// All durations of the API are milliseconds; any std::chrono literal of ms or coarser converts.
using Duration = std::chrono::milliseconds;

/// A strong integer: ids of different kinds do not mix.
template <class Tag>
struct StrongId {
  std::uint64_t value = 0;
  friend constexpr auto operator<=>(StrongId, StrongId) = default;
  friend std::ostream& operator<<(std::ostream& out, StrongId id) { return out << id.value; }
};

/// A message's place in its topic: dense, from 0, in commit order (S-3).
using Offset = StrongId<struct OffsetTag>;
/// Rises with every delivery of a store, across restarts and restores: its high 24 bits are the incarnation (S-14).
using Epoch = StrongId<struct EpochTag>;
/// What a topic or a group is, as opposed to how it is called: a name deleted and created again has a new id.
using TopicId = StrongId<struct TopicIdTag>;
using GroupId = StrongId<struct GroupIdTag>;
/// One consumer inside a group, as given by Broker::async_join. 0: an anonymous one.
using MemberId = StrongId<struct MemberIdTag>;

constexpr Offset operator+(Offset o, std::uint64_t n) noexcept { return Offset{o.value + n}; }
constexpr std::uint64_t operator-(Offset a, Offset b) noexcept { return a.value - b.value; }

/// What an OK means (S-4). Stored and sent: do not renumber.
enum class Durability : std::uint8_t {
  kMemory = 0,   ///< ephemeral topics only: gone when the process ends
  kProcess = 1,  ///< in the write-ahead log and handed to the operating system: survives kill -9
  kPower = 2,    ///< synced to the device: survives power loss
};
std::string_view to_string(Durability level) noexcept;

/// The order inside a group (S-13). Stored and sent: do not renumber.
enum class Order : std::uint8_t {
  kKey = 0,    ///< messages of one key one after another; keyless messages and other keys flow
  kNone = 1,   ///< nothing waits for anything
  kTopic = 2,  ///< all messages of a topic strictly one after another
};
std::string_view to_string(Order order) noexcept;

}  // namespace weir

template <class Tag>
struct std::hash<weir::StrongId<Tag>> {
  std::size_t operator()(weir::StrongId<Tag> id) const noexcept { return std::hash<std::uint64_t>{}(id.value); }
};
