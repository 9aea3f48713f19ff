#include "broker/engine/engine.h"

#include <unistd.h>

#include <random>

#include "broker/core/limits.h"
#include "broker/engine/answer.h"
#include "broker/engine/compaction.h"
#include "broker/base/fork.h"

namespace weir::engine {
namespace {

Capabilities embedded_capabilities() {
  Capabilities out;
  for (int s = 1; s <= 36; ++s) out.by_number[static_cast<std::size_t>(s)] = Support::kNative;
  // Services: declared, and not built yet.
  for (const int s : {30, 31}) out.by_number[static_cast<std::size_t>(s)] = Support::kAbsent;
  return out;
}

Status not_built(std::string_view what) { return {ErrorCode::unsupported, std::string(what) + " is not built into this engine yet"}; }

}  // namespace

Engine::Engine(std::string location, OpenOptions options, Hooks hooks)
    : location_(std::move(location)),
      options_(std::move(options)),
      hooks_(std::move(hooks)),
      pid_(::getpid()),
      fork_generation_(base::fork_generation()),
      dedup_(options_.dedup_ids_max) {
  if (!options_.clock) options_.clock = system_clock();
  if (options_.seed == 0) {
    std::random_device device;
    options_.seed = (std::uint64_t{device()} << 32 | device()) | 1;
  }
  random_ = base::Prng(options_.seed);
  opened_ = options_.clock->now();
  reach_->engine = this;
}

Result<std::unique_ptr<Broker>> Engine::open(const std::string& location, OpenOptions options, Hooks hooks) {
  const Capabilities able = embedded_capabilities();
  std::string missing;
  for (const int s : options.require) {
    if (s < 1 || s > 36) return Status{ErrorCode::invalid_argument, "require: S-" + std::to_string(s) + " does not exist"};
    if (able[s] == Support::kAbsent) missing += (missing.empty() ? "S-" : ", S-") + std::to_string(s);
  }
  if (!missing.empty()) return Status{ErrorCode::unsupported, "the embedded engine lacks " + missing};
  if (Status valid = core::validate(options.topic_defaults); !valid.ok()) return Status{valid.code(), "topic_defaults: " + valid.message()};
  if (options.topic_defaults.ephemeral) options.topic_defaults.durability = Durability::kMemory;
  if (options.close_grace < Duration{0}) return Status{ErrorCode::invalid_argument, "close_grace: is negative"};
  const bool disk = location != "memory:";
  std::unique_ptr<Engine> engine(new Engine(location, std::move(options), std::move(hooks)));
  engine->hash_seed_ = engine->options_.seed;
  engine->next_epoch_ = core::first_epoch(1);
  if (disk) {
    if (Status recovered = engine->recover(); !recovered.ok()) {
      engine->log(LogLevel::kError, "open failed: " + recovered.to_string());
      return recovered;
    }
  }
  engine->start_threads();
  return std::unique_ptr<Broker>(std::move(engine));
}

Result<std::unique_ptr<Broker>> open_embedded(const std::string& location, OpenOptions options, Hooks hooks) {
  return Engine::open(location, std::move(options), std::move(hooks));
}

void Engine::start_threads() {
  if (!options_.executor) callbacks_ = std::make_unique<Runner>("weir-callbacks");
  workshop_ = std::make_unique<Runner>("weir-workshop");
  After after;
  {
    Lock lock(core_);
    for (auto& build : recovered_) {
      TopicState& topic = *build->topic;
      topic.bytes_ever += build->entry.bytes;
      topic.bytes_building = 0;
      topic.visible = topic.next;
    }
    recovered_.clear();
    for (const auto& [ids, state] : cursors_) changed(*state, after);
    workbench_->start(after);
  }
  schedules_.start();
  writer_ = std::thread([this] { writer_loop(); });
  if (store_) syncer_ = std::thread([this] { syncer_loop(); });
  timer_ = std::thread([this] { timer_loop(); });
  running_ = true;
  options_.clock->watch(this, [this] {
    {
      std::lock_guard lock(core_);
      clock_jumped_ = true;
    }
    timer_wake_.notify_one();
  });
  finish(std::move(after));
  for (const TopicId topic : std::exchange(deleted_topics_, {})) workshop_->post([this, topic] { purge_deleted_topic(topic); });
  log(LogLevel::kInfo, "opened " + location_ + ": incarnation " + std::to_string(incarnation_) + ", " + std::to_string(topics_.size()) + " topics, " +
                           std::to_string(groups_.size()) + " groups, " + std::to_string(crash_charges_) + " deliveries were running when the process died");
}

Engine::~Engine() {
  if (fork_generation_ != base::fork_generation()) {
    // In the child nothing of it may be touched: its threads are not there, and its files are the parent's.
    leak();
    return;
  }
  if (running_) close_now(Duration{0});
  if (closer_.joinable()) closer_.join();
  {
    const std::lock_guard lock(reach_->mutex);
    reach_->engine = nullptr;
  }
  workshop_.reset();
  workbench_.reset();
  callbacks_.reset();
  break_circles();
}

/// Groups, topics and cursors refer to one another; this lets them go.
void Engine::break_circles() {
  for (const auto& [ids, state] : cursors_) state->deleted = true;
  dirty_.clear();
  for (const auto& [id, group] : groups_by_id_) group->cursors.clear();
  for (const auto& [id, topic] : topics_by_id_) {
    topic->cursors.clear();
    topic->tail.clear();
    topic->read.clear();
  }
  cursors_.clear();
}

/// In the child of a fork: what refers to threads of the parent, or waits for them when it is destroyed, is left alone.
void Engine::leak() {
  (void)owner_.release();
  (void)marks_.release();
  (void)store_.release();
  (void)callbacks_.release();
  (void)workshop_.release();
  (void)workbench_.release();
  schedules_.leak();
  (void)care_.release();
  for (std::thread* thread : {&writer_, &syncer_, &timer_, &closer_}) new std::thread(std::move(*thread));
  // To destroy a condition variable waits for those that the parent's threads are waiting on, so they begin anew.
  for (std::condition_variable* changed : {&timer_wake_, &writer_wake_, &room_, &syncer_wake_}) new (changed) std::condition_variable;
  // Groups have waiting fetches; they and what they are linked with stay where they are.
  new auto(std::move(groups_));
  new auto(std::move(groups_by_id_));
  new auto(std::move(topics_by_id_));
  new auto(std::move(async_waiters_));
}

const Capabilities& Engine::capabilities() const noexcept {
  static const Capabilities all = embedded_capabilities();
  return all;
}

// --- Closing (S-35) ----------------------------------------------------------------------------------------------------------

void Engine::async_close(CallContext context, Callback<Done> done) {
  if (fork_generation_ != base::fork_generation()) return answer<Done>(std::move(done), check_usable(), context);
  if (context.caller_waits) {
    close_now(options_.close_grace);
    return done(Done{});
  }
  std::lock_guard lock(close_mutex_);
  if (closer_.joinable()) {
    call_back([done = std::move(done)]() mutable { done(Done{}); });
    return;
  }
  closer_ = std::thread([this, done = std::move(done)]() mutable {
    close_now(options_.close_grace);
    call_back([done = std::move(done)]() mutable { done(Done{}); });
  });
}

/// Nothing is taken into the pipeline any more, and everything that is in it is answered. Idempotent.
void Engine::end_writer() {
  {
    Lock lock(queue_mutex_);
    writer_ends_ = true;
    for (auto& ready : ready_waiters_) call_back(std::move(ready));
    ready_waiters_.clear();
  }
  writer_wake_.notify_all();
  room_.notify_all();
  if (writer_.joinable()) writer_.join();
  {
    // A blocking caller may lead still.
    Lock lock(queue_mutex_);
    writer_wake_.wait(lock, [this] { return !leading_ || stuck_; });
  }
  // What a full disk kept from being written is answered now.
  std::vector<std::unique_ptr<Op>> left;
  {
    Lock lock(queue_mutex_);
    left = std::exchange(queue_, {});
    if (stuck_) answer_unknown(*stuck_, {ErrorCode::closed, "the broker was closed before there was room on the disk"});
  }
  for (auto& op : left) op->status = {ErrorCode::closed, "the broker is closed"};
  complete(std::move(left));
}

void Engine::close_now(Duration grace) {
  end_subscriptions(grace);
  std::lock_guard only_one(closing_mutex_);
  if (closed_) return;
  closing_ = true;
  options_.clock->unwatch(this);
  After after;
  {
    Lock lock(core_);
    for (const auto& [name, group] : groups_) answer_waiters(*group, after);
    for (const auto& [ids, state] : cursors_) {
      state->cursor->release_all(now_ms());
      changed(*state, after);
    }
    for (Drain& drain : drains_) after.call.push_back([done = std::move(drain.done)]() mutable { done({ErrorCode::closed, "the broker is closed"}); });
    drains_.clear();
    timer_ends_ = true;
  }
  timer_wake_.notify_all();
  finish(std::move(after));
  timer_.join();
  // Asynchronous fetches are answered `closed` in the workshop. What waits there for a full disk is answered by the end of the writer.
  while (!workshop_->wait_until_idle(std::chrono::milliseconds(20)) || !workbench_->wait_until_idle(std::chrono::milliseconds(20)))
    if (has_stuck_commit_) end_writer();
  while (!schedules_.idle())
    if (has_stuck_commit_) end_writer();
  closed_ = true;
  end_writer();
  if (syncer_.joinable()) {
    {
      Lock lock(sync_mutex_);
      sync_wanted_ = std::max(sync_wanted_, written_commit_);
      syncer_ends_ = true;
    }
    syncer_wake_.notify_all();
    syncer_.join();
  }
  if (store_) store_->end_care();
  wait_for_uses();
  {
    std::lock_guard lock(close_mutex_);
    care_.reset();
  }
  workshop_->wait_until_idle();
  while (!workbench_->wait_until_idle(std::chrono::seconds(1))) {
  }
  schedules_.end();
  if (marks_) marks_->clean();   // whatever the disk did, no handler died
  if (state_ != StoreState::kStopped) state_ = StoreState::kClosed;
  store_.reset();
  marks_.reset();
  owner_.reset();
  log(LogLevel::kInfo, "closed " + location_);
}

void Engine::async_drain(DrainRequest request, CallContext context, Callback<Done> done) {
  const Use use(*this);
  Status usable = check_usable();
  if (!usable.ok()) return answer<Done>(std::move(done), usable, context);
  After after;
  auto once = std::make_shared<Callback<Done>>(std::move(done));
  {
    Lock lock(core_);
    for (const GroupRef& ref : request.groups)
      if (!find_group(ref.source, ref.group)) usable = {ErrorCode::group_not_found, "no group \"" + ref.group + "\" on \"" + ref.source + "\""};
    if (usable.ok() && drains_.size() >= core::kWaitersMax) usable = {ErrorCode::busy, "drain: " + std::to_string(core::kWaitersMax) + " callers wait already"};
    if (usable.ok()) {
      Drain& drain = drains_.emplace_back();
      drain.request = std::move(request);
      drain.context = context;
      drain.done = [this, once, context](Status status) { answer<Done>(std::move(*once), status.ok() ? Result<Done>(Done{}) : Result<Done>(std::move(status)), context); };
      check_drains(after);
    }
  }
  finish(std::move(after));
  if (!usable.ok()) answer<Done>(std::move(*once), usable, context);
}

void Engine::async_status(CallContext context, Callback<BrokerStatus> done) {
  const Use use(*this);
  if (fork_generation_ != base::fork_generation()) return answer<BrokerStatus>(std::move(done), check_usable(), context);
  BrokerStatus out;
  out.state = closed_ && state_ != StoreState::kStopped ? StoreState::kClosed : state_.load();
  out.location = location_;
  {
    std::lock_guard lock(reason_mutex_);
    out.reason = reason_;
  }
  out.incarnation = incarnation_;
  out.opened = opened_;
  {
    Lock lock(core_);
    out.topics = topics_.size();
    out.groups = groups_.size();
    out.messages = messages_;
    out.tail_bytes = tail_bytes_;
    out.ephemeral_bytes = ephemeral_bytes_;
    out.dedup_ids = dedup_.size();
    out.sessions = sessions_.size() + ephemeral_sessions_.size();
    out.recovered_crash_charges = crash_charges_;
    out.scheduled = schedules_.size();
  }
  {
    std::lock_guard lock(queue_mutex_);
    out.queued_requests = queue_.size();
    out.queued_bytes = queue_bytes_;
  }
  out.commits = commits_;
  out.syncs = syncs_;
  if (store_ && !closed_) {
    out.disk_bytes = store_->statistics().disk_bytes;
    out.disk_free_bytes = store_->disk_free_bytes().ok() ? store_->disk_free_bytes().value() : 0;
  }
  answer<BrokerStatus>(std::move(done), std::move(out), context);
}

// --- Declared, and not built yet ---------------------------------------------------------------------------------------------

void Engine::async_serve(std::string, UniqueFunction<void(Request, Callback<Reply>)>, CallContext context, Callback<std::uint64_t> done) {
  answer<std::uint64_t>(std::move(done), not_built("services (S-30)"), context);
}
void Engine::async_unserve(std::uint64_t, CallContext context, Callback<Done> done) { answer<Done>(std::move(done), not_built("services (S-30)"), context); }
void Engine::async_call(Request, CallContext context, Callback<Reply> done) { answer<Reply>(std::move(done), not_built("services (S-30)"), context); }

}  // namespace weir::engine

namespace weir {

Result<std::unique_ptr<Broker>> open(std::string_view location, OpenOptions options) {
  if (location.empty()) return Status{ErrorCode::invalid_argument, "location: empty"};
  const std::size_t scheme = location.find("://");
  if (scheme != std::string_view::npos)
    return Status{ErrorCode::unsupported, "no engine for \"" + std::string(location.substr(0, scheme + 3)) + "\" is linked in; a path opens the embedded engine"};
  return engine::open_embedded(std::string(location), std::move(options));
}

}  // namespace weir
