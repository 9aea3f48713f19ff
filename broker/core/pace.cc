#include "broker/core/pace.h"

#include <algorithm>
#include <cmath>

namespace weir::core {
namespace {
/// A whole number that was not met for want of digits is met.
constexpr double kSlack = 1e-6;
}  // namespace

std::uint64_t Pace::due(std::int64_t now_ms, std::uint64_t most) const noexcept {
  if (!limited()) return most;
  const double so_far = std::floor(static_cast<double>(std::max<std::int64_t>(0, now_ms - start_ms_)) * rate_ / 1000 + kSlack);
  const double open = so_far - static_cast<double>(done_);
  return open <= 0 ? 0 : open >= static_cast<double>(most) ? most : static_cast<std::uint64_t>(open);
}

std::int64_t Pace::when_ms(std::uint64_t count) const noexcept {
  if (!limited()) return start_ms_;
  return start_ms_ + static_cast<std::int64_t>(std::ceil(static_cast<double>(done_ + count) * 1000 / rate_ - kSlack));
}

}  // namespace weir::core
