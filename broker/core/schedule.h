// What waits for its time (S-7): how a scheduled message is named, and what is kept of schedules in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include <absl/container/flat_hash_set.h>

#include "weir/message.h"
#include "weir/status.h"
#include "weir/types.h"

namespace weir::core {

/// How far ahead a message may be scheduled.
inline constexpr Duration kScheduleAheadMax = std::chrono::hours{24 * 3650};

/// A scheduled message has a number that no other of the store ever has: the incarnation, and in the low bits a count since the store was opened. So
/// numbers rise in the order of publishing, also where the end of the log was lost.
inline constexpr unsigned kScheduleBits = 39;
constexpr std::uint64_t first_schedule(std::uint64_t incarnation) { return (incarnation << kScheduleBits) + 1; }

/// Names a scheduled message.
struct ScheduleKey {
  TopicId topic;
  std::uint64_t number = 0;
  friend bool operator==(const ScheduleKey&, const ScheduleKey&) = default;
};
std::string to_text(const ScheduleKey& key);   ///< the schedule id: both numbers in hexadecimal, a '-' between them
std::optional<ScheduleKey> parse_schedule(std::string_view text);

/// Where dedup and sessions remember offsets, a scheduled message stands with its number: no offset is that large.
constexpr Offset place_of_schedule(std::uint64_t number) { return Offset{number | std::uint64_t{1} << 63}; }
constexpr bool is_scheduled(Offset place) { return place.value >> 63 != 0 && place != kNoOffset; }
constexpr std::uint64_t schedule_at(Offset place) { return place.value & ~(std::uint64_t{1} << 63); }
/// What was remembered of a message of `topic`, as the answer to its publisher.
Published published_at(TopicId topic, Offset place, bool duplicate);
/// The other way round.
Offset place_of(const Published& published);

/// The time at which a message is due: nothing for one that goes into the log at once. Answers what is wrong with it.
Result<std::optional<Time>> due_time(const Message& message, Time now);

/// Operation. Who takes scheduled messages out of a store first reads them there, and is told here when another one has taken them out meanwhile: a
/// removal is known from its decision until it is written and everybody who may have read before has ended.
///
/// Concurrency: none; the engine's lock guards it.
class RecentRemovals {
 public:
  /// Before reading. Everything that written() was told of is seen by what is read from now on.
  std::uint64_t begin_reading();
  void end_reading(std::uint64_t reader);
  /// `commit` will take it out.
  void add(std::uint64_t number, std::uint64_t commit);
  bool contains(std::uint64_t number) const { return gone_.contains(number); }
  /// All commits up to this one are written.
  void written(std::uint64_t commit);
  std::size_t size() const noexcept { return gone_.size(); }

 private:
  void forget();

  absl::flat_hash_set<std::uint64_t> gone_;
  std::deque<std::pair<std::uint64_t, std::uint64_t>> order_;   // commit, number; commits ascend
  std::multiset<std::uint64_t> readers_;                        // what was written when each began
  std::uint64_t written_ = 0;
};

/// The schedule of ephemeral topics. Concurrency: none; the engine's lock guards it.
class MemorySchedule {
 public:
  struct Entry {
    Time due;
    Time published;
    std::uint64_t bytes = 0;
    Message message;
  };

  void add(const ScheduleKey& key, Entry entry);
  const Entry* find(const ScheduleKey& key) const;
  std::optional<Entry> take(const ScheduleKey& key);
  /// The first that is due by `now`, in the order of due time and publishing.
  std::optional<std::pair<ScheduleKey, Entry>> take_due(Time now);
  std::optional<Time> next_due() const;
  /// Takes out all of a topic; answers their bytes.
  std::uint64_t drop_topic(TopicId topic);
  /// Those of a topic behind `after`, in the order of publishing, until `visit` answers false.
  void list(TopicId topic, std::uint64_t after, const std::function<bool(const ScheduleKey&, const Entry&)>& visit) const;
  /// Those of all topics behind (due, number), in the order of due time, likewise.
  void list_by_due(std::pair<Time, std::uint64_t> after, const std::function<bool(const ScheduleKey&, const Entry&)>& visit) const;
  std::size_t size() const noexcept { return by_due_.size(); }

 private:
  std::map<TopicId, std::map<std::uint64_t, Entry>> by_topic_;
  std::map<std::pair<Time, std::uint64_t>, TopicId> by_due_;
};

}  // namespace weir::core
