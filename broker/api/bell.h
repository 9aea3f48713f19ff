// A bell that one thread waits for.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace weir::api {

/// A ring that nobody waited for is remembered, once. Thread-safe; one thread waits.
class Bell {
 public:
  void ring() {
    {
      const std::lock_guard lock(mutex_);
      rung_ = true;
    }
    rung_now_.notify_one();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    rung_now_.wait(lock, [this] { return rung_; });
    rung_ = false;
  }
  void wait_for(std::chrono::microseconds time) {
    std::unique_lock lock(mutex_);
    rung_now_.wait_for(lock, time, [this] { return rung_; });
    rung_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable rung_now_;
  bool rung_ = false;  // guarded by mutex_
};

}  // namespace weir::api
