// What stands behind a Cancellation, for engines: a flag to look at, and callbacks for calls that wait.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "weir/callback.h"
#include "weir/options.h"

namespace weir {

/// Thread-safe. Callbacks run outside the lock, on the thread that cancels, each at most once.
struct Cancellation::State {
 public:
  using Id = std::uint64_t;

  bool cancelled() const noexcept { return cancelled_.load(std::memory_order_acquire); }

  /// Keeps `callback` until it is unsubscribed or called. Answers 0, and drops it, when the call is cancelled already.
  Id subscribe(UniqueFunction<void()> callback);
  /// True: the callback was dropped and will never run. False: it has run, or runs right now on another thread, so what it touches
  /// must outlive it (hold it by shared_ptr or weak_ptr). Never waits; unsubscribing 0 is allowed.
  bool unsubscribe(Id id);
  /// The first call runs the callbacks, in the order they came.
  void cancel();

 private:
  std::atomic<bool> cancelled_{false};
  std::mutex mutex_;
  Id last_ = 0;                                                  // guarded by mutex_
  std::vector<std::pair<Id, UniqueFunction<void()>>> waiting_;   // guarded by mutex_
};

}  // namespace weir
