// Requests about dead letters: begun, run to their end or as jobs at their pace, watched, paused, ended.
#include <algorithm>

#include "broker/base/hash.h"
#include "broker/core/letters.h"
#include "broker/core/limits.h"
#include "broker/engine/answer.h"
#include "broker/engine/job.h"

namespace weir::engine {
namespace {

using format::JobKind;
using format::JobState;

constexpr std::size_t kStep = 100;             // letters moved by one commit: publishes wait for it, and more at once is no faster
constexpr std::size_t kPacedStep = 500;        // of a job with a rate, which rests between its commits
constexpr std::int64_t kSpacingMs = 5;         // between the commits of a job with a rate
constexpr std::int64_t kAgainMs = 1000;        // until what found no room is tried again

void set_result(RedriveResult& out, std::string name, const format::JobProgress& p) {
  out = {p.done, p.skipped, p.needs_force, std::move(name), p.failed, p.unmatched, p.error};
}
void set_result(DiscardResult& out, std::string name, const format::JobProgress& p) { out = {p.done, p.skipped, p.unmatched, p.failed, std::move(name), p.error}; }

/// What was asked for, whenever it was: the same request with the same id is one job.
void hash_request(format::JobRecord& record) {
  const base::Hash128 hash = base::hash128(format::encode(record), 0);
  record.request_high = hash.high;
  record.request_low = hash.low;
}

std::vector<std::uint64_t> numbers_of(std::vector<Offset> letters) {
  std::sort(letters.begin(), letters.end());
  letters.erase(std::unique(letters.begin(), letters.end()), letters.end());
  std::vector<std::uint64_t> out;
  for (const Offset letter : letters) out.push_back(letter.value);
  return out;
}

}  // namespace

// --- Beginning ---------------------------------------------------------------------------------------------------------------

void Workbench::redrive(RedriveRequest request, CallContext context, Callback<RedriveResult> done) {
  Status valid = core::validate_letters_request(request.letters.size(), request.filter, request.where, request.rate, request.reason, request.request_id);
  if (valid.ok() && request.edited) valid = core::validate_edited(*request.edited, request.letters.size());
  if (!valid.ok()) return engine_.answer<RedriveResult>(std::move(done), valid, context);
  auto job = std::make_shared<Job>();
  format::JobRecord& record = job->record;
  record.kind = JobKind::kRedrive;
  record.topic_name = std::move(request.topic);
  record.group_name = std::move(request.group);
  record.chosen = numbers_of(std::move(request.letters));
  record.filter = std::move(request.filter);
  record.where = std::move(request.where);
  record.rate = request.rate.value_or(0);
  record.force = request.force;
  record.redrives_max = request.redrives_max;
  record.to_topic_name = request.to_topic.value_or("");
  record.why = std::move(request.reason);
  record.request_id = std::move(request.request_id);
  if (request.edited) {
    record.edited.emplace();
    record.edited->payload = request.edited->payload.str();
    core::encode_headers(request.edited->headers, record.edited->headers);
    record.edited->content_type = std::move(request.edited->content_type);
  }
  job->dry_run = request.dry_run;
  if (request.to_topic && request.to_topic->empty()) return engine_.answer<RedriveResult>(std::move(done), Status{ErrorCode::invalid_argument, "to_topic: empty"}, context);
  begin<RedriveResult>(std::move(job), request.rate || request.background, std::move(context), std::move(done));
}

void Workbench::discard(DiscardRequest request, CallContext context, Callback<DiscardResult> done) {
  Status valid = core::validate_letters_request(request.letters.size(), request.filter, request.where, request.rate, request.reason, request.request_id);
  if (!valid.ok()) return engine_.answer<DiscardResult>(std::move(done), valid, context);
  auto job = std::make_shared<Job>();
  format::JobRecord& record = job->record;
  record.kind = request.restore ? JobKind::kRestore : JobKind::kDiscard;
  record.topic_name = std::move(request.topic);
  record.group_name = std::move(request.group);
  record.chosen = numbers_of(std::move(request.letters));
  record.filter = std::move(request.filter);
  record.where = std::move(request.where);
  record.rate = request.rate.value_or(0);
  record.why = std::move(request.reason);
  record.request_id = std::move(request.request_id);
  job->dry_run = request.dry_run;
  begin<DiscardResult>(std::move(job), request.rate || request.background, std::move(context), std::move(done));
}

template <class T>
void Workbench::begin(JobPtr job, bool as_job, CallContext context, Callback<T> done) {
  hash_request(job->record);
  job->record.who = context.principal;
  if (!job->dry_run && (as_job || !job->record.request_id.empty())) {
    return engine_.submit_admin<T>(std::move(context), std::move(done), [this, job](store::WriteSet& set, After& after) -> Result<T> {
      Result<JobPtr> known = enlist(job, set, after);
      if (!known.ok()) return known.status();
      T out;
      set_result(out, (*known)->name(), (*known)->progress);
      return out;
    });
  }
  Status usable = engine_.check_in_time(context);
  if (usable.ok()) usable = check_room(context);
  if (!usable.ok()) return engine_.answer<T>(std::move(done), usable, context);
  run(context, [this, job, context, done = std::move(done)]() mutable {
    Status status = run_to_the_end(*job, context);
    if (!status.ok()) return engine_.answer<T>(std::move(done), std::move(status), context);
    T out;
    set_result(out, {}, job->progress);
    engine_.answer<T>(std::move(done), std::move(out), context);
  });
}

/// Under the lock: whose letters they are, and up to which. `make`: the dead-letter topic is made when there is none.
Status Workbench::fill(Job& job, store::WriteSet& set, After& after, bool make) {
  format::JobRecord& record = job.record;
  if (Status found = find_letters(record.topic_name, record.group_name, job.cursor, job.letters); !found.ok()) return found;
  if (job.cursor->topic->internal) return {ErrorCode::invalid_argument, "topic: consumers of \"" + record.topic_name + "\" have no dead letters"};
  if (!job.letters && make) job.letters = engine_.letters_topic(*job.cursor, set, after);
  const bool ephemeral = job.cursor->topic->options.ephemeral;
  if (!record.to_topic_name.empty()) {
    const auto to = engine_.topics_.find(record.to_topic_name);
    if (to == engine_.topics_.end()) return engine_.topic_missing(record.to_topic_name);
    if (to->second->internal) return {ErrorCode::invalid_argument, "to_topic: \"" + record.to_topic_name + "\" belongs to the broker"};
    if (to->second->options.ephemeral != ephemeral) return {ErrorCode::invalid_argument, "to_topic: durable and ephemeral topics do not mix in one move"};
    job.to = to->second;
    record.to_topic = job.to->id;
  } else if (record.edited && record.edited->payload.size() > job.cursor->topic->options.payload_bytes_max) {
    return {ErrorCode::limit_exceeded, "edited.payload: " + std::to_string(record.edited->payload.size()) + " bytes; payload_bytes_max of topic \"" + record.topic_name + "\" is " +
                                           std::to_string(job.cursor->topic->options.payload_bytes_max)};
  }
  record.group = job.cursor->group->id;
  record.topic = job.cursor->topic->id;
  record.total = record.chosen.size();
  record.started = engine_.options_.clock->now();
  job.durable = !ephemeral;
  job.order = job.cursor->options.order;
  job.pace = core::Pace(record.rate);
  job.mark_ms = engine_.now_ms();
  job.pace.start(job.mark_ms);
  if (!job.letters) return {};
  record.letters = job.letters->id;
  record.end = job.letters->visible;
  if (job.all()) {
    job.progress.position = job.letters->letters->first_open(job.letters->first).value;
    record.total = job.takes() == LetterState::kDiscarded ? job.letters->letters->discarded.size() : job.letters->dead();
  }
  return {};
}

/// The job is taken into the books, or found there by its request id.
Result<Workbench::JobPtr> Workbench::enlist(const JobPtr& job, store::WriteSet& set, After& after) {
  if (const std::string& id = job->record.request_id; !id.empty()) {
    if (const auto known = by_request_.find(id); known != by_request_.end()) {
      const format::JobRecord& other = known->second->record;
      if (other.request_high == job->record.request_high && other.request_low == job->record.request_low) return known->second;
      return Status{ErrorCode::failed_precondition, "request_id: \"" + id + "\" was given to " + known->second->name() + ", which was asked for something else"};
    }
  }
  std::size_t open = 0;
  for (const auto& [number, other] : jobs_) open += !other->ended();
  if (open >= core::kJobsMax) return Status{ErrorCode::busy, "jobs: " + std::to_string(open) + " have not ended; the limit is " + std::to_string(core::kJobsMax)};
  if (Status filled = fill(*job, set, after, true); !filled.ok()) return filled;
  job->number = engine_.next_id_++;
  jobs_[job->number] = job;
  if (!job->record.request_id.empty()) by_request_[job->record.request_id] = job;
  if (job->durable) {
    engine_.put_store_record(set);
    set.put(format::job_key(job->number, 0), format::encode(job->record));
  }
  put_progress(*job, set);
  schedule(job, job->pace.limited() ? job->pace.when_ms(1) : engine_.now_ms());
  engine_.log(LogLevel::kInfo, job->name() + " begins: " + std::string(to_text(job->record.kind)) + " of up to " + std::to_string(job->record.total) + " letters of " + *job->letters->name);
  return job;
}

/// For a caller that waits. What was moved stays moved, whatever the end.
Status Workbench::run_to_the_end(Job& job, const CallContext& context) {
  {
    store::WriteSet none;
    After after;
    Engine::Lock lock(engine_.core_);
    if (Status filled = fill(job, none, after, false); !filled.ok()) return filled;
  }
  if (!job.letters) {
    job.progress.skipped = job.record.chosen.size();
    return {};
  }
  while (job.progress.position < job.end() && !job.ended()) {
    Status status = engine_.closing_ ? Status{ErrorCode::closed, "the broker is being closed"} : engine_.check_in_time(context);
    if (status.ok()) status = step(job, kStep);
    if (!status.ok() && job.progress.done > 0 && !job.dry_run)
      return {ErrorCode::outcome_unknown, std::to_string(job.progress.done) + " letters were moved, and then: " + status.message() + "; what is left is done by asking again"};
    if (!status.ok()) return status;
  }
  return {};
}

// --- Running -----------------------------------------------------------------------------------------------------------------

void Workbench::schedule(const JobPtr& job, std::int64_t due_ms) {
  if (job->due_ms != INT64_MAX) due_.erase({job->due_ms, job->number});
  job->due_ms = due_ms;
  if (due_ms == INT64_MAX) return;
  due_.emplace(due_ms, job->number);
  if (due_ms >= engine_.timer_sleeps_until_) return;
  engine_.timer_changed_ = true;
  engine_.timer_wake_.notify_one();
}

void Workbench::fire(std::int64_t now_ms, After& after) {
  while (!due_.empty() && due_.begin()->first <= now_ms) {
    const JobPtr job = jobs_.at(due_.begin()->second);
    schedule(job, INT64_MAX);
    if (std::exchange(job->posted, true)) continue;
    after.call.push_back([this, job] { post(job); });
  }
}

void Workbench::post(const JobPtr& job) {
  run({}, [this, job] { slice(job); });
}

/// As much of a job as is due, but one chunk; then the next one's turn.
void Workbench::slice(const JobPtr& job) {
  std::size_t room = kStep;
  {
    Engine::Lock lock(engine_.core_);
    const std::int64_t now = engine_.now_ms();
    const bool idle = engine_.closing_ || engine_.state_ == StoreState::kStopped || job->progress.state != JobState::kRunning;
    if (idle || engine_.state_ == StoreState::kStorageFull) {
      job->posted = false;
      job->refused = job->refused || engine_.state_ == StoreState::kStorageFull;
      if (!idle) schedule(job, now + kAgainMs);
      if (job->ended()) job->cursor.reset(), job->letters.reset(), job->to.reset();
      return;
    }
    if (std::exchange(job->refused, false)) {
      // What it had to wait for is not made up for.
      job->mark_ms = now;
      job->pace.start(now);
      if (job->pace.limited()) {
        job->posted = false;
        return schedule(job, job->pace.when_ms(1));
      }
    }
    room = static_cast<std::size_t>(job->pace.due(now, job->pace.limited() ? kPacedStep : kStep));
    if (room == 0) {
      job->posted = false;
      return schedule(job, job->pace.when_ms(1));
    }
  }
  Status status = step(*job, room);
  bool again = false;
  bool failed = false;
  {
    Engine::Lock lock(engine_.core_);
    const std::int64_t now = engine_.now_ms();
    failed = !status.ok() && status != ErrorCode::outcome_unknown && status != ErrorCode::stopped && status != ErrorCode::closed;
    const bool goes_on = !failed && status != ErrorCode::stopped && status != ErrorCode::closed && job->progress.state == JobState::kRunning;
    const std::int64_t when = job->pace.when_ms(1);
    again = goes_on && status.ok() && !job->refused && (!job->pace.limited() || when <= now);
    job->posted = again;
    if (goes_on && !again) schedule(job, job->refused || !status.ok() ? now + kAgainMs : std::max(when, now + kSpacingMs));
    if (job->ended()) job->cursor.reset(), job->letters.reset(), job->to.reset();
  }
  if (again) return post(job);
  if (!failed) return;
  auto op = std::make_unique<Op>();
  op->decide = [this, job, status](store::WriteSet& set, After&) -> Status {
    if (job->ended()) return {};
    end(*job, JobState::kFailed, status.to_string());
    put_progress(*job, set);
    return {};
  };
  op->done = [](Status) {};
  engine_.submit(std::move(op), {});
}

/// Under the lock. Letters that it never came to see are accounted for: they were outside of its time, or somebody else's work.
void Workbench::end(Job& job, JobState state, const std::string& error) {
  format::JobProgress& p = job.progress;
  p.state = state;
  p.ended = engine_.options_.clock->now();
  p.error = error;
  const std::uint64_t seen = p.done + p.failed + p.skipped + p.unmatched + p.needs_force;
  if (state == JobState::kDone && seen < job.record.total) (job.record.where.until ? p.unmatched : p.skipped) += job.record.total - seen;
  if (job.number == 0) return;
  if (job.due_ms != INT64_MAX) due_.erase({job.due_ms, job.number});
  job.due_ms = INT64_MAX;
  if (!job.posted) job.cursor.reset(), job.letters.reset(), job.to.reset();
  engine_.log(LogLevel::kInfo, job.name() + " ends: " + std::string(to_text(state)) + ", " + std::to_string(p.done) + " letters" + (error.empty() ? "" : " (" + error + ")"));
}

/// With the commit that is being decided. Who asks is shown what is written.
void Workbench::put_progress(const Job& job, store::WriteSet& set) {
  if (job.number == 0) return;
  if (job.durable) set.put(format::job_key(job.number, 1), format::encode(job.progress));
  engine_.deciding_->applied.push_back([this, number = job.number, progress = job.progress](After&) {
    if (const auto at = jobs_.find(number); at != jobs_.end()) at->second->shown = progress;
  });
}

void Workbench::cursor_dropped(const CursorState& cursor, store::WriteSet& set) {
  for (const auto& [number, job] : jobs_) {
    if (job->ended() || job->record.group != cursor.group->id || job->record.topic != cursor.topic->id) continue;
    end(*job, JobState::kFailed, "group_not_found: the group or its topic was deleted");
    put_progress(*job, set);
  }
}

void Workbench::topic_dropped(const TopicState& topic, store::WriteSet& set) {
  for (const auto& [number, job] : jobs_) {
    if (job->ended() || job->record.to_topic != topic.id) continue;
    end(*job, JobState::kFailed, "topic_not_found: topic \"" + *topic.name + "\" was deleted");
    put_progress(*job, set);
  }
}

}  // namespace weir::engine
