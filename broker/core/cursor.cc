#include "broker/core/cursor.h"

#include <algorithm>

#include "broker/base/check.h"

namespace weir::core {

Cursor::~Cursor() {
  for (const Item& item : items_)
    if (item.state == ItemState::kLeased) {
      --env_.flight->leased;
      if (item.member.value != 0) --env_.flight->by_member[item.member.value];
    }
  if (env_.gate->holder == this) env_.gate->holder = nullptr;
  std::erase(env_.gate->waiting, this);
}

// --- Slots -------------------------------------------------------------------------------------------------------------

std::uint32_t Cursor::new_slot() {
  if (free_.empty()) {
    items_.emplace_back();
    return static_cast<std::uint32_t>(items_.size() - 1);
  }
  const std::uint32_t slot = free_.back();
  free_.pop_back();
  return slot;
}

void Cursor::free_slot(std::uint32_t slot) {
  items_[slot] = Item{};
  free_.push_back(slot);
}

bool Cursor::suspect(const Item& item) const noexcept {
  return item.crash_charged() || (item.failures > 0 && item.failures * 2 >= env_.options->max_attempts);
}

bool Cursor::gate_allows(const Item& item) {
  if (!item.crash_charged() || env_.gate->holder == nullptr) return true;
  auto& waiting = env_.gate->waiting;
  if (std::find(waiting.begin(), waiting.end(), this) == waiting.end()) waiting.push_back(this);
  return false;
}

void Cursor::leave_gate(Item& item) {
  if (!item.holds_gate) return;
  item.holds_gate = false;
  env_.gate->holder = nullptr;
}

void Cursor::gate_opened() {
  for (const std::uint32_t slot : std::exchange(gated_, {}))
    if (items_[slot].state == ItemState::kReady) make_ready(slot);
}

// --- Handing out ---------------------------------------------------------------------------------------------------------

bool Cursor::seek_unseen(Offset end) {
  while (next_ < end) {
    next_ = settled_.next_unsettled(next_);
    if (next_ >= end) break;
    const auto known = known_.empty() ? known_.end() : known_.find(ItemId{next_, 0});
    if (known == known_.end()) return true;
    if (items_[known->second].ahead) reach(known->second);
    next_ = next_ + 1;
  }
  return false;
}

/// The log has been looked at up to a loaded item: now it takes its place in its key.
void Cursor::reach(std::uint32_t slot) {
  items_[slot].ahead = false;
  insert_returned(slot);
  // What the log had of its key before it may be blocked by now, and goes first.
  Backlog& backlog = *keys_[items_[slot].key_hash].backlog;
  backlog.mixed = backlog.mixed || backlog.has_blocked();
  queue_key_if_free(items_[slot].key_hash);
}

bool Cursor::look(const LogMessage& message, Taking& taking) {
  WEIR_CHECK(message.offset == next_, "looked at " << message.offset << ", next is " << next_);
  if (!message.wanted) {
    settled_.insert(message.offset, Time{Duration{taking.now_ms}});
    totals_.filtered += !message.gone;
    next_ = next_ + 1;
    return true;
  }
  if (message.expires_ms != 0 && message.expires_ms <= taking.now_ms) {
    ++totals_.expired;
    if (env_.options->dead_letter_expired) {
      deaths_.push_back({{message.offset, 0}, DeathReason::kExpired, 0, 0, 0, {}, hold_key(message.key_hash)});
      ++totals_.dead_lettered;
    }
    settled_.insert(message.offset, Time{Duration{taking.now_ms}});
    next_ = next_ + 1;
    return true;
  }
  if (message.key_hash != 0) {
    const auto at = keys_.find(message.key_hash);
    if (at != keys_.end() && (at->second.holds > 0 || at->second.has_returned() || at->second.has_blocked() || !key_takes(at->second, taking))) {
      block(message.key_hash, message.offset);
      next_ = next_ + 1;
      return true;
    }
  }
  if (taking.full() || (!taking.slots.empty() && message.bytes > taking.bytes_room)) return false;
  const std::uint32_t slot = new_slot();
  items_[slot].id = {message.offset, 0};
  items_[slot].key_hash = message.key_hash;
  next_ = next_ + 1;
  taking.bytes_room -= std::min(taking.bytes_room, message.bytes);
  grant(slot, taking);
  return true;
}

void Cursor::grant(std::uint32_t slot, Taking& taking) {
  Item& item = items_[slot];
  item.state = ItemState::kLeased;
  item.epoch = (*env_.next_epoch)++;
  item.fetch = taking.fetch;
  item.member = taking.member;
  item.begun = false;
  item.lease_ms = taking.lease_ms;
  item.lease_until_ms = taking.now_ms + taking.lease_ms;
  item.extend_until_ms = taking.extend_until_ms;
  lease_check_ms_ = std::min(lease_check_ms_, item.lease_until_ms);
  if (suspect(item)) taking.alone = true;
  if (item.crash_charged()) {
    env_.gate->holder = this;
    item.holds_gate = true;
  }
  if (item.key_hash != 0) key_leased(slot, taking.fetch);
  ++leased_;
  ++env_.flight->leased;
  if (taking.member.value != 0) ++env_.flight->by_member[taking.member.value];
  --taking.room;
  taking.slots.push_back(slot);
}

void Cursor::take_returned(Taking& taking) {
  for (std::size_t n = ready_items_.size(); n > 0 && !taking.full(); --n) {
    const std::uint32_t slot = ready_items_.front();
    ready_items_.pop_front();
    const Item& item = items_[slot];
    if (suspect(item) && !taking.slots.empty()) {
      ready_items_.push_back(slot);
    } else if (!gate_allows(item)) {
      gated_.push_back(slot);
    } else {
      grant(slot, taking);
    }
  }
  for (std::size_t n = ready_keys_.size(); n > 0 && !taking.full(); --n) {
    const std::uint64_t hash = ready_keys_.front();
    ready_keys_.pop_front();
    take_key(hash, taking);
  }
}

void Cursor::take_key(std::uint64_t hash, Taking& taking) {
  const auto at = keys_.find(hash);
  if (at == keys_.end()) return;
  at->second.queued = false;
  while (!taking.full() && key_takes(keys_[hash], taking)) {
    KeyState& state = keys_[hash];
    if (state.holds > 0 || (state.has_returned() && !blocked_first(hash, state))) {
      const std::optional<std::uint32_t> next = next_returned(state);
      if (!next) break;
      const std::uint32_t slot = *next;
      const Item& item = items_[slot];
      if (item.state != ItemState::kReady) break;
      if (suspect(item) && !taking.slots.empty()) break;
      if (!gate_allows(item)) {
        if (std::find(gated_.begin(), gated_.end(), slot) == gated_.end()) gated_.push_back(slot);
        return;
      }
      remove_returned(slot);
      grant(slot, taking);
    } else if (state.has_blocked()) {
      const std::optional<Offset> offset = next_blocked(hash, *state.backlog);
      if (!offset) break;
      const std::uint32_t slot = new_slot();
      items_[slot].id = {*offset, 0};
      items_[slot].key_hash = hash;
      grant(slot, taking);
    } else {
      break;
    }
  }
  queue_key_if_free(hash);
  forget_key_if_idle(hash);
}

// --- Keys ------------------------------------------------------------------------------------------------------------------

void Cursor::block(std::uint64_t hash, Offset offset) {
  Backlog& backlog = keys_[hash].need_backlog();
  if (backlog.chunks == 0 && backlog.filling.empty() && blocked_ < kBlockedInMemoryMax) {
    backlog.blocked.push_back(offset.value);
    ++blocked_;
    return;
  }
  backlog.filling.push_back(offset.value);
  ++filling_;
  // Many keys with a few blocked messages each must not add up either.
  const std::size_t full = filling_ > 16 * kBlockedInMemoryMax ? 1 : kChunk;
  if (backlog.filling.size() >= full) flush_filling(hash, backlog);
}

void Cursor::flush_filling(std::uint64_t hash, Backlog& backlog) {
  env_.spill->append(hash, backlog.filling);
  ++backlog.chunks;
  backlog.spilled += backlog.filling.size();
  spilled_ += backlog.filling.size();
  filling_ -= backlog.filling.size();
  backlog.filling.clear();
}

std::optional<Offset> Cursor::next_blocked(std::uint64_t hash, Backlog& backlog) {
  const std::optional<Offset> offset = peek_blocked(hash, backlog);
  if (offset) {
    backlog.blocked.pop_front();
    --blocked_;
  }
  return offset;
}

/// Whether a blocked message stands before everything of the key that was given back. Letters go first in any case (S-26).
bool Cursor::blocked_first(std::uint64_t hash, KeyState& state) {
  if (!state.backlog || !state.backlog->mixed) return false;
  const std::optional<Offset> blocked = state.has_blocked() ? peek_blocked(hash, *state.backlog) : std::nullopt;
  if (!blocked || !state.has_returned()) {
    state.backlog->mixed = false;
    return false;
  }
  const ItemId& returned = items_[state.backlog->returned.front()].id;
  return returned.letter == 0 && *blocked < returned.offset;
}

/// The key's first blocked message, brought into memory.
std::optional<Offset> Cursor::peek_blocked(std::uint64_t hash, Backlog& backlog) {
  while (true) {
    if (backlog.blocked.empty()) {
      if (backlog.chunks > 0) {
        std::optional<std::vector<std::uint64_t>> chunk = env_.spill->take_first(hash);
        if (!chunk) return std::nullopt;
        --backlog.chunks;
        backlog.spilled -= chunk->size();
        spilled_ -= chunk->size();
        blocked_ += chunk->size();
        backlog.blocked.assign(chunk->begin(), chunk->end());
      } else if (!backlog.filling.empty()) {
        backlog.blocked.assign(backlog.filling.begin(), backlog.filling.end());
        blocked_ += backlog.filling.size();
        filling_ -= backlog.filling.size();
        backlog.filling = {};
      } else {
        return std::nullopt;
      }
    }
    const Offset offset{backlog.blocked.front()};
    if (!settled_.contains(offset)) return offset;
    backlog.blocked.pop_front();
    --blocked_;
  }
}

void Cursor::queue_key(std::uint64_t hash) {
  KeyState& state = keys_[hash];
  if (state.queued) return;
  state.queued = true;
  ready_keys_.push_back(hash);
}

void Cursor::queue_key_if_free(std::uint64_t hash) {
  const auto at = keys_.find(hash);
  if (at == keys_.end() || at->second.leased > 0 || at->second.queued) return;
  KeyState& state = at->second;
  if (state.holds == 0 && blocked_first(hash, state)) return queue_key(hash);
  const std::optional<std::uint32_t> returned = next_returned(state);
  if (returned ? items_[*returned].state == ItemState::kReady : state.holds == 0 && state.has_blocked()) queue_key(hash);
}

void Cursor::forget_key_if_idle(std::uint64_t hash) {
  const auto at = keys_.find(hash);
  if (at == keys_.end()) return;
  KeyState& state = at->second;
  if (state.backlog && state.backlog->empty()) state.backlog.reset();
  if (state.leased == 0 && state.holds == 0 && !state.queued && !state.backlog) keys_.erase(at);
}

void Cursor::insert_returned(std::uint32_t slot) {
  std::vector<std::uint32_t>& returned = keys_[items_[slot].key_hash].need_backlog().returned;
  const auto before = [this](std::uint32_t a, std::uint32_t b) { return items_[a].id < items_[b].id; };
  returned.insert(std::upper_bound(returned.begin(), returned.end(), slot, before), slot);
}

void Cursor::remove_returned(std::uint32_t slot) {
  const auto state = keys_.find(items_[slot].key_hash);
  if (state != keys_.end() && state->second.backlog) std::erase(state->second.backlog->returned, slot);
}

void Cursor::key_leased(std::uint32_t slot, std::uint64_t fetch) {
  KeyState& state = keys_[items_[slot].key_hash];
  if (state.leased == 0) {
    state.slot = slot;
  } else {
    std::vector<std::uint32_t>& chain = state.need_backlog().chain;
    if (chain.empty()) chain.push_back(state.slot);
    chain.push_back(slot);
  }
  state.fetch = fetch;
  ++state.leased;
}

void Cursor::key_unleased(std::uint32_t slot) {
  KeyState& state = keys_[items_[slot].key_hash];
  --state.leased;
  if (!state.backlog || state.backlog->chain.empty()) return;
  std::vector<std::uint32_t>& chain = state.backlog->chain;
  std::erase(chain, slot);
  if (state.leased == 1) {
    state.slot = chain.front();
    chain.clear();
  }
}

}  // namespace weir::core
