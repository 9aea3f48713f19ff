// Incompressible payloads at the price of a memcpy.
#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <string>

#include "weir/message.h"

namespace bench {

/// Windows into one pool of random bytes: no payload compresses, and making one costs a copy and nothing else.
/// Not thread-safe.
class PayloadPool {
 public:
  explicit PayloadPool(std::size_t payload_bytes, std::uint64_t seed = 42) : bytes_(payload_bytes), pool_(std::size_t{1} << 20, '\0') {
    std::mt19937_64 random(seed);
    for (std::size_t at = 0; at < pool_.size(); at += sizeof(std::uint64_t)) {
      const std::uint64_t word = random();
      std::memcpy(&pool_[at], &word, sizeof word);
    }
  }

  std::size_t payload_bytes() const { return bytes_; }

  /// Bytes that stay valid as long as the pool; the next call gives others.
  const char* next() {
    // The steps are primes, so that windows neither repeat soon nor stay aligned.
    at_ += 4099;
    if (at_ + bytes_ > pool_.size()) at_ %= 4093;
    return pool_.data() + at_;
  }

  /// An own copy of the bytes, as a producer with a buffer to reuse would make it.
  weir::Payload copy() { return weir::Payload::copy(next(), bytes_); }

 private:
  const std::size_t bytes_;
  std::string pool_;
  std::size_t at_ = 0;
};

}  // namespace bench
