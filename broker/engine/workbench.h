// The dead-letter workbench (S-25 to S-27): letters are listed, given back, sent to a topic, discarded and restored, at once or by durable jobs.
//
// Every move of letters is one commit of at most some hundred: their states, what becomes of them, a note of who did it when and why, and the progress of
// the job. What is to be moved is found outside of the engine's lock and looked at again under it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "broker/core/pace.h"
#include "broker/engine/commit.h"
#include "broker/engine/runner.h"
#include "broker/engine/state.h"
#include "broker/format/letter_records.h"
#include "broker/store/store.h"
#include "weir/dead_letter.h"

namespace weir::engine {

class Engine;

/// A part of the engine: it works under the engine's lock (core_) where said. Slow work is done on the caller's thread when that waits, else on a thread of
/// its own, which also runs the jobs, a chunk of each in turn.
class Workbench {
 public:
  explicit Workbench(Engine& engine) : engine_(engine) {}

  // The verbs, once the engine is known to be usable.
  void list(ListDeadLettersRequest request, CallContext context, Callback<ListDeadLettersResult> done);
  void redrive(RedriveRequest request, CallContext context, Callback<RedriveResult> done);
  void discard(DiscardRequest request, CallContext context, Callback<DiscardResult> done);
  void list_jobs(CallContext context, Callback<std::vector<JobInfo>> done);
  void control_job(const std::string& id, const std::string& act, CallContext context, Callback<JobInfo> done);

  // At open, before there are threads: jobs as they are on disk; running ones go on.
  Status load();
  void start(After& after);

  // Under core_:
  /// When fire() has something to do; INT64_MAX: never.
  std::int64_t next_due_ms() const { return due_.empty() ? INT64_MAX : due_.begin()->first; }
  void fire(std::int64_t now_ms, After& after);
  /// Jobs that work for it, or publish to it, have failed.
  void cursor_dropped(const CursorState& cursor, store::WriteSet& set);
  void topic_dropped(const TopicState& topic, store::WriteSet& set);
  /// Letters before `first` are gone.
  void letters_gone(TopicState& letters, Offset first, After& after);
  /// What the states of letters have to write.
  void collect(store::WriteSet& set);

  /// Forgets jobs that ended long ago.
  void housekeep();
  /// Until no verb or job is at work; false: not within `time`. Jobs do not go on once the engine is closing.
  bool wait_until_idle(std::chrono::milliseconds time);

 private:
  struct Job;
  using JobPtr = std::shared_ptr<Job>;
  struct Move;
  struct Found;
  enum class Walk { kOn, kStopBefore, kStopBehind };
  using Visit = std::function<Walk(LetterState state, StoredMessage& message)>;

  // workbench_list.cc
  Result<ListDeadLettersResult> list_now(ListDeadLettersRequest request);
  Status walk(const TopicPtr& letters, Offset& at, Offset end, std::size_t looks_max, const std::function<bool(LetterState)>& wanted, const Visit& visit);
  Result<std::optional<std::pair<LetterState, StoredMessage>>> letter_at(const TopicPtr& letters, Offset letter);
  Result<std::vector<format::LetterEventRecord>> events_of(const TopicPtr& letters, Offset letter);
  Status add_history(const TopicPtr& letters, DeadLetter& letter);
  Status check_room(const CallContext& context);
  void run(const CallContext& context, UniqueFunction<void()> task);
  Status find_letters(const std::string& topic, const std::string& group, CursorPtr& cursor, TopicPtr& letters) const;   // under core_

  // workbench_moves.cc
  Result<Found> find(const Job& job, std::uint64_t position, std::size_t room);
  Status find_chosen(const Job& job, std::size_t room, Found& found);
  Status consider(const Job& job, LetterState state, StoredMessage& message, Found& found);
  Status prepare(const Job& job, StoredMessage& message, Move& move);
  Status step(Job& job, std::size_t room);
  Status decide(Job& job, Found& found, store::WriteSet& set, After& after);
  Status move_one(Job& job, Move& move, Time now, store::WriteSet& set, After& after);
  void redrive_edited(Job& job, Move& move, Time now, store::WriteSet& set, After& after);
  void note(Job& job, Offset letter, format::LetterEventRecord event, store::WriteSet& set);
  void mark_dirty(const TopicPtr& letters);

  // jobs.cc; what is seen of jobs: job_control.cc
  template <class T>
  void begin(JobPtr job, bool as_job, CallContext context, Callback<T> done);
  Status fill(Job& job, store::WriteSet& set, After& after, bool make);   // under core_
  Result<JobPtr> enlist(const JobPtr& job, store::WriteSet& set, After& after);
  Status run_to_the_end(Job& job, const CallContext& context);
  void slice(const JobPtr& job);
  void schedule(const JobPtr& job, std::int64_t due_ms);
  void post(const JobPtr& job);
  void end(Job& job, format::JobState state, const std::string& error);
  void put_progress(const Job& job, store::WriteSet& set);
  static JobInfo info(const Job& job, const format::JobProgress& progress);

  Engine& engine_;
  std::mutex runner_mutex_;
  std::unique_ptr<Runner> runner_;                 // guarded by runner_mutex_: nullptr until there is something to do
  // guarded by core_:
  std::map<std::uint64_t, JobPtr> jobs_;           // by number
  std::map<std::string, JobPtr> by_request_;
  std::set<std::pair<std::int64_t, std::uint64_t>> due_;
  std::vector<TopicPtr> dirty_;
  std::uint64_t events_commit_ = 0;                // the commit that is noted in, and how often it was
  std::uint32_t events_ = 0;
};

}  // namespace weir::engine
