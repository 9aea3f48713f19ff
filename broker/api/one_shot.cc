#include "broker/api/one_shot.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace weir::api {

static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));

void OneShot::open() noexcept {
  std::atomic<std::uint32_t>* const address = &state_;
  if (address->exchange(kOpen, std::memory_order_acq_rel) == kAwaited) {
    // The waiter may be gone by now. The kernel takes the address as a name only; if something else waits there, it looks again and sleeps on.
    syscall(SYS_futex, address, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  }
}

void OneShot::wait() noexcept {
  std::uint32_t seen = kShut;
  if (!state_.compare_exchange_strong(seen, kAwaited, std::memory_order_acq_rel, std::memory_order_acquire)) return;
  while (state_.load(std::memory_order_acquire) != kOpen) syscall(SYS_futex, &state_, FUTEX_WAIT_PRIVATE, kAwaited, nullptr, nullptr, 0);
}

}  // namespace weir::api
