#include "tests/model/reference.h"

#include <algorithm>

namespace weir::model {
namespace {

/// S-13: while `first` is unsettled, `later` waits.
bool precedes(const RefItem& first, const RefItem& later) {
  if (later.letter != 0) return false;
  if (first.letter == 0) return first.offset < later.offset;
  // S-26: ahead of the undelivered ones; what a seek brought back from before it is left open.
  return !later.handed_out && first.offset < later.offset;
}

std::string name_of(const RefItem& item) {
  std::string text = "offset " + std::to_string(item.offset);
  if (item.letter != 0) text += " redriven letter " + std::to_string(item.letter - 1);
  static constexpr const char* kStates[] = {"ready", "leased", "waiting", "done", "dead", "unwanted"};
  text += std::string(" (") + kStates[static_cast<int>(item.state)] + ", failures " + std::to_string(item.failures) + ")";
  return text;
}

std::vector<std::string> tokens_of(const std::string& name) {
  std::vector<std::string> parts(1);
  for (const char c : name)
    if (c == '.')
      parts.emplace_back();
    else
      parts.back() += c;
  return parts;
}

}  // namespace

bool Reference::source_matches(const std::string& source, const std::string& topic) {
  const auto pattern = tokens_of(source), name = tokens_of(topic);
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == ">") return name.size() > i;
    if (i >= name.size() || (pattern[i] != "*" && pattern[i] != name[i])) return false;
  }
  return pattern.size() == name.size();
}

void Reference::add_topic(const TopicInfo& info) {
  RefTopic topic;
  topic.name = info.name;
  topic.id = info.id;
  topic.options = info.options;
  topics[info.name] = topic;
  for (auto& [key, group] : groups)
    if (source_matches(group.source, info.name)) group.topics[info.name];
}

void Reference::remove_topic(const std::string& name) {
  for (RefToken& token : tokens)
    if (token.topic == name) token.state = TokenState::kVoid;
  for (auto at = groups.begin(); at != groups.end();) {
    at->second.topics.erase(name);
    at = at->second.source == name ? groups.erase(at) : std::next(at);
  }
  topics.erase(name);
}

std::string Reference::order_key(const RefGroup& group, const RefTopic& topic, const RefMessage& message) const {
  if (group.options.order == Order::kNone) return {};
  return group.options.order == Order::kTopic ? "all of " + topic.name : message.key;
}

void Reference::add_item(RefGroup& group, RefProgress& progress, const RefTopic& topic, std::uint64_t offset) {
  const RefMessage& message = topic.messages[offset];
  RefItem item;
  item.offset = offset;
  item.key = order_key(group, topic, message);
  item.expires = message.expires;
  std::string encoded;
  for (const Header& h : message.headers) {
    encoded += static_cast<char>(h.name.size());
    encoded += h.name;
    encoded += static_cast<char>(h.value.size() & 255);
    encoded += static_cast<char>(h.value.size() >> 8);
    encoded += h.value;
  }
  if (!group.options.filter.matches(HeadersView(encoded))) item.state = RefState::kUnwanted;
  progress.items[{offset, 0}] = item;
}

RefGroup& Reference::add_group(const GroupInfo& info, const std::map<std::string, std::uint64_t>& starts) {
  RefGroup& group = groups[{info.source, info.name}];
  group = RefGroup{info.source, info.name, info.id, info.options, info.paused, {}};
  for (auto& [name, topic] : topics) {
    if (!source_matches(info.source, name)) continue;
    RefProgress& progress = group.topics[name];
    for (std::uint64_t offset = starts.at(name); offset < topic.messages.size(); ++offset) add_item(group, progress, topic, offset);
  }
  return group;
}

void Reference::append(RefTopic& topic, RefMessage message) {
  const std::uint64_t offset = topic.messages.size();
  if (!message.id.empty()) topic.ids[message.id] = {offset, message.time};
  topic.messages.push_back(std::move(message));
  for (auto& [key, group] : groups)
    if (const auto at = group.topics.find(topic.name); at != group.topics.end()) add_item(group, at->second, topic, offset);
}

std::optional<std::uint64_t> Reference::find_id(const RefTopic& topic, const std::string& id) const {
  const auto at = topic.ids.find(id);
  if (id.empty() || at == topic.ids.end() || now > at->second.second + topic.options.dedup_window.count()) return {};
  return at->second.first;
}

/// Which message of its key the item may not be delivered before, or beside; nullptr: none.
const RefItem* Reference::in_the_way(const RefProgress& progress, const RefItem& item, std::uint64_t fetch) const {
  if (item.key.empty()) return nullptr;
  for (const auto& [key, other] : progress.items) {
    if (&other == &item || other.key != item.key || other.settled()) continue;
    const bool mine = other.state == RefState::kLeased && other.fetch == fetch;
    if (other.state == RefState::kLeased && !mine) return &other;
    if (!mine && !other.optional && !other.expired(now) && precedes(other, item)) return &other;
  }
  return nullptr;
}

bool Reference::held(const RefProgress& progress, const std::string& key) {
  const auto holds = [&](const RefLetter& letter) { return letter.holds && letter.state == LetterState::kDead && letter.key == key; };
  return std::any_of(progress.letters.begin(), progress.letters.end(), holds) || std::any_of(progress.deaths.begin(), progress.deaths.end(), holds);
}

std::uint64_t Reference::holding(const RefProgress& progress) {
  const auto holds = [](const RefLetter& letter) { return letter.holds && letter.state == LetterState::kDead; };
  return static_cast<std::uint64_t>(std::count_if(progress.letters.begin(), progress.letters.end(), holds) +
                                    std::count_if(progress.deaths.begin(), progress.deaths.end(), holds));
}

std::uint64_t Reference::leased(const RefGroup& group, const std::string* topic) const {
  std::uint64_t count = 0;
  for (const auto& [name, progress] : group.topics)
    if (!topic || name == *topic)
      for (const auto& [key, item] : progress.items) count += item.state == RefState::kLeased;
  return count;
}

std::uint64_t Reference::leased_by(const RefGroup& group, std::uint64_t member) const {
  std::uint64_t count = 0;
  for (const auto& [name, progress] : group.topics)
    for (const auto& [key, item] : progress.items) count += item.state == RefState::kLeased && item.member == member;
  return count;
}

std::string Reference::must_deliver(const RefGroup& group, std::uint64_t member) const {
  if (group.paused || leased(group) >= group.options.in_flight_max) return {};
  if (member != 0 && leased_by(group, member) >= group.options.member_in_flight_max) return {};
  for (const auto& [name, progress] : group.topics) {
    std::set<std::string> held_keys;                     // keys where somebody must wait
    std::map<std::string, const RefItem*> open;      // keys that have something to give
    for (const auto& [key, item] : progress.items) {
      if (item.settled()) continue;
      // An expired message may have died, and hold its key, without having been seen.
      const bool may_hold = group.options.hold_key && group.options.dead_letter_expired && (item.expired(now) || item.optional);
      if (!item.key.empty() && (may_hold || held(progress, item.key))) held_keys.insert(item.key);
      const bool due = item.state == RefState::kReady || (item.state == RefState::kWaiting && item.due_max <= now);
      if (!due) {
        if (!item.key.empty()) held_keys.insert(item.key);
      } else if (!item.optional && !item.expired(now)) {
        if (item.key.empty()) return name + " " + name_of(item);
        open.emplace(item.key, &item);
      }
    }
    for (const auto& [key, item] : open)
      if (!held_keys.contains(key)) return name + " " + name_of(*item) + " of key " + key;
  }
  return {};
}

void Reference::fetched(RefGroup& group, const FetchRequest& request, const std::vector<Delivered>& deliveries, std::uint64_t fetch) {
  MODEL_EXPECT(deliveries.size() <= request.messages_max, "more messages than asked for");
  MODEL_EXPECT(deliveries.empty() || !group.paused, "a paused group hands out");
  std::uint64_t bytes = 0, place = 0;
  for (const Delivered& d : deliveries) {
    const std::string& name = d.message.topic();
    const auto at = group.topics.find(name);
    MODEL_EXPECT(at != group.topics.end(), "a message of " << name << ", which the group does not read");
    RefProgress& progress = at->second;
    const RefTopic& topic = topics.at(name);
    MODEL_EXPECT(d.token.group == group.id && d.token.topic == topic.id && d.token.offset == d.message.offset, "a wrong token");
    const auto found = progress.items.find({d.message.offset.value, d.token.redrive});
    MODEL_EXPECT(found != progress.items.end(), name << " offset " << d.message.offset << " redrive " << d.token.redrive << " is not the group's");
    RefItem& item = found->second;
    const std::string who = name + "/" + group.name + " " + name_of(item);
    MODEL_EXPECT(item.state != RefState::kLeased, who << ": handed out twice at the same time");
    MODEL_EXPECT(!item.settled(), who << ": delivered though settled, state " << static_cast<int>(item.state));
    MODEL_EXPECT(item.state != RefState::kWaiting || item.due_min <= now, who << ": redelivered " << item.due_min - now << " ms early");
    MODEL_EXPECT(!item.expired(now), who << ": delivered after its ttl");
    const RefItem* before = in_the_way(progress, item, fetch);
    MODEL_EXPECT(item.letter != 0 || item.key.empty() || !held(progress, item.key), who << ": delivered though a dead letter holds its key " << item.key);
    MODEL_EXPECT(before == nullptr, who << ": overtakes " << name_of(*before) << " of its key " << item.key);
    MODEL_EXPECT(d.token.epoch.value > last_epoch, who << ": epoch " << d.token.epoch << " after " << last_epoch);
    MODEL_EXPECT(d.failures == item.failures, who << ": failures " << d.failures << " instead of " << item.failures);
    MODEL_EXPECT(d.deliveries >= item.deliveries_min && d.deliveries <= item.deliveries_max,
                 who << ": deliveries " << d.deliveries << " instead of " << item.deliveries_min << " to " << item.deliveries_max);
    MODEL_EXPECT(d.crashes == 0, who << ": crashes " << d.crashes);
    MODEL_EXPECT(d.redrives == item.redrives, who << ": redrives " << d.redrives << " instead of " << item.redrives);
    const bool suspect = item.failures > 0 && 2 * item.failures >= group.options.max_attempts;
    MODEL_EXPECT(!suspect || deliveries.size() == 1, who << ": a suspect inside a batch");
    const RefMessage& message = topic.messages[item.offset];
    MODEL_EXPECT(d.message.payload.text() == message.payload, who << ": wrong payload " << d.message.payload.text());
    MODEL_EXPECT(d.message.key == message.key && d.message.id == message.id, who << ": wrong key or id");
    MODEL_EXPECT(d.message.headers.copy() == message.headers, who << ": wrong headers");
    MODEL_EXPECT(ms(d.message.time) == message.time, who << ": wrong time");
    const std::int64_t until = now + request.lease.value_or(group.options.lease).count();
    MODEL_EXPECT(ms(d.lease_until) == until, who << ": lease until " << ms(d.lease_until) << " instead of " << until);
    bytes += d.message.payload.size();

    if (!item.key.empty() && item.letter == 0)   // what the filter may have let go is gone once its key has passed it
      for (auto& [key, other] : progress.items)
        if (other.optional && !other.settled() && !other.expired(now) && other.key == item.key && precedes(other, item) && other.letter == 0)
          other.state = RefState::kDone;
    last_epoch = d.token.epoch.value;
    item.state = RefState::kLeased;
    item.optional = false;
    item.handed_out = true;
    item.epoch = last_epoch;
    item.fetch = fetch;
    item.place = place++;
    item.member = request.member.value;
    item.lease_until = until;
    item.begun = !request.reports_begun;
    item.deliveries_min = item.deliveries_max = d.deliveries + item.begun;
    for (RefToken& token : tokens)
      if (token.group_id == group.id && token.topic == name && token.item == found->first) token.overtaken = true;
    token_of_epoch_[last_epoch] = tokens.size();
    tokens.push_back({d.token, group.source, group.name, name, group.id, found->first});
  }
  MODEL_EXPECT(deliveries.size() <= 1 || bytes <= request.bytes_max, "more bytes than asked for");
  MODEL_EXPECT(leased(group) <= group.options.in_flight_max, "more in flight than the group may have");
  if (request.member.value != 0)
    MODEL_EXPECT(leased_by(group, request.member.value) <= group.options.member_in_flight_max, "more in flight than the member may have");
}

}  // namespace weir::model
