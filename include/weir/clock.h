// Time as a parameter: the real clock, and one that a test drives.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "weir/types.h"

namespace weir {

/// Where a broker gets its time from. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;

  /// The time now. Leases, retries, ttl, retention and commit times all come from it.
  virtual Time now() const = 0;

  /// How long a thread may really sleep until the clock shows `when`; nothing when only watch() can tell.
  virtual std::optional<Duration> real_time_until(Time when) const = 0;

  /// Calls `changed` after every jump of a clock that is driven by hand, until unwatch(). The call is made on the
  /// driving thread and must not block; it may read the clock. After unwatch() no call is running and none will come; neither function may be
  /// called from `changed`, nor under a lock that `changed` takes.
  virtual void watch(const void* watcher, std::function<void()> changed) = 0;
  virtual void unwatch(const void* watcher) = 0;
};

/// The machine's clock: starts from the wall time at its construction and goes on with the boot-time clock, so that
/// steps of the wall clock neither expire leases nor stretch them. A step is taken over at the next open.
std::shared_ptr<Clock> system_clock();

/// A clock for tests: it stands still until it is moved. Moving it wakes the broker's timers; what they cause is
/// done in the background, so wait for the effect (Broker::drain, fetch with a wait) and not for a time.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(Time start = Time{std::chrono::hours{24 * 365 * 50}}) : now_(start) {}

  Time now() const override;
  std::optional<Duration> real_time_until(Time when) const override;
  void watch(const void* watcher, std::function<void()> changed) override;
  void unwatch(const void* watcher) override;

  /// Moves the clock forward; it never goes back. Thread-safe.
  void advance(Duration by);

 private:
  mutable std::mutex mutex_;
  Time now_;                                                  // guarded by mutex_
  std::mutex watchers_mutex_;                                 // held while watchers are called; before mutex_
  std::map<const void*, std::function<void()>> watchers_;     // guarded by watchers_mutex_
};

}  // namespace weir
