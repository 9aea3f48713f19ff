// A gate that opens once, for one thread that waits on its own stack.
#pragma once

#include <atomic>
#include <cstdint>

namespace weir::api {

/// One thread waits, another opens. Opening before the wait costs one atomic exchange and no system call; otherwise it costs exactly one wake-up,
/// and open() does not touch the gate any more once wait() can return, so the gate may live on the waiter's stack. A mutex with a condition
/// variable cannot do that without waking the waiter into a lock that is still held.
class OneShot {
 public:
  void open() noexcept;
  void wait() noexcept;
  /// For another use, behind the return of wait().
  void shut() noexcept { state_.store(kShut, std::memory_order_relaxed); }

 private:
  enum : std::uint32_t { kShut, kAwaited, kOpen };
  std::atomic<std::uint32_t> state_{kShut};
};

}  // namespace weir::api
