// A producer session: exactly one copy of each message, in order, without an id per message (S-6).
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "weir/broker.h"

namespace weir {

/// Publishes under a session name with rising sequence numbers. A publish that ends as `outcome_unknown` is repeated with the same
/// numbers: the broker stores it once. Thread-safe; publishes of several threads are sequenced in the order they enter.
class Producer {
 public:
  /// `session` must be unique to this producer; a producer that comes back under the same name goes on behind its last sequence number,
  /// which the program must know (`next_sequence`, 1 for a new session).
  Producer(Broker& broker, std::string session, std::uint64_t next_sequence = 1)
      : broker_(&broker), session_(std::move(session)), next_(next_sequence) {}

  /// Blocks. On `outcome_unknown` the request is repeated up to `attempts` times with the same sequence. When a publish fails for good, its sequence
  /// numbers are not used up. When it ends as `outcome_unknown` after all, the next publish finds out whether its numbers were used, so that
  /// neither is a later message taken for a repetition of it, nor is there a gap.
  Result<PublishResult> publish(PublishRequest request, int attempts = 3);
  /// Behind the last sequence number that was used, or that may have been used when the last publish ended as `outcome_unknown`.
  std::uint64_t next_sequence() const;

 private:
  Broker* broker_;
  const std::string session_;
  mutable std::mutex mutex_;
  std::uint64_t next_;  // guarded by mutex_
  std::vector<std::uint64_t> doubts_;  // guarded by mutex_: where publishes began of which nobody knows whether they were stored
};

}  // namespace weir
