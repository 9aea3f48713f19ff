// How scheduled messages enter the log when they are due (S-7).
#include "broker/api/one_shot.h"
#include "broker/engine/answer.h"
#include "broker/engine/schedules.h"

namespace weir::engine {
namespace {

constexpr std::size_t kStep = 1000;                     // messages that enter with one commit
constexpr std::uint64_t kStepBytes = 4u << 20;          // likewise; the first always enters
constexpr std::uint64_t kUnflushedMax = 1u << 20;       // schedules in the write-ahead log that cost no time worth speaking of at the next open

}  // namespace

void Schedules::start() {
  if (engine_.store_) runner_ = std::make_unique<Runner>("weir-schedule");
}

bool Schedules::idle() { return !runner_ || runner_->wait_until_idle(std::chrono::milliseconds(20)); }

/// What was scheduled is put into table files: reading it again from the write-ahead log would take time and memory at the next open.
void Schedules::end() {
  runner_.reset();
  if (engine_.store_ && unflushed_ > kUnflushedMax && engine_.state_ == StoreState::kRunning) (void)engine_.store_->flush();
}

// --- Time --------------------------------------------------------------------------------------------------------------------------

std::int64_t Schedules::next_due_ms() const {
  std::int64_t next = running_ || blocked_ ? INT64_MAX : next_.first;
  if (const std::optional<Time> due = memory_.next_due()) next = std::min<std::int64_t>(next, due->time_since_epoch().count());
  return next;
}

/// A message stands there now.
void Schedules::arm(Place place) {
  if (place >= next_) return;
  next_ = place;
  if (!running_ && !blocked_) engine_.timer_before(place.first);
}

void Schedules::tick(std::int64_t now_ms, After& after) {
  if (memory_.size() > 0 && enter_ephemeral(now_ms, after)) engine_.timer_changed_ = true;
  if (running_ || blocked_ || !runner_ || next_.first > now_ms || engine_.closing_) return;
  running_ = true;
  after.call.push_back([this] { runner_->post([this] { run(); }); });
}

/// Once a second.
void Schedules::housekeep() {
  {
    Engine::Lock lock(engine_.core_);
    if (blocked_ && engine_.state_ == StoreState::kRunning) {
      blocked_ = false;
      engine_.timer_changed_ = true;
    }
  }
  const std::uint64_t unflushed = unflushed_;
  const bool quiet = unflushed == std::exchange(seen_unflushed_, unflushed);
  if (!quiet || unflushed <= kUnflushedMax || engine_.state_ != StoreState::kRunning) return;
  runner_->post([this, unflushed] {
    if (engine_.closing_ || unflushed_ < unflushed) return;
    if (engine_.store_->flush().ok()) unflushed_ -= unflushed;
  });
}

/// One step of putting what is due into the log; on the runner.
void Schedules::run() {
  Engine& engine = engine_;
  const std::int64_t now = engine.now_ms();
  Place from, next = kNever;
  std::uint64_t reader = 0;
  {
    Engine::Lock lock(engine.core_);
    // What is written from now on lowers the bound again, so that nothing slips through between this and the reading.
    from = std::exchange(next_, kNever);
    reader = removals_.begin_reading();
  }
  std::vector<Due> due;
  Status status = read_due(from, now, due, next);
  if (status.ok() && !due.empty()) status = enter_together(due);
  if (!status.ok() && status != ErrorCode::storage_full && status != ErrorCode::closed)
    engine.log(LogLevel::kWarning, "scheduled messages that are due wait: " + status.to_string());
  bool again = false;
  {
    Engine::Lock lock(engine.core_);
    removals_.end_reading(reader);
    next_ = std::min(next_, status.ok() ? next : from);
    blocked_ = !status.ok();
    again = status.ok() && next_.first <= engine.now_ms() && !engine.closing_;
    running_ = again;
    if (!again) engine.timer_before(next_.first);
  }
  if (again) runner_->post([this] { run(); });
}

/// What is due by `now`, some of it; `next` is where the rest begins, or what is due later.
Status Schedules::read_due(Place from, std::int64_t now, std::vector<Due>& due, Place& next) const {
  std::vector<format::DueKey> keys;
  const Status scanned = engine_.store_->scan_due({from.first, from.second, {}}, [&](const format::DueKey& key) {
    if (key.due_ms > now || keys.size() == kStep) {
      next = {key.due_ms, key.number};
      return false;
    }
    keys.push_back(key);
    return true;
  });
  if (!scanned.ok()) return scanned;
  std::uint64_t bytes = 0;
  for (const format::DueKey& key : keys) {
    Result<Due> read = this->read(key);
    if (read.code() == ErrorCode::corruption) {
      // Nothing of it is served, and it is not in the way of others. The great check reports it, too.
      engine_.log(LogLevel::kError, "a scheduled message is due and cannot be read: " + read.status().message());
      continue;
    }
    if (!read.ok()) return read.status();
    bytes += read->record ? read->record->bytes : 0;
    if (bytes > kStepBytes && !due.empty()) {
      next = {key.due_ms, key.number};
      return {};
    }
    due.push_back(std::move(*read));
  }
  return {};
}

Result<Schedules::Due> Schedules::read(const format::DueKey& key) const {
  const auto stored = engine_.store_->get_scheduled(key.topic, key.number);
  if (!stored.ok()) return stored.status();
  Due due{key, std::nullopt};
  if (!*stored) return due;
  Result<format::ScheduledRecord> record = format::decode_scheduled(**stored, "schedule " + core::to_text({key.topic, key.number}));
  if (!record.ok()) return record.status();
  due.record = std::move(*record);
  return due;
}

Result<std::optional<Schedules::Due>> Schedules::find(const core::ScheduleKey& key) const {
  Result<Due> due = read({0, key.number, key.topic});
  if (!due.ok()) return due.status();
  if (!due->record) return std::optional<Due>();
  due->key.due_ms = due->record->due.time_since_epoch().count();
  return std::optional(std::move(*due));
}

/// One commit puts them into the log and takes them out of the schedule.
Status Schedules::enter_together(std::vector<Due>& due) {
  api::OneShot gate;
  Status status;
  auto op = std::make_unique<Op>();
  op->caller_waits = true;
  for (const Due& each : due) op->bytes += each.record ? each.record->bytes : 0;   // that there is room on the disk is looked at before
  op->decide = [&](store::WriteSet&, After&) -> Status {
    if (Status state = engine_.publishable(); !state.ok()) return state;
    const Time now = engine_.options_.clock->now();
    for (Due& each : due) (void)enter(each, Time{Duration{each.key.due_ms}}, now, *engine_.deciding_);
    return {};
  };
  op->done = [&](Status result) {
    status = std::move(result);
    gate.open();
  };
  engine_.submit(std::move(op), {});
  gate.wait();
  return status;
}

/// Under the lock, with a commit: the message gets its offset, unless another has taken it out meanwhile. It must live until the commit is encoded.
bool Schedules::enter(Due& due, Time ttl_from, Time now, Commit& commit) {
  if (!erase(due, commit)) return false;
  TopicState& topic = *engine_.topics_by_id_.at(due.key.topic.value);
  Message& message = due.record->message;
  if (message.ttl) message.ttl = ttl_from + *message.ttl - engine_.build_of(topic, commit, now).time;
  // It is visible once the move holds at the level that its publisher asked for: before that, a power loss would take the move back.
  (void)engine_.place(topic, message, nullptr, due.record->durability, commit, now);
  return true;
}

/// Takes a message out of the schedule; false: it is not there any more.
bool Schedules::erase(const Due& due, Commit& commit) {
  if (removals_.contains(due.key.number)) return false;
  commit.set.erase_scheduled(due.key);
  removals_.add(due.key.number, commit.number);
  const auto topic = engine_.topics_by_id_.find(due.key.topic.value);
  if (topic == engine_.topics_by_id_.end() || !due.record) return false;
  count(*topic->second, false, due.record->bytes);
  return true;
}

/// Erases what a deleted topic had scheduled, some at a time.
bool Schedules::purge(TopicId topic) {
  Engine& engine = engine_;
  while (engine.state_ != StoreState::kStopped && !engine.closed_) {
    std::vector<format::DueKey> gone;
    const Status scanned = engine.store_->scan_scheduled(topic, 0, [&](std::uint64_t number, std::string_view value) {
      // Of one that cannot be read the entry by due time stays, and is erased when its time comes.
      const auto record = format::decode_scheduled(value, "a scheduled message", false);
      gone.push_back({record.ok() ? record->due.time_since_epoch().count() : 0, number, topic});
      return gone.size() < kStep;
    });
    if (!scanned.ok()) return false;
    if (gone.empty()) return true;
    api::OneShot gate;
    Status status;
    auto op = std::make_unique<Op>();
    op->caller_waits = true;
    op->decide = [&](store::WriteSet& set, After&) -> Status {
      for (const format::DueKey& key : gone) set.erase_scheduled(key);
      return {};
    };
    op->done = [&](Status result) {
      status = std::move(result);
      gate.open();
    };
    engine.submit(std::move(op), {});
    gate.wait();
    if (!status.ok()) return false;
  }
  return false;
}

// --- Ephemeral topics ----------------------------------------------------------------------------------------------------------------

/// Those that are due, some at a time. True: there are more.
bool Schedules::enter_ephemeral(std::int64_t now_ms, After& after) {
  for (std::size_t i = 0; i < kStep; ++i) {
    auto due = memory_.take_due(Time{Duration{now_ms}});
    if (!due) return false;
    const Time at = due->second.due;
    append(due->first, std::move(due->second), at, after);
  }
  return true;
}

void Schedules::append(const core::ScheduleKey& key, core::MemorySchedule::Entry entry, Time ttl_from, After& after) {
  TopicState& topic = *engine_.topics_by_id_.at(key.topic.value);
  engine_.ephemeral_bytes_ -= entry.bytes;
  count(topic, false, entry.bytes);
  topic.last_time = std::max(topic.last_time, engine_.options_.clock->now());
  if (entry.message.ttl) entry.message.ttl = ttl_from + *entry.message.ttl - topic.last_time;
  std::vector<Message> one;
  one.push_back(std::move(entry.message));
  engine_.append_chunk(topic, std::make_shared<Chunk>(topic.next, topic.last_time, std::move(one)), after);
}

}  // namespace weir::engine
