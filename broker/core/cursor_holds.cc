// Dead letters that hold their key (S-25): what comes later of it waits, in the same backlog as behind a retry, until no letter holds it any more.
#include <utility>

#include "broker/core/cursor.h"

namespace weir::core {

/// A message of that key died. The hash, where it holds the key, else 0.
std::uint64_t Cursor::hold_key(std::uint64_t hash) {
  if (hash == 0 || !env_.options->hold_key) return 0;
  KeyState& state = keys_[hash];
  ++state.holds;
  if (state.queued && !next_returned(state)) {
    state.queued = false;
    std::erase(ready_keys_, hash);
  }
  return hash;
}

void Cursor::let_go(std::uint64_t hash) {
  const auto key = keys_.find(hash);
  if (key == keys_.end() || key->second.holds == 0) return;
  --key->second.holds;
  queue_key_if_free(hash);
  forget_key_if_idle(hash);
}

void Cursor::held_by(std::uint64_t letter, std::uint64_t key_hash) {
  held_[letter] = key_hash;
  changed_holds_.insert(letter);
}

void Cursor::load_hold(std::uint64_t letter, std::uint64_t key_hash) {
  if (held_.emplace(letter, key_hash).second) ++keys_[key_hash].holds;
}

void Cursor::release_hold(std::uint64_t letter) {
  const auto held = held_.find(letter);
  if (held == held_.end()) return;
  const std::uint64_t hash = held->second;
  held_.erase(held);
  changed_holds_.insert(letter);
  let_go(hash);
}

void Cursor::release_holds_before(std::uint64_t letter) {
  while (!held_.empty() && held_.begin()->first < letter) release_hold(held_.begin()->first);
}

void Cursor::release_holds() {
  while (!held_.empty()) release_hold(held_.begin()->first);
  for (Death& death : deaths_)
    if (const std::uint64_t hash = std::exchange(death.held_key, 0); hash != 0) let_go(hash);
}

void Cursor::collect_holds(const std::function<void(const HoldChange&)>& visit) {
  for (const std::uint64_t letter : std::exchange(changed_holds_, {})) {
    const auto held = held_.find(letter);
    visit({letter, held == held_.end() ? 0 : held->second});
  }
}

/// What is handed out next of what came back of a key. While the key is held that is a letter that was given back, and nothing else.
std::optional<std::uint32_t> Cursor::next_returned(const KeyState& state) const {
  if (!state.has_returned()) return std::nullopt;
  if (state.holds == 0) return state.backlog->returned.front();
  for (const std::uint32_t slot : state.backlog->returned)
    if (items_[slot].id.letter != 0) return slot;
  return std::nullopt;
}

}  // namespace weir::core
