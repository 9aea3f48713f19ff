// The consumers of the workloads.
#pragma once

#include <cstdint>
#include <string>

#include "bench/measure.h"
#include "bench/store.h"

namespace bench {

/// Fetches and acks, blocking, `batch` messages at a time, until `messages` are acked or the time is up.
Tally fetch_and_ack(Store&, const std::string& source, const std::string& group, std::uint64_t messages, double seconds,
                    std::uint32_t batch = 100);
/// Lets handler threads work until `messages` are handled or the time is up; the time ends when all that was handled is settled.
Tally handle(Store&, const std::string& source, const std::string& group, std::uint64_t messages, double seconds, std::uint32_t threads = 1);

}  // namespace bench
