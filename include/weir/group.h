// Consumer groups: independent readers, each with its own progress, retry rule and dead letters.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "weir/filter.h"
#include "weir/types.h"

namespace weir {

/// Where a new group, or a seek, begins (S-12).
struct StartPoint {
  enum class Kind : std::uint8_t { kEarliest = 0, kLatest = 1, kOffset = 2, kTime = 3 };
  Kind kind = Kind::kEarliest;
  Offset offset{};
  Time time{};

  static StartPoint earliest() { return {}; }
  static StartPoint latest() { return {Kind::kLatest, {}, {}}; }
  static StartPoint at(Offset offset) { return {Kind::kOffset, offset, {}}; }
  /// The first message committed at or after `time`.
  static StartPoint at(Time time) { return {Kind::kTime, {}, time}; }
  friend bool operator==(const StartPoint&, const StartPoint&) = default;
};

/// One rule for every redelivery delay (S-18): exponential with full jitter: a random time between 0 and
/// min(max, first * factor^(failures-1)).
struct Backoff {
  Duration first = std::chrono::seconds{1};
  double factor = 2.0;   ///< 1 to 100
  Duration max = std::chrono::minutes{5};
  bool jitter = true;    ///< false: the full delay every time
  friend bool operator==(const Backoff&, const Backoff&) = default;
};

/// The options of a group. They are stored with it; `alter_group` changes them while members work.
struct GroupOptions {
  StartPoint start{};                       ///< used once, when the group is created (for later topics of a pattern: earliest)
  Order order = Order::kKey;              ///< cannot be altered
  Duration lease = std::chrono::seconds{30};            ///< 100 ms to 12 h
  std::uint32_t max_attempts = 5;         ///< failures until the dead letters; 1 to 1000
  std::uint32_t max_deliveries = 20;      ///< begun hand-overs until the dead letters as `crash_loop`; 1 to 10,000
  Backoff backoff{};
  std::uint32_t in_flight_max = 1000;             ///< leased messages of the group; 1 to 100,000
  std::uint32_t member_in_flight_max = 1000;      ///< leased messages of one member; 1 to 100,000
  std::uint32_t waiting_max = 100'000;            ///< waiting retries; past it no new messages are handed out until some are due
  Filter filter{};                                  ///< only these; others count as settled (S-22)
  bool dead_letter_expired = false;               ///< expired messages go to the dead letters instead of away (S-8)
  bool is_volatile = false;                       ///< gone with its last member
  std::optional<Duration> expire_idle{};            ///< gone when nobody fetched for so long
  /// A message with a key that dies parks its key (S-25): later messages of it wait until the letter is redriven (then it goes first) or discarded, or
  /// retention takes it. Not with Order::kNone; with Order::kTopic the whole topic waits. Altered to false, it frees what is parked; a seek does, too.
  bool hold_key = false;
  friend bool operator==(const GroupOptions&, const GroupOptions&) = default;
};

/// Names a group: its source, which is a topic or a pattern, and its own name.
struct GroupRef {
  std::string source{};
  std::string group{};
};

/// A group's state on one topic (S-10, "Statistics"). Counts are of now; totals are since open.
struct GroupTopicStats {
  std::string topic{};
  Offset floor{};                       ///< everything before it is settled
  std::uint64_t depth = 0;            ///< messages not settled yet, leased and waiting ones included
  std::uint64_t in_flight = 0;        ///< leased
  std::uint64_t waiting_retries = 0;  ///< waiting for their redelivery time
  std::uint64_t redriven = 0;         ///< given back by redrive and not settled yet
  std::uint64_t blocked = 0;          ///< waiting behind a message of their key
  std::uint64_t spilled = 0;          ///< of these, in the index on disk
  std::uint64_t dead = 0;             ///< dead letters neither redriven nor discarded
  std::uint64_t pinned_bytes = 0;     ///< kept from retention by this group
  Duration lag{0};                    ///< age of the newest settled position: now - commit time of the oldest unsettled message; 0 when none
  std::optional<Time> oldest{};         ///< commit time of the oldest unsettled message
  std::uint64_t delivered = 0;        ///< total: hand-overs begun
  std::uint64_t acked = 0;            ///< total
  std::uint64_t retried = 0;          ///< total: failures that led to a retry
  std::uint64_t released = 0;         ///< total
  std::uint64_t expired_leases = 0;   ///< total
  std::uint64_t expired = 0;          ///< total: messages past their ttl
  std::uint64_t filtered = 0;         ///< total
  std::uint64_t dead_lettered = 0;    ///< total
  std::uint64_t holding = 0;          ///< dead letters that hold their key (S-25)
  std::uint64_t scheduled = 0;        ///< messages of the topic that wait for their time (S-7): the group will get them
};

/// A group as it stands.
struct GroupInfo {
  std::string source{};
  std::string name{};
  GroupId id{};
  GroupOptions options{};
  Time created{};
  bool paused = false;
  std::uint64_t members = 0;                ///< joined members
  std::vector<GroupTopicStats> topics{};      ///< one entry for each topic of the source
  /// The sums over `topics`; lag and oldest are the worst.
  GroupTopicStats total() const;
};

}  // namespace weir
