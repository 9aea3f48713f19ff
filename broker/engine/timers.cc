// Time: leases, retries, long polls and housekeeping, on one thread.
#include <pthread.h>

#include "broker/engine/answer.h"

namespace weir::engine {
namespace {
constexpr std::chrono::milliseconds kHousekeeping{1000};
}

/// Sees to it that the cursor's next event is noticed.
void Engine::reschedule(CursorState& state) {
  const std::optional<std::int64_t> event = state.cursor->next_event_ms();
  if (!event || *event >= state.timer_ms) return;   // an event that went away costs one look
  if (state.timer_ms != INT64_MAX) timers_.erase({state.timer_ms, &state});
  state.timer_ms = *event;
  timers_.emplace(*event, &state);
  if (timers_.begin()->second == &state && *event < timer_sleeps_until_) {
    timer_changed_ = true;
    timer_wake_.notify_one();
  }
}

/// Something happens at that time: the timer may have to wake before it meant to.
void Engine::timer_before(std::int64_t when_ms) {
  if (when_ms >= timer_sleeps_until_) return;
  timer_changed_ = true;
  timer_wake_.notify_one();
}

void Engine::fire_timers(After& after) {
  const std::int64_t now = now_ms();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    CursorState& state = *timers_.begin()->second;
    timers_.erase(timers_.begin());
    state.timer_ms = INT64_MAX;
    state.cursor->tick(now);
    changed(state, after);
  }
  workbench_->fire(now, after);
  schedules_.tick(now, after);
  if (!drains_.empty()) check_drains(after);
  const auto real = std::chrono::steady_clock::now();
  for (auto at = async_waiters_.begin(); at != async_waiters_.end();) {
    auto& [group, waiter] = *at;
    if (waiter->woken || waiter->until > real) {
      ++at;
      continue;
    }
    const FetchWaiterPtr late = waiter;
    at = async_waiters_.erase(at);
    wake_waiter(late, after);
  }
}

void Engine::timer_loop() {
  ::pthread_setname_np(::pthread_self(), "weir-timer");
  auto housekeeping = std::chrono::steady_clock::now() + kHousekeeping;
  Lock lock(core_);
  while (!timer_ends_) {
    timer_changed_ = false;
    After after;
    fire_timers(after);
    if (!after.wake.empty() || !after.call.empty() || after.commit) {
      lock.unlock();
      finish(std::move(after));
      lock.lock();
      continue;
    }
    const auto real = std::chrono::steady_clock::now();
    if (clock_jumped_ || real >= housekeeping) {
      clock_jumped_ = false;
      housekeeping = real + kHousekeeping;
      lock.unlock();
      housekeep();
      lock.lock();
      continue;
    }
    auto until = housekeeping;
    timer_sleeps_until_ = std::min({timers_.empty() ? INT64_MAX : timers_.begin()->first, workbench_->next_due_ms(), schedules_.next_due_ms()});
    if (timer_sleeps_until_ != INT64_MAX) {
      const auto wait = options_.clock->real_time_until(Time{Duration{timer_sleeps_until_}});
      if (wait) until = std::min(until, real + std::min<Duration>(*wait, std::chrono::hours{24}));
    }
    // A drain may be cancelled or late without anything else happening.
    if (!drains_.empty()) until = std::min(until, real + std::chrono::milliseconds(20));
    for (const auto& [group, waiter] : async_waiters_) until = std::min(until, waiter->until);
    timer_wake_.wait_until(lock, until, [this] { return timer_changed_ || clock_jumped_ || timer_ends_; });
    timer_sleeps_until_ = INT64_MIN;
  }
}

/// Once a second, and after each jump of a clock that is driven by hand.
void Engine::housekeep() {
  check_disk_space(true);
  schedules_.housekeep();
  if (events_.has_notes()) request_commit();
  const Time now = options_.clock->now();
  std::vector<core::Dedup::Expired> expired;
  std::vector<std::pair<GroupRef, GroupId>> idle;
  std::vector<ChunkPtr> garbage;
  std::vector<TopicId> purge;
  bool retain_now = false, has_sessions = false;
  {
    Lock lock(core_);
    Duration window{0};
    for (const auto& [id, topic] : topics_by_id_) window = std::max(window, topic->options.dedup_window);
    expired = dedup_.expire(now, window, 10'000);
    has_sessions = sessions_.size() > 0 || requests_.size() > 0;
    (void)ephemeral_sessions_.expire(now);
    if (!store_) (void)requests_.expire(now);
    garbage.swap(garbage_);
    for (const auto& [name, group] : groups_) {
      if (!group->waiters.empty()) group->last_used_ms = now_ms();
      if (group->options.expire_idle && group->members.empty() && group->flight.leased == 0 && now_ms() - group->last_used_ms >= group->options.expire_idle->count())
        idle.push_back({{group->source, group->name}, group->id});
      else if (group->options.is_volatile && group->had_member && group->members.empty())
        idle.push_back({{group->source, group->name}, group->id});
      for (const auto& [topic, state] : group->cursors)
        if (state->topic->options.ephemeral) forget_changes(*state);
    }
    retain_now = !std::exchange(retaining_, true);
    purge.swap(purge_later_);
  }
  for (const TopicId topic : purge) workshop_->post([this, topic] { purge_deleted_topic(topic); });
  if (store_ && (!expired.empty() || has_sessions)) {
    auto op = std::make_unique<Op>();
    op->decide = [this, now, expired = std::move(expired)](store::WriteSet& set, After&) -> Status {
      for (const auto& record : expired) set.erase(format::dedup_key(record.commit, record.sub));
      // Forgotten here and not before, so that a session that comes back is written behind its end.
      for (const std::string& name : sessions_.expire(now)) set.erase(format::session_key(name));
      for (const std::string& id : requests_.expire(now, 10'000)) set.erase(format::request_key(id));
      return {};
    };
    op->done = [](Status) {};   // what was not erased is expired again after the next open
    submit(std::move(op), {});
  }
  workbench_->housekeep();
  for (auto& [ref, id] : idle) delete_unused_group(std::move(ref), id, {}, [](Result<Done>) {});
  if (retain_now) workshop_->post([this] { retain(); });
}

/// Ephemeral cursors write nothing, so what they would write is thrown away now and then.
void Engine::forget_changes(CursorState& state) {
  core::SettledSet::Changes none;
  state.cursor->settled().collect(none);
  state.cursor->collect_records([](const core::RecordChange&) {});
  state.cursor->collect_holds([](const core::HoldChange&) {});
  (void)state.cursor->take_finished_marks();
}

}  // namespace weir::engine
