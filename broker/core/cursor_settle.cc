// How deliveries end: settlements, failures, deaths.
#include <algorithm>

#include "broker/base/check.h"
#include "broker/core/backoff.h"
#include "broker/core/cursor.h"
#include "broker/core/limits.h"

namespace weir::core {
namespace {

constexpr std::size_t kAttemptErrorMax = 256;
constexpr std::size_t kAttemptsMax = 5;

Time at(std::int64_t ms) { return Time{Duration{ms}}; }

}  // namespace

ErrorCode Cursor::find(const Token& token, std::uint32_t& slot) const {
  const ItemId id{token.offset, token.redrive};
  if (token.slot < items_.size()) {
    const Item& item = items_[token.slot];
    if (item.state == ItemState::kLeased && item.id == id) {
      slot = token.slot;
      return item.epoch == token.epoch.value ? ErrorCode::ok : ErrorCode::lease_lost;
    }
  }
  return ErrorCode::lease_lost;
}

void Cursor::begin(std::uint32_t slot, std::uint32_t mark) {
  Item& item = items_[slot];
  WEIR_CHECK(item.state == ItemState::kLeased && !item.begun, "begin of offset " << item.id.offset);
  item.begun = true;
  item.mark = mark;
  ++item.deliveries;
  ++totals_.delivered;
}

ErrorCode Cursor::settle(const Settlement& settlement, std::int64_t now_ms) {
  std::uint32_t slot = 0;
  if (find(settlement.token, slot) != ErrorCode::ok) return answer_past(settlement.token, settlement.kind, now_ms);
  Item& item = items_[slot];
  const std::uint64_t hash = item.key_hash;
  const std::uint64_t epoch = item.epoch;
  switch (settlement.kind) {
    case Settle::kAck:
      end_lease(slot);
      ++totals_.acked;
      forget(slot, static_cast<std::uint8_t>(Settle::kAck), now_ms);
      break;
    case Settle::kRetry:
      fail(slot, Outcome::kRetry, settlement.error, settlement.delay, now_ms);
      release_rest_of_chain(hash, epoch, now_ms);
      break;
    case Settle::kReject:
      ++item.failures;
      note_attempt(item, Outcome::kReject, settlement.error, now_ms);
      end_lease(slot);
      die(slot, DeathReason::kRejected, now_ms);
      release_rest_of_chain(hash, epoch, now_ms);
      break;
    case Settle::kRelease:
      release(slot, now_ms);
      release_rest_of_chain(hash, epoch, now_ms);
      break;
    case Settle::kExtend: {
      const std::int64_t lease = settlement.delay ? settlement.delay->count() : item.lease_ms;
      item.lease_until_ms = now_ms + lease;
      lease_check_ms_ = std::min(lease_check_ms_, item.lease_until_ms);
      return ErrorCode::ok;
    }
  }
  if (hash != 0) {
    queue_key_if_free(hash);
    forget_key_if_idle(hash);
  }
  return ErrorCode::ok;
}

ErrorCode Cursor::check_settle(const Token& token, Settle kind, std::int64_t now_ms, std::uint32_t& slot) const {
  if (find(token, slot) == ErrorCode::ok) return ErrorCode::ok;
  const ErrorCode past = answer_past(token, kind, now_ms);
  return past == ErrorCode::ok ? ErrorCode::already_settled : past;
}

/// What a token that is not leased any more is told: the same settlement again is fine for a while (S-14).
ErrorCode Cursor::answer_past(const Token& token, Settle kind, std::int64_t now_ms) const {
  const ItemId id{token.offset, token.redrive};
  const auto same = [&](std::uint8_t was, std::int64_t when) {
    return was == static_cast<std::uint8_t>(kind) && now_ms - when <= kRepeatMs ? ErrorCode::ok : ErrorCode::already_settled;
  };
  if (const auto known = known_.find(id); known != known_.end()) {
    const Item& item = items_[known->second];
    if (item.last_epoch != token.epoch.value || item.last_kind > static_cast<std::uint8_t>(Settle::kRelease)) return ErrorCode::lease_lost;
    return same(item.last_kind, item.last_ms);
  }
  if (const auto recent = recent_.find(id); recent != recent_.end()) {
    if (recent->second.epoch != token.epoch.value || recent->second.kind > static_cast<std::uint8_t>(Settle::kRelease)) return ErrorCode::lease_lost;
    return same(recent->second.kind, recent->second.at_ms);
  }
  if (token.redrive != 0) return ErrorCode::already_settled;
  if (token.epoch.value < void_before_epoch_ || !settled_.contains(token.offset)) return ErrorCode::lease_lost;
  // How it was settled is not written down: of what was handed out before the store was opened, only that it is over is known.
  if (incarnation_of(token.epoch.value) != incarnation_of(*env_.next_epoch)) return ErrorCode::already_settled;
  const std::optional<Time> when = settled_.last_settled(token.offset);
  if (!when) return ErrorCode::already_settled;
  return same(static_cast<std::uint8_t>(Settle::kAck), when->time_since_epoch().count());
}

void Cursor::end_lease(std::uint32_t slot) {
  Item& item = items_[slot];
  WEIR_CHECK(item.state == ItemState::kLeased, "offset " << item.id.offset << " is not leased");
  --leased_;
  --env_.flight->leased;
  if (item.member.value != 0) {
    const auto member = env_.flight->by_member.find(item.member.value);
    if (--member->second == 0) env_.flight->by_member.erase(member);
  }
  leave_gate(item);
  if (item.key_hash != 0) key_unleased(slot);
  if (item.mark != kNoSlot) {
    env_.marks->finished(item.mark);
    finished_marks_.push_back(std::exchange(item.mark, kNoSlot));
  }
}

void Cursor::fail(std::uint32_t slot, Outcome outcome, std::string error, std::optional<Duration> delay, std::int64_t now_ms) {
  Item& item = items_[slot];
  ++item.failures;
  note_attempt(item, outcome, error, now_ms);
  end_lease(slot);
  item.last_epoch = item.epoch;
  item.last_kind = outcome == Outcome::kRetry ? static_cast<std::uint8_t>(Settle::kRetry) : kNoSettlement;
  item.last_ms = now_ms;
  if (die_if_over(slot, now_ms)) return;
  ++totals_.retried;
  const Duration wait = delay ? *delay : backoff_delay(env_.options->backoff, item.failures, *env_.random);
  item.due_ms = now_ms + wait.count();
  record_changed(item);
  give_back(slot, wait.count() > 0 ? ItemState::kWaiting : ItemState::kReady);
}

bool Cursor::die_if_over(std::uint32_t slot, std::int64_t now_ms) {
  const Item& item = items_[slot];
  if (item.failures >= env_.options->max_attempts) {
    die(slot, DeathReason::kMaxAttempts, now_ms);
    return true;
  }
  if (item.deliveries >= env_.options->max_deliveries) {
    die(slot, DeathReason::kCrashLoop, now_ms);
    return true;
  }
  return false;
}

void Cursor::die(std::uint32_t slot, DeathReason reason, std::int64_t now_ms) {
  Item& item = items_[slot];
  Death death{item.id, reason, item.deliveries, item.failures, item.redrives, {}, hold_key(item.key_hash)};
  if (item.history) death.history = std::move(*item.history);
  deaths_.push_back(std::move(death));
  ++totals_.dead_lettered;
  // What killed it may be repeated, when it was a settlement.
  const std::uint8_t killed_by = reason == DeathReason::kRejected  ? static_cast<std::uint8_t>(Settle::kReject)
                                 : reason == DeathReason::kExpired ? kNoSettlement
                                                                   : item.last_kind;
  forget(slot, killed_by, now_ms);
}

/// The message is settled for this group: nothing is kept of it but that.
void Cursor::forget(std::uint32_t slot, std::uint8_t kind, std::int64_t now_ms) {
  Item& item = items_[slot];
  if (kind != static_cast<std::uint8_t>(Settle::kAck) || item.last_epoch != 0 || item.id.letter != 0)
    remember(item.id, item.epoch, kind, now_ms);
  if (item.recorded) changed_records_.push_back(item.id);
  if (item.id.letter == 0) {
    settled_.insert(item.id.offset, at(now_ms));
  } else {
    letters_.erase(item.id.letter);
    --redriven_;
  }
  known_.erase(item.id);
  free_slot(slot);
}

void Cursor::release(std::uint32_t slot, std::int64_t now_ms) {
  Item& item = items_[slot];
  // Given back uncounted: neither counter shows it, so that orderly ends of members never bring a message to its limits.
  if (item.begun) --item.deliveries;
  end_lease(slot);
  ++totals_.released;
  item.last_epoch = item.epoch;
  item.last_kind = static_cast<std::uint8_t>(Settle::kRelease);
  item.last_ms = now_ms;
  item.due_ms = now_ms;
  give_back(slot, ItemState::kReady);
}

void Cursor::take_back(std::uint32_t slot) {
  Item& item = items_[slot];
  const std::uint64_t hash = item.key_hash;
  if (item.begun) {
    --item.deliveries;
    --totals_.delivered;
  }
  end_lease(slot);
  give_back(slot, ItemState::kReady);
  if (hash != 0) queue_key_if_free(hash);
}

/// Messages of a key that one fetch took together are worked in order: when one is not acked, those behind it go back (S-13).
/// Epochs rise in the order of the hand-over, which is not that of the offsets where dead letters are given back.
void Cursor::release_rest_of_chain(std::uint64_t key_hash, std::uint64_t after_epoch, std::int64_t now_ms) {
  if (key_hash == 0) return;
  const auto state = keys_.find(key_hash);
  if (state == keys_.end() || state->second.leased == 0) return;
  std::vector<std::uint32_t> rest;
  if (state->second.backlog && !state->second.backlog->chain.empty())
    rest = state->second.backlog->chain;
  else
    rest = {state->second.slot};
  for (const std::uint32_t slot : rest) {
    if (items_[slot].epoch <= after_epoch) continue;
    release(slot, now_ms);
    items_[slot].last_kind = kNoSettlement;
  }
}

void Cursor::give_back(std::uint32_t slot, ItemState state) {
  Item& item = items_[slot];
  item.state = state;
  item.begun = false;
  known_[item.id] = slot;
  // What is loaded at open may have messages of its key before it in the log that were not settled: it must not overtake them.
  item.ahead = item.key_hash != 0 && item.id.letter == 0 && item.id.offset >= next_;
  if (item.key_hash != 0 && !item.ahead) insert_returned(slot);
  if (state == ItemState::kWaiting)
    waiting_.emplace(item.due_ms, slot);
  else
    make_ready(slot);
}

void Cursor::make_ready(std::uint32_t slot) {
  items_[slot].state = ItemState::kReady;
  if (items_[slot].key_hash == 0)
    ready_items_.push_back(slot);
  else if (!items_[slot].ahead)
    queue_key_if_free(items_[slot].key_hash);
}

void Cursor::note_attempt(Item& item, Outcome outcome, std::string_view error, std::int64_t now_ms) {
  if (!item.history) item.history = std::make_unique<History>();
  History& history = *item.history;
  if (!history.first_failure) history.first_failure = at(now_ms);
  history.last_failure = at(now_ms);
  add_attempt(history, {at(now_ms), env_.member_name(item.member), outcome, std::string(error)});
}

void Cursor::add_attempt(History& history, Attempt attempt) {
  history.error = std::string(cut_text(attempt.error, kErrorBytesMax));
  attempt.error = std::string(cut_text(attempt.error, kAttemptErrorMax));
  if (history.attempts.size() == kAttemptsMax) history.attempts.erase(history.attempts.begin());
  history.attempts.push_back(std::move(attempt));
}

void Cursor::record_changed(Item& item) {
  item.recorded = true;
  changed_records_.push_back(item.id);
}

void Cursor::collect_records(const std::function<void(const RecordChange&)>& visit) {
  std::sort(changed_records_.begin(), changed_records_.end());
  changed_records_.erase(std::unique(changed_records_.begin(), changed_records_.end()), changed_records_.end());
  for (const ItemId& id : changed_records_) {
    const auto known = known_.find(id);
    visit({id, known == known_.end() ? nullptr : &items_[known->second]});
  }
  changed_records_.clear();
}

void Cursor::remember(const ItemId& id, std::uint64_t epoch, std::uint8_t kind, std::int64_t now_ms) {
  recent_[id] = {epoch, kind, now_ms, now_ms};
  recent_order_.emplace_back(now_ms, id);
  for (int looks = 0; looks < 4; ++looks) {
    const bool full = recent_order_.size() > kRecentMax;
    if (recent_order_.empty() || (!full && now_ms - recent_order_.front().first <= 2 * kRepeatMs)) return;
    const auto [listed, oldest] = recent_order_.front();
    recent_order_.pop_front();
    const auto found = recent_.find(oldest);
    if (found == recent_.end() || found->second.listed_ms != listed) continue;
    // As long as its neighbours may be settled, the settled set would take this one for a recent ack.
    const bool page_lives = oldest.letter == 0 && oldest.offset.value / SettledSet::kPageOffsets >= settled_.floor().value / SettledSet::kPageOffsets;
    const std::optional<Time> page = page_lives || oldest.letter != 0 ? std::nullopt : settled_.last_settled(oldest.offset);
    if (!full && (page_lives || (page && now_ms - page->time_since_epoch().count() <= kRepeatMs))) {
      found->second.listed_ms = now_ms;
      recent_order_.emplace_back(now_ms, oldest);
    } else {
      recent_.erase(found);
    }
  }
}

void Cursor::drop(std::uint32_t slot, Undeliverable why, std::int64_t now_ms) {
  Item& item = items_[slot];
  const std::uint64_t hash = item.key_hash;
  const std::uint64_t epoch = item.epoch;
  end_lease(slot);
  if (why == Undeliverable::kExpired) ++totals_.expired;
  if (why == Undeliverable::kFiltered) ++totals_.filtered;
  if (why == Undeliverable::kExpired && env_.options->dead_letter_expired) {
    die(slot, DeathReason::kExpired, now_ms);
    if (env_.options->hold_key) release_rest_of_chain(hash, epoch, now_ms);
  } else {
    forget(slot, kNoSettlement, now_ms);
  }
  if (hash != 0) {
    queue_key_if_free(hash);
    forget_key_if_idle(hash);
  }
}

}  // namespace weir::core
