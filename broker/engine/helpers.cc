// What all verbs of the engine share: finding things, answering, and what follows a change.
#include <unistd.h>

#include <thread>

#include "broker/core/limits.h"
#include "broker/core/names.h"
#include "broker/engine/engine.h"
#include "broker/base/fork.h"

namespace weir::engine {

Status Engine::check_in_time(const CallContext& context) const {
  if (context.cancellation.cancelled()) return {ErrorCode::cancelled, "cancelled before it was taken"};
  if (context.deadline && *context.deadline <= options_.clock->now()) return {ErrorCode::deadline_exceeded, "the deadline passed before it was taken"};
  return {};
}

/// Room for one more request that is not a publish: asynchronous ones are bounded, those of callers that wait by their threads (S-33).
Status Engine::check_room(const CallContext& context) const {
  if (context.caller_waits) return {};
  if (queue_size_.load(std::memory_order_relaxed) >= options_.queue_requests_max) return {ErrorCode::busy, "the queue is full (queue_requests_max)"};
  if (workshop_->waiting() >= core::kWaitersMax) return {ErrorCode::busy, std::to_string(core::kWaitersMax) + " asynchronous requests wait already"};
  return {};
}

Status Engine::check_usable() const {
  if (fork_generation_ != base::fork_generation()) return {ErrorCode::forked, "the broker was opened before fork() by process " + std::to_string(pid_)};
  if (closed_) return {ErrorCode::closed, "the broker is closed"};
  return {};
}

void Engine::log(LogLevel level, const std::string& line) const {
  if (!options_.log || level < options_.log_level) return;
  std::lock_guard lock(log_mutex_);
  options_.log(level, line);
}

TopicState* Engine::find_topic(std::string_view name) const {
  const auto at = topics_.find(absl::string_view(name.data(), name.size()));
  return at == topics_.end() ? nullptr : at->second.get();
}

Status Engine::topic_missing(std::string_view name) const {
  if (Status valid = core::validate_topic_name(name, true); !valid.ok()) return valid;
  core::NearMisses misses(name);
  for (const auto& [known, topic] : topics_)
    if (!topic->internal) misses.consider(known);
  std::string text = "no topic \"" + std::string(name) + "\"";
  const std::vector<std::string> near = std::move(misses).names();
  for (std::size_t i = 0; i < near.size(); ++i) text += (i == 0 ? "; did you mean \"" : "\" or \"") + near[i];
  if (!near.empty()) text += "\"?";
  return {ErrorCode::topic_not_found, std::move(text)};
}

GroupPtr Engine::find_group(std::string_view source, std::string_view name) const {
  const auto at = groups_.find({std::string(source), std::string(name)});
  return at == groups_.end() ? nullptr : at->second;
}

CursorState* Engine::cursor_of(const Token& token) const {
  const auto at = cursors_.find({token.group.value, token.topic.value});
  return at == cursors_.end() ? nullptr : at->second.get();
}

CursorPtr Engine::find_cursor(std::string_view topic, std::string_view group) const {
  const TopicState* state = find_topic(topic);
  if (state == nullptr) return nullptr;
  for (const CursorPtr& cursor : state->cursors)
    if (cursor->group->name == group) return cursor;
  return nullptr;
}

std::string Engine::member_name(MemberId member) const {
  const auto at = members_.find(member.value);
  return at == members_.end() ? std::string() : at->second.name;
}

void Engine::finish(After after) {
  for (const FetchWaiterPtr& waiter : after.wake) waiter->changed.notify_one();
  for (auto& call : after.call) call();
  if (after.commit) request_commit();
}

void Engine::wake_one(GroupState& group, After& after) {
  // One whose member holds all it may would take nothing, and nobody else would be woken in its place.
  const auto can_take = [&](const FetchWaiterPtr& waiter) {
    const auto held = group.flight.by_member.find(waiter->member.value);
    return waiter->member.value == 0 || held == group.flight.by_member.end() || held->second < group.options.member_in_flight_max;
  };
  const auto first = std::find_if(group.waiters.begin(), group.waiters.end(), can_take);
  if (first == group.waiters.end()) return;
  FetchWaiterPtr waiter = std::move(*first);
  group.waiters.erase(first);
  waiter->woken = true;
  if (!waiter->async) {
    after.wake.push_back(std::move(waiter));
    return;
  }
  after.call.push_back([this, waiter = std::move(waiter)]() mutable { workshop_->post([this, waiter = std::move(waiter)]() mutable { fetch_async(std::move(waiter)); }); });
}

/// Makes this waiter, wherever it stands, look again.
void Engine::wake_waiter(const FetchWaiterPtr& waiter, After& after) {
  for (const auto& [name, group] : groups_) std::erase(group->waiters, waiter);
  waiter->woken = true;
  if (!waiter->async) {
    after.wake.push_back(waiter);
    return;
  }
  after.call.push_back([this, waiter] { workshop_->post([this, waiter] { fetch_async(waiter); }); });
}

/// All who wait look again: the group is gone, the broker closes or is stopped.
void Engine::answer_waiters(GroupState& group, After& after) {
  while (!group.waiters.empty()) wake_waiter(FetchWaiterPtr(group.waiters.front()), after);
}

void Engine::activate(CursorState& cursor, After& after) {
  GroupState& group = *cursor.group;
  if (!cursor.active) {
    cursor.active = true;
    group.active.push_back(&cursor);
  }
  if (!group.paused && group.flight.leased < group.options.in_flight_max) wake_one(group, after);
}

/// Follows everything that is done to a cursor.
void Engine::changed(CursorState& state, After& after) {
  core::Cursor& cursor = *state.cursor;
  if (state.deleted) return;
  if (state.topic->options.ephemeral) {
    if (cursor.has_deaths()) bury(state, nullptr, after);
    TopicState& topic = *state.topic;
    if (topic.options.discard_settled && !topic.tail.empty() && topic.tail.front()->end() <= cursor.floor()) retain_ephemeral(topic, now_ms(), after);
  } else if (!state.dirty_listed && cursor.dirty()) {
    mark_dirty(state, after);
  }
  GroupState& group = *state.group;
  if (cursor.has_returned() || (cursor.next() < state.topic->visible && cursor.may_look()))
    activate(state, after);
  else if (!group.waiters.empty() && !group.active.empty() && !group.paused && group.flight.leased < group.options.in_flight_max)
    wake_one(group, after);   // the room that this topic's messages gave back is what those of another waited for
  reschedule(state);
  if (!gate_.waiting.empty() && gate_.holder == nullptr) open_gate(after);
  if (!drains_.empty()) check_drains(after);
}

void Engine::mark_dirty(CursorState& state, After& after) {
  if (!state.dirty_listed) {
    state.dirty_listed = true;
    dirty_.push_back(state.group->cursors.at(state.topic->id));
  }
  after.commit = true;
}

void Engine::open_gate(After& after) {
  for (core::Cursor* cursor : std::exchange(gate_.waiting, {})) {
    cursor->gate_opened();
    for (const auto& [ids, state] : cursors_)
      if (state->cursor.get() == cursor && cursor->has_returned()) activate(*state, after);
  }
}

/// Its holder is gone: the next one's turn.
void Engine::pass_gate() {
  After after;
  {
    Lock lock(core_);
    if (gate_.holder == nullptr) open_gate(after);
  }
  finish(std::move(after));
}

void Engine::with(const std::weak_ptr<Reach>& reach, const std::function<void(Engine&)>& visit) {
  const std::shared_ptr<Reach> held = reach.lock();
  if (!held) return;
  const std::shared_lock lock(held->mutex);
  if (held->engine != nullptr) visit(*held->engine);
}

thread_local std::int64_t Engine::Use::mine_ = 0;

std::size_t Engine::Use::stripe() noexcept {
  static std::atomic<std::size_t> threads{0};
  static thread_local const std::size_t mine = threads.fetch_add(1) % std::tuple_size_v<decltype(uses_)>;
  return mine;
}

/// Until no verb is under way but those that this thread is in.
void Engine::wait_for_uses() {
  while (true) {
    std::int64_t uses = 0;
    for (const Uses& each : uses_) uses += each.count.load();
    if (uses <= Use::mine()) return;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
}

bool Engine::drained(const GroupState& group, bool include_waiting) const {
  for (const auto& [id, state] : group.cursors) {
    const core::Cursor& cursor = *state->cursor;
    if (cursor.leased() > 0 || cursor.has_returned() || cursor.gated() > 0 || state->dirty_listed) return false;
    if (cursor.next() < state->topic->next && cursor.settled().next_unsettled(cursor.next()) < state->topic->next) return false;
    if (include_waiting && (cursor.waiting() > 0 || cursor.blocked() > 0)) return false;
  }
  return true;
}

void Engine::check_drains(After& after) {
  for (auto at = drains_.begin(); at != drains_.end();) {
    Status status;
    bool done = true;
    if (at->context.cancellation.cancelled()) {
      status = {ErrorCode::cancelled, "cancelled"};
    } else if (at->context.deadline && *at->context.deadline <= options_.clock->now()) {
      status = {ErrorCode::deadline_exceeded, "not drained in time"};
    } else if (at->request.groups.empty()) {
      for (const auto& [name, group] : groups_) done = done && drained(*group, at->request.include_waiting);
    } else {
      for (const GroupRef& ref : at->request.groups)
        if (const GroupPtr group = find_group(ref.source, ref.group)) done = done && drained(*group, at->request.include_waiting);
    }
    if (!done) {
      ++at;
      continue;
    }
    after.call.push_back([done = std::move(at->done), status = std::move(status)]() mutable { done(std::move(status)); });
    at = drains_.erase(at);
  }
}

}  // namespace weir::engine
