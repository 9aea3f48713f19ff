// A producer session: exactly one copy of each message, in order, without an id per message (S-6).
#pragma once

#include <mutex>
#include <string>

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
  /// numbers are not used up.
  Result<PublishResult> publish(PublishRequest request, int attempts = 3);
  std::uint64_t next_sequence() const;

 private:
  Broker* broker_;
  const std::string session_;
  mutable std::mutex mutex_;
  std::uint64_t next_;  // guarded by mutex_
};

}  // namespace weir
