// What a transaction, and a read of application state, may be (S-28).
#include <tuple>

#include <absl/container/flat_hash_set.h>

#include "broker/core/limits.h"

namespace weir::core {
namespace {

/// What an operation costs in memory beside its bytes.
constexpr std::size_t kFixed = 64;

Status invalid(const std::string& field, const std::string& what) { return {ErrorCode::invalid_argument, field + ": " + what}; }

Status over(const std::string& field, std::size_t size, const char* unit, const char* name, std::size_t limit) {
  return {ErrorCode::limit_exceeded, field + ": " + std::to_string(size) + " " + unit + "; " + name + " is " + std::to_string(limit)};
}

Status validate_state_key(const char* field, std::string_view key) {
  if (key.empty()) return invalid(field, "a key of the state must not be empty");
  if (key.size() > kStateKeyBytesMax) return over(field, key.size(), "bytes of a key", "kStateKeyBytesMax", kStateKeyBytesMax);
  return ok();
}

/// Bounds of a range may be a byte longer than a key: the place right behind one.
Status validate_range(const char* field, const StateRange& range) {
  for (const std::string* bound : {&range.begin, &range.end})
    if (bound->size() > kStateKeyBytesMax + 1) return over(field, bound->size(), "bytes of a bound", "kStateKeyBytesMax", kStateKeyBytesMax);
  if (!range.end.empty() && range.end < range.begin) return invalid(field, "the end is before the beginning");
  return ok();
}

Status validate_counts(const CommitRequest& request) {
  const std::pair<const char*, std::size_t> counts[] = {{"publishes", request.publishes.size()},
                                                        {"settlements", request.settlements.size()},
                                                        {"puts and erases", request.puts.size() + request.erases.size()},
                                                        {"reads", request.reads.size()}};
  for (const auto& [field, count] : counts)
    if (count > kTransactionOperationsMax) return over(field, count, "in one transaction", "kTransactionOperationsMax", kTransactionOperationsMax);
  if (request.scanned.size() > kTransactionRangesMax)
    return over("scanned", request.scanned.size(), "ranges in one transaction", "kTransactionRangesMax", kTransactionRangesMax);
  return ok();
}

Status validate_writes(const CommitRequest& request, std::size_t& bytes) {
  absl::flat_hash_set<std::string_view> keys;
  const bool several = request.puts.size() + request.erases.size() > 1;
  const auto once = [&](std::string_view key) { return !several || keys.insert(key).second; };
  for (const StatePut& put : request.puts) {
    if (Status status = validate_state_key("puts", put.key); !status.ok()) return status;
    if (put.value.size() > kStateValueBytesMax) return over("puts", put.value.size(), "bytes of a value", "kStateValueBytesMax", kStateValueBytesMax);
    if (!once(put.key)) return invalid("puts", "a key is there twice");
    bytes += put.key.size() + put.value.size() + kFixed;
  }
  for (const std::string& key : request.erases) {
    if (Status status = validate_state_key("erases", key); !status.ok()) return status;
    if (!once(key)) return invalid("erases", "a key is there twice, or put as well");
    bytes += key.size() + kFixed;
  }
  return ok();
}

Status validate_settlements(const std::vector<Settlement>& settlements, std::size_t& bytes) {
  absl::flat_hash_set<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t>> known;
  for (const Settlement& each : settlements) {
    if (each.kind > Settle::kRelease) return invalid("settlements", "only ack, retry, reject and release belong into a transaction");
    if (each.kind == Settle::kRetry && each.delay && (*each.delay < Duration{0} || *each.delay > kRetryDelayMax))
      return {ErrorCode::limit_exceeded, "delay: " + std::to_string(each.delay->count()) + " ms; 0 to 365 days"};
    if (settlements.size() > 1 && !known.insert({each.token.group.value, each.token.topic.value, each.token.offset.value, each.token.redrive}).second)
      return invalid("settlements", "offset " + std::to_string(each.token.offset.value) + " is there twice");
    bytes += each.error.size() + kFixed;
  }
  return ok();
}

}  // namespace

Status validate(std::span<const ExpectedLast> expected) {
  if (expected.size() > kExpectedMax)
    return {ErrorCode::limit_exceeded, "expected: " + std::to_string(expected.size()) + " conditions; the limit is " + std::to_string(kExpectedMax)};
  for (const ExpectedLast& each : expected) {
    if (!each.key) continue;
    if (each.key->empty()) return invalid("expected", "a key must not be empty: messages without a key have no last one");
    if (each.key->size() > kKeyBytesMax) return {ErrorCode::limit_exceeded, "expected: " + std::to_string(each.key->size()) + " bytes of a key are over the limit of " + std::to_string(kKeyBytesMax)};
  }
  return ok();
}

Status validate(const CommitRequest& request, std::size_t& bytes) {
  bytes = kFixed;
  if (!request.idempotency_key.empty() || !request.idempotency_reply.empty())
    return {ErrorCode::unsupported, "idempotency_key: kept replies (S-31) are not built into this engine yet; request_id is"};
  if (request.request_id.size() > kIdBytesMax)
    return {ErrorCode::limit_exceeded, "request_id: " + std::to_string(request.request_id.size()) + " bytes are over the limit of " + std::to_string(kIdBytesMax)};
  if (!valid_utf8_text(request.request_id)) return invalid("request_id", "must be UTF-8 without control characters");
  if (request.durability && *request.durability > Durability::kPower) return invalid("durability", "is unknown");
  if (request.read_version == 0 && !(request.reads.empty() && request.scanned.empty()))
    return invalid("read_version", "is 0, but the transaction names what it read");
  if (Status status = validate_counts(request); !status.ok()) return status;
  if (Status status = validate_writes(request, bytes); !status.ok()) return status;
  if (Status status = validate_settlements(request.settlements, bytes); !status.ok()) return status;
  if (Status status = validate(request.expected); !status.ok()) return status;
  for (const std::string& key : request.reads) {
    if (Status status = validate_state_key("reads", key); !status.ok()) return status;
    bytes += key.size() + kFixed;
  }
  for (const StateRange& range : request.scanned) {
    if (Status status = validate_range("scanned", range); !status.ok()) return status;
    bytes += range.begin.size() + range.end.size() + kFixed;
  }
  for (const TopicMessage& each : request.publishes) bytes += message_bytes(each.message) + each.topic.size();
  if (bytes > kTransactionBytesMax) return over("the transaction", bytes, "bytes", "kTransactionBytesMax", kTransactionBytesMax);
  return ok();
}

Status validate(const ReadStateRequest& request) {
  if (request.key.has_value() == request.range.has_value()) return invalid("key, range", "exactly one of them must be there");
  if (request.key) return validate_state_key("key", *request.key);
  if (request.entries_max < 1 || request.entries_max > kStateEntriesMax)
    return {ErrorCode::limit_exceeded, "entries_max: " + std::to_string(request.entries_max) + "; 1 to " + std::to_string(kStateEntriesMax)};
  return validate_range("range", *request.range);
}

}  // namespace weir::core
