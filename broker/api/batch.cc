#include "broker/api/batch.h"

#include <functional>
#include <string_view>
#include <utility>

namespace weir::api {

Batch::Batch(std::vector<Delivered> items, Order order, std::uint32_t refill_from)
    : items_(std::move(items)), count_(static_cast<std::uint32_t>(items_.size())), refill_from_(refill_from) {
  if (order != Order::kNone && items_.size() > 1) chain(order);
  if (refill_from_ > 0 && count_ >= refill_from_) refill_at_.store(count_ / 2, std::memory_order_relaxed);
}

void Batch::chain(Order order) {
  const auto size = static_cast<std::uint32_t>(items_.size());
  const auto same = [&](std::uint32_t a, std::uint32_t b) {
    return items_[a].token.topic == items_[b].token.topic && (order == Order::kTopic || items_[a].message.key == items_[b].message.key);
  };
  std::size_t slots = 16;
  while (slots < std::size_t{size} * 2) slots *= 2;
  std::vector<std::uint32_t> last(slots, kNone);  // an open hash table: the last message of each chain so far
  std::vector<std::uint32_t> followers(size, kNone);
  std::vector<bool> follows(size);
  std::uint32_t chained = 0;
  for (std::uint32_t i = 0; i < size; ++i) {
    const std::string_view key = items_[i].message.key;
    if (order == Order::kKey && key.empty()) continue;
    std::size_t slot = std::hash<std::uint64_t>{}(items_[i].token.topic.value) * 0x9e3779b97f4a7c15u;
    if (order == Order::kKey) slot ^= std::hash<std::string_view>{}(key);
    for (slot &= slots - 1; last[slot] != kNone && !same(last[slot], i);) slot = (slot + 1) & (slots - 1);
    if (last[slot] != kNone) {
      followers[last[slot]] = i;
      follows[i] = true;
      ++chained;
    }
    last[slot] = i;
  }
  if (chained == 0) return;
  followers_ = std::move(followers);
  heads_.reserve(size - chained);
  for (std::uint32_t i = 0; i < size; ++i)
    if (!follows[i]) heads_.push_back(i);
  count_ = size - chained;
}

void Batch::refill_later() noexcept {
  const std::uint32_t rest = left();
  if (rest >= refill_from_) refill_at_.store(count_ - rest / 2, std::memory_order_relaxed);
}

void Batch::release_rest(std::vector<Settlement>& settlements) {
  for (std::uint32_t head = claim(); head != kNone; head = claim())
    for (std::uint32_t i = head; i != kNone; i = follower(i)) settlements.push_back(Settlement::release(items_[i].token));
}

}  // namespace weir::api
