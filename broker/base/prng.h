// A small, fast generator of random numbers whose whole run follows from its seed (xoshiro256**, seeded by SplitMix64).
// Not for secrets.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace weir::base {

/// One step of SplitMix64: a good mixer for single numbers, too.
constexpr std::uint64_t mix64(std::uint64_t n) noexcept {
  n += 0x9e3779b97f4a7c15u;
  n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9u;
  n = (n ^ (n >> 27)) * 0x94d049bb133111ebu;
  return n ^ (n >> 31);
}

/// Not thread-safe. Usable as a standard uniform random bit generator.
class Prng {
 public:
  using result_type = std::uint64_t;
  explicit constexpr Prng(std::uint64_t seed) noexcept {
    // Distinct seeds give distinct states, and the state is never all zero.
    for (std::uint64_t& word : state_) {
      word = mix64(seed);
      seed += 0x9e3779b97f4a7c15u;
    }
  }

  constexpr std::uint64_t next() noexcept {
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  /// Evenly from [0, n); 0 when n is 0.
  constexpr std::uint64_t below(std::uint64_t n) noexcept {
    if (n == 0) return 0;
    // Numbers under 2^64 mod n would favour small results, so they are thrown away.
    const std::uint64_t unfair = (0 - n) % n;
    for (;;) {
      const std::uint64_t r = next();
      if (r >= unfair) return r % n;
    }
  }

  /// From [0, 1), with 53 random bits.
  constexpr double unit() noexcept { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

  static constexpr std::uint64_t min() noexcept { return 0; }
  static constexpr std::uint64_t max() noexcept { return ~std::uint64_t{0}; }
  constexpr std::uint64_t operator()() noexcept { return next(); }

 private:
  std::array<std::uint64_t, 4> state_{};
};

}  // namespace weir::base
