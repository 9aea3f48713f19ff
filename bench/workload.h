// What a workload is, and what it is given.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "bench/report.h"
#include "bench/temp_directory.h"

namespace bench {

/// How much a run does.
struct Scale {
  bool quick = false;
  int rounds = 3;
  double seconds = 3;               ///< of one measured slice of one round
  std::uint64_t messages = 0;       ///< of the workloads that need a full store; 0: the workload's own number
  std::uint64_t messages_or(std::uint64_t full, std::uint64_t quick_messages) const { return messages ? messages : quick ? quick_messages : full; }
};

/// What a workload is given to do its work.
struct Run {
  const Scale& scale;
  const Report& report;
  const TempDirectory& directory;
};

struct Workload {
  const char* name;
  const char* what;
  void (*run)(const Run&);
};

/// All workloads, in the order in which they run.
std::span<const Workload> workloads();

// Each of these is described in the list in workloads.cc.
void publish_batch(const Run&);
void publish_batch_64_topics(const Run&);
void publish_batch_10000_topics(const Run&);
void publish_async(const Run&);
void publish_sync_power(const Run&);
void publish_power_64(const Run&);
void fetch_ack(const Run&);
void subscribe(const Run&);
void latency(const Run&);
void memory_topic(const Run&);
void dedup(const Run&);
void open_after_kill(const Run&);
void footprint(const Run&);
void stuck_key(const Run&);
void transaction(const Run&);
void redrive(const Run&);
void schedule(const Run&);
void backup(const Run&);

}  // namespace bench
