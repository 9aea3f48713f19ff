// Publishing: what is checked before a message gets its offset, and how it gets it (S-1 to S-6, S-9).
#include <array>

#include "broker/base/hash.h"
#include "broker/core/limits.h"
#include "broker/core/names.h"
#include "broker/engine/answer.h"

namespace weir::engine {
namespace {

/// Batches are closed at this size, so that reading one message never means reading much more.
constexpr std::size_t kBatchBytesMax = 256u << 10;
/// What a record costs beside its bytes, at least.
constexpr std::size_t kRecordBytes = 8;
constexpr std::size_t kIdsAhead = 8;   // between a prefetch and its use

/// Limits that do not depend on the topic; the topic's own payload limit is checked when it is known.
const TopicOptions& widest_topic() {
  static const TopicOptions options{.payload_bytes_max = static_cast<std::uint32_t>(core::kPayloadBytesMax)};
  return options;
}

Status check_message(const Message& message, const Clock& clock) {
  if (message.deliver_at || message.delay)
    if (const auto due = core::due_time(message, clock.now()); !due.ok()) return due.status();
  return core::validate_message(message, widest_topic());
}

/// Everything about a request that can be checked without looking at any topic. Sets its size in memory.
Status check_request(const PublishRequest& request, const Clock& clock, std::size_t& bytes) {
  const std::size_t count = request.messages.size() + request.batch.size();
  if (count == 0) return {ErrorCode::invalid_argument, "messages: the request holds no message"};
  if (count > core::kRequestMessagesMax)
    return {ErrorCode::limit_exceeded, "messages: " + std::to_string(count) + " in one request; the limit is " + std::to_string(core::kRequestMessagesMax)};
  bytes = 0;
  for (const Message& message : request.messages) {
    if (Status status = check_message(message, clock); !status.ok()) return status;
    bytes += core::message_bytes(message);
  }
  for (const TopicMessage& message : request.batch) {
    if (Status status = check_message(message.message, clock); !status.ok()) return status;
    bytes += core::message_bytes(message.message);
  }
  if (bytes > core::kRequestBytesMax)
    return {ErrorCode::limit_exceeded, "the request holds " + std::to_string(bytes) + " bytes; the limit is " + std::to_string(core::kRequestBytesMax)};
  if (request.session) {
    if (Status status = core::validate_session_name(request.session->session); !status.ok()) return status;
    if (request.session->sequence == 0) return {ErrorCode::invalid_argument, "session.sequence: 0; sequence numbers start at 1"};
  }
  return request.expected.empty() ? Status{} : core::validate(request.expected);
}

template <class Visit>
Status for_each_message(const PublishRequest& request, Visit visit) {
  for (const Message& message : request.messages)
    if (Status status = visit(request.topic, message); !status.ok()) return status;
  for (const TopicMessage& message : request.batch)
    if (Status status = visit(message.topic, message.message); !status.ok()) return status;
  return {};
}

}  // namespace

void Engine::async_publish(PublishRequest request, CallContext context, Callback<PublishResult> done) {
  const Use use(*this);
  Status usable = check_usable();
  std::size_t bytes = 0;
  if (usable.ok()) usable = check_request(request, *options_.clock, bytes);
  if (usable.ok()) usable = check_in_time(context);
  if (!usable.ok()) return answer<PublishResult>(std::move(done), usable, context);
  if (ephemeral_topics_.load(std::memory_order_relaxed) > 0 && try_publish_ephemeral(request, context, done)) return;
  if (Status state = publishable(); !state.ok()) return answer<PublishResult>(std::move(done), state, context);
  auto op = std::make_unique<Op>();
  op->is_publish = true;
  op->level = Durability::kProcess;
  op->request = std::move(request);
  op->published = std::move(done);
  op->bytes = bytes;
  op->caller_waits = context.caller_waits;
  op->ids = hash_ids(op->request);
  // The leader may have to know before it decides whether the caller will sync (submit), so the wish counts here, and the topic's default there.
  if (op->request.durability) op->level = *op->request.durability;
  else if (op->caller_waits) op->level = default_level(op->request);
  if (!op->request.expected.empty()) {
    Result<std::unique_ptr<KeyLasts>> lasts = look_up_keys(op->request.expected);
    if (!lasts.ok()) {
      op->status = lasts.status();
      return complete_one(std::move(op));
    }
    op->key_lasts = std::move(*lasts);
  }
  submit(std::move(op), context);
}

/// The ids' hashes, made on the caller's thread rather than under the lock; empty when no message has an id.
IdHashes Engine::hash_ids(const PublishRequest& request) const {
  IdHashes hashes;
  std::size_t i = 0;
  (void)for_each_message(request, [&](const std::string&, const Message& message) -> Status {
    if (!message.id.empty()) {
      if (hashes.empty()) hashes.resize(request.messages.size() + request.batch.size());
      hashes[i] = base::hash128(message.id, hash_seed_);
    }
    ++i;
    return {};
  });
  return hashes;
}

/// The level that the topics of a request ask for; `process` for topics that are not known (yet).
Durability Engine::default_level(const PublishRequest& request) const {
  Durability level = Durability::kProcess;
  Lock lock(core_);
  const TopicState* last = nullptr;
  (void)for_each_message(request, [&](const std::string& name, const Message&) -> Status {
    if (last == nullptr || *last->name != name) last = find_topic(name);
    if (last == nullptr) level = std::max(level, options_.topic_defaults.durability);
    if (last != nullptr) level = std::max(level, last->options.durability);
    return {};
  });
  return level;
}

/// Begins to bring what the operation's ids will need into the cache.
void Engine::expect(const Op& op) const {
  if (op.ids.size() != 1 || op.request.messages.empty()) return;
  if (const TopicState* topic = find_topic(op.request.topic)) dedup_.prefetch(topic->id, op.ids.front());
}

/// Decides a publish: all of it gets offsets, or it is refused and nothing has changed.
Status Engine::decide_publish(Op& op, Commit& commit, After& after) {
  const PublishRequest& request = op.request;
  if (Status state = publishable(); !state.ok()) return state;
  Durability level = request.durability.value_or(Durability::kMemory);
  bool ephemeral = false;
  TopicState future;                   // stands for topics that will be made when nothing is refused
  std::vector<std::string> to_make;
  TopicState* topic = nullptr;
  const std::string* last = nullptr;
  const Status found = for_each_message(request, [&](const std::string& name, const Message&) -> Status {
    if (last != nullptr && *last == name) return {};
    last = &name;
    topic = find_topic(name);
    if (topic == nullptr) {
      Status missing = topic_missing(name);
      if (!options_.auto_create_topics || missing != ErrorCode::topic_not_found || core::is_internal(name)) return missing;
      if (!store_ && !options_.topic_defaults.ephemeral) return {ErrorCode::invalid_argument, "ephemeral: a broker without a disk has ephemeral topics only"};
      if (std::find(to_make.begin(), to_make.end(), name) == to_make.end()) to_make.push_back(name);
      future.options = options_.topic_defaults;
      topic = &future;
    }
    if (!request.durability) level = std::max(level, topic->options.durability);
    ephemeral = ephemeral || topic->options.ephemeral;
    return {};
  });
  if (!found.ok()) return found;
  // Only now is it known that the topics are ephemeral: they were made by what stood before this in the queue, or by this.
  if (ephemeral) {
    op.level = Durability::kMemory;
    return decide_ephemeral(op.request, op.result, after, &future, [&] {
      for (const std::string& name : to_make) (void)make_topic(name, options_.topic_defaults, {}, {}, commit.set, after);
    });
  }
  if (level == Durability::kMemory) return {ErrorCode::invalid_argument, "durability: memory is for ephemeral topics; choose process or power"};
  op.level = level;

  const Time now = options_.clock->now();
  const std::size_t count = request.messages.size() + request.batch.size();
  if (request.session) {
    core::Sessions::Answer answer = sessions_.check(request.session->session, request.session->sequence, count, now);
    if (!answer.status().ok()) return answer.status();
    if (answer.verdict == core::Sessions::Verdict::kDuplicate) {
      repeat_answers(request, answer, op.result);
      op.result.time = answer.time.value_or(now);
      return {};
    }
  }
  if (Status fits = check_for_topics(request, op.ids, future, now); !fits.ok()) return fits;
  if (!request.expected.empty()) {
    const Status expected = check_expected(request.expected, op.key_lasts.get());
    if (!expected.ok() && !all_known(request, op.ids, now)) return expected;
  }
  for (const std::string& name : to_make)
    if (Result<TopicPtr> made = make_topic(name, options_.topic_defaults, {}, {}, commit.set, after); !made.ok()) return made.status();
  topic = find_topic(request.messages.empty() ? request.batch.front().topic : request.topic);
  op.result.messages.reserve(count);
  std::size_t index = 0;
  for (std::size_t i = 0; i < op.ids.size() && i < kIdsAhead; ++i) dedup_.prefetch(topic->id, op.ids[i]);
  (void)for_each_message(request, [&](const std::string& name, const Message& message) -> Status {
    if (*topic->name != name) topic = find_topic(name);
    const bool has_id = !message.id.empty() && topic->options.dedup_window.count() > 0;
    const std::size_t i = index++;
    if (has_id && i + kIdsAhead < op.ids.size()) dedup_.prefetch(topic->id, op.ids[i + kIdsAhead]);
    op.result.messages.push_back(place(*topic, message, has_id ? &op.ids[i] : nullptr, level, commit, now));
    const Published& published = op.result.messages.back();
    if (!published.duplicate && published.offset != kNoOffset) op.result.time = std::max(op.result.time, topic->last_time);
    return {};
  });
  if (op.result.time == Time{}) op.result.time = now;
  if (request.session) {
    std::vector<Offset> offsets;
    for (const Published& published : op.result.messages) offsets.push_back(core::place_of(published));
    const core::SessionState state = sessions_.record(request.session->session, request.session->sequence, offsets, now);
    commit.set.put(format::session_key(request.session->session),
                   format::encode(format::SessionRecord{state.last_sequence, state.last_used, state.request_sequence, state.request_offsets, state.request_time}));
  }
  return {};
}

/// Limits and caps of the topics. What a topic has already it takes again as a duplicate, however full it is (S-6); whether it has it is only looked at when
/// something is in the way.
Status Engine::check_for_topics(const PublishRequest& request, const IdHashes& ids, TopicState& future, Time now) const {
  const auto check = [&](bool but_duplicates) {
    const TopicState* topic = nullptr;
    const std::string* last = nullptr;
    absl::flat_hash_map<std::string_view, std::uint64_t> capped;   // bytes for each topic that has a cap
    std::size_t i = 0;
    return for_each_message(request, [&](const std::string& name, const Message& message) -> Status {
      if (last == nullptr || *last != name) topic = find_topic(name);
      last = &name;
      if (topic == nullptr) future.name = std::make_shared<const std::string>(name);
      const TopicState& to = topic != nullptr ? *topic : future;
      const std::size_t index = i++;
      if (but_duplicates && !message.id.empty() && dedup_.find(to.id, ids[index], now, to.options.dedup_window)) return {};
      return check_for_topic(to, message, to.options.bytes_max == 0 ? 0 : capped[name] += core::message_bytes(message) + kRecordBytes);
    });
  };
  Status checked = check(false);
  return checked.ok() || ids.empty() ? checked : check(true);
}

/// Whether every message has an id that its topic knows: then nothing of the request is stored again.
bool Engine::all_known(const PublishRequest& request, const IdHashes& ids, Time now) const {
  std::size_t i = 0;
  return !ids.empty() && for_each_message(request, [&](const std::string& name, const Message& message) -> Status {
    const TopicState* topic = find_topic(name);
    const base::Hash128& id = ids[i++];
    if (!message.id.empty() && topic != nullptr && dedup_.find(topic->id, id, now, topic->options.dedup_window)) return {};
    return {ErrorCode::not_found, "new"};
  }).ok();
}

/// Gives a message its offset in this commit, or its place in the schedule; or answers the first one's, when its id is known. Nothing is checked any more.
Published Engine::place(TopicState& topic, const Message& message, const base::Hash128* id, Durability level, Commit& commit, Time now) {
  if (id != nullptr) {
    if (const std::optional<Offset> known = dedup_.find(topic.id, *id, now, topic.options.dedup_window)) {
      ++topic.duplicates;
      return core::published_at(topic.id, *known, true);
    }
  }
  if (message.deliver_at || message.delay) {
    if (const auto due = core::due_time(message, now); due.ok() && *due) {
      Published published = schedules_.add(topic, message, **due, level, now, commit);
      if (id != nullptr) schedules_.remember_id(topic, *id, published, now, commit);
      return published;
    }
  }
  Build& build = build_of(topic, commit, now);
  const Offset offset = topic.next;
  topic.next = offset + 1;
  build.messages.push_back(&message);
  ++build.count;
  const std::size_t bytes = core::message_bytes(message) + kRecordBytes;
  build.bytes += bytes;
  topic.bytes_building += bytes;
  build.power = build.power || level == Durability::kPower;
  if (id != nullptr) {
    if (!build.dedup) {
      build.dedup = dedup_.begin_record(commit.number, build.sub, topic.id, build.time);
      build.ids.topic = topic.id.value;
      build.ids.time = build.time;
    }
    dedup_.insert(*build.dedup, *id, offset);
    build.ids.entries.push_back({id->high, id->low, offset.value});
  }
  if (topic.options.track_keys && !message.key.empty()) {
    const std::string key = format::key_last_key(topic.id, message.key);
    std::string last;
    format::append_u64(last, offset.value);
    commit.set.put(key, last);
    key_writes_.note(key, commit.number);
  }
  return {offset, false, {}};
}

Status Engine::check_for_topic(const TopicState& topic, const Message& message, std::uint64_t bytes_more) const {
  if (topic.internal) return {ErrorCode::invalid_argument, "topic: \"" + *topic.name + "\" belongs to the broker"};
  if (message.payload.size() > topic.options.payload_bytes_max)
    return {ErrorCode::limit_exceeded, "payload: " + std::to_string(message.payload.size()) + " bytes; payload_bytes_max of topic \"" + *topic.name + "\" is " +
                                           std::to_string(topic.options.payload_bytes_max)};
  if (topic.options.compact && message.key.empty())
    return {ErrorCode::invalid_argument, "key: topic \"" + *topic.name + "\" keeps the last message of each key, and this one has none"};
  if (topic.options.bytes_max != 0 && topic.options.cap_policy == CapPolicy::kReject && topic.bytes() + topic.bytes_building + topic.scheduled_bytes + bytes_more > topic.options.bytes_max)
    return {ErrorCode::full, "topic \"" + *topic.name + "\" is at its cap: bytes_max is " + std::to_string(topic.options.bytes_max)};
  return {};
}

/// The topic's open batch in this commit.
Build& Engine::build_of(TopicState& topic, Commit& commit, Time now) {
  if (topic.build != nullptr && topic.build->bytes < kBatchBytesMax) return *topic.build;
  auto build = std::make_unique<Build>();
  build->topic = topics_by_id_.at(topic.id.value);
  build->sub = static_cast<std::uint32_t>(commit.builds.size());
  build->first = topic.next;
  build->time = topic.last_time = std::max(topic.last_time, now);
  topic.build = build.get();
  commit.builds.push_back(std::move(build));
  return *topic.build;
}

// --- Ephemeral topics ------------------------------------------------------------------------------------------------

/// Takes the request when it goes to ephemeral topics: they need no pipeline.
bool Engine::try_publish_ephemeral(PublishRequest& request, const CallContext& context, Callback<PublishResult>& done) {
  After after;
  PublishResult result;
  Status status;
  std::array<ChunkPtr, 4> garbage;   // a little more than comes, so that it comes to an end
  {
    Lock lock(core_);
    const std::string& first = request.messages.empty() ? request.batch.front().topic : request.topic;
    const TopicState* topic = find_topic(first);
    if (topic == nullptr || !topic->options.ephemeral) return false;
    for (std::size_t i = 0; i < garbage.size() && !garbage_.empty(); ++i) {
      garbage[i] = std::move(garbage_.back());
      garbage_.pop_back();
    }
    status = decide_ephemeral(request, result, after);
  }
  finish(std::move(after));
  if (status.ok())
    answer<PublishResult>(std::move(done), std::move(result), context);
  else
    answer<PublishResult>(std::move(done), status, context);
  return true;
}

Status Engine::decide_ephemeral(PublishRequest& request, PublishResult& result, After& after, const TopicState* future, const std::function<void()>& make) {
  if (request.durability && *request.durability != Durability::kMemory)
    return {ErrorCode::invalid_argument, "durability: ephemeral topics have `memory` only"};
  const Time now = options_.clock->now();
  const std::size_t count = request.messages.size() + request.batch.size();
  const Status found = for_each_message(request, [&](const std::string& name, const Message&) -> Status {
    const TopicState* topic = find_topic(name);
    if (topic == nullptr) topic = future;
    if (topic == nullptr) return topic_missing(name);
    if (!topic->options.ephemeral) return {ErrorCode::invalid_argument, "topic: durable \"" + name + "\" and ephemeral topics do not mix in one request"};
    if (topic->internal) return {ErrorCode::invalid_argument, "topic: \"" + name + "\" belongs to the broker"};
    return {};
  });
  if (!found.ok()) return found;
  if (request.session) {
    core::Sessions::Answer answer = ephemeral_sessions_.check(request.session->session, request.session->sequence, count, now);
    if (!answer.status().ok()) return answer.status();
    if (answer.verdict == core::Sessions::Verdict::kDuplicate) {
      repeat_answers(request, answer, result);
      result.time = answer.time.value_or(now);
      return {};
    }
  }
  if (Status fits = check_ephemeral_room(request, nullptr, future, now); !fits.ok()) {
    // What a topic has already it takes again as a duplicate, however full it is (S-6).
    const IdHashes ids = hash_ids(request);
    if (!ids.empty()) fits = check_ephemeral_room(request, &ids, future, now);
    if (!fits.ok()) return fits;
  }
  if (Status expected = check_expected(request.expected, nullptr); !expected.ok() && !all_known(request, hash_ids(request), now)) return expected;
  if (make) make();
  result.time = now;
  result.messages.reserve(count);
  if (!request.messages.empty()) add_ephemeral(*find_topic(request.topic), std::move(request.messages), now, result, after);
  // Runs of one topic stay together; what follows another topic's message is a run of its own.
  for (std::size_t i = 0; i < request.batch.size();) {
    std::vector<Message> run;
    const std::string& name = request.batch[i].topic;
    std::size_t end = i;
    while (end < request.batch.size() && request.batch[end].topic == name) run.push_back(std::move(request.batch[end++].message));
    add_ephemeral(*find_topic(name), std::move(run), now, result, after);
    i = end;
  }
  if (request.session) {
    std::vector<Offset> offsets;
    for (const Published& published : result.messages) offsets.push_back(core::place_of(published));
    (void)ephemeral_sessions_.record(request.session->session, request.session->sequence, offsets, now);
  }
  return {};
}

/// Limits and caps of ephemeral topics, and the room for all of them; with `ids` only for what is no duplicate.
Status Engine::check_ephemeral_room(const PublishRequest& request, const IdHashes* ids, const TopicState* future, Time now) {
  std::uint64_t bytes = 0;
  std::size_t i = 0;
  const TopicState* topic = nullptr;
  const std::string* last = nullptr;
  absl::flat_hash_map<std::string_view, std::uint64_t> capped;
  const Status checked = for_each_message(request, [&](const std::string& name, const Message& message) -> Status {
    if (last == nullptr || *last != name) topic = find_topic(name);
    last = &name;
    if (topic == nullptr) topic = future;
    const std::size_t index = i++;
    if (ids != nullptr && !message.id.empty() && dedup_.find(topic->id, (*ids)[index], now, topic->options.dedup_window)) return {};
    if (message.payload.size() > topic->options.payload_bytes_max)
      return {ErrorCode::limit_exceeded, "payload: " + std::to_string(message.payload.size()) + " bytes; payload_bytes_max of topic \"" + name + "\" is " +
                                             std::to_string(topic->options.payload_bytes_max)};
    const std::uint64_t more = core::message_bytes(message) + sizeof(Message);
    bytes += more;
    if (topic->options.bytes_max != 0 && topic->options.cap_policy == CapPolicy::kReject && topic->bytes() + topic->scheduled_bytes + (capped[name] += more) > topic->options.bytes_max)
      return {ErrorCode::full, "topic \"" + name + "\" is at its cap: bytes_max is " + std::to_string(topic->options.bytes_max)};
    return {};
  });
  if (!checked.ok()) return checked;
  if (ephemeral_bytes_ + bytes > options_.ephemeral_bytes_max && !make_ephemeral_room(bytes))
    return {ErrorCode::full, "ephemeral topics hold " + std::to_string(ephemeral_bytes_) + " bytes that groups have not settled; ephemeral_bytes_max is " +
                                 std::to_string(options_.ephemeral_bytes_max)};
  return {};
}

/// What a session's request that was stored before was answered.
void Engine::repeat_answers(const PublishRequest& request, const core::Sessions::Answer& answer, PublishResult& result) const {
  std::size_t i = 0;
  (void)for_each_message(request, [&](const std::string& name, const Message&) -> Status {
    const TopicState* topic = find_topic(name);
    const Offset place = answer.offsets[i++].value_or(kNoOffset);
    result.messages.push_back(core::published_at(topic != nullptr ? topic->id : TopicId{}, place, true));
    return {};
  });
}

void Engine::add_ephemeral(TopicState& topic, std::vector<Message> messages, Time now, PublishResult& result, After& after) {
  topic.last_time = std::max(topic.last_time, now);
  std::vector<Message> fresh;
  const bool ids = topic.options.dedup_window.count() > 0;
  if (std::any_of(messages.begin(), messages.end(), [&](const Message& m) { return (ids && !m.id.empty()) || m.deliver_at || m.delay; })) {
    std::optional<core::Dedup::Record> record;
    for (Message& message : messages) {
      const bool has_id = ids && !message.id.empty();
      const base::Hash128 hash = has_id ? base::hash128(message.id, hash_seed_) : base::Hash128{};
      if (const std::optional<Offset> known = has_id ? dedup_.find(topic.id, hash, now, topic.options.dedup_window) : std::nullopt) {
        ++topic.duplicates;
        result.messages.push_back(core::published_at(topic.id, *known, true));
        continue;
      }
      const auto due = core::due_time(message, now);
      if (due.ok() && *due) {
        result.messages.push_back(schedules_.add_ephemeral(topic, std::move(message), **due, now));
      } else {
        result.messages.push_back({topic.next + fresh.size(), false, {}});
        fresh.push_back(std::move(message));
      }
      if (has_id) {
        if (!record) record = dedup_.begin_record(commit_, core::Dedup::kNotPersisted, topic.id, now);
        dedup_.insert(*record, hash, core::place_of(result.messages.back()));
      }
    }
  } else {
    for (std::size_t i = 0; i < messages.size(); ++i) result.messages.push_back({topic.next + i, false, {}});
    fresh = std::move(messages);
  }
  if (!fresh.empty()) append_chunk(topic, std::make_shared<Chunk>(topic.next, topic.last_time, std::move(fresh)), after);
}

void Engine::append_chunk(TopicState& topic, ChunkPtr chunk, After& after) {
  if (topic.tail.empty()) topic.first_time = chunk->time();
  messages_ += chunk->end() - chunk->first();
  topic.next = topic.visible = chunk->end();
  topic.bytes_ever += chunk->bytes();
  ephemeral_bytes_ += chunk->bytes();
  topic.tail.push_back(std::move(chunk));
  for (const CursorPtr& cursor : topic.cursors)
    if (cursor->cursor->may_look()) activate(*cursor, after);
  if (topic.options.cap_policy == CapPolicy::kDropOldest && topic.options.bytes_max != 0)
    while (topic.bytes() > topic.options.bytes_max && topic.tail.size() > 1) {
      const ChunkPtr oldest = topic.tail.front();
      forget_before(topic, oldest->end(), oldest->bytes(), after);
    }
}

/// Drops messages that every group settled, oldest first in each topic. They are kept until then so that they can be browsed.
bool Engine::make_ephemeral_room(std::uint64_t bytes) {
  // Down to three quarters, so that this is rare.
  const std::uint64_t goal = options_.ephemeral_bytes_max - options_.ephemeral_bytes_max / 4;
  After after;
  for (const auto& [id, topic] : topics_by_id_) {
    if (!topic->options.ephemeral || topic->letters) continue;   // dead letters go by their own retention only
    const Offset settled = settled_by_all(*topic);
    while (!topic->tail.empty() && topic->tail.front()->end() <= settled && ephemeral_bytes_ + bytes > goal) {
      const ChunkPtr oldest = topic->tail.front();
      forget_before(*topic, oldest->end(), oldest->bytes(), after);
    }
  }
  return ephemeral_bytes_ + bytes <= options_.ephemeral_bytes_max;
}

}  // namespace weir::engine
