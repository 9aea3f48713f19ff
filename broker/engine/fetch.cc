// Fetching: leases under the lock, bodies outside of it (S-13, S-14, S-19, S-20).
#include "broker/core/limits.h"
#include "broker/engine/answer.h"

namespace weir::engine {
namespace {

constexpr int kLooksMax = 4096;                          // messages looked at before the lock is given up for a moment
constexpr Duration kExtendMax = std::chrono::hours{24 * 365};
constexpr int kSpinLooks = 1000;                         // some tens of microseconds
constexpr std::chrono::microseconds kShortWait{50};
constexpr std::size_t kReadAheadBytes = 512u << 10;
constexpr int kReadAheadBatches = 16;

Status check_request(const FetchRequest& request) {
  if (request.messages_max < 1 || request.messages_max > 10'000)
    return {ErrorCode::limit_exceeded, "messages_max: " + std::to_string(request.messages_max) + "; 1 to 10000"};
  if (request.wait < Duration{0}) return {ErrorCode::invalid_argument, "wait: negative"};
  if (request.lease && (*request.lease < std::chrono::milliseconds{100} || *request.lease > std::chrono::hours{12}))
    return {ErrorCode::limit_exceeded, "lease: " + std::to_string(request.lease->count()) + " ms; 100 ms to 12 h"};
  if (request.extend_until < Duration{0}) return {ErrorCode::invalid_argument, "extend_until: negative"};
  return {};
}

}  // namespace

Result<GroupPtr> Engine::group_of_fetch(const FetchRequest& request) {
  GroupPtr group = find_group(request.source, request.group);
  if (!group) return Status{ErrorCode::group_not_found, "no group \"" + request.group + "\" on \"" + request.source + "\""};
  if (request.member.value != 0 && !group->members.contains(request.member))
    return Status{ErrorCode::closed, "member " + std::to_string(request.member.value) + " is not (any more) in group \"" + request.group + "\""};
  return group;
}

/// The chunk that holds `offset`, when it is in memory.
ChunkPtr Engine::chunk_in_memory(const TopicState& topic, Offset offset) const {
  if (!topic.tail.empty() && offset >= topic.tail.front()->first()) {
    // The last one first: groups that keep up read there. Messages that were published one by one stand where their offset says.
    if (topic.tail.back()->holds(offset)) return topic.tail.back();
    const std::uint64_t place = offset - topic.tail.front()->first();
    if (place < topic.tail.size() && topic.tail[place]->holds(offset)) return topic.tail[place];
    const auto after = std::upper_bound(topic.tail.begin(), topic.tail.end(), offset, [](Offset o, const ChunkPtr& chunk) { return o < chunk->first(); });
    if (after != topic.tail.begin() && (*std::prev(after))->holds(offset)) return *std::prev(after);
  }
  const auto after = topic.read.upper_bound(offset.value);
  if (after != topic.read.begin() && std::prev(after)->second->holds(offset)) return std::prev(after)->second;
  return nullptr;
}

/// Reads the chunk that holds `offset`, or the first one behind it, and some of those that follow.
Result<ChunkPtr> Engine::load_chunk(TopicState& topic, Offset offset) {
  while (true) {
    const std::uint64_t rewrites = topic.rewrites;
    std::vector<format::IndexEntry> entries;
    std::size_t bytes = 0;
    Status scanned = store_->scan_index(topic.id, offset, [&](const format::IndexEntry& entry) {
      entries.push_back(entry);
      bytes += entry.bytes;
      return bytes < kReadAheadBytes && entries.size() < kReadAheadBatches;
    });
    if (!scanned.ok()) return scanned;
    if (entries.empty()) return Status{ErrorCode::not_found, "no batch at or behind offset " + std::to_string(offset.value)};
    ChunkPtr found;
    std::vector<ChunkPtr> chunks;
    for (const format::IndexEntry& entry : entries) {
      Result<std::shared_ptr<const format::RecordBatch>> batch = store_->read(topic.id, entry);
      if (!batch.ok()) {
        if (!found && batch.code() != ErrorCode::not_found) return batch.status();
        break;   // retention took it meanwhile
      }
      chunks.push_back(std::make_shared<Chunk>(*batch));
      if (!found) found = chunks.back();
    }
    if (!found) continue;
    Lock lock(core_);
    if (rewrites != topic.rewrites) return found;
    // The one that is wanted last, since the oldest go first.
    for (auto chunk = chunks.rbegin(); chunk != chunks.rend(); ++chunk) keep_read(topic, std::move(*chunk));
    return found;
  }
}

void Engine::keep_read(TopicState& topic, ChunkPtr chunk) {
  if (topic.deleted || chunk->end() <= topic.first) return;
  if (!topic.read.emplace(chunk->first().value, chunk).second) return;
  read_bytes_ += chunk->bytes();
  read_order_.emplace_back(topics_by_id_.at(topic.id.value), chunk->first().value, chunk->bytes());
  while (read_bytes_ > options_.read_cache_bytes_max && read_order_.size() > 1) {
    auto& [oldest, first, bytes] = read_order_.front();
    if (const TopicPtr held = oldest.lock()) held->read.erase(first);
    read_bytes_ -= bytes;
    read_order_.pop_front();
  }
}

/// Leases what the group has for this fetch. `missing` is set when the log must be read first. True: there may be more right away.
bool Engine::gather(const GroupPtr& group, const FetchRequest& request, std::vector<Grant>& grants, Missing& missing, After& after) {
  if (group->paused) return false;
  const std::int64_t now = now_ms();
  group->last_used_ms = now;
  core::Taking taking;
  taking.fetch = next_fetch_++;
  taking.member = request.member;
  taking.begun = !request.reports_begun;
  taking.now_ms = now;
  taking.lease_ms = request.lease.value_or(group->options.lease).count();
  taking.extend_until_ms = request.extend_until.count() > 0 ? now + std::min<Duration>(request.extend_until, kExtendMax).count() : 0;
  taking.bytes_room = request.bytes_max;
  std::uint64_t room = request.messages_max;
  room = std::min<std::uint64_t>(room, group->options.in_flight_max - std::min<std::uint64_t>(group->flight.leased, group->options.in_flight_max));
  if (request.member.value != 0) {
    const auto held = group->flight.by_member.find(request.member.value);
    const std::uint64_t leased = held == group->flight.by_member.end() ? 0 : held->second;
    room = std::min<std::uint64_t>(room, group->options.member_in_flight_max - std::min<std::uint64_t>(leased, group->options.member_in_flight_max));
  }
  if (marks_ && taking.begun && !group->ephemeral && marks_->room() < room) {
    room = marks_->room();
    marks_short_ = true;
  }
  taking.room = static_cast<std::uint32_t>(room);
  bool again = false;
  for (std::size_t n = group->active.size(); n > 0 && !taking.full() && !missing.topic; --n) {
    const CursorPtr state = group->cursors.at(group->active.front()->topic->id);
    group->active.pop_front();
    state->active = false;
    core::Cursor& cursor = *state->cursor;
    if (const auto event = cursor.next_event_ms(); event && *event <= now) cursor.tick(now);
    const auto returned = [&] {
      const std::size_t before = taking.slots.size();
      cursor.take_returned(taking);
      for (std::size_t i = before; i < taking.slots.size(); ++i) note_grant(state, taking.slots[i], nullptr, taking.begun, grants);
    };
    // The lanes take turns at being first, so that neither starves.
    if (state->log_first) {
      again = look_at_log(state, taking, grants, missing) || again;
      returned();
    } else {
      returned();
      again = look_at_log(state, taking, grants, missing) || again;
      returned();   // looking at the log may have reached what was loaded from retry records
    }
    state->log_first = !state->log_first;
    changed(*state, after);
  }
  return again;
}

/// True: there is more to look at, but the lock was held for long enough.
bool Engine::look_at_log(const CursorPtr& state, core::Taking& taking, std::vector<Grant>& grants, Missing& missing) {
  core::Cursor& cursor = *state->cursor;
  TopicState& topic = *state->topic;
  const GroupOptions& options = state->options;
  ChunkPtr chunk;
  for (int looks = 0; !taking.full() && cursor.may_look(); ++looks) {
    if (looks == kLooksMax) return true;
    if (!cursor.seek_unseen(topic.visible)) return false;
    const Offset at = cursor.next();
    if (at < topic.first) {
      cursor.lose_before(topic.first, taking.now_ms);
      continue;
    }
    if (!chunk || !chunk->holds(at)) {
      // What was just read for this fetch serves it even where the cache has no room for it.
      chunk = missing.read && missing.read_of == state->topic && missing.read->holds(at) ? missing.read : chunk_in_memory(topic, at);
      if (!chunk) {
        missing.topic = state->topic;
        missing.at = at;
        return false;
      }
    }
    const std::size_t before = taking.slots.size();
    if (!cursor.look(chunk->look(at, options.order, options.filter, hash_seed_), taking)) return false;
    if (taking.slots.size() > before) note_grant(state, taking.slots.back(), chunk, taking.begun, grants);
  }
  return false;
}

void Engine::note_grant(const CursorPtr& state, std::uint32_t slot, ChunkPtr chunk, bool begun, std::vector<Grant>& grants) {
  const core::Item& item = state->cursor->item(slot);
  Grant& grant = grants.emplace_back();
  grant.cursor = state;
  grant.slot = slot;
  grant.body = state->topic;
  grant.place = item.id.offset;
  grant.dispatched = item.last_epoch != 0 || item.deliveries + item.failures + item.crashes > 0;
  if (item.id.letter != 0) {
    const auto letters = topics_.find(dead_letter_topic(*state->topic->name, state->group->name));
    if (letters != topics_.end()) grant.body = letters->second;
    grant.place = Offset{item.id.letter - 1};
  }
  grant.chunk = chunk ? std::move(chunk) : chunk_in_memory(*grant.body, grant.place);
  Delivered& out = grant.delivered;
  out.token = {state->group->id, state->topic->id, item.id.offset, item.id.letter, Epoch{item.epoch}, slot};
  out.lease_until = Time{Duration{item.lease_until_ms}};
  out.deliveries = item.deliveries;
  out.failures = item.failures;
  out.crashes = item.crashes;
  out.redrives = item.redrives;
  if (item.id.letter != 0) out.message.time = item.history->published;
  if (begun) start(*state, slot);
}

/// Notes that a handler has begun, where it outlives the process.
void Engine::start(CursorState& state, std::uint32_t slot) {
  const core::Item& item = state.cursor->item(slot);
  std::uint32_t mark = core::kNoSlot;
  if (marks_ && !state.topic->options.ephemeral)
    mark = marks_->begin({state.group->id.value, state.topic->id.value, item.id.offset.value, item.id.letter, item.epoch, false});
  state.cursor->begin(slot, mark);
}

/// Gives bodies to what was leased. A body that is past its ttl, or gone, or not wanted any more (S-22), is not delivered.
Status Engine::deliver(std::vector<Grant> grants, std::uint64_t bytes_max, const Filter* new_filter, FetchResult& out) {
  const std::int64_t now = now_ms();
  std::uint64_t bytes = 0;
  std::vector<Grant*> surplus;   // over bytes_max: how large they are is only known now
  out.deliveries.reserve(grants.size());
  std::vector<std::pair<Grant*, core::Undeliverable>> dropped;
  Status status;
  for (Grant& grant : grants) {
    if (!grant.chunk || !grant.chunk->has(grant.place)) {
      Result<ChunkPtr> chunk = chunk_at(grant.body, grant.place);
      if (chunk.ok() && (*chunk)->has(grant.place)) {
        grant.chunk = *chunk;
      } else if (chunk.ok() || chunk.code() == ErrorCode::not_found) {
        dropped.emplace_back(&grant, core::Undeliverable::kLost);
        continue;
      } else {
        status = chunk.status();
        break;
      }
    }
    if (grant.delivered.token.redrive == 0) {
      if (const std::int64_t expires = grant.chunk->expires_ms(grant.place); expires != 0 && expires <= now) {
        dropped.emplace_back(&grant, core::Undeliverable::kExpired);
        continue;
      }
      if (new_filter != nullptr && !grant.dispatched && !grant.chunk->look(grant.place, Order::kNone, *new_filter, 0).wanted) {
        dropped.emplace_back(&grant, core::Undeliverable::kFiltered);
        continue;
      }
    }
    bytes += grant.chunk->payload_size(grant.place);
    if (!surplus.empty() || (bytes > bytes_max && !out.deliveries.empty())) {
      surplus.push_back(&grant);
      continue;
    }
    const Time published = grant.delivered.message.time;
    grant.chunk->fill(grant.place, grant.delivered.message);
    StoredMessage& message = grant.delivered.message;
    message.topic_name = grant.cursor->topic->name;
    if (grant.delivered.token.redrive != 0) {
      message.offset = grant.delivered.token.offset;
      message.time = published;
      message.dead_letter = nullptr;
    }
    out.deliveries.push_back(std::move(grant.delivered));
  }
  if (dropped.empty() && surplus.empty() && status.ok()) return {};
  After after;
  {
    Lock lock(core_);
    const auto leased = [](const Grant& grant) {
      const core::Item& item = grant.cursor->cursor->item(grant.slot);
      return !grant.cursor->deleted && item.state == core::ItemState::kLeased && item.epoch == grant.delivered.token.epoch.value;   // a token stays when its delivery is moved away
    };
    for (const auto& [grant, why] : dropped) {
      if (!leased(*grant)) continue;
      grant->cursor->cursor->drop(grant->slot, why, now);
      changed(*grant->cursor, after);
    }
    if (!dropped.empty()) leave_out_released(out);
    const auto take_back = [&](const Grant& grant) {
      if (!leased(grant)) return;
      grant.cursor->cursor->take_back(grant.slot);
      changed(*grant.cursor, after);
    };
    if (status.ok()) {
      for (auto grant = surplus.rbegin(); grant != surplus.rend(); ++grant) take_back(**grant);
    } else {
      for (auto grant = grants.rbegin(); grant != grants.rend(); ++grant) take_back(*grant);   // nothing of this fetch is handed over
      out.deliveries.clear();
    }
  }
  finish(std::move(after));
  return status;
}

/// Tries until there is something, an error, or nothing to do but wait (false). The lock is held on both ends.
bool Engine::fetch_step(const FetchRequest& request, Lock& lock, Result<FetchResult>& out, After& after) {
  Missing missing;
  while (true) {
    if (closing_ || closed_) {
      out = Status{ErrorCode::closed, "the broker is closed"};
      return true;
    }
    if (state_ == StoreState::kStopped) {
      out = stopped_status();
      return true;
    }
    Result<GroupPtr> group = group_of_fetch(request);
    if (!group.ok()) {
      out = group.status();
      return true;
    }
    std::vector<Grant> grants;
    missing.topic.reset();
    const bool again = gather(*group, request, grants, missing, after);
    if (grants.empty() && !missing.topic && !again) return false;
    const std::shared_ptr<const Filter> new_filter = (*group)->new_filter;
    lock.unlock();
    finish(std::exchange(after, {}));
    if (!grants.empty()) {
      FetchResult result;
      const Status delivered = deliver(std::move(grants), request.bytes_max, new_filter.get(), result);
      if (!delivered.ok())
        out = delivered;
      else
        out = std::move(result);
      lock.lock();
      if (!delivered.ok() || !out->deliveries.empty()) return true;
      continue;
    }
    Result<ChunkPtr> chunk = missing.topic ? load_chunk(*missing.topic, missing.at) : Result<ChunkPtr>(ChunkPtr{});
    lock.lock();
    if (!missing.topic || missing.topic->deleted) continue;
    missing.read_of = missing.topic;
    missing.read = chunk.ok() ? *chunk : nullptr;
    if (!chunk.ok() && chunk.code() != ErrorCode::not_found) {
      out = chunk.status();
      return true;
    }
    // A gap can only be what retention or a cap took meanwhile.
    const Offset there = chunk.ok() ? (*chunk)->first() : missing.topic->visible;
    if (there > missing.at) {
      if (there > missing.topic->first && chunk.ok()) {
        out = Status{ErrorCode::corruption, "topic \"" + *missing.topic->name + "\" has no batch for offset " + std::to_string(missing.at.value)};
        return true;
      }
      if (const auto state = (*group)->cursors.find(missing.topic->id); state != (*group)->cursors.end()) state->second->cursor->lose_before(std::max(there, missing.topic->first), now_ms());
    }
  }
}

void Engine::async_fetch(FetchRequest request, CallContext context, Callback<FetchResult> done) {
  const Use use(*this);
  Status valid = check_usable();
  if (valid.ok()) valid = check_request(request);
  if (valid.ok()) valid = check_in_time(context);
  if (!valid.ok()) return answer<FetchResult>(std::move(done), valid, context);
  auto waiter = std::make_shared<FetchWaiter>();
  waiter->until = std::chrono::steady_clock::now() + std::min<Duration>(request.wait, std::chrono::hours{24});
  if (context.deadline)
    if (const auto left = options_.clock->real_time_until(*context.deadline))
      waiter->until = std::min(waiter->until, std::chrono::steady_clock::now() + std::min<Duration>(*left, std::chrono::hours{24}));
  waiter->member = request.member;
  if (context.caller_waits) return fetch_blocking(std::move(request), std::move(context), std::move(waiter), std::move(done));
  if (Status room = check_room(context); !room.ok()) return answer<FetchResult>(std::move(done), room, context);
  waiter->async = true;
  waiter->request = std::move(request);
  waiter->context = std::move(context);
  waiter->done = std::move(done);
  workshop_->post([this, waiter = std::move(waiter)]() mutable { fetch_async(std::move(waiter)); });
}

/// Takes a waiter off the group's list; one that was woken and leaves without trying passes the wake-up on.
void Engine::leave_queue(const GroupPtr& group, const FetchWaiterPtr& waiter, After& after) {
  std::erase(group->waiters, waiter);
  if (waiter->woken && !group->active.empty()) wake_one(*group, after);
}

/// Sleeps until the waiter is woken, cancelled or late. Messages that come one on the heels of the other find it awake: to sleep and be woken
/// costs both sides more than to look for a moment.
void Engine::wait_for_wake(FetchWaiter& waiter, Lock& lock) {
  const auto began = std::chrono::steady_clock::now();
  if (waits_are_short_) {
    lock.unlock();
    for (int looks = 0; looks < kSpinLooks && !waiter.woken.load(std::memory_order_acquire); ++looks) base::pause();
    lock.lock();
  }
  waiter.changed.wait_until(lock, waiter.until, [&] { return waiter.woken.load(std::memory_order_relaxed) || waiter.cancelled; });
  waits_are_short_ = std::chrono::steady_clock::now() - began < kShortWait;
}

void Engine::fetch_blocking(FetchRequest request, CallContext context, FetchWaiterPtr waiter, Callback<FetchResult> done) {
  std::uint64_t subscription = 0;
  if (context.cancellation) {
    subscription = context.cancellation.state()->subscribe([reach = std::weak_ptr(reach_), waiter] {
      with(reach, [&](Engine& engine) {
        std::lock_guard lock(engine.core_);
        waiter->cancelled = true;
        waiter->changed.notify_all();
      });
    });
    if (subscription == 0) return done(Status{ErrorCode::cancelled, "cancelled"});
  }
  Result<FetchResult> out = FetchResult{};
  After after;
  {
    Lock lock(core_);
    while (!fetch_step(request, lock, out, after)) {
      out = FetchResult{};
      if (waiter->cancelled) {
        out = Status{ErrorCode::cancelled, "cancelled"};
        break;
      }
      if (std::chrono::steady_clock::now() >= waiter->until) break;
      const GroupPtr group = find_group(request.source, request.group);
      waiter->woken = false;
      group->waiters.push_back(waiter);
      if (!after.wake.empty() || !after.call.empty() || after.commit) {
        lock.unlock();
        finish(std::exchange(after, {}));
        lock.lock();
      }
      wait_for_wake(*waiter, lock);
      if (waiter->cancelled)
        leave_queue(group, waiter, after);
      else
        std::erase(group->waiters, waiter);
    }
  }
  finish(std::move(after));
  if (subscription != 0) context.cancellation.state()->unsubscribe(subscription);
  done(std::move(out));
}

void Engine::fetch_async(FetchWaiterPtr waiter) {
  const Use use(*this);
  Result<FetchResult> out = FetchResult{};
  After after;
  bool waits = false;
  {
    Lock lock(core_);
    async_waiters_.remove_if([&](const auto& entry) { return entry.second == waiter; });
    if (waiter->context.cancellation.cancelled()) waiter->cancelled = true;
    if (waiter->cancelled) {
      out = Status{ErrorCode::cancelled, "cancelled"};
      if (const GroupPtr group = find_group(waiter->request.source, waiter->request.group)) leave_queue(group, waiter, after);
    } else if (!fetch_step(waiter->request, lock, out, after)) {
      out = FetchResult{};
      if (std::chrono::steady_clock::now() < waiter->until && async_waiters_.size() >= core::kWaitersMax) {
        out = Status{ErrorCode::busy, "fetch: " + std::to_string(core::kWaitersMax) + " asynchronous fetches wait already"};
      } else if (std::chrono::steady_clock::now() < waiter->until) {
        const GroupPtr group = find_group(waiter->request.source, waiter->request.group);
        waiter->woken = false;
        group->waiters.push_back(waiter);
        async_waiters_.emplace_back(group, waiter);
        timer_changed_ = true;
        timer_wake_.notify_one();
        waits = true;
      }
    }
  }
  finish(std::move(after));
  if (!waits) {
    if (waiter->subscription != 0) waiter->context.cancellation.state()->unsubscribe(waiter->subscription);
    return answer<FetchResult>(std::move(waiter->done), std::move(out), waiter->context);
  }
  if (waiter->context.cancellation && waiter->subscription == 0) {
    waiter->subscription = waiter->context.cancellation.state()->subscribe([reach = std::weak_ptr(reach_), weak = std::weak_ptr<FetchWaiter>(waiter)] {
      with(reach, [&](Engine& engine) {
        After now;
        {
          std::lock_guard lock(engine.core_);
          const FetchWaiterPtr held = weak.lock();
          if (!held || held->woken) return;
          held->cancelled = true;
          engine.wake_waiter(held, now);
        }
        engine.finish(std::move(now));
      });
    });
    if (waiter->subscription == 0) {
      After now;
      {
        std::lock_guard lock(core_);
        waiter->cancelled = true;
        if (!waiter->woken) wake_waiter(waiter, now);
      }
      finish(std::move(now));
    }
  }
}

}  // namespace weir::engine
