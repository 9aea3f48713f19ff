#include "bench/workload.h"

namespace bench {

std::span<const Workload> workloads() {
  static constexpr Workload kAll[] = {
      {"publish-batch", "batches of 100 made by the caller, at process", publish_batch},
      {"publish-batch-64-topics", "the same to 64 topics in turn", publish_batch_64_topics},
      {"publish-batch-10000-topics", "the same to 10,000 topics in turn", publish_batch_10000_topics},
      {"publish-async", "single asynchronous publishes with callbacks, at process", publish_async},
      {"publish-sync-power", "one publish at a time, synced to the device", publish_sync_power},
      {"publish-power-64", "64 publishes in flight from one thread, synced to the device", publish_power_64},
      {"fetch-ack", "fetch and ack in batches of 100, keyless and with 1,000 keys", fetch_ack},
      {"subscribe", "a handler thread, keyless and with 1,000 keys", subscribe},
      {"latency", "one publish at process until its handler starts", latency},
      {"memory-topic", "an ephemeral topic with one subscriber", memory_topic},
      {"dedup", "publishing with ids and without", dedup},
      {"open-after-kill", "opening a large store after kill -9", open_after_kill},
      {"footprint", "bytes written, memory and disk of many messages", footprint},
      {"stuck-key", "other keys beside one that fails for ever with many messages behind it", stuck_key},
      {"transaction", "two publishes, an ack and a put in one commit and apart; 64 in flight that share syncs", transaction},
      {"redrive", "dead letters grouped, redriven and discarded, and publishes beside a job", redrive},
      {"schedule", "opening and using a store with many messages that are due in a month", schedule},
      {"backup", "a backup of a store that is published to at full speed, and the store restored from it", backup},
  };
  return kAll;
}

}  // namespace bench
