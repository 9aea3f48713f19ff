// Waiting for a moment before going to sleep.
#pragma once

#include <mutex>

namespace weir::base {

/// For the body of a loop that looks again and again: lets the other thread of this core work.
inline void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Operation. A std::unique_lock that looks for some microseconds whether the mutex is free before it sleeps. For mutexes that are held for about as
/// long: to sleep and be woken costs both sides more. A condition variable takes it; when it locks again after a wait, that is a plain lock.
class SpinningLock : public std::unique_lock<std::mutex> {
 public:
  explicit SpinningLock(std::mutex& mutex) : std::unique_lock<std::mutex>(mutex, std::defer_lock) { lock(); }

  void lock() {
    for (int looks = 0; looks < kLooks; ++looks) {
      if (try_lock()) return;
      for (int i = 0; i < kPauses; ++i) pause();
    }
    std::unique_lock<std::mutex>::lock();
  }

 private:
  static constexpr int kLooks = 30, kPauses = 8;
};

}  // namespace weir::base
