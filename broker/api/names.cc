// How the small types are called on every surface, and the sums of a group's statistics.
#include <algorithm>

#include "weir/admin.h"
#include "weir/dead_letter.h"
#include "weir/delivery.h"
#include "weir/fields.h"
#include "weir/group.h"
#include "weir/types.h"

namespace weir {

std::string_view to_string(Durability level) noexcept { return enum_name(level); }
std::string_view to_string(Order order) noexcept { return enum_name(order); }
std::string_view to_string(Settle kind) noexcept { return enum_name(kind); }
std::string_view to_string(DeathReason reason) noexcept { return enum_name(reason); }
std::string_view to_string(Outcome outcome) noexcept { return enum_name(outcome); }
std::string_view to_string(LetterState state) noexcept { return enum_name(state); }
std::string_view to_string(LetterAct act) noexcept { return enum_name(act); }
std::string_view to_string(StoreState state) noexcept { return enum_name(state); }

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
