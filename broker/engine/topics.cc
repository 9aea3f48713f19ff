// Topics: created, altered, deleted, looked at.
#include "broker/core/limits.h"
#include "broker/core/names.h"
#include "broker/engine/answer.h"

namespace weir::engine {

TopicInfo Engine::info(const TopicState& topic) const {
  TopicInfo out;
  out.name = *topic.name;
  out.id = topic.id;
  out.options = topic.options;
  out.created = topic.created;
  out.first = first_shown(topic);
  out.next = topic.next;
  out.visible = topic.visible;
  out.bytes = topic.bytes();
  out.duplicates = topic.duplicates;
  out.compacted = topic.compacted_messages;
  out.dropped_unsettled = topic.dropped_unsettled;
  out.scheduled = topic.scheduled;
  out.scheduled_bytes = topic.scheduled_bytes;
  return out;
}

/// Where reading begins: what all groups settled of a topic that discards is hidden at once, though its space is freed later (S-10).
Offset Engine::first_shown(const TopicState& topic) const {
  if (!topic.options.discard_settled || topic.cursors.empty()) return topic.first;
  return std::max(topic.first, settled_by_all(topic));
}

/// Makes a topic under the engine's lock, and the cursors of all groups whose pattern it matches.
Result<TopicPtr> Engine::make_topic(std::string name, TopicOptions options, GroupId letters_of_group, TopicId letters_of_topic, store::WriteSet& set, After& after) {
  const bool internal = core::is_internal(name);
  if (!store_ && !options.ephemeral) return Status{ErrorCode::invalid_argument, "ephemeral: a broker without a disk has ephemeral topics only"};
  auto topic = std::make_shared<TopicState>();
  topic->id = TopicId{next_id_++};
  topic->name = std::make_shared<const std::string>(std::move(name));
  topic->options = options;
  topic->created = options_.clock->now();
  topic->internal = internal;
  topic->letters_of_group = letters_of_group;
  topic->letters_of_topic = letters_of_topic;
  if (letters_of_group.value != 0) topic->letters = std::make_unique<Letters>();
  topics_[*topic->name] = topic;
  topics_by_id_[topic->id.value] = topic;
  if (options.ephemeral) {
    ++ephemeral_topics_;
  } else {
    put_store_record(set);
    put_topic(set, *topic);
  }
  if (!internal)
    for (const auto& [key, group] : groups_)
      if (group->pattern && core::matches(group->source, *topic->name)) make_cursor(*group, *topic, Offset{}, after);
  if (!internal) events_.add("topic_created", {{"topic", *topic->name}});
  log(LogLevel::kInfo, "topic created: " + *topic->name);
  return topic;
}

void Engine::put_topic(store::WriteSet& set, TopicState& topic) const {
  topic.compacted = topic.compacted || topic.options.compact;
  set.put(format::topic_key(topic.id), format::encode(format::TopicRecord{*topic.name, topic.options, topic.created, topic.letters_of_group.value,
                                                                          topic.letters_of_topic.value, topic.compacted}));
}

void Engine::async_create_topic(CreateTopicRequest request, CallContext context, Callback<TopicInfo> done) {
  Status valid = core::validate_topic_name(request.name, false);
  if (valid.ok()) valid = core::validate(request.options);
  if (!valid.ok()) return answer<TopicInfo>(std::move(done), valid, context);
  if (request.options.ephemeral) request.options.durability = Durability::kMemory;
  submit_admin<TopicInfo>(std::move(context), std::move(done), [this, request = std::move(request)](store::WriteSet& set, After& after) -> Result<TopicInfo> {
    if (const TopicState* topic = find_topic(request.name)) {
      if (!request.if_missing) return Status{ErrorCode::already_exists, "topic \"" + request.name + "\" exists"};
      const std::string differ = core::differences(topic->options, request.options);
      if (!differ.empty()) return Status{ErrorCode::options_differ, "topic \"" + request.name + "\" exists with other options: " + differ};
      return info(*topic);
    }
    Result<TopicPtr> made = make_topic(request.name, request.options, {}, {}, set, after);
    if (!made.ok()) return made.status();
    return info(**made);
  });
}

void Engine::async_alter_topic(AlterTopicRequest request, CallContext context, Callback<TopicInfo> done) {
  if (Status valid = core::validate(request.options); !valid.ok()) return answer<TopicInfo>(std::move(done), valid, context);
  submit_admin<TopicInfo>(std::move(context), std::move(done), [this, request = std::move(request)](store::WriteSet& set, After& after) mutable -> Result<TopicInfo> {
    TopicState* topic = find_or_make_letters(request.name, set, after);
    if (topic == nullptr) return topic_missing(request.name);
    if (request.options.ephemeral != topic->options.ephemeral)
      return Status{ErrorCode::invalid_argument, "ephemeral: cannot be altered; topic \"" + request.name + "\" is " + (topic->options.ephemeral ? "ephemeral" : "durable")};
    if (request.options.track_keys != topic->options.track_keys)
      return Status{ErrorCode::invalid_argument, "track_keys: cannot be altered; of topic \"" + request.name + "\" the last offsets of keys are " + (topic->options.track_keys ? "" : "not ") + "kept"};
    if (topic->letters && (request.options.bytes_max != 0 || request.options.discard_settled || request.options.compact))
      return Status{ErrorCode::invalid_argument, "bytes_max, discard_settled, compact: \"" + request.name + "\" holds dead letters, which go by age only"};
    if (request.name == Events::kTopic && (request.options.compact || request.options.bytes_max == 0 || request.options.cap_policy != CapPolicy::kDropOldest))
      return Status{ErrorCode::invalid_argument, "compact, bytes_max, cap_policy: \"" + request.name + "\" has a cap and drops its oldest, so that what it tells of is never refused for it"};
    if (topic->options.ephemeral) request.options.durability = Durability::kMemory;
    topic->options = request.options;
    if (!topic->options.ephemeral)
      put_topic(set, *topic);
    return info(*topic);
  });
}

/// Takes a topic away from everything in memory; its batches are erased in the background.
void Engine::drop_topic(const TopicPtr& topic, store::WriteSet& set, After& after) {
  topic->deleted = true;
  for (const CursorPtr& cursor : std::vector<CursorPtr>(topic->cursors)) {
    GroupState& group = *cursor->group;
    drop_cursor(cursor, set);
    for (auto& call : std::exchange(deferred_, {})) after.call.push_back(std::move(call));
    if (!group.pattern) {
      drop_group(groups_by_id_.at(group.id.value), set, after, {ErrorCode::group_not_found, "topic \"" + *topic->name + "\" was deleted"});
    }
  }
  workbench_->topic_dropped(*topic, set);
  // A group on a topic that never got a cursor cannot be; patterns stay for topics to come.
  dedup_.forget_topic(topic->id);
  for (const ChunkPtr& chunk : topic->tail)
    if (topic->options.ephemeral) ephemeral_bytes_ -= chunk->bytes();
  topic->tail.clear();
  topic->read.clear();
  schedules_.drop_topic(*topic, set);
  topics_.erase(*topic->name);
  topics_by_id_.erase(topic->id.value);
  if (topic->options.ephemeral) {
    --ephemeral_topics_;
  } else {
    set.erase(format::topic_key(topic->id));
    set.erase(format::topic_head_key(topic->id));
    if (topic->letters) {
      for (const LetterState state : {LetterState::kRedriven, LetterState::kDiscarded}) set.erase_prefix(format::letter_page_prefix(topic->id, static_cast<std::uint8_t>(state)));
      set.erase_prefix(format::letter_event_prefix(topic->id));
    }
    if (topic->options.track_keys) set.erase_prefix(format::key_last_prefix(topic->id));
    set.put(format::deleted_topic_key(topic->id), "");
    // Not before this commit is written: what was published just before the deletion may be in it.
    deciding_->applied.push_back([this, id = topic->id](After& then) { then.call.push_back([this, id] { workshop_->post([this, id] { purge_deleted_topic(id); }); }); });
  }
  if (!topic->internal) events_.add("topic_deleted", {{"topic", *topic->name}});
  log(LogLevel::kInfo, "topic deleted: " + *topic->name);
}

void Engine::async_delete_topic(DeleteTopicRequest request, CallContext context, Callback<Done> done) {
  submit_admin<Done>(std::move(context), std::move(done), [this, request = std::move(request)](store::WriteSet& set, After& after) -> Result<Done> {
    const auto at = topics_.find(request.name);
    if (at == topics_.end()) return topic_missing(request.name);
    const TopicPtr topic = at->second;
    if (topic->internal) return Status{ErrorCode::invalid_argument, "topic: \"" + request.name + "\" belongs to the broker; delete the group or topic it serves"};
    drop_topic(topic, set, after);
    return Done{};
  });
}

void Engine::async_get_topic(std::string name, CallContext context, Callback<TopicInfo> done) {
  const Use use(*this);
  Result<TopicInfo> result = check_usable();
  if (result.status().ok() || result.code() == ErrorCode::ok) {
    Lock lock(core_);
    if (const TopicState* topic = find_topic(name)) {
      result = info(*topic);
    } else if (const CursorPtr cursor = cursor_of_letters(name)) {
      TopicInfo empty;
      empty.name = name;
      empty.options = letters_options(*cursor);
      empty.created = cursor->group->created;
      result = std::move(empty);
    } else {
      result = topic_missing(name);
    }
  }
  answer<TopicInfo>(std::move(done), std::move(result), context);
}

void Engine::async_list_topics(ListTopicsRequest request, CallContext context, Callback<ListTopicsResult> done) {
  const Use use(*this);
  Status valid = check_usable();
  if (valid.ok()) valid = core::validate_source(request.pattern);
  if (valid.ok() && (request.topics_max < 1 || request.topics_max > 10'000))
    valid = {ErrorCode::limit_exceeded, "topics_max: " + std::to_string(request.topics_max) + "; 1 to 10000"};
  if (!valid.ok()) return answer<ListTopicsResult>(std::move(done), valid, context);
  ListTopicsResult out;
  {
    Lock lock(core_);
    std::vector<const TopicState*> found;
    for (const auto& [name, topic] : topics_)
      if (name > request.after && (topic->internal ? request.include_internal && (request.pattern == ">" || request.pattern == name) : core::matches(request.pattern, name))) found.push_back(topic.get());
    std::sort(found.begin(), found.end(), [](const TopicState* a, const TopicState* b) { return *a->name < *b->name; });
    out.end = found.size() <= request.topics_max;
    if (!out.end) found.resize(request.topics_max);
    for (const TopicState* topic : found) out.topics.push_back(info(*topic));
  }
  answer<ListTopicsResult>(std::move(done), std::move(out), context);
}

// --- Browsing (S-11) -----------------------------------------------------------------------------------------------------

void Engine::async_browse(BrowseRequest request, CallContext context, Callback<BrowseResult> done) {
  const Use use(*this);
  if (Status usable = check_usable(); !usable.ok()) return answer<BrowseResult>(std::move(done), usable, context);
  if (context.caller_waits) return done(browse_now(request));
  if (Status room = check_room(context); !room.ok()) return answer<BrowseResult>(std::move(done), room, context);
  workshop_->post([this, request = std::move(request), context = std::move(context), done = std::move(done)]() mutable {
    answer<BrowseResult>(std::move(done), browse_now(request), context);
  });
}

Result<BrowseResult> Engine::browse_now(const BrowseRequest& request) {
  if (request.messages_max < 1 || request.messages_max > 10'000) return Status{ErrorCode::limit_exceeded, "messages_max: " + std::to_string(request.messages_max) + "; 1 to 10000"};
  if (Status valid = core::validate(request.filter); !valid.ok()) return valid;
  TopicPtr topic;
  Offset at;
  Offset end;
  {
    Lock lock(core_);
    const auto found = topics_.find(request.topic);
    if (found == topics_.end()) {
      if (!cursor_of_letters(request.topic)) return topic_missing(request.topic);
      BrowseResult none;
      none.end = true;
      return none;
    }
    topic = found->second;
    end = topic->visible;
  }
  Result<Offset> start = offset_at(topic, request.from);
  if (!start.ok()) return start.status();
  {
    Lock lock(core_);
    if (request.from.kind == StartPoint::Kind::kOffset && request.from.offset > topic->next)
      return Status{ErrorCode::position_lost, "offset " + std::to_string(request.from.offset.value) + " is behind the end of topic \"" + request.topic + "\" (" +
                                                  std::to_string(topic->next.value) + ")"};
    at = std::max(*start, first_shown(*topic));
  }
  BrowseResult out;
  std::uint64_t bytes = 0;
  ChunkPtr chunk;
  while (at < end && out.messages.size() < request.messages_max) {
    if (!chunk || !chunk->holds(at)) {
      Result<ChunkPtr> loaded = chunk_at(topic, at);
      if (!loaded.ok()) {
        if (loaded.code() == ErrorCode::not_found) break;
        return loaded.status();
      }
      chunk = *loaded;
      if (chunk->first() > at) at = chunk->first();
      if (at >= end) break;
    }
    const core::LogMessage seen = chunk->look(at, Order::kNone, request.filter, 0);
    if (seen.wanted) {
      if (!out.messages.empty() && bytes + seen.bytes > request.bytes_max) break;
      bytes += seen.bytes;
      StoredMessage message;
      chunk->fill(at, message);
      message.topic_name = topic->name;
      out.messages.push_back(std::move(message));
    }
    at = at + 1;
  }
  out.next = std::max(at, *start);
  out.end = at >= end;
  return out;
}

/// The chunk that holds `offset`, or the first one behind it; not_found when there is none.
Result<ChunkPtr> Engine::chunk_at(const TopicPtr& topic, Offset offset) {
  {
    Lock lock(core_);
    if (ChunkPtr chunk = chunk_in_memory(*topic, offset)) return chunk;
    if (topic->options.ephemeral) {
      if (!topic->tail.empty() && topic->tail.front()->first() > offset) return topic->tail.front();
      return Status{ErrorCode::not_found, "gone"};
    }
  }
  return load_chunk(*topic, offset);
}

/// Where a start point is. Not under the lock: finding a time may read the disk.
Result<Offset> Engine::offset_at(const TopicPtr& topic, const StartPoint& start) {
  Offset first;
  Offset next;
  {
    Lock lock(core_);
    first = first_shown(*topic);
    next = topic->visible;
    if (start.kind == StartPoint::Kind::kTime && topic->options.ephemeral) {
      for (const ChunkPtr& chunk : topic->tail)
        if (chunk->time() >= start.time) return std::max(first, chunk->first());
      return next;
    }
  }
  switch (start.kind) {
    case StartPoint::Kind::kEarliest: return first;
    case StartPoint::Kind::kLatest: return next;
    case StartPoint::Kind::kOffset: return std::max(first, std::min(start.offset, next));
    case StartPoint::Kind::kTime: break;
  }
  // Commit times never go back within a topic, so batches can be searched by halves.
  Offset low = first;
  Offset high = next;
  while (low < high) {
    const Offset middle{low.value + (high.value - low.value) / 2};
    Result<std::optional<format::IndexEntry>> entry = store_->find(topic->id, middle);
    if (!entry.ok()) return entry.status();
    if (!*entry || (*entry)->time >= start.time) {
      high = middle;
      if (*entry && (*entry)->first < middle) high = std::max(low, (*entry)->first);
      if (high == middle && *entry && (*entry)->first >= middle) high = middle;
    } else {
      low = (*entry)->end();
    }
  }
  if (!topic->compacted || low >= next) return std::min(low, next);
  // A compacted batch has messages of several times.
  Result<ChunkPtr> chunk = chunk_at(topic, low);
  if (!chunk.ok()) return chunk.code() == ErrorCode::not_found ? Result<Offset>(next) : chunk.status();
  for (low = std::max(low, (*chunk)->first()); low < (*chunk)->end(); low = low + 1)
    if ((*chunk)->has(low) && (*chunk)->time_of(low) >= start.time) break;
  return std::min(low, next);
}

}  // namespace weir::engine
