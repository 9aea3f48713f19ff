// What time, members and operators do to a cursor.
#include <algorithm>

#include "broker/base/check.h"
#include "broker/core/cursor.h"

namespace weir::core {
namespace {
Time at(std::int64_t ms) { return Time{Duration{ms}}; }
}  // namespace

std::optional<std::int64_t> Cursor::next_event_ms() const {
  std::int64_t when = leased_ > 0 ? lease_check_ms_ : INT64_MAX;
  if (!waiting_.empty()) when = std::min(when, waiting_.begin()->first);
  if (when == INT64_MAX) return std::nullopt;
  return when;
}

void Cursor::tick(std::int64_t now_ms) {
  if (leased_ > 0 && now_ms >= lease_check_ms_) expire_leases(now_ms);
  while (!waiting_.empty() && waiting_.begin()->first <= now_ms) {
    const std::uint32_t slot = waiting_.begin()->second;
    waiting_.erase(waiting_.begin());
    make_ready(slot);
  }
  settled_.prune(at(now_ms - kRepeatMs));
}

void Cursor::expire_leases(std::int64_t now_ms) {
  lease_check_ms_ = INT64_MAX;
  std::vector<std::uint32_t> over;
  for (std::uint32_t slot = 0; slot < items_.size(); ++slot) {
    Item& item = items_[slot];
    if (item.state != ItemState::kLeased) continue;
    if (item.lease_until_ms <= now_ms && now_ms < item.extend_until_ms)
      item.lease_until_ms = std::min(now_ms + item.lease_ms, item.extend_until_ms);
    if (item.lease_until_ms > now_ms)
      lease_check_ms_ = std::min(lease_check_ms_, item.lease_until_ms);
    else
      over.push_back(slot);
  }
  // In the order of the hand-over: of a key's chain only the first is charged, those behind it go back with it.
  std::sort(over.begin(), over.end(), [this](std::uint32_t a, std::uint32_t b) { return items_[a].epoch < items_[b].epoch; });
  for (const std::uint32_t slot : over) {
    Item& item = items_[slot];
    if (item.state != ItemState::kLeased) continue;
    const std::uint64_t hash = item.key_hash;
    const std::uint64_t epoch = item.epoch;
    ++totals_.expired_leases;
    if (item.begun) {
      fail(slot, Outcome::kLeaseExpired, "the lease expired", std::nullopt, now_ms);
    } else {
      release(slot, now_ms);
      item.last_kind = kNoSettlement;
    }
    release_rest_of_chain(hash, epoch, now_ms);
    if (hash != 0) {
      queue_key_if_free(hash);
      forget_key_if_idle(hash);
    }
  }
}

void Cursor::release_member(MemberId member, bool all, std::int64_t now_ms) {
  for (std::uint32_t slot = 0; slot < items_.size(); ++slot) {
    Item& item = items_[slot];
    if (item.state != ItemState::kLeased || item.member != member || (item.begun && !all)) continue;
    const std::uint64_t hash = item.key_hash;
    const std::uint64_t epoch = item.epoch;
    release(slot, now_ms);
    items_[slot].last_kind = kNoSettlement;
    release_rest_of_chain(hash, epoch, now_ms);
    if (hash != 0) {
      queue_key_if_free(hash);
      forget_key_if_idle(hash);
    }
  }
}

void Cursor::release_all(std::int64_t now_ms) {
  for (std::uint32_t slot = 0; slot < items_.size(); ++slot)
    if (items_[slot].state == ItemState::kLeased) release(slot, now_ms);
}

void Cursor::seek(Offset offset, std::int64_t now_ms) {
  void_before_epoch_ = *env_.next_epoch;
  std::vector<std::uint32_t> stay;
  for (std::uint32_t slot = 0; slot < items_.size(); ++slot) {
    Item& item = items_[slot];
    if (item.state == ItemState::kFree) continue;
    if (item.state == ItemState::kLeased) {
      end_lease(slot);
      item.last_kind = kNoSettlement;
      item.last_epoch = item.epoch;
    }
    if (item.id.letter != 0) {
      stay.push_back(slot);
      continue;
    }
    if (item.recorded) changed_records_.push_back(item.id);
    known_.erase(item.id);
    free_slot(slot);
  }
  keys_.clear();
  ready_items_.clear();
  ready_keys_.clear();
  gated_.clear();
  waiting_.clear();
  recent_.clear();
  recent_order_.clear();
  for (const auto& [letter, hash] : std::exchange(held_, {})) changed_holds_.insert(letter);
  for (Death& death : deaths_) death.held_key = 0;
  env_.spill->clear();
  blocked_ = filling_ = spilled_ = 0;
  settled_.reset(offset);
  next_ = offset;
  for (const std::uint32_t slot : stay) give_back(slot, items_[slot].due_ms > now_ms ? ItemState::kWaiting : ItemState::kReady);
}

std::uint64_t Cursor::lose_before(Offset first, std::int64_t now_ms) {
  if (first <= settled_.floor()) return 0;
  std::uint64_t lost = 0;
  for (Offset o = settled_.next_unsettled(settled_.floor()); o < first; o = settled_.next_unsettled(o + 1)) ++lost;
  for (std::uint32_t slot = 0; slot < items_.size(); ++slot) {
    Item& item = items_[slot];
    if (item.state == ItemState::kFree || item.id.letter != 0 || item.id.offset >= first) continue;
    const std::uint64_t hash = item.key_hash;
    if (item.state == ItemState::kLeased) {
      end_lease(slot);
    } else {
      if (item.state == ItemState::kWaiting) waiting_.erase({item.due_ms, slot});
      std::erase(ready_items_, slot);
      std::erase(gated_, slot);
      if (hash != 0) remove_returned(slot);
    }
    forget(slot, kNoSettlement, now_ms);
    if (hash != 0) {
      queue_key_if_free(hash);
      forget_key_if_idle(hash);
    }
  }
  settled_.raise_floor(first);
  return lost;
}

void Cursor::redrive(ItemId id, std::uint64_t key_hash, std::uint32_t redrives, Time published) {
  const std::uint32_t slot = new_slot();
  Item& item = items_[slot];
  item.id = id;
  item.key_hash = key_hash;
  item.redrives = redrives;
  item.history = std::make_unique<History>();
  item.history->published = published;
  letters_.insert(id.letter);
  ++redriven_;
  record_changed(item);
  give_back(slot, ItemState::kReady);
}

void Cursor::load(Item loaded, std::int64_t now_ms) {
  const std::uint32_t slot = new_slot();
  items_[slot] = std::move(loaded);
  Item& item = items_[slot];
  item.recorded = true;
  if (item.id.letter != 0) {
    letters_.insert(item.id.letter);
    ++redriven_;
  }
  give_back(slot, item.due_ms > now_ms ? ItemState::kWaiting : ItemState::kReady);
}

std::optional<std::uint64_t> Cursor::oldest_letter() const {
  if (letters_.empty()) return std::nullopt;
  return *letters_.begin() - 1;
}

void Cursor::check_invariants() const {
  std::uint64_t leased = 0;
  std::uint64_t redriven = 0;
  for (std::uint32_t slot = 0; slot < items_.size(); ++slot) {
    const Item& item = items_[slot];
    if (item.state == ItemState::kFree) continue;
    if (item.state == ItemState::kLeased) ++leased;
    if (item.id.letter != 0) ++redriven;
    if (item.id.letter == 0) WEIR_CHECK(!settled_.contains(item.id.offset), "offset " << item.id.offset << " is settled and an item");
    if (item.state != ItemState::kLeased) WEIR_CHECK(known_.contains(item.id), "offset " << item.id.offset << " was given back and is not known");
    WEIR_CHECK((item.state == ItemState::kWaiting) == waiting_.contains({item.due_ms, slot}), "offset " << item.id.offset << " waits or not");
  }
  WEIR_CHECK(leased == leased_, "leased " << leased << " counted " << leased_);
  WEIR_CHECK(redriven == redriven_, "redriven " << redriven << " counted " << redriven_);
  std::uint64_t holds = held_.size();
  for (const Death& death : deaths_) holds += death.held_key != 0;
  for (const auto& [hash, state] : keys_) {
    holds -= state.holds;
    WEIR_CHECK(state.holds == 0 || !state.queued || next_returned(state), "a held key is queued with nothing to give");
    if (!state.backlog) continue;
    const Backlog& backlog = *state.backlog;
    WEIR_CHECK(std::is_sorted(backlog.blocked.begin(), backlog.blocked.end()), "blocked offsets of a key are out of order");
    for (const std::uint32_t slot : backlog.returned)
      WEIR_CHECK(items_[slot].state == ItemState::kWaiting || items_[slot].state == ItemState::kReady, "a returned item is neither waiting nor ready");
  }
  WEIR_CHECK(holds == 0, "holds of keys and letters that hold differ by " << holds);
}

}  // namespace weir::core
