// Hashes of text (XXH3): fast, of good quality, the same on every machine. With a secret seed nobody can make collisions on purpose cheaply;
// they are still no cryptographic hashes.
#pragma once

#include <compare>
#include <cstdint>
#include <string_view>

namespace weir::base {

struct Hash128 {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  friend constexpr auto operator<=>(const Hash128&, const Hash128&) = default;
};

std::uint64_t hash64(std::string_view text, std::uint64_t seed) noexcept;
Hash128 hash128(std::string_view text, std::uint64_t seed) noexcept;

}  // namespace weir::base
