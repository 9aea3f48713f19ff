// The real clock and the one that tests drive.
#include "weir/clock.h"

#include <time.h>

#include <algorithm>
#include <chrono>

namespace weir {
namespace {

// A boot-time clock goes on while the machine sleeps, so that leases end when people expect them to.
std::chrono::nanoseconds read(clockid_t id) {
  timespec t{};
  clock_gettime(id, &t);
  return std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec};
}

class SystemClock final : public Clock {
 public:
  Time now() const override { return Time{std::chrono::duration_cast<Duration>(offset_ + read(CLOCK_BOOTTIME))}; }
  std::optional<Duration> real_time_until(Time when) const override { return std::max(when - now(), Duration{0}); }
  void watch(const void*, std::function<void()>) override {}
  void unwatch(const void*) override {}

 private:
  const std::chrono::nanoseconds offset_ = read(CLOCK_REALTIME) - read(CLOCK_BOOTTIME);
};

}  // namespace

std::shared_ptr<Clock> system_clock() { return std::make_shared<SystemClock>(); }

Time ManualClock::now() const {
  const std::lock_guard lock(mutex_);
  return now_;
}

std::optional<Duration> ManualClock::real_time_until(Time when) const {
  if (when <= now()) return Duration{0};
  return std::nullopt;
}

void ManualClock::watch(const void* watcher, std::function<void()> changed) {
  const std::lock_guard lock(watchers_mutex_);
  watchers_[watcher] = std::move(changed);
}

void ManualClock::unwatch(const void* watcher) {
  const std::lock_guard lock(watchers_mutex_);
  watchers_.erase(watcher);
}

void ManualClock::advance(Duration by) {
  const std::lock_guard lock(watchers_mutex_);
  {
    const std::lock_guard time_lock(mutex_);
    now_ += std::clamp(by, Duration{0}, Time::max() - now_);   // never back, and not past the end
  }
  for (const auto& [watcher, changed] : watchers_) changed();
}

}  // namespace weir
