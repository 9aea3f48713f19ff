// Transactions: publishes, settlements and application state in one commit (S-28).
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "weir/delivery.h"
#include "weir/message.h"

namespace weir {

struct StatePut {
  std::string key{};
  std::string value{};
};
struct StateRange {
  std::string begin{};
  std::string end{};  ///< exclusive; empty: to the end
};

/// One atomic commit. It happens wholly or not at all, also across a crash.
struct CommitRequest {
  std::string request_id{};                ///< for retries after outcome_unknown; empty: none
  std::optional<Durability> durability{};
  std::uint64_t read_version = 0;        ///< the state's version that `reads` and `scanned` were read at
  std::vector<std::string> reads{};
  std::vector<StateRange> scanned{};
  std::vector<StatePut> puts{};
  std::vector<std::string> erases{};
  std::vector<TopicMessage> publishes{};
  std::vector<Settlement> settlements{};
  std::string idempotency_key{};           ///< with the reply, kept in the same commit (S-31)
  std::string idempotency_reply{};
};
struct CommitResult {
  std::vector<Published> publishes{};
  std::uint64_t version = 0;
};

struct ReadStateRequest {
  std::optional<std::string> key{};        ///< one key, or
  std::optional<StateRange> range{};       ///< a range
  std::uint32_t entries_max = 1000;
};
struct ReadStateResult {
  std::vector<StatePut> entries{};
  std::uint64_t version = 0;
};

}  // namespace weir
