#include "broker/core/backoff.h"

#include <algorithm>
#include <cmath>

namespace weir::core {
namespace {

constexpr Duration kDelayMax = std::chrono::hours{24 * 365};

Status bad(const char* field, const std::string& what) {
  return {ErrorCode::invalid_argument, std::string("backoff.") + field + " " + what};
}

}  // namespace

Duration backoff_delay(const Backoff& backoff, std::uint32_t failures, base::Prng& prng) {
  // In doubles: too many failures give infinity, which min() brings down to the bound. Delays of a year are far below 2^53 ms.
  const double exponent = failures <= 1 ? 0.0 : static_cast<double>(failures - 1);
  const double grown = static_cast<double>(backoff.first.count()) * std::pow(backoff.factor, exponent);
  const double bound = static_cast<double>(backoff.max.count());
  const auto cap = static_cast<std::int64_t>(backoff.first.count() == 0 ? 0.0 : std::min(grown, bound));
  if (!backoff.jitter) return Duration{cap};
  return Duration{static_cast<std::int64_t>(prng.below(static_cast<std::uint64_t>(cap) + 1))};
}

Status validate(const Backoff& backoff) {
  if (backoff.first < Duration::zero()) return bad("first", "must not be negative");
  if (backoff.max < backoff.first) return bad("max", "must not be less than backoff.first");
  if (backoff.max > kDelayMax) return bad("max", "must be at most 365 days");
  if (!(backoff.factor >= 1.0 && backoff.factor <= 100.0)) return bad("factor", "must be from 1 to 100");
  return ok();
}

}  // namespace weir::core
