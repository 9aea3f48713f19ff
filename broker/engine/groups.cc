// Groups: created, altered, paused, sought, deleted; their members; their figures.
#include <unistd.h>

#include <sstream>

#include "broker/core/limits.h"
#include "broker/core/names.h"
#include "broker/engine/answer.h"

namespace weir::engine {
namespace {

Status group_missing(const std::string& source, const std::string& group) {
  return {ErrorCode::group_not_found, "no group \"" + group + "\" on \"" + source + "\""};
}

/// A consumer of dead letters never dead-letters: it retries at the longest delay (S-23).
GroupOptions on_dead_letters(GroupOptions options) {
  options.max_attempts = ~std::uint32_t{0};
  options.max_deliveries = ~std::uint32_t{0};
  options.backoff.first = options.backoff.max;
  options.backoff.factor = 1;
  options.backoff.jitter = false;
  options.dead_letter_expired = false;
  options.hold_key = false;
  return options;
}

}  // namespace

/// A cursor in memory: what stands in the store of it is put in by the caller.
CursorPtr Engine::attach_cursor(GroupState& group, TopicState& topic, Offset start) {
  auto state = std::make_shared<CursorState>(groups_by_id_.at(group.id.value), topics_by_id_.at(topic.id.value));
  state->options = topic.internal ? on_dead_letters(group.options) : group.options;
  state->spill = std::make_unique<Spill>(topic.options.ephemeral ? nullptr : store_.get(), group.id, topic.id);
  core::Cursor::Environment environment;
  environment.options = &state->options;
  environment.spill = state->spill.get();
  environment.gate = &gate_;
  environment.random = &random_;
  environment.flight = &group.flight;
  environment.marks = marks_.get();
  environment.next_epoch = &next_epoch_;
  environment.member_name = [this](MemberId member) { return member_name(member); };
  state->cursor = std::make_unique<core::Cursor>(std::move(environment), start);
  group.cursors[topic.id] = state;
  topic.cursors.push_back(state);
  cursors_[{group.id.value, topic.id.value}] = state;
  return state;
}

CursorPtr Engine::make_cursor(GroupState& group, TopicState& topic, Offset start, After& after) {
  CursorPtr state = attach_cursor(group, topic, start);
  changed(*state, after);
  return state;
}

void Engine::drop_cursor(CursorPtr cursor, store::WriteSet& set) {
  GroupState& group = *cursor->group;
  TopicState& topic = *cursor->topic;
  cursor->deleted = true;
  if (cursor->timer_ms != INT64_MAX) timers_.erase({cursor->timer_ms, cursor.get()});
  cursor->timer_ms = INT64_MAX;
  std::erase(group.active, cursor.get());
  std::erase(topic.cursors, cursor);
  cursors_.erase({group.id.value, topic.id.value});
  cursor->spill->clear();
  std::erase(gate_.waiting, cursor->cursor.get());
  if (gate_.holder == cursor->cursor.get()) {
    gate_.holder = nullptr;
    deferred_.push_back([this] { pass_gate(); });
  }
  for (const std::uint32_t mark : cursor->cursor->drop_marks()) marks_->free(mark);
  group.cursors.erase(topic.id);
  if (!topic.options.ephemeral) {
    set.erase(format::cursor_key(group.id, topic.id));
    set.erase_prefix(format::page_prefix(group.id, topic.id));
    set.erase_prefix(format::retry_prefix(group.id, topic.id));
    set.erase_prefix(format::redriven_prefix(group.id, topic.id));
    set.erase_prefix(format::hold_prefix(group.id, topic.id));
  }
  workbench_->cursor_dropped(*cursor, set);
  // Its dead letters go with it (S-23).
  const auto letters = topics_.find(core::dead_letter_topic(*topic.name, group.name));
  if (letters != topics_.end()) {
    After after;
    drop_topic(TopicPtr(letters->second), set, after);
    for (auto& call : after.call) deferred_.push_back(std::move(call));
  }
}

/// Takes a group away. `why` is what its waiting members are told.
void Engine::drop_group(GroupPtr group, store::WriteSet& set, After& after, const Status& why) {
  if (group->deleted) return;
  group->deleted = true;
  answer_waiters(*group, after);
  for (const auto& [topic, cursor] : std::map<TopicId, CursorPtr>(group->cursors)) drop_cursor(cursor, set);
  for (auto& call : std::exchange(deferred_, {})) after.call.push_back(std::move(call));
  absl::erase_if(members_, [&](const auto& member) { return member.second.group == group.get(); });
  groups_.erase({group->source, group->name});
  groups_by_id_.erase(group->id.value);
  if (!group->ephemeral) set.erase(format::group_key(group->id));
  events_.add("group_deleted", {{"source", group->source}, {"group", group->name}, {"reason", why.message()}});
  log(LogLevel::kInfo, "group deleted: " + group->name + " on " + group->source + " (" + why.message() + ")");
}

void Engine::put_group(store::WriteSet& set, const GroupState& group) const {
  if (group.ephemeral) return;
  put_store_record(set);
  set.put(format::group_key(group.id), format::encode(format::GroupRecord{group.source, group.name, group.options, group.created, group.paused}));
}

void Engine::async_create_group(CreateGroupRequest request, CallContext context, Callback<GroupInfo> done) {
  const Use use(*this);
  Status valid = check_usable();
  if (valid.ok()) valid = core::validate_source(request.source);
  if (valid.ok()) valid = core::validate_group_name(request.group);
  if (valid.ok()) valid = core::validate(request.options);
  if (!valid.ok()) return answer<GroupInfo>(std::move(done), valid, context);
  // Where a time is in each topic may have to be read from the disk, so it is found before the decision.
  auto starts = std::make_shared<std::map<TopicId, Offset>>();
  if (request.options.start.kind == StartPoint::Kind::kTime) {
    if (Status found = find_starts(request.source, request.options.start, *starts); !found.ok()) return answer<GroupInfo>(std::move(done), found, context);
  }
  submit_admin<GroupInfo>(std::move(context), std::move(done), [this, starts, request = std::move(request)](store::WriteSet& set, After& after) -> Result<GroupInfo> {
    const bool pattern = core::is_pattern(request.source);
    if (const GroupPtr group = find_group(request.source, request.group)) {
      if (!request.if_missing) return Status{ErrorCode::already_exists, "group \"" + request.group + "\" exists on \"" + request.source + "\""};
      const std::string differ = core::differences(group->options, request.options);
      if (!differ.empty()) return Status{ErrorCode::options_differ, "group \"" + request.group + "\" exists with other options: " + differ};
      return info(*group);
    }
    for (const auto& [key, other] : groups_)
      if (other->name == request.group && core::overlap(other->source, request.source))
        return Status{ErrorCode::already_exists, "group \"" + request.group + "\" stands on \"" + other->source + "\" already, which overlaps \"" + request.source + "\""};
    TopicState* only = nullptr;
    if (!pattern) {
      only = find_or_make_letters(request.source, set, after);
      if (only == nullptr && options_.auto_create_topics && !core::is_internal(request.source)) {
        Result<TopicPtr> made = make_topic(request.source, options_.topic_defaults, {}, {}, set, after);
        if (!made.ok()) return made.status();
        only = made->get();
      }
      if (only == nullptr) return topic_missing(request.source);
    }
    auto group = std::make_shared<GroupState>();
    group->id = GroupId{next_id_++};
    group->source = request.source;
    group->name = request.group;
    group->options = request.options;
    group->created = options_.clock->now();
    group->last_used_ms = now_ms();
    group->pattern = pattern;
    group->ephemeral = !store_ || (only != nullptr && only->options.ephemeral);
    groups_[{group->source, group->name}] = group;
    groups_by_id_[group->id.value] = group;
    put_group(set, *group);
    const auto start_on = [&](TopicState& topic) {
      const auto known = starts->find(topic.id);
      switch (request.options.start.kind) {
        case StartPoint::Kind::kEarliest: return first_shown(topic);
        case StartPoint::Kind::kLatest: return topic.next;
        case StartPoint::Kind::kOffset: return std::max(first_shown(topic), std::min(request.options.start.offset, topic.next));
        case StartPoint::Kind::kTime: return known == starts->end() ? topic.next : std::max(known->second, first_shown(topic));
      }
      return topic.first;
    };
    if (only != nullptr) {
      make_cursor(*group, *only, start_on(*only), after);
    } else {
      for (const auto& [name, topic] : topics_)
        if (!topic->internal && core::matches(group->source, name)) make_cursor(*group, *topic, start_on(*topic), after);
    }
    events_.add("group_created", {{"source", group->source}, {"group", group->name}});
    log(LogLevel::kInfo, "group created: " + group->name + " on " + group->source);
    return info(*group);
  });
}

Status Engine::find_starts(const std::string& source, const StartPoint& start, std::map<TopicId, Offset>& out) {
  std::vector<TopicPtr> found;
  {
    Lock lock(core_);
    for (const auto& [name, topic] : topics_)
      if (name == source || (!topic->internal && core::is_pattern(source) && core::matches(source, name))) found.push_back(topic);
  }
  for (const TopicPtr& topic : found) {
    Result<Offset> offset = offset_at(topic, start);
    if (!offset.ok()) return offset.status();
    out[topic->id] = *offset;
  }
  return {};
}

void Engine::async_alter_group(AlterGroupRequest request, CallContext context, Callback<GroupInfo> done) {
  if (Status valid = core::validate(request.options); !valid.ok()) return answer<GroupInfo>(std::move(done), valid, context);
  submit_admin<GroupInfo>(std::move(context), std::move(done), [this, request = std::move(request)](store::WriteSet& set, After& after) -> Result<GroupInfo> {
    const GroupPtr group = find_group(request.source, request.group);
    if (!group) return group_missing(request.source, request.group);
    if (request.options.order != group->options.order) return Status{ErrorCode::invalid_argument, "order: cannot be altered; it is " + std::string(to_string(group->options.order))};
    if (!(request.options.start == group->options.start)) return Status{ErrorCode::invalid_argument, "start: cannot be altered; seek the group instead"};
    if (!(request.options.filter == group->options.filter)) group->new_filter = std::make_shared<const Filter>(request.options.filter);
    group->options = request.options;
    put_group(set, *group);
    for (const auto& [topic, cursor] : group->cursors) {
      cursor->options = cursor->topic->internal ? on_dead_letters(group->options) : group->options;
      if (!cursor->options.hold_key) cursor->cursor->release_holds();
      changed(*cursor, after);
    }
    return info(*group);
  });
}

void Engine::async_delete_group(GroupRef ref, CallContext context, Callback<Done> done) {
  submit_admin<Done>(std::move(context), std::move(done), [this, ref = std::move(ref)](store::WriteSet& set, After& after) -> Result<Done> {
    const GroupPtr group = find_group(ref.source, ref.group);
    if (!group) return group_missing(ref.source, ref.group);
    drop_group(group, set, after, {ErrorCode::group_not_found, "deleted"});
    return Done{};
  });
}

void Engine::async_pause_group(PauseGroupRequest request, CallContext context, Callback<Done> done) {
  submit_admin<Done>(std::move(context), std::move(done), [this, request = std::move(request)](store::WriteSet& set, After& after) -> Result<Done> {
    const GroupPtr group = find_group(request.source, request.group);
    if (!group) return group_missing(request.source, request.group);
    if (group->paused != request.paused) events_.add(request.paused ? "group_paused" : "group_resumed", {{"source", group->source}, {"group", group->name}});
    group->paused = request.paused;
    put_group(set, *group);
    if (!group->paused && !group->active.empty()) wake_one(*group, after);
    return Done{};
  });
}

void Engine::async_seek_group(SeekGroupRequest request, CallContext context, Callback<SeekGroupResult> done) {
  const Use use(*this);
  if (Status usable = check_usable(); !usable.ok()) return answer<SeekGroupResult>(std::move(done), usable, context);
  auto starts = std::make_shared<std::map<TopicId, Offset>>();
  if (Status found = find_starts(request.source, request.to, *starts); !found.ok()) return answer<SeekGroupResult>(std::move(done), found, context);
  submit_admin<SeekGroupResult>(std::move(context), std::move(done), [this, starts, request = std::move(request)](store::WriteSet&, After& after) -> Result<SeekGroupResult> {
    const GroupPtr group = find_group(request.source, request.group);
    if (!group) return group_missing(request.source, request.group);
    SeekGroupResult out;
    for (const auto& [id, state] : group->cursors) {
      TopicState& topic = *state->topic;
      const auto known = starts->find(id);
      Offset to = known == starts->end() ? topic.first : known->second;
      if (request.to.kind == StartPoint::Kind::kLatest) to = topic.next;
      to = std::max(first_shown(topic), std::min(to, topic.next));
      state->cursor->seek(to, now_ms());
      changed(*state, after);
      events_.add("group_sought", {{"source", group->source}, {"group", group->name}, {"topic", *topic.name}, {"offset", to.value}});
      out.positions.push_back({*topic.name, to});
    }
    std::sort(out.positions.begin(), out.positions.end(), [](const auto& a, const auto& b) { return a.topic < b.topic; });
    return out;
  });
}

// --- Members -----------------------------------------------------------------------------------------------------------------

void Engine::async_join(JoinRequest request, CallContext context, Callback<MemberId> done) {
  const Use use(*this);
  if (Status usable = check_usable(); !usable.ok()) return answer<MemberId>(std::move(done), usable, context);
  Result<MemberId> result = Status{ErrorCode::group_not_found, ""};
  {
    Lock lock(core_);
    const GroupPtr group = find_group(request.source, request.group);
    if (!group) {
      result = group_missing(request.source, request.group);
    } else {
      const MemberId member{next_member_++};
      std::ostringstream thread;
      thread << std::this_thread::get_id();
      members_[member.value] = {group.get(), request.name.empty() ? std::to_string(pid_) + ":" + thread.str() : request.name};
      group->members.insert(member);
      group->had_member = true;
      group->last_used_ms = now_ms();
      result = member;
    }
  }
  answer<MemberId>(std::move(done), std::move(result), context);
}

void Engine::async_leave(MemberId member, CallContext context, Callback<Done> done) {
  const Use use(*this);
  if (Status usable = check_usable(); !usable.ok()) return answer<Done>(std::move(done), usable, context);
  After after;
  Status status;
  bool last_of_volatile = false;
  GroupRef ref;
  GroupId id;
  {
    Lock lock(core_);
    const auto at = members_.find(member.value);
    if (at == members_.end()) {
      status = {ErrorCode::not_found, "no member " + std::to_string(member.value)};
    } else {
      GroupState& group = *at->second.group;
      for (const auto& [topic, state] : group.cursors) {
        state->cursor->release_member(member, false, now_ms());
        changed(*state, after);
      }
      group.members.erase(member);
      // The name stays known while a begun delivery of the member may still fail.
      if (!group.flight.by_member.contains(member.value)) members_.erase(at);
      last_of_volatile = group.options.is_volatile && group.members.empty();
      ref = {group.source, group.name};
      id = group.id;
    }
  }
  finish(std::move(after));
  if (!status.ok()) return answer<Done>(std::move(done), status, context);
  if (last_of_volatile) return delete_unused_group(std::move(ref), id, std::move(context), std::move(done));
  answer<Done>(std::move(done), Done{}, context);
}

/// Deletes a group that nobody uses, unless somebody does by the time it is decided, or another has its name.
void Engine::delete_unused_group(GroupRef ref, GroupId id, CallContext context, Callback<Done> done) {
  submit_admin<Done>(std::move(context), std::move(done), [this, ref = std::move(ref), id](store::WriteSet& set, After& after) -> Result<Done> {
    const GroupPtr group = find_group(ref.source, ref.group);
    if (group && group->id == id && group->members.empty() && (group->options.is_volatile || group->flight.leased == 0)) drop_group(group, set, after, {ErrorCode::group_not_found, "deleted"});
    return Done{};
  });
}

// --- Figures -----------------------------------------------------------------------------------------------------------------

GroupInfo Engine::info(const GroupState& group) const {
  GroupInfo out;
  out.source = group.source;
  out.name = group.name;
  out.id = group.id;
  out.options = group.options;
  out.created = group.created;
  out.paused = group.paused;
  out.members = group.members.size();
  for (const auto& [id, state] : group.cursors) {
    const core::Cursor& cursor = *state->cursor;
    const core::CursorTotals& totals = cursor.totals();
    const TopicState& topic = *state->topic;
    GroupTopicStats stats;
    stats.topic = *topic.name;
    stats.floor = cursor.floor();
    stats.in_flight = cursor.leased();
    stats.waiting_retries = cursor.waiting();
    stats.redriven = cursor.redriven();
    stats.blocked = cursor.blocked();
    stats.spilled = cursor.spilled();
    stats.holding = cursor.holding();
    const std::uint64_t above = topic.next > cursor.floor() ? topic.next - cursor.floor() : 0;
    stats.depth = above - std::min(above, cursor.settled().count_above_floor()) + cursor.redriven();
    if (const TopicState* letters = find_topic(core::dead_letter_topic(*topic.name, group.name))) stats.dead = letters->dead();
    stats.scheduled = topic.scheduled;
    stats.delivered = totals.delivered;
    stats.acked = totals.acked;
    stats.retried = totals.retried;
    stats.released = totals.released;
    stats.expired_leases = totals.expired_leases;
    stats.expired = totals.expired;
    stats.filtered = totals.filtered;
    stats.dead_lettered = totals.dead_lettered;
    out.topics.push_back(std::move(stats));
  }
  std::sort(out.topics.begin(), out.topics.end(), [](const auto& a, const auto& b) { return a.topic < b.topic; });
  return out;
}

/// What needs the commit time of the oldest unsettled message, or its place in bytes: may read the disk.
void Engine::add_ages(std::vector<GroupInfo>& groups) {
  for (GroupInfo& group : groups) {
    for (GroupTopicStats& stats : group.topics) {
      if (stats.depth <= stats.redriven) continue;
      TopicPtr topic;
      std::uint64_t bytes_ever = 0, bytes = 0;
      {
        Lock lock(core_);
        const auto at = topics_.find(stats.topic);
        if (at == topics_.end()) continue;
        topic = at->second;
        bytes_ever = topic->bytes_ever;
        bytes = topic->bytes();
        if (topic->options.ephemeral) {
          for (auto chunk = topic->tail.rbegin(); chunk != topic->tail.rend() && (*chunk)->end() > stats.floor; ++chunk) {
            stats.pinned_bytes += (*chunk)->bytes();
            stats.oldest = (*chunk)->time();
          }
        }
      }
      if (!topic->options.ephemeral) {
        const auto entry = store_->find(topic->id, stats.floor);
        if (!entry.ok() || !*entry) continue;
        stats.oldest = (*entry)->time;
        stats.pinned_bytes = std::min(bytes, bytes_ever - ((*entry)->cumulative - (*entry)->bytes));   // what compaction took pins nothing
      }
      if (stats.oldest) stats.lag = std::max(Duration{0}, options_.clock->now() - *stats.oldest);
    }
  }
}

void Engine::async_get_group(GroupRef ref, CallContext context, Callback<GroupInfo> done) {
  const Use use(*this);
  if (Status usable = check_usable(); !usable.ok()) return answer<GroupInfo>(std::move(done), usable, context);
  std::vector<GroupInfo> one;
  {
    Lock lock(core_);
    if (const GroupPtr group = find_group(ref.source, ref.group)) one.push_back(info(*group));
  }
  if (one.empty()) return answer<GroupInfo>(std::move(done), group_missing(ref.source, ref.group), context);
  if (context.caller_waits) {
    add_ages(one);
    return done(std::move(one.front()));
  }
  workshop_->post([this, one = std::move(one), context = std::move(context), done = std::move(done)]() mutable {
    add_ages(one);
    answer<GroupInfo>(std::move(done), std::move(one.front()), context);
  });
}

void Engine::async_list_groups(ListGroupsRequest request, CallContext context, Callback<ListGroupsResult> done) {
  const Use use(*this);
  if (Status usable = check_usable(); !usable.ok()) return answer<ListGroupsResult>(std::move(done), usable, context);
  ListGroupsResult out;
  {
    Lock lock(core_);
    for (const auto& [key, group] : groups_)
      if (request.source.empty() || group->source == request.source) out.groups.push_back(info(*group));
  }
  if (context.caller_waits) {
    add_ages(out.groups);
    return done(std::move(out));
  }
  workshop_->post([this, out = std::move(out), context = std::move(context), done = std::move(done)]() mutable {
    add_ages(out.groups);
    answer<ListGroupsResult>(std::move(done), std::move(out), context);
  });
}

}  // namespace weir::engine
