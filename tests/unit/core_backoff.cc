// The rule for redelivery delays (S-18).
#include "broker/core/backoff.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <limits>

namespace weir::core {
namespace {

using namespace std::chrono_literals;

TEST_CASE("without jitter the delay grows by the factor up to the bound", "[core][S-18]") {
  base::Prng random(1);
  const Backoff backoff{.first = 1s, .factor = 2.0, .max = 5min, .jitter = false};
  const Duration expected[] = {1s, 2s, 4s, 8s, 16s, 32s, 64s, 128s, 256s, 5min, 5min};
  std::uint32_t failures = 0;
  for (const Duration delay : expected) CHECK(backoff_delay(backoff, ++failures, random) == delay);
  CHECK(backoff_delay(backoff, 0, random) == 1s);
}

TEST_CASE("any number of failures stays within the bound", "[core][S-18]") {
  base::Prng random(1);
  for (const double factor : {1.0, 1.5, 100.0})
    for (const std::uint32_t failures : {10u, 1000u, std::numeric_limits<std::uint32_t>::max()}) {
      const Backoff backoff{.first = 1ms, .factor = factor, .max = 365 * 24h, .jitter = false};
      const Duration delay = backoff_delay(backoff, failures, random);
      CHECK(delay >= 1ms);
      CHECK(delay <= 365 * 24h);
    }
  CHECK(backoff_delay({.first = 0ms, .factor = 2.0, .max = 1s}, std::numeric_limits<std::uint32_t>::max(), random) == 0ms);
}

TEST_CASE("full jitter spreads delays over the whole range", "[core][S-18]") {
  base::Prng random(2);
  const Backoff backoff{.first = 1s, .factor = 2.0, .max = 5min};
  Duration least = 1h, most = 0ms, sum = 0ms;
  constexpr int kTries = 20'000;
  for (int i = 0; i < kTries; ++i) {
    const Duration delay = backoff_delay(backoff, 4, random);
    least = std::min(least, delay), most = std::max(most, delay), sum += delay;
  }
  CHECK(least >= 0ms);
  CHECK(least < 20ms);
  CHECK(most <= 8s);
  CHECK(most > 7980ms);
  CHECK(static_cast<double>((sum / kTries).count()) == Approx(4000).margin(60));
}

TEST_CASE("a backoff out of range is refused by name", "[core][S-18]") {
  CHECK(validate(Backoff{}).ok());
  CHECK(validate(Backoff{.first = 0ms, .factor = 1.0, .max = 0ms}).ok());
  CHECK(validate(Backoff{.first = -1ms}).message().find("backoff.first") != std::string::npos);
  CHECK(validate(Backoff{.first = 2s, .max = 1s}).message().find("backoff.max") != std::string::npos);
  CHECK(validate(Backoff{.max = 366 * 24h}).message().find("backoff.max") != std::string::npos);
  for (const double factor : {0.99, 100.1, -2.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()})
    CHECK(validate(Backoff{.factor = factor}).message().find("backoff.factor") != std::string::npos);
}

}  // namespace
}  // namespace weir::core
