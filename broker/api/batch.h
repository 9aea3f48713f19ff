// The deliveries of one fetch, as handler threads take them one by one.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "weir/delivery.h"

namespace weir::api {

/// Any worker may claim any message, with one atomic addition: nothing is dealt out ahead, so a slow handler delays no message that another
/// worker could take.
///
/// Messages that must run one after another (S-13) form a chain: only its first is claimed, and who claimed it works the followers off.
class Batch {
 public:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  /// `refill_from`: so many messages, at least, make it worth fetching more when half of them are claimed; 0: never.
  Batch(std::vector<Delivered> items, Order order, std::uint32_t refill_from);

  /// The index of a message that is the caller's from now on, or kNone.
  std::uint32_t claim() noexcept {
    if (next_.load(std::memory_order_relaxed) >= count_) return kNone;
    const std::uint32_t claimed = next_.fetch_add(1, std::memory_order_relaxed);
    if (claimed >= count_) return kNone;
    return heads_.empty() ? claimed : heads_[claimed];
  }
  /// The message that must run behind this one, or kNone.
  std::uint32_t follower(std::uint32_t index) const noexcept { return followers_.empty() ? kNone : followers_[index]; }
  Delivered& item(std::uint32_t index) noexcept { return items_[index]; }

  /// How much there is to claim. It only ever falls.
  std::uint32_t left() const noexcept {
    const std::uint32_t next = next_.load(std::memory_order_relaxed);
    return next < count_ ? count_ - next : 0;
  }
  /// True for one caller when the batch has run low.
  bool refill_due() noexcept {
    std::uint32_t at = refill_at_.load(std::memory_order_relaxed);
    return next_.load(std::memory_order_relaxed) >= at && refill_at_.compare_exchange_strong(at, kNone, std::memory_order_relaxed);
  }
  /// There was nothing to refill with: ask again when half of the rest is claimed.
  void refill_later() noexcept;

  /// Claims all that is left and appends its release.
  void release_rest(std::vector<Settlement>& settlements);

 private:
  void chain(Order order);

  std::vector<Delivered> items_;           // each belongs to who claimed it
  std::vector<std::uint32_t> heads_;       // constant; empty: every message is its own chain
  std::vector<std::uint32_t> followers_;   // constant; empty likewise
  std::uint32_t count_;                    // constant: chains
  const std::uint32_t refill_from_;
  alignas(64) std::atomic<std::uint32_t> next_{0};
  std::atomic<std::uint32_t> refill_at_{kNone};
};

}  // namespace weir::api
