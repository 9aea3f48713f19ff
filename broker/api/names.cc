// How the small types are called on every surface, and the sums of a group's statistics.
#include <algorithm>

#include "weir/admin.h"
#include "weir/dead_letter.h"
#include "weir/delivery.h"
#include "weir/group.h"
#include "weir/types.h"

namespace weir {
namespace {

// A number from a newer peer has no name here.
constexpr std::string_view kUnknown = "unknown";

}  // namespace

std::string_view to_string(Durability level) noexcept {
  switch (level) {
    case Durability::kMemory: return "memory";
    case Durability::kProcess: return "process";
    case Durability::kPower: return "power";
  }
  return kUnknown;
}

std::string_view to_string(Order order) noexcept {
  switch (order) {
    case Order::kKey: return "key";
    case Order::kNone: return "none";
    case Order::kTopic: return "topic";
  }
  return kUnknown;
}

std::string_view to_string(Settle kind) noexcept {
  switch (kind) {
    case Settle::kAck: return "ack";
    case Settle::kRetry: return "retry";
    case Settle::kReject: return "reject";
    case Settle::kRelease: return "release";
    case Settle::kExtend: return "extend";
  }
  return kUnknown;
}

std::string_view to_string(DeathReason reason) noexcept {
  switch (reason) {
    case DeathReason::kMaxAttempts: return "max_attempts";
    case DeathReason::kCrashLoop: return "crash_loop";
    case DeathReason::kRejected: return "rejected";
    case DeathReason::kExpired: return "expired";
  }
  return kUnknown;
}

std::string_view to_string(Outcome outcome) noexcept {
  switch (outcome) {
    case Outcome::kRetry: return "retry";
    case Outcome::kReject: return "reject";
    case Outcome::kLeaseExpired: return "lease_expired";
    case Outcome::kCrash: return "crash";
    case Outcome::kExpired: return "expired";
  }
  return kUnknown;
}

std::string_view to_string(LetterState state) noexcept {
  switch (state) {
    case LetterState::kDead: return "dead";
    case LetterState::kRedriven: return "redriven";
    case LetterState::kDiscarded: return "discarded";
  }
  return kUnknown;
}

std::string_view to_string(LetterAct act) noexcept {
  switch (act) {
    case LetterAct::kRedriven: return "redriven";
    case LetterAct::kSentToTopic: return "sent_to_topic";
    case LetterAct::kDiscarded: return "discarded";
    case LetterAct::kRestored: return "restored";
  }
  return kUnknown;
}

std::string_view to_string(StoreState state) noexcept {
  switch (state) {
    case StoreState::kRunning: return "running";
    case StoreState::kStorageFull: return "storage_full";
    case StoreState::kStopped: return "stopped";
    case StoreState::kClosed: return "closed";
  }
  return kUnknown;
}

std::string dead_letter_topic(std::string_view topic, std::string_view group) {
  std::string name;
  name.reserve(6 + topic.size() + group.size());
  return name.append("_dlq.").append(topic).append(".").append(group);
}

GroupTopicStats GroupInfo::total() const {
  GroupTopicStats sum;
  sum.topic = source;
  if (topics.size() == 1) sum.floor = topics.front().floor;  // over several topics it means nothing
  for (const GroupTopicStats& one : topics) {
    sum.depth += one.depth;
    sum.in_flight += one.in_flight;
    sum.waiting_retries += one.waiting_retries;
    sum.redriven += one.redriven;
    sum.blocked += one.blocked;
    sum.spilled += one.spilled;
    sum.dead += one.dead;
    sum.pinned_bytes += one.pinned_bytes;
    sum.delivered += one.delivered;
    sum.acked += one.acked;
    sum.retried += one.retried;
    sum.released += one.released;
    sum.expired_leases += one.expired_leases;
    sum.expired += one.expired;
    sum.filtered += one.filtered;
    sum.dead_lettered += one.dead_lettered;
    sum.holding += one.holding;
    sum.scheduled += one.scheduled;
    sum.lag = std::max(sum.lag, one.lag);
    if (one.oldest && (!sum.oldest || *one.oldest < *sum.oldest)) sum.oldest = one.oldest;
  }
  return sum;
}

}  // namespace weir
