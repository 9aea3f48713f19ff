// How a producer keeps a bounded number of requests outstanding.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <limits>
#include <mutex>

namespace bench {

/// One thread enters, callbacks leave. When the window is full the entering thread sleeps until half of it has left: a thread that
/// is woken for every single message would measure the waking and not the broker.
///
/// Must outlive the broker whose callbacks leave it: the last callback may still be inside leave() when wait_empty() returns.
class Window {
 public:
  /// Call only while it is empty.
  void set_limit(std::uint64_t limit) { limit_ = limit; }

  void enter() {
    if (entered_ - left_.load(std::memory_order_acquire) >= limit_) wait_until_left(entered_ - limit_ / 2);
    ++entered_;
  }
  void leave() {
    const std::uint64_t left = left_.fetch_add(1) + 1;
    if (left < wanted_.load()) return;
    std::lock_guard lock(mutex_);
    changed_.notify_all();
  }
  void wait_empty() { wait_until_left(entered_); }

 private:
  static constexpr std::uint64_t kNobodyWaits = std::numeric_limits<std::uint64_t>::max();

  void wait_until_left(std::uint64_t wanted) {
    std::unique_lock lock(mutex_);
    wanted_.store(wanted);
    changed_.wait(lock, [&] { return left_.load() >= wanted; });
    wanted_.store(kNobodyWaits);
  }

  std::uint64_t limit_ = 1;                          // of the entering thread
  std::uint64_t entered_ = 0;                        // of the entering thread
  alignas(64) std::atomic<std::uint64_t> left_{0};
  std::atomic<std::uint64_t> wanted_{kNobodyWaits};  // leave() wakes from here on
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace bench
