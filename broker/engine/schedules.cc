// Scheduled messages: how they are taken, listed, cancelled and run now (S-7). How they enter the log by themselves is in due.cc.
#include "broker/engine/schedules.h"

#include <charconv>

#include "broker/core/limits.h"
#include "broker/engine/answer.h"

namespace weir::engine {
namespace {

constexpr std::size_t kRecordBytes = 8;                     // what a record costs beside its bytes, at least; as in publish.cc
constexpr std::uint32_t kScheduledSub = 0x8000'0000;        // dedup records of scheduled messages belong to no batch

Status not_there(const core::ScheduleKey& key) {
  return {ErrorCode::not_found, "schedule " + core::to_text(key) + ": it is in the log already, or was cancelled, or never was"};
}

ScheduleInfo info_of(const core::ScheduleKey& key, Time due, Time published, const Message& message, std::uint64_t payload_bytes) {
  ScheduleInfo out;
  out.id = core::to_text(key);
  out.due = due;
  out.key = message.key;
  out.message_id = message.id;
  out.payload_bytes = payload_bytes;
  out.published = published;
  return out;
}

/// A position in the list of all topics: d or m (durable, in memory), due time and number.
std::string position(char kind, std::int64_t due_ms, std::uint64_t number) {
  return kind + core::to_text({TopicId{static_cast<std::uint64_t>(due_ms)}, number});
}

}  // namespace

Published Schedules::add(TopicState& topic, const Message& message, Time due, Durability level, Time now, Commit& commit) {
  const std::uint64_t number = next_number_++;
  const std::uint64_t bytes = core::message_bytes(message) + kRecordBytes;
  commit.scheduled.push_back({{due.time_since_epoch().count(), number, topic.id}, &message, bytes, now, level});
  count(topic, true, bytes);
  return {kNoOffset, false, core::to_text({topic.id, number})};
}

void Schedules::remember_id(TopicState& topic, base::Hash128 hash, const Published& published, Time now, Commit& commit) {
  const auto [at, first] = commit.scheduled_ids.try_emplace(topic.id.value);
  ScheduledIds& ids = at->second;
  if (first) {
    ids.sub = kScheduledSub + static_cast<std::uint32_t>(commit.scheduled_ids.size());
    ids.record = engine_.dedup_.begin_record(commit.number, ids.sub, topic.id, now);
    ids.ids.topic = topic.id.value;
    ids.ids.time = now;
  }
  const Offset place = core::place_of(published);
  engine_.dedup_.insert(ids.record, hash, place);
  ids.ids.entries.push_back({hash.high, hash.low, place.value});
}

Published Schedules::add_ephemeral(TopicState& topic, Message message, Time due, Time now) {
  const core::ScheduleKey key{topic.id, next_number_++};
  const std::uint64_t bytes = core::message_bytes(message) + sizeof(Message);
  message.deliver_at.reset();
  message.delay.reset();
  memory_.add(key, {due, now, bytes, std::move(message)});
  engine_.ephemeral_bytes_ += bytes;
  count(topic, true, bytes);
  engine_.timer_before(due.time_since_epoch().count());
  return {kNoOffset, false, core::to_text(key)};
}

void Schedules::count(TopicState& topic, bool more, std::uint64_t bytes) {
  if (more) {
    ++topic.scheduled, ++size_;
    topic.scheduled_bytes += bytes;
  } else {
    topic.scheduled -= std::min<std::uint64_t>(topic.scheduled, 1);
    size_ -= std::min<std::uint64_t>(size_, 1);
    topic.scheduled_bytes -= std::min(topic.scheduled_bytes, bytes);
  }
  if (topic.scheduled_listed || topic.options.ephemeral) return;
  topic.scheduled_listed = true;
  dirty_.push_back(engine_.topics_by_id_.at(topic.id.value));
}

void Schedules::put_counts(store::WriteSet& set) {
  for (const TopicPtr& topic : dirty_) {
    topic->scheduled_listed = false;
    if (topic->deleted) continue;
    if (topic->scheduled == 0) {
      set.erase(format::scheduled_count_key(topic->id));
      continue;
    }
    std::string value;
    format::append_u64(value, topic->scheduled);
    format::append_u64(value, topic->scheduled_bytes);
    set.put(format::scheduled_count_key(topic->id), value);
  }
  dirty_.clear();
}

void Schedules::drop_topic(TopicState& topic, store::WriteSet& set) {
  size_ -= topic.scheduled;
  topic.scheduled = topic.scheduled_bytes = 0;
  if (topic.options.ephemeral)
    engine_.ephemeral_bytes_ -= memory_.drop_topic(topic.id);
  else
    set.erase(format::scheduled_count_key(topic.id));   // the messages are erased in the background (purge)
}

void Schedules::encode(Commit& commit) {
  if (commit.scheduled.empty()) return;
  const std::size_t before = commit.set.bytes();
  std::string headers;
  for (const Scheduled& scheduled : commit.scheduled) {
    format::ScheduledRecord record;
    record.due = Time{Duration{scheduled.due.due_ms}};
    record.published = scheduled.published;
    record.bytes = scheduled.bytes;
    record.durability = scheduled.level;
    headers.clear();
    if (!scheduled.message->headers.empty()) core::encode_headers(scheduled.message->headers, headers);
    commit.set.put_scheduled(scheduled.due, format::encode_scheduled(record, *scheduled.message, headers));
  }
  for (const auto& [topic, ids] : commit.scheduled_ids) commit.set.put(format::dedup_key(commit.number, ids.sub), format::encode(ids.ids));
  unflushed_.fetch_add(commit.set.bytes() - before, std::memory_order_relaxed);
}

void Schedules::written(const Commit& commit) {
  removals_.written(commit.number);
  for (const Scheduled& scheduled : commit.scheduled) arm({scheduled.due.due_ms, scheduled.due.number});
}

Status Schedules::load() {
  Status failed;
  const Status scanned = engine_.store_->scan(format::kind_prefix(format::KeyKind::kScheduled), {}, [&](std::string_view key, std::string_view value) {
    if (key.size() != 9 || value.size() != 16) {
      failed = {ErrorCode::corruption, "how many messages of a topic are scheduled: a record of a wrong size"};
      return false;
    }
    const auto topic = engine_.topics_by_id_.find(format::read_u64(key.substr(1)));
    if (topic == engine_.topics_by_id_.end()) return true;
    topic->second->scheduled = format::read_u64(value);
    topic->second->scheduled_bytes = format::read_u64(value.substr(8));
    size_ += topic->second->scheduled;
    return true;
  });
  if (size_ > 0) next_ = {0, 0};
  return failed.ok() ? scanned : failed;
}

// --- Listing ---------------------------------------------------------------------------------------------------------------------

Result<ListSchedulesResult> Schedules::list(const ListSchedulesRequest& request) {
  if (request.schedules_max < 1 || request.schedules_max > 10'000)
    return Status{ErrorCode::limit_exceeded, "schedules_max: " + std::to_string(request.schedules_max) + "; 1 to 10000"};
  TopicPtr topic;
  if (!request.topic.empty()) {
    Engine::Lock lock(engine_.core_);
    const auto at = engine_.topics_.find(request.topic);
    if (at == engine_.topics_.end()) return engine_.topic_missing(request.topic);
    topic = at->second;
  }
  ListSchedulesResult out;
  Found found;
  const Status listed = topic ? list_topic(topic->id, topic->options.ephemeral, request, found, out) : list_all(request, found, out);
  if (!listed.ok()) return listed;
  Engine::Lock lock(engine_.core_);
  for (auto& [id, info] : found) {
    const auto of = engine_.topics_by_id_.find(id.value);
    if (of == engine_.topics_by_id_.end()) continue;   // deleted, and about to be erased
    info.topic = *of->second->name;
    out.schedules.push_back(std::move(info));
  }
  return out;
}

Status Schedules::list_topic(TopicId topic, bool ephemeral, const ListSchedulesRequest& request, Found& found, ListSchedulesResult& out) {
  core::ScheduleKey after{topic, 0};
  if (!request.after.empty()) {
    const auto parsed = core::parse_schedule(request.after);
    if (!parsed || parsed->topic != topic) return {ErrorCode::invalid_argument, "after: \"" + request.after + "\" is no position in this list"};
    after = *parsed;
  }
  out.end = true;
  out.next = request.after;
  const auto room = [&](std::uint64_t number) {
    if (found.size() == request.schedules_max) return out.end = false;
    out.next = core::to_text({topic, number});
    return true;
  };
  if (ephemeral || !engine_.store_) {
    Engine::Lock lock(engine_.core_);
    memory_.list(topic, after.number, [&](const core::ScheduleKey& key, const core::MemorySchedule::Entry& entry) {
      if (!room(key.number)) return false;
      found.emplace_back(topic, info_of(key, entry.due, entry.published, entry.message, entry.message.payload.size()));
      return true;
    });
    return {};
  }
  Status failed;
  const Status scanned = engine_.store_->scan_scheduled(topic, after.number + 1, [&](std::uint64_t number, std::string_view value) {
    if (!room(number)) return false;
    const core::ScheduleKey key{topic, number};
    const auto record = format::decode_scheduled(value, "schedule " + core::to_text(key), false);
    if (!record.ok()) return failed = record.status(), false;
    found.emplace_back(topic, info_of(key, record->due, record->published, record->message, record->payload_bytes));
    return true;
  });
  return failed.ok() ? scanned : failed;
}

/// Those of durable topics by due time, then those in memory by due time.
Status Schedules::list_all(const ListSchedulesRequest& request, Found& found, ListSchedulesResult& out) {
  std::optional<core::ScheduleKey> at;
  if (!request.after.empty()) {
    at = core::parse_schedule(std::string_view(request.after).substr(1));
    if (!at || (request.after.front() != 'd' && request.after.front() != 'm')) return {ErrorCode::invalid_argument, "after: \"" + request.after + "\" is no position in this list"};
  }
  const Place after = at ? Place{static_cast<std::int64_t>(at->topic.value), at->number} : Place{0, 0};
  out.next = request.after;
  if (at && request.after.front() == 'm') return list_memory(after, request.schedules_max, found, out), Status{};
  bool more = false;
  if (engine_.store_) {
    std::vector<format::DueKey> keys;
    Status scanned = engine_.store_->scan_due({after.first, after.second + (at ? 1 : 0), {}}, [&](const format::DueKey& key) {
      if (keys.size() == request.schedules_max) return more = true, false;
      keys.push_back(key);
      return true;
    });
    if (!scanned.ok()) return scanned;
    for (const format::DueKey& key : keys) {
      out.next = position('d', key.due_ms, key.number);
      const auto stored = engine_.store_->get_scheduled(key.topic, key.number);
      if (!stored.ok()) return stored.status();
      if (!*stored) continue;   // it went meanwhile
      const core::ScheduleKey id{key.topic, key.number};
      const auto record = format::decode_scheduled(**stored, "schedule " + core::to_text(id), false);
      if (!record.ok()) return record.status();
      found.emplace_back(key.topic, info_of(id, record->due, record->published, record->message, record->payload_bytes));
    }
  }
  if (!more) list_memory({0, 0}, request.schedules_max, found, out);
  return {};
}

void Schedules::list_memory(Place after, std::uint32_t schedules_max, Found& found, ListSchedulesResult& out) {
  out.end = true;
  Engine::Lock lock(engine_.core_);
  memory_.list_by_due({Time{Duration{after.first}}, after.second}, [&](const core::ScheduleKey& key, const core::MemorySchedule::Entry& entry) {
    if (found.size() == schedules_max) return out.end = false;
    out.next = position('m', entry.due.time_since_epoch().count(), key.number);
    found.emplace_back(key.topic, info_of(key, entry.due, entry.published, entry.message, entry.message.payload.size()));
    return true;
  });
}

// --- Cancelling, and running now ---------------------------------------------------------------------------------------------------

void Schedules::change(const std::string& id, bool run, CallContext context, Callback<Done> done) {
  Engine& engine = engine_;
  const std::optional<core::ScheduleKey> key = core::parse_schedule(id);
  if (!key) return engine.answer<Done>(std::move(done), Status{ErrorCode::invalid_argument, "id: \"" + id + "\" is no schedule id"}, context);
  std::optional<Status> known;
  After after;
  {
    Engine::Lock lock(engine.core_);
    const auto topic = engine.topics_by_id_.find(key->topic.value);
    if (topic == engine.topics_by_id_.end())
      known = not_there(*key);
    else if (topic->second->options.ephemeral)
      known = change_ephemeral(*key, run, after);
  }
  engine.finish(std::move(after));
  if (known) return engine.answer<Done>(std::move(done), known->ok() ? Result<Done>(Done{}) : Result<Done>(*known), context);
  if (context.caller_waits) return change_durable(*key, run, context, std::move(done));
  engine.workshop_->post([this, key = *key, run, context, done = std::move(done)]() mutable { change_durable(key, run, context, std::move(done)); });
}

Status Schedules::change_ephemeral(const core::ScheduleKey& key, bool run, After& after) {
  std::optional<core::MemorySchedule::Entry> entry = memory_.take(key);
  if (!entry) return not_there(key);
  if (run) {
    append(key, std::move(*entry), engine_.options_.clock->now(), after);
  } else {
    engine_.ephemeral_bytes_ -= entry->bytes;
    count(*engine_.topics_by_id_.at(key.topic.value), false, entry->bytes);
  }
  return {};
}

/// Reads the message, and decides in the pipeline, where nobody else can take it out beside this.
void Schedules::change_durable(const core::ScheduleKey& key, bool run, const CallContext& context, Callback<Done> done) {
  Engine& engine = engine_;
  std::uint64_t reader = 0;
  {
    Engine::Lock lock(engine.core_);
    reader = removals_.begin_reading();
  }
  const auto end_reading = [this, reader] {
    Engine::Lock lock(engine_.core_);
    removals_.end_reading(reader);
  };
  Result<std::optional<Due>> found = find(key);
  if (!found.ok() || !*found) {
    end_reading();
    return engine.answer<Done>(std::move(done), found.ok() ? not_there(key) : found.status(), context);
  }
  auto op = std::make_unique<Op>();
  op->level = Durability::kPower;
  op->caller_waits = context.caller_waits;
  op->decide = [this, key, run, due = std::make_shared<Due>(std::move(**found))](store::WriteSet&, After&) -> Status {
    Commit& commit = *engine_.deciding_;
    if (run)
      if (Status state = engine_.publishable(); !state.ok()) return state;
    const Time now = engine_.options_.clock->now();
    return (run ? enter(*due, now, now, commit) : erase(*due, commit)) ? Status{} : not_there(key);
  };
  op->done = [end_reading, done = std::move(done)](Status status) mutable {
    end_reading();
    if (status.ok())
      done(Done{});
    else
      done(std::move(status));
  };
  engine.submit(std::move(op), context);
}

// --- The verbs, as the interface has them --------------------------------------------------------------------------------------------

void Engine::async_list_schedules(ListSchedulesRequest request, CallContext context, Callback<ListSchedulesResult> done) {
  const Use use(*this);
  Status usable = check_usable();
  if (usable.ok()) usable = check_in_time(context);
  if (usable.ok()) usable = check_room(context);
  if (!usable.ok()) return answer<ListSchedulesResult>(std::move(done), usable, context);
  if (context.caller_waits) return done(schedules_.list(request));
  workshop_->post([this, request = std::move(request), context = std::move(context), done = std::move(done)]() mutable {
    answer<ListSchedulesResult>(std::move(done), schedules_.list(request), context);
  });
}

void Engine::async_cancel_schedule(std::string id, CallContext context, Callback<Done> done) {
  const Use use(*this);
  Status usable = check_usable();
  if (usable.ok()) usable = check_in_time(context);
  if (usable.ok()) usable = check_room(context);
  if (!usable.ok()) return answer<Done>(std::move(done), usable, context);
  schedules_.change(id, false, std::move(context), std::move(done));
}

void Engine::async_run_schedule(std::string id, CallContext context, Callback<Done> done) {
  const Use use(*this);
  Status usable = check_usable();
  if (usable.ok()) usable = check_in_time(context);
  if (usable.ok()) usable = check_room(context);
  if (!usable.ok()) return answer<Done>(std::move(done), usable, context);
  schedules_.change(id, true, std::move(context), std::move(done));
}

}  // namespace weir::engine
