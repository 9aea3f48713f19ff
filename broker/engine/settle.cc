// Settling: changed in memory at once, written with the next commit, answered when that is done (S-14, S-16).
#include "broker/core/limits.h"
#include "broker/engine/answer.h"

namespace weir::engine {

Status Engine::begin(const Token& token) {
  const Use use(*this);
  if (Status usable = check_usable(); !usable.ok()) return usable;
  const Lock lock(core_);
  return begin_locked(token);
}

Status Engine::begin_after(const Token& ended, const Token& next) {
  const Use use(*this);
  if (Status usable = check_usable(); !usable.ok()) return usable;
  const Lock lock(core_);
  std::uint32_t slot = 0;
  if (const CursorState* state = marks_ ? cursor_of(ended) : nullptr; state != nullptr && state->cursor->find(ended, slot) == ErrorCode::ok) {
    const std::uint32_t mark = state->cursor->item(slot).mark;
    if (mark != core::kNoSlot) marks_->finished(mark);
  }
  return begin_locked(next);
}

Status Engine::begin_locked(const Token& token) {
  CursorState* state = cursor_of(token);
  std::uint32_t slot = 0;
  if (state == nullptr || state->cursor->find(token, slot) != ErrorCode::ok) return {ErrorCode::lease_lost, "the delivery is void: it expired, was sought over, or its key was given back"};
  if (state->cursor->item(slot).begun) return {};
  if (marks_ && !state->topic->options.ephemeral && marks_->room() == 0)
    return {ErrorCode::busy, "handlers: " + std::to_string(Marks::kSlots) + " deliveries of this store are begun and not settled"};
  start(*state, slot);
  return {};
}

Status Engine::settle_one(const Settlement& settlement, std::int64_t now, bool& durable, After& after) {
  CursorState* state = cursor_of(settlement.token);
  if (state == nullptr) return {ErrorCode::lease_lost, "the group or the topic is gone"};
  if (settlement.delay) {
    const Duration delay = *settlement.delay;
    if (settlement.kind == Settle::kRetry && (delay < Duration{0} || delay > core::kRetryDelayMax))
      return {ErrorCode::limit_exceeded, "delay: " + std::to_string(delay.count()) + " ms; 0 to 365 days"};
    if (settlement.kind == Settle::kExtend && (delay < std::chrono::milliseconds{100} || delay > std::chrono::hours{12}))
      return {ErrorCode::limit_exceeded, "lease: " + std::to_string(delay.count()) + " ms; 100 ms to 12 h"};
  }
  ErrorCode code;
  if (settlement.kind == Settle::kReject && state->topic->internal) {
    // A consumer of dead letters never dead-letters (S-23).
    Settlement retry = settlement;
    retry.kind = Settle::kRetry;
    code = state->cursor->settle(retry, now);
  } else {
    code = state->cursor->settle(settlement, now);
  }
  if (code == ErrorCode::ok) {
    changed(*state, after);
    // A repetition is answered when what it repeats is on disk.
    durable = durable || !state->topic->options.ephemeral;
    return {};
  }
  if (code == ErrorCode::already_settled) return {code, "offset " + std::to_string(settlement.token.offset.value) + " was settled before, otherwise or too long ago"};
  return {code, "offset " + std::to_string(settlement.token.offset.value) + ": the token is not the newest any more"};
}

void Engine::async_settle(SettleRequest request, CallContext context, Callback<SettleResult> done) {
  const Use use(*this);
  Status usable = check_usable();
  if (usable.ok()) usable = check_in_time(context);
  if (usable.ok()) usable = check_room(context);
  if (usable.ok() && request.settlements.size() > 10'000)
    usable = {ErrorCode::limit_exceeded, "settlements: " + std::to_string(request.settlements.size()) + " in one request; the limit is 10000"};
  if (usable.ok() && state_ == StoreState::kStopped) usable = stopped_status();
  if (!usable.ok()) return answer<SettleResult>(std::move(done), usable, context);
  SettleResult result;
  bool all_ok = true;
  bool durable = false;
  After after;
  {
    const std::int64_t now = now_ms();
    Lock lock(core_);
    for (std::size_t i = 0; i < request.settlements.size(); ++i) {
      Status status = settle_one(request.settlements[i], now, durable, after);
      if (status.ok() && all_ok) continue;
      if (all_ok) {
        all_ok = false;
        result.results.resize(request.settlements.size());
      }
      result.results[i] = std::move(status);
    }
  }
  const Durability level = request.durability.value_or(Durability::kProcess);
  durable = durable && store_ && level != Durability::kMemory;
  if (durable) after.commit = false;   // the operation below makes the commit
  finish(std::move(after));
  if (!durable) return answer<SettleResult>(std::move(done), std::move(result), context);
  auto op = std::make_unique<Op>();
  op->level = level;
  op->caller_waits = context.caller_waits;
  op->done = [result = std::move(result), done = std::move(done)](Status status) mutable {
    if (status.ok())
      done(std::move(result));
    else
      done(std::move(status));
  };
  submit(std::move(op), context);
}

}  // namespace weir::engine
