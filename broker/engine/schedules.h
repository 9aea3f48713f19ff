// Messages that wait outside the log for their time (S-7).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/base/hash.h"
#include "broker/core/schedule.h"
#include "broker/engine/commit.h"
#include "broker/engine/runner.h"
#include "broker/engine/state.h"
#include "broker/format/scheduled.h"
#include "broker/store/store.h"
#include "weir/admin.h"
#include "weir/callback.h"
#include "weir/options.h"

namespace weir::engine {

class Engine;

/// Operation. A scheduled message is on disk from the commit of its publish on: its record, and an entry in an index by due time. In memory is how many
/// there are of each topic, and a bound: nothing on disk is due before it. When that time has come, a thread reads what is due from the disk, some at a
/// time, and one commit puts them into the log and erases them here. Cancelling and running one now also read first and decide in the pipeline;
/// RecentRemovals tells who is too late. Those of ephemeral topics are in memory.
///
/// Concurrency. Functions are called under the engine's lock where they say so.
class Schedules {
 public:
  explicit Schedules(Engine& engine) : engine_(engine) {}

  // --- Taking messages: under the lock, by the leader -----------------------------------------------------------------------------
  /// Takes a message into the schedule with `commit`; answers what its publisher is told. `message` must live until the commit is encoded. The caller has
  /// checked what check_for_topic checks, and knows from core::due_time that it is due later than now.
  Published add(TopicState& topic, const Message& message, Time due, Durability level, Time now, Commit& commit);
  /// The id of a message that add() took is remembered with the same commit (S-6).
  void remember_id(TopicState& topic, base::Hash128 hash, const Published& published, Time now, Commit& commit);
  /// Likewise, for an ephemeral topic: in memory, at once.
  Published add_ephemeral(TopicState& topic, Message message, Time due, Time now);
  /// How many there are of the topics that the commit changed.
  void put_counts(store::WriteSet& set);
  void drop_topic(TopicState& topic, store::WriteSet& set);
  /// `commit` is written: what it scheduled can be read.
  void written(const Commit& commit);

  // --- The leader, without the lock -----------------------------------------------------------------------------------------------
  void encode(Commit& commit);

  // --- Time -------------------------------------------------------------------------------------------------------------------------
  std::int64_t next_due_ms() const;                  ///< under the lock; INT64_MAX: never
  void tick(std::int64_t now_ms, After& after);      ///< under the lock
  void housekeep();
  /// Erases those of a deleted topic; false: not all of them.
  bool purge(TopicId topic);

  // --- The verbs ----------------------------------------------------------------------------------------------------------------------
  Result<ListSchedulesResult> list(const ListSchedulesRequest& request);
  void change(const std::string& id, bool run, CallContext context, Callback<Done> done);

  // --- Life ---------------------------------------------------------------------------------------------------------------------------
  Status load();                                     ///< at open
  void set_incarnation(std::uint64_t incarnation) { next_number_ = core::first_schedule(incarnation); }
  void start();
  bool idle();                                       ///< nothing is on its way into the log; waits for that for a moment
  void end();
  void leak() { (void)runner_.release(); }
  std::uint64_t size() const noexcept { return size_; }   ///< under the lock

 private:
  using Place = std::pair<std::int64_t, std::uint64_t>;   // due time and number
  static constexpr Place kNever{INT64_MAX, 0};

  /// A scheduled message as it was read.
  struct Due {
    format::DueKey key;
    std::optional<format::ScheduledRecord> record;        // nothing: it was erased meanwhile
  };

  void count(TopicState& topic, bool more, std::uint64_t bytes);
  void arm(Place place);
  Result<Due> read(const format::DueKey& key) const;
  Result<std::optional<Due>> find(const core::ScheduleKey& key) const;
  bool enter(Due& due, Time ttl_from, Time now, Commit& commit);
  bool erase(const Due& due, Commit& commit);
  void run();
  Status read_due(Place from, std::int64_t now, std::vector<Due>& due, Place& next) const;
  Status enter_together(std::vector<Due>& due);
  bool enter_ephemeral(std::int64_t now_ms, After& after);
  void append(const core::ScheduleKey& key, core::MemorySchedule::Entry entry, Time ttl_from, After& after);
  Status change_ephemeral(const core::ScheduleKey& key, bool run, After& after);
  void change_durable(const core::ScheduleKey& key, bool run, const CallContext& context, Callback<Done> done);
  using Found = std::vector<std::pair<TopicId, ScheduleInfo>>;
  Status list_topic(TopicId topic, bool ephemeral, const ListSchedulesRequest& request, Found& found, ListSchedulesResult& out);
  Status list_all(const ListSchedulesRequest& request, Found& found, ListSchedulesResult& out);
  void list_memory(Place after, std::uint32_t schedules_max, Found& found, ListSchedulesResult& out);

  Engine& engine_;
  // guarded by the engine's lock:
  core::RecentRemovals removals_;                // of durable ones
  core::MemorySchedule memory_;                  // of ephemeral topics
  std::vector<TopicPtr> dirty_;                  // topics whose count is to be written
  std::uint64_t next_number_ = core::first_schedule(1);
  std::uint64_t size_ = 0;
  Place next_ = kNever;                          // no durable message stands before it
  bool running_ = false;                         // the runner is at it
  bool blocked_ = false;                         // what is due could not be entered; housekeeping tries again

  std::atomic<std::uint64_t> unflushed_{0};      // bytes written that no flush was made for
  std::uint64_t seen_unflushed_ = 0;             // the timer thread's alone: as it was a second ago
  std::unique_ptr<Runner> runner_;               // constant from start() to end(); null without a disk
};

}  // namespace weir::engine
