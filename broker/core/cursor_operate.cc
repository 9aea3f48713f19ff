// What an operator does to one message of a group: settles it, gives up on it, or ends its wait.
#include <algorithm>

#include "broker/core/cursor.h"

namespace weir::core {

/// The item at that place of the log; a letter that was given back there, when the message itself is settled.
std::uint32_t Cursor::slot_at(Offset offset) const {
  if (const auto known = known_.find(ItemId{offset, 0}); known != known_.end()) return known->second;
  const bool first_hand_over = leased_ > 0 && !settled_.contains(offset);
  if (!first_hand_over && redriven_ == 0) return kNoSlot;
  for (std::uint32_t slot = 0; slot < items_.size(); ++slot) {
    const Item& item = items_[slot];
    if (item.state != ItemState::kFree && item.id.offset == offset && (item.id.letter != 0 || item.state == ItemState::kLeased)) return slot;
  }
  return kNoSlot;
}

ErrorCode Cursor::operate(const Operation& operation, std::int64_t now_ms) {
  const std::uint32_t slot = slot_at(operation.offset);
  if (slot != kNoSlot) return operate_on_item(slot, operation, now_ms);
  if (settled_.contains(operation.offset)) return ErrorCode::already_settled;
  if (!operation.in_log) return ErrorCode::not_found;
  if (operation.act == MessageAct::kRunNow) return ErrorCode::failed_precondition;
  // Not handed out yet: whether the log was looked at so far, or it stands behind its key, it is passed over from now on.
  settled_.insert(operation.offset, Time{Duration{now_ms}});
  if (operation.act == MessageAct::kAck) ++totals_.acked;
  if (operation.act == MessageAct::kDeadLetter) {
    Item item;
    note_operator(item, operation, now_ms);
    deaths_.push_back({{operation.offset, 0}, DeathReason::kRejected, 0, 0, 0, std::move(*item.history), hold_key(operation.key_hash)});
    ++totals_.dead_lettered;
  }
  return ErrorCode::ok;
}

ErrorCode Cursor::operate_on_item(std::uint32_t slot, const Operation& operation, std::int64_t now_ms) {
  Item& item = items_[slot];
  const std::uint64_t hash = item.key_hash, epoch = item.epoch;
  const bool leased = item.state == ItemState::kLeased;
  if (operation.act == MessageAct::kRunNow) {
    if (leased) return ErrorCode::failed_precondition;
    if (item.state != ItemState::kWaiting) return ErrorCode::ok;   // it is due already
    waiting_.erase({item.due_ms, slot});
    item.due_ms = now_ms;
    record_changed(item);
    make_ready(slot);
    return ErrorCode::ok;
  }
  if (operation.act == MessageAct::kDeadLetter) note_operator(item, operation, now_ms);
  if (leased) {
    end_lease(slot);
  } else {
    if (item.state == ItemState::kWaiting) waiting_.erase({item.due_ms, slot});
    std::erase(ready_items_, slot);
    std::erase(gated_, slot);
    if (hash != 0) remove_returned(slot);
  }
  item.last_kind = kNoSettlement;   // the tokens of its deliveries are void
  if (operation.act == MessageAct::kAck) ++totals_.acked;
  if (operation.act == MessageAct::kDeadLetter) {
    // As die(), but what killed it was no settlement that may be repeated.
    Death death{item.id, DeathReason::kRejected, item.deliveries, item.failures, item.redrives, std::move(*item.history), hold_key(hash)};
    deaths_.push_back(std::move(death));
    ++totals_.dead_lettered;
  }
  forget(slot, kNoSettlement, now_ms);
  if (leased && operation.act == MessageAct::kDeadLetter) release_rest_of_chain(hash, epoch, now_ms);
  if (hash != 0) {
    queue_key_if_free(hash);
    forget_key_if_idle(hash);
  }
  return ErrorCode::ok;
}

/// It stands among the attempts, and is no failure of the message.
void Cursor::note_operator(Item& item, const Operation& operation, std::int64_t now_ms) {
  if (!item.history) item.history = std::make_unique<History>();
  const std::string_view error = operation.error.empty() ? std::string_view("dead-lettered by an operator") : std::string_view(operation.error);
  add_attempt(*item.history, {Time{Duration{now_ms}}, operation.who, Outcome::kReject, std::string(error)});
}

}  // namespace weir::core
