// What the death of the process means for the messages whose handlers were running (S-17, S-19).
#include <algorithm>

#include "broker/base/check.h"
#include "broker/core/backoff.h"
#include "broker/core/cursor.h"

namespace weir::core {

bool Cursor::was_running(ItemId id, std::uint64_t epoch) const {
  const auto known = known_.find(id);
  if (known != known_.end()) return items_[known->second].epoch < epoch;
  return id.letter == 0 && !settled_.contains(id.offset);
}

std::uint32_t Cursor::crashes_of(ItemId id) const {
  const auto known = known_.find(id);
  return known == known_.end() ? 0 : items_[known->second].crashes + items_[known->second].crash_failures;
}

/// The item of a message that was running, taken out of wherever it stood.
std::uint32_t Cursor::take_out(ItemId id, std::uint64_t key_hash) {
  const auto known = known_.find(id);
  if (known == known_.end()) {
    const std::uint32_t slot = new_slot();
    items_[slot].id = id;
    items_[slot].key_hash = key_hash;
    known_[id] = slot;
    return slot;
  }
  const std::uint32_t slot = known->second;
  const Item& item = items_[slot];
  waiting_.erase({item.due_ms, slot});
  std::erase(ready_items_, slot);
  std::erase(gated_, slot);
  if (item.key_hash != 0) remove_returned(slot);
  return slot;
}

void Cursor::count_delivery(ItemId id, std::uint64_t epoch, std::uint64_t key_hash, std::int64_t now_ms) {
  const std::uint32_t slot = take_out(id, key_hash);
  Item& item = items_[slot];
  ++item.deliveries;
  item.epoch = item.last_epoch = epoch;
  item.last_kind = kNoSettlement;
  if (die_if_over(slot, now_ms)) return;
  record_changed(item);
  give_back(slot, item.due_ms > now_ms ? ItemState::kWaiting : ItemState::kReady);
}

void Cursor::crash(ItemId id, std::uint64_t epoch, std::uint64_t key_hash, bool alone, bool named, std::int64_t now_ms) {
  const std::uint32_t slot = take_out(id, key_hash);
  Item& item = items_[slot];
  ++item.deliveries;
  ++item.crashes;
  item.epoch = item.last_epoch = epoch;
  item.last_kind = kNoSettlement;
  note_attempt(item, Outcome::kCrash, alone ? "the process died while the handler ran" : "the process died while this handler ran beside others", now_ms);
  // One alone is guilty of this crash, and so of those before that it was a suspect of.
  if (alone || (named && item.failures + item.crashes >= env_.options->max_attempts)) {
    item.failures += item.crashes;
    item.crash_failures += item.crashes;
    item.crashes = 0;
  }
  if (die_if_over(slot, now_ms)) return;
  item.due_ms = now_ms + backoff_delay(env_.options->backoff, std::max(1u, item.failures + item.crashes), *env_.random).count();
  record_changed(item);
  give_back(slot, item.due_ms > now_ms ? ItemState::kWaiting : ItemState::kReady);
}

std::vector<std::uint32_t> Cursor::drop_marks() {
  std::vector<std::uint32_t> marks = std::exchange(finished_marks_, {});
  for (Item& item : items_)
    if (item.mark != kNoSlot) marks.push_back(std::exchange(item.mark, kNoSlot));
  return marks;
}

}  // namespace weir::core
