// The raw limits that need no library: a plain file, a condition variable, a queue behind a mutex.
#pragma once

#include <cstdint>
#include <filesystem>

#include "bench/measure.h"

namespace bench {

inline constexpr const char* kRawFile = "write + fdatasync on a file";
inline constexpr const char* kRawHandOff = "condition-variable hand-off";
inline constexpr const char* kRawQueue = "mutex + deque queue";

/// Appends `batch` payloads with one write and one fdatasync, again and again; adds the time of each pair to `latencies`.
Tally append_and_sync_for(const std::filesystem::path& directory, double seconds, std::size_t payload_bytes, std::size_t batch,
                          Latencies& latencies);

/// Hands one thing at a time to a thread that sleeps on a condition variable; the time is from before the hand-over until the
/// other thread runs. `pause_microseconds` lie between two hand-overs, so that the other thread is asleep again.
void hand_off_for(double seconds, int pause_microseconds, Latencies& latencies);

/// One producer copies each payload into a message of its own and pushes it; one consumer pops. At most `depth` wait.
Tally queue_for(double seconds, std::size_t payload_bytes, std::size_t depth = 4096);

}  // namespace bench
