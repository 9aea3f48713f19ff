// A thread that runs functions one after another: the broker's own executor, and its workshop for slow things.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "weir/callback.h"

namespace weir::engine {

/// Thread-safe. Functions run in the order they were posted.
class Runner {
 public:
  explicit Runner(std::string name);
  ~Runner();   ///< runs what was posted, then ends

  void post(UniqueFunction<void()> function);
  /// Until nothing is posted and nothing runs; false: not within `time`. Not on its own thread.
  bool wait_until_idle(std::chrono::milliseconds time);
  void wait_until_idle();
  /// Functions that were posted and have not begun.
  std::size_t waiting() const noexcept { return waiting_.load(std::memory_order_relaxed); }
  bool on_this_thread() const noexcept { return std::this_thread::get_id() == thread_.get_id(); }

 private:
  void run();

  const std::string name_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<UniqueFunction<void()>> posted_;  // guarded by mutex_
  std::atomic<std::size_t> waiting_{0};         // as posted_.size(), for those who only look
  bool ending_ = false;                         // guarded by mutex_
  bool asleep_ = false;                         // guarded by mutex_
  bool busy_ = false;                           // guarded by mutex_
  std::condition_variable idle_;
  std::thread thread_;
};

}  // namespace weir::engine
