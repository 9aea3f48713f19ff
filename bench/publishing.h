// The producers of the workloads.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "bench/measure.h"
#include "bench/payload_pool.h"
#include "bench/store.h"

namespace bench {

/// What is published.
struct Stream {
  std::vector<std::string> topics;   ///< requests go to them in turn
  std::size_t payload_bytes = 100;
  std::uint32_t keys = 0;            ///< messages take these keys in turn; 0: no key
  bool ids = false;                  ///< every message has an id of its own
  weir::Durability durability = weir::Durability::kProcess;
  std::uint64_t messages_max = std::numeric_limits<std::uint64_t>::max();
  double seconds = std::numeric_limits<double>::infinity();
};

/// Makes the messages of a stream. Not thread-safe.
class MessageMaker {
 public:
  explicit MessageMaker(const Stream& stream);
  weir::Message next();

 private:
  PayloadPool pool_;
  std::vector<std::string> keys_;
  const bool ids_;
  std::uint64_t made_ = 0;
  const std::uint64_t run_;  // ids of two makers differ
};

/// Requests of `batch` messages. `outstanding` 1: blocking calls one after another; more: asynchronous ones.
Tally publish_batches(Store&, const Stream&, std::size_t batch = 100, std::size_t outstanding = 1);
/// Single asynchronous publishes, each with a callback, up to `outstanding` of them at a time. A publish that finds the queue full
/// waits for async_ready; only those that were answered OK count.
Tally publish_singly(Store&, const Stream&, std::size_t outstanding = 8192);
/// Single blocking publishes, one at a time.
Tally publish_one_at_a_time(Store&, const Stream&, Latencies& latencies);

}  // namespace bench
