// Jobs on dead letters as people see them: listed, paused, resumed, cancelled, forgotten; and what the store says of them at open.
#include "broker/core/letters.h"
#include "broker/engine/answer.h"
#include "broker/engine/job.h"

namespace weir::engine {

using format::JobState;

JobInfo Workbench::info(const Job& job, const format::JobProgress& p) {
  const format::JobRecord& r = job.record;
  JobInfo out;
  out.id = job.name();
  out.kind = to_text(r.kind);
  out.state = to_text(p.state);
  out.done = p.done;
  out.total = r.total;
  out.failed = p.failed;
  out.started = r.started;
  out.skipped = p.skipped;
  out.unmatched = p.unmatched;
  out.needs_force = p.needs_force;
  out.topic = r.topic_name;
  out.group = r.group_name;
  out.to_topic = r.to_topic_name;
  if (r.rate > 0) out.rate = r.rate;
  out.who = r.who;
  out.reason = r.why;
  out.request_id = r.request_id;
  out.ended = p.ended;
  out.active = p.active;
  out.error = p.error;
  return out;
}

void Workbench::list_jobs(CallContext context, Callback<std::vector<JobInfo>> done) {
  std::vector<JobInfo> out;
  {
    Engine::Lock lock(engine_.core_);
    for (const auto& [number, job] : jobs_) out.push_back(info(*job, job->shown));
  }
  engine_.answer<std::vector<JobInfo>>(std::move(done), std::move(out), context);
}

void Workbench::control_job(const std::string& id, const std::string& act, CallContext context, Callback<JobInfo> done) {
  if (act != "show" && act != "pause" && act != "resume" && act != "cancel")
    return engine_.answer<JobInfo>(std::move(done), Status{ErrorCode::invalid_argument, "act: \"" + act + "\"; show, pause, resume or cancel"}, context);
  const auto find = [this, id]() -> JobPtr {
    for (const auto& [number, job] : jobs_)
      if (id == job->name()) return job;
    return nullptr;
  };
  const Status missing{ErrorCode::not_found, "no job \"" + id + "\" (any more)"};
  if (act == "show") {
    Result<JobInfo> out = missing;
    {
      Engine::Lock lock(engine_.core_);
      if (const JobPtr job = find()) out = info(*job, job->shown);
    }
    return engine_.answer<JobInfo>(std::move(done), std::move(out), context);
  }
  engine_.submit_admin<JobInfo>(std::move(context), std::move(done), [this, find, act, missing](store::WriteSet& set, After&) -> Result<JobInfo> {
    const JobPtr job = find();
    if (!job) return missing;
    const JobState wanted = act == "pause" ? JobState::kPaused : act == "resume" ? JobState::kRunning : JobState::kCancelled;
    if (job->progress.state == wanted) return info(*job, job->progress);
    if (job->ended()) return Status{ErrorCode::failed_precondition, job->name() + " is " + std::string(to_text(job->progress.state))};
    if (wanted == JobState::kCancelled) {
      end(*job, wanted, {});
    } else {
      job->progress.state = wanted;
      if (wanted == JobState::kRunning) {
        job->mark_ms = engine_.now_ms();
        job->pace.start(job->mark_ms);
      }
      schedule(job, wanted == JobState::kPaused ? INT64_MAX : job->pace.limited() ? job->pace.when_ms(1) : engine_.now_ms());
    }
    put_progress(*job, set);
    return info(*job, job->progress);
  });
}

void Workbench::housekeep() {
  std::vector<std::uint64_t> old;
  {
    Engine::Lock lock(engine_.core_);
    const Time now = engine_.options_.clock->now();
    std::set<std::pair<Time, std::uint64_t>> ended;
    for (const auto& [number, job] : jobs_)
      if (job->progress.ended && !job->posted) ended.emplace(*job->progress.ended, number);
    for (const auto& [time, number] : ended) {
      if (now - time < core::kJobsKept && ended.size() - old.size() <= core::kJobsMax) break;
      old.push_back(number);
    }
  }
  if (old.empty()) return;
  auto op = std::make_unique<Op>();
  op->decide = [this, old = std::move(old)](store::WriteSet& set, After&) -> Status {
    for (const std::uint64_t number : old) {
      const auto at = jobs_.find(number);
      if (at == jobs_.end()) continue;
      if (at->second->durable) {
        set.erase(format::job_key(number, 0));
        set.erase(format::job_key(number, 1));
      }
      by_request_.erase(at->second->record.request_id);
      jobs_.erase(at);
    }
    return {};
  };
  op->done = [](Status) {};   // what was not erased is found again after the next open
  engine_.submit(std::move(op), {});
}

bool Workbench::wait_until_idle(std::chrono::milliseconds time) {
  Runner* runner = nullptr;
  {
    const std::lock_guard lock(runner_mutex_);
    runner = runner_.get();
  }
  return runner == nullptr || runner->wait_until_idle(time);
}

// --- At open -----------------------------------------------------------------------------------------------------------------

Status Workbench::load() {
  Status failed;
  Status scanned = engine_.store_->scan(format::kind_prefix(format::KeyKind::kJob), {}, [&](std::string_view key, std::string_view value) {
    if (key.size() != 10) return failed = {ErrorCode::corruption, "a key of a job has a wrong size"}, false;
    const std::uint64_t number = format::read_u64(key.substr(1));
    JobPtr& job = jobs_[number];
    if (!job) job = std::make_shared<Job>();
    job->number = number;
    job->durable = true;
    const std::string where = "job " + std::to_string(number);
    if (key.back() == '\0') {
      Result<format::JobRecord> record = format::decode_job(value, where);
      if (!record.ok()) return failed = record.status(), false;
      job->record = std::move(*record);
      if (!job->record.request_id.empty()) by_request_[job->record.request_id] = job;
    } else {
      Result<format::JobProgress> progress = format::decode_job_progress(value, where + ": progress");
      if (!progress.ok()) return failed = progress.status(), false;
      job->progress = job->shown = std::move(*progress);
    }
    return true;
  });
  return failed.ok() ? scanned : failed;
}

/// Under the lock: jobs that were running go on, at their pace from now on.
void Workbench::start(After&) {
  for (const auto& [number, job] : jobs_) {
    if (job->ended()) continue;
    const auto cursor = engine_.cursors_.find({job->record.group.value, job->record.topic.value});
    const auto letters = engine_.topics_by_id_.find(job->record.letters.value);
    const auto to = engine_.topics_by_id_.find(job->record.to_topic.value);
    if (cursor == engine_.cursors_.end() || letters == engine_.topics_by_id_.end()) {
      end(*job, JobState::kFailed, "group_not_found: the group or its topic is not there any more");
      job->shown = job->progress;
      continue;
    }
    if (job->record.to_topic.value != 0 && to == engine_.topics_by_id_.end()) {
      end(*job, JobState::kFailed, "topic_not_found: topic \"" + job->record.to_topic_name + "\" is not there any more");
      job->shown = job->progress;
      continue;
    }
    job->cursor = cursor->second;
    job->letters = letters->second;
    job->order = cursor->second->options.order;
    if (job->record.to_topic.value != 0) job->to = to->second;
    job->pace = core::Pace(job->record.rate);
    job->mark_ms = engine_.now_ms();
    job->pace.start(job->mark_ms);
    if (job->progress.state == JobState::kRunning) schedule(job, job->pace.limited() ? job->pace.when_ms(1) : job->mark_ms);
  }
}

}  // namespace weir::engine
