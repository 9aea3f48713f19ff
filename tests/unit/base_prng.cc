// The generator of random numbers.
#include "broker/base/prng.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <random>
#include <vector>

namespace weir::base {
namespace {

TEST_CASE("the same seed gives the same numbers, another seed others", "[base]") {
  Prng a(7), b(7), c(8);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const std::uint64_t n = a.next();
    CHECK(n == b.next());
    differs |= n != c.next();
  }
  CHECK(differs);
}

TEST_CASE("seed 0 is as good as any", "[base]") {
  Prng random(0);
  CHECK(random.next() != 0);
  CHECK(random.next() != random.next());
}

TEST_CASE("below stays below and reaches every number about equally often", "[base]") {
  Prng random(1);
  std::array<int, 7> seen{};
  for (int i = 0; i < 70'000; ++i) ++seen.at(random.below(seen.size()));
  for (const int count : seen) {
    CHECK(count > 9'500);
    CHECK(count < 10'500);
  }
  CHECK(random.below(0) == 0);
  CHECK(random.below(1) == 0);
}

TEST_CASE("below is fair for a range near 2^64 too", "[base]") {
  Prng random(2);
  const std::uint64_t most = std::uint64_t{3} << 62;
  int low = 0;
  for (int i = 0; i < 30'000; ++i) {
    const std::uint64_t n = random.below(most);
    REQUIRE(n < most);
    low += n < most / 3;
  }
  CHECK(low > 9'500);
  CHECK(low < 10'500);
}

TEST_CASE("unit is from 0 up to but not 1, around a half", "[base]") {
  Prng random(3);
  double sum = 0;
  for (int i = 0; i < 10'000; ++i) {
    const double u = random.unit();
    REQUIRE(u >= 0.0);
    REQUIRE(u < 1.0);
    sum += u;
  }
  CHECK(sum / 10'000 == Approx(0.5).margin(0.02));
}

TEST_CASE("the standard library can shuffle with it", "[base]") {
  Prng random(4);
  std::vector<int> numbers(100);
  for (int i = 0; i < 100; ++i) numbers[static_cast<std::size_t>(i)] = i;
  std::shuffle(numbers.begin(), numbers.end(), random);
  CHECK_FALSE(std::is_sorted(numbers.begin(), numbers.end()));
}

}  // namespace
}  // namespace weir::base
