#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "bench/raw_limits.h"

namespace bench {

void hand_off_for(double seconds, int pause_microseconds, Latencies& latencies) {
  std::mutex mutex;
  std::condition_variable changed;
  enum class State { kIdle, kHanded, kEnd } state = State::kIdle;  // guarded by mutex
  Stopwatch handed;                                                // guarded by mutex

  std::thread receiver([&] {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [&] { return state != State::kIdle; });
      if (state == State::kEnd) return;
      latencies.add(handed.seconds() * 1e6);
      state = State::kIdle;
      changed.notify_all();
    }
  });
  const Stopwatch watch;
  while (watch.seconds() < seconds) {
    std::this_thread::sleep_for(std::chrono::microseconds(pause_microseconds));
    {
      std::lock_guard lock(mutex);
      handed = Stopwatch();
      state = State::kHanded;
    }
    changed.notify_all();
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return state == State::kIdle; });
  }
  {
    std::lock_guard lock(mutex);
    state = State::kEnd;
  }
  changed.notify_all();
  receiver.join();
}

}  // namespace bench
