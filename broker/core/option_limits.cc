// The options of topics and groups: what they may be, and how two of them differ.
#include "broker/core/limits.h"

namespace weir::core {
namespace {

Status invalid(const std::string& field, const std::string& what) { return {ErrorCode::invalid_argument, field + ": " + what}; }

constexpr Duration kAgeMax = std::chrono::hours{24 * 36500};

template <class Number>
Status range(const char* field, Number value, Number min, Number max) {
  if (value >= min && value <= max) return ok();
  return invalid(field, std::to_string(value) + " is not from " + std::to_string(min) + " to " + std::to_string(max));
}

Status range(const char* field, Duration value, Duration min, Duration max) {
  if (value >= min && value <= max) return ok();
  return invalid(field, std::to_string(value.count()) + "ms is not from " + std::to_string(min.count()) + "ms to " + std::to_string(max.count()) + "ms");
}

std::string text(bool value) { return value ? "true" : "false"; }
std::string text(std::uint32_t value) { return std::to_string(value); }
std::string text(std::uint64_t value) { return std::to_string(value); }
std::string text(Duration value) { return std::to_string(value.count()) + "ms"; }
std::string text(Durability value) { return std::string(to_string(value)); }
std::string text(Order value) { return std::string(to_string(value)); }
std::string text(CapPolicy value) { return value == CapPolicy::kReject ? "reject" : "drop_oldest"; }
std::string text(const std::optional<Duration>& value) { return value ? text(*value) : "never"; }

std::string text(const StartPoint& start) {
  switch (start.kind) {
    case StartPoint::Kind::kEarliest: return "earliest";
    case StartPoint::Kind::kLatest: return "latest";
    case StartPoint::Kind::kOffset: return "offset " + std::to_string(start.offset.value);
    case StartPoint::Kind::kTime: return "time " + std::to_string(start.time.time_since_epoch().count());
  }
  return "unknown";
}

std::string text(const Backoff& backoff) {
  std::string factor = std::to_string(backoff.factor);
  factor.erase(factor.find_last_not_of('0') + 1);
  if (factor.back() == '.') factor.pop_back();
  return text(backoff.first) + " * " + factor + " up to " + text(backoff.max) + (backoff.jitter ? "" : " without jitter");
}

std::string text(const Filter& filter) {
  const auto condition = [&](const char* what) { return filter.header + " " + what + " \"" + filter.value + "\""; };
  const auto combination = [&](const char* what) {
    std::string out = std::string(what) + "(";
    for (std::size_t i = 0; i < filter.parts.size(); ++i) out += (i != 0 ? ", " : "") + text(filter.parts[i]);
    return out + ")";
  };
  switch (filter.op) {
    case Filter::Op::kEverything: return "everything";
    case Filter::Op::kExact: return condition("is");
    case Filter::Op::kPrefix: return condition("begins with");
    case Filter::Op::kSuffix: return condition("ends with");
    case Filter::Op::kPresent: return filter.header + " is present";
    case Filter::Op::kAll: return combination("all");
    case Filter::Op::kAny: return combination("any");
    case Filter::Op::kNot: return combination("not");
  }
  return "unknown";
}

/// Collects "name: have vs want" for fields that differ.
class DifferenceList {
 public:
  template <class T>
  DifferenceList& field(const char* name, const T& have, const T& want) {
    if (have == want) return *this;
    if (!list_.empty()) list_ += "; ";
    list_ += std::string(name) + ": " + text(have) + " vs " + text(want);
    return *this;
  }
  std::string take() { return std::move(list_); }

 private:
  std::string list_;
};

}  // namespace

Status validate(const TopicOptions& options) {
  if (options.durability > Durability::kPower) return invalid("durability", "is unknown");
  if (!options.ephemeral && options.durability == Durability::kMemory) return invalid("durability", "memory is for ephemeral topics only");
  if (options.cap_policy > CapPolicy::kDropOldest) return invalid("cap_policy", "is unknown");
  if (options.compact && options.ephemeral) return invalid("compact", "is for durable topics only");
  if (options.compact && options.discard_settled) return invalid("compact", "and discard_settled exclude each other");
  if (options.compact && options.cap_policy == CapPolicy::kDropOldest && options.bytes_max != 0) return invalid("compact", "and the cap policy drop_oldest exclude each other");
  if (Status status = range("tombstone_retention", options.tombstone_retention, Duration{0}, kAgeMax); !status.ok()) return status;
  if (options.ephemeral && options.track_keys) return invalid("track_keys", "is not for ephemeral topics");
  if (Status status = range("payload_bytes_max", std::size_t{options.payload_bytes_max}, std::size_t{1}, kPayloadBytesMax); !status.ok()) return status;
  if (Status status = range("retention_age", options.retention_age, Duration{0}, kAgeMax); !status.ok()) return status;
  return range("dedup_window", options.dedup_window, Duration{0}, kAgeMax);
}

Status validate(const GroupOptions& options) {
  using std::uint32_t;
  const Status all[] = {
      options.start.kind > StartPoint::Kind::kTime ? invalid("start", "is of an unknown kind") : ok(),
      options.order > Order::kTopic ? invalid("order", "is unknown") : ok(),
      range("lease", options.lease, Duration{100}, std::chrono::hours{12}),
      range("max_attempts", options.max_attempts, uint32_t{1}, uint32_t{1000}),
      range("max_deliveries", options.max_deliveries, uint32_t{1}, uint32_t{10'000}),
      validate(options.backoff),
      range("in_flight_max", options.in_flight_max, uint32_t{1}, uint32_t{100'000}),
      range("member_in_flight_max", options.member_in_flight_max, uint32_t{1}, uint32_t{100'000}),
      range("waiting_max", options.waiting_max, uint32_t{1}, uint32_t{10'000'000}),
      validate(options.filter),
      options.expire_idle ? range("expire_idle", *options.expire_idle, Duration{1}, kAgeMax) : ok(),
      options.hold_key && options.order == Order::kNone ? invalid("hold_key", "with order none there is no key to hold") : ok(),
  };
  for (const Status& status : all)
    if (!status.ok()) return status;
  return ok();
}

std::string differences(const TopicOptions& have, const TopicOptions& want) {
  DifferenceList list;
  list.field("ephemeral", have.ephemeral, want.ephemeral);
  // Ephemeral topics have one level, whatever was written down.
  if (!have.ephemeral || !want.ephemeral) list.field("durability", have.durability, want.durability);
  return list.field("retention_age", have.retention_age, want.retention_age)
      .field("retention_bytes", have.retention_bytes, want.retention_bytes)
      .field("discard_settled", have.discard_settled, want.discard_settled)
      .field("bytes_max", have.bytes_max, want.bytes_max)
      .field("cap_policy", have.cap_policy, want.cap_policy)
      .field("payload_bytes_max", have.payload_bytes_max, want.payload_bytes_max)
      .field("dedup_window", have.dedup_window, want.dedup_window)
      .field("compact", have.compact, want.compact)
      .field("tombstone_retention", have.tombstone_retention, want.tombstone_retention)
      .field("track_keys", have.track_keys, want.track_keys)
      .take();
}

std::string differences(const GroupOptions& have, const GroupOptions& want) {
  return DifferenceList()
      .field("start", have.start, want.start)
      .field("order", have.order, want.order)
      .field("lease", have.lease, want.lease)
      .field("max_attempts", have.max_attempts, want.max_attempts)
      .field("max_deliveries", have.max_deliveries, want.max_deliveries)
      .field("backoff", have.backoff, want.backoff)
      .field("in_flight_max", have.in_flight_max, want.in_flight_max)
      .field("member_in_flight_max", have.member_in_flight_max, want.member_in_flight_max)
      .field("waiting_max", have.waiting_max, want.waiting_max)
      .field("filter", have.filter, want.filter)
      .field("dead_letter_expired", have.dead_letter_expired, want.dead_letter_expired)
      .field("is_volatile", have.is_volatile, want.is_volatile)
      .field("expire_idle", have.expire_idle, want.expire_idle)
      .field("hold_key", have.hold_key, want.hold_key)
      .take();
}

}  // namespace weir::core
