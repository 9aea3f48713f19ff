// Pace: how many of something may be done by now, at a rate.
#pragma once

#include <cstdint>

namespace weir::core {

/// Operation. From start() on, the n-th may go n / rate seconds later: what was late is made up for, so that the average holds. After a pause it is
/// started anew, so that a pause is not made up for. Time is an argument.
///
/// Concurrency. None: one thread at a time.
class Pace {
 public:
  static constexpr double kRateMin = 0.001, kRateMax = 1'000'000;   ///< a second

  /// 0: no limit.
  explicit Pace(double rate = 0) : rate_(rate) {}
  bool limited() const noexcept { return rate_ > 0; }
  void start(std::int64_t now_ms) noexcept {
    start_ms_ = now_ms;
    done_ = 0;
  }
  void done(std::uint64_t count) noexcept { done_ += count; }
  /// How many may be done now, up to `most`.
  std::uint64_t due(std::int64_t now_ms, std::uint64_t most) const noexcept;
  /// When due() is at least `count`, 1 or more.
  std::int64_t when_ms(std::uint64_t count) const noexcept;

 private:
  double rate_;
  std::int64_t start_ms_ = 0;
  std::uint64_t done_ = 0;
};

}  // namespace weir::core
