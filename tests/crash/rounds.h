// How long the crash tests run, and by which seed.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <random>

namespace weir::crash {

inline std::uint64_t rounds_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

/// WEIR_SEED, or a new one each time; every failure prints it.
inline std::uint64_t seed_of_run() {
  if (const char* text = std::getenv("WEIR_SEED")) return std::strtoull(text, nullptr, 10);
  std::random_device machine;
  return machine() % 1'000'000;
}

}  // namespace weir::crash
