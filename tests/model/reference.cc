#include "tests/model/reference.h"

#include <algorithm>
#include <cmath>

namespace weir::model {
namespace {

std::int64_t ms(Time time) { return time.time_since_epoch().count(); }

/// The longest the backoff rule may make a message wait after that many failures (S-18).
std::int64_t backoff_max(const Backoff& rule, std::uint32_t failures) {
  const double delay = static_cast<double>(rule.first.count()) * std::pow(rule.factor, static_cast<double>(failures) - 1);
  return static_cast<std::int64_t>(std::min(delay, static_cast<double>(rule.max.count())));
}

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
    std::set<std::string> held;                      // keys where somebody must wait
    std::map<std::string, const RefItem*> open;      // keys that have something to give
    for (const auto& [key, item] : progress.items) {
      if (item.settled()) continue;
      const bool due = item.state == RefState::kReady || (item.state == RefState::kWaiting && item.due_max <= now);
      if (!due) {
        if (!item.key.empty()) held.insert(item.key);
      } else if (!item.optional && !item.expired(now)) {
        if (item.key.empty()) return name + " " + name_of(item);
        open.emplace(item.key, &item);
      }
    }
    for (const auto& [key, item] : open)
      if (!held.contains(key)) return name + " " + name_of(*item) + " of key " + key;
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

RefToken* Reference::find_token(const Token& token) {
  const auto at = token_of_epoch_.find(token.epoch.value);
  if (at == token_of_epoch_.end()) return nullptr;
  RefToken& found = tokens[at->second];
  return found.token == token ? &found : nullptr;
}

RefItem* Reference::find_item(const RefToken& token) {
  const auto group = groups.find({token.source, token.group});
  if (group == groups.end() || group->second.id != token.group_id) return nullptr;
  const auto progress = group->second.topics.find(token.topic);
  if (progress == group->second.topics.end()) return nullptr;
  const auto item = progress->second.items.find(token.item);
  if (item == progress->second.items.end() || item->second.state != RefState::kLeased || item->second.epoch != token.token.epoch.value) return nullptr;
  return &item->second;
}

/// Somebody's ack ended the message.
bool Reference::acknowledged(const RefToken& token) const {
  const auto group = groups.find({token.source, token.group});
  if (group == groups.end() || group->second.id != token.group_id) return false;
  const auto progress = group->second.topics.find(token.topic);
  if (progress == group->second.topics.end()) return false;
  const auto item = progress->second.items.find(token.item);
  return item != progress->second.items.end() && item->second.state == RefState::kDone;
}

void Reference::begun(RefToken& token) {
  RefItem* item = find_item(token);
  MODEL_EXPECT(item, "begin was OK on a token that holds no lease");
  if (item->begun) return;
  item->begun = true;
  ++item->deliveries_min, ++item->deliveries_max;
}

void Reference::end_token(std::uint64_t epoch, TokenState state, Settle kind) {
  RefToken& token = tokens[token_of_epoch_.at(epoch)];
  token.state = state;
  token.kind = kind;
  token.settled_at = now;
}

namespace {

/// Given back uncounted: whether the hand-over itself stays counted is left open.
void give_back(RefItem& item) {
  item.state = RefState::kReady;
  if (item.begun && item.deliveries_min == item.deliveries_max) --item.deliveries_min;
  item.begun = false;
}

}  // namespace

void Reference::void_chain(RefGroup&, RefProgress& progress, const RefItem& behind) {
  if (behind.key.empty()) return;
  for (auto& [key, item] : progress.items) {
    if (item.state != RefState::kLeased || item.fetch != behind.fetch || item.key != behind.key || item.place <= behind.place) continue;
    end_token(item.epoch, TokenState::kVoid);
    give_back(item);
  }
}

void Reference::die(RefProgress& progress, RefItem& item, DeathReason reason, const std::string& error) {
  item.state = RefState::kDead;
  RefLetter letter;
  letter.origin = item.offset;
  letter.reason = reason;
  letter.failures_min = item.failures;
  letter.failures_max = item.failures + (reason == DeathReason::kRejected);   // whether the reject itself counts is left open
  letter.deliveries_min = item.deliveries_min;
  letter.deliveries_max = item.deliveries_max + (reason == DeathReason::kExpired);   // a hand-over may have found that it expired
  letter.redrives = item.redrives;
  letter.error = error;
  progress.deaths.push_back(letter);
}

void Reference::fail(RefGroup& group, RefProgress& progress, RefItem& item, std::optional<Duration> delay, std::int64_t at, const std::string& error) {
  ++item.failures;
  item.error = error;
  item.begun = false;
  if (item.failures >= group.options.max_attempts) return die(progress, item, DeathReason::kMaxAttempts, error);
  const std::int64_t longest = backoff_max(group.options.backoff, item.failures);
  item.state = RefState::kWaiting;
  item.due_min = at + (delay ? delay->count() : group.options.backoff.jitter ? 0 : longest);
  item.due_max = now + (delay ? delay->count() : longest);
}

void Reference::settled(const Settlement& settlement, const Status& answer) {
  const ErrorCode code = answer.code();
  RefToken* token = find_token(settlement.token);
  if (!token) {   // never given out: at most "acknowledged already" may be said of it
    MODEL_EXPECT(code != ErrorCode::ok || settlement.kind == Settle::kAck, "a token that was never given out was settled");
    return;
  }
  RefItem* item = find_item(*token);
  const bool live = token->state == TokenState::kLive && item;
  if (!live) {
    const bool same = token->state == TokenState::kSettled && token->kind == settlement.kind && settlement.kind != Settle::kExtend;
    if (same && !token->overtaken && now < token->settled_at + 600'000)
      MODEL_EXPECT(code == ErrorCode::ok, "the same settlement again: " << answer);
    else if (!same && !(settlement.kind == Settle::kAck && acknowledged(*token)))   // whose ack it was is not remembered for ever
      MODEL_EXPECT(code != ErrorCode::ok, "a token that is over was settled, " << to_string(settlement.kind));
    if (code != ErrorCode::ok && groups.contains({token->source, token->group}) && topics.contains(token->topic))
      MODEL_EXPECT(code == ErrorCode::lease_lost || code == ErrorCode::already_settled, "a token that is over: " << answer);
    return;
  }
  RefGroup& group = groups.at({token->source, token->group});
  RefProgress& progress = group.topics.at(token->topic);
  bool first_of_chain = true;
  for (const auto& [key, other] : progress.items)
    if (!item->key.empty() && other.state == RefState::kLeased && other.key == item->key && other.fetch == item->fetch && other.place < item->place)
      first_of_chain = false;
  MODEL_EXPECT(code == ErrorCode::ok || !first_of_chain, "a live token was refused: " << answer);
  if (code != ErrorCode::ok) return;
  if (settlement.kind == Settle::kExtend) {
    item->lease_until = now + settlement.delay.value_or(group.options.lease).count();
    return;
  }
  if (!item->begun) {   // settling begins what was not reported; whether that is counted is left open
    ++item->deliveries_max;
  }
  end_token(item->epoch, TokenState::kSettled, settlement.kind);
  switch (settlement.kind) {
    case Settle::kAck:
      item->state = RefState::kDone;
      ++progress.acked;
      return;
    case Settle::kRetry:
      fail(group, progress, *item, settlement.delay, now, settlement.error);
      break;
    case Settle::kReject:
      die(progress, *item, DeathReason::kRejected, settlement.error);
      break;
    default:
      give_back(*item);
  }
  void_chain(group, progress, *item);
}

void Reference::expire_leases() {
  for (auto& [name, group] : groups)
    for (auto& [topic, progress] : group.topics) {
      std::vector<std::pair<std::int64_t, ItemKey>> over;
      for (const auto& [key, item] : progress.items)
        if (item.state == RefState::kLeased && item.lease_until <= now) over.push_back({item.lease_until, key});
      std::sort(over.begin(), over.end(), [&](const auto& a, const auto& b) {
        return std::pair(a.first, progress.items.at(a.second).place) < std::pair(b.first, progress.items.at(b.second).place);
      });
      for (const auto& [until, key] : over) {
        RefItem& item = progress.items.at(key);
        if (item.state != RefState::kLeased) continue;   // its chain was given back before it
        end_token(item.epoch, TokenState::kVoid);
        const bool counted = item.begun;
        if (counted)
          fail(group, progress, item, {}, until, {});
        else
          give_back(item);
        void_chain(group, progress, item);
      }
    }
}

void Reference::leave(RefGroup& group, std::uint64_t member) {
  for (auto& [topic, progress] : group.topics)
    for (auto& [key, item] : progress.items)
      if (item.state == RefState::kLeased && item.member == member && !item.begun) {
        end_token(item.epoch, TokenState::kVoid);
        give_back(item);
        void_chain(group, progress, item);   // begun ones behind it too: it was not acked
      }
}

void Reference::seek(RefGroup& group, const std::string& name, std::uint64_t to) {
  RefProgress& progress = group.topics.at(name);
  const RefTopic& topic = topics.at(name);
  for (auto& [key, item] : progress.items)
    if (item.state == RefState::kLeased) end_token(item.epoch, TokenState::kVoid);
  for (RefToken& token : tokens)
    if (token.group_id == group.id && token.topic == name) token.overtaken = true;
  for (auto& [key, item] : progress.items)
    if (item.offset < to && item.state != RefState::kDead) item.state = RefState::kDone;
  for (std::uint64_t offset = to; offset < topic.messages.size(); ++offset) add_item(group, progress, topic, offset);
}

void Reference::change_filter(RefGroup& group, const Filter& filter) {
  group.options.filter = filter;
  for (auto& [name, progress] : group.topics) {
    RefProgress fresh;
    for (auto& [key, item] : progress.items) {
      if (item.letter != 0 || (item.state != RefState::kReady && item.state != RefState::kUnwanted)) continue;
      const bool was = item.state == RefState::kReady;
      add_item(group, fresh, topics.at(name), item.offset);
      const bool wanted = fresh.items.at(key).state == RefState::kReady;
      if (was == wanted) continue;
      item.state = RefState::kReady;   // it may have been looked at under the old filter, or not
      item.optional = true;
    }
  }
}

void Reference::letter_seen(RefGroup& group, const std::string& name, const DeadLetter& seen) {
  RefProgress& progress = group.topics.at(name);
  const std::string who = name + "/" + group.name + " letter " + std::to_string(seen.offset.value);
  MODEL_EXPECT(seen.offset.value == progress.letters.size(), who << ": not dense");
  MODEL_EXPECT(seen.message.dead_letter, who << ": without its history");
  const DeadLetterInfo& info = *seen.message.dead_letter;
  auto death = std::find_if(progress.deaths.begin(), progress.deaths.end(), [&](const RefLetter& d) {
    return d.origin == info.origin_offset.value && d.redrives == info.redrives && d.reason == info.reason;
  });
  if (death == progress.deaths.end() && info.reason == DeathReason::kExpired && group.options.dead_letter_expired)
    for (auto& [key, item] : progress.items) {
      const bool may = !item.settled() && item.state != RefState::kLeased && (item.expired(now) || item.optional);
      if (!may || item.offset != info.origin_offset.value || item.redrives != info.redrives) continue;
      die(progress, item, DeathReason::kExpired, {});
      death = std::prev(progress.deaths.end());
      break;
    }
  MODEL_EXPECT(death != progress.deaths.end(), who << ": offset " << info.origin_offset << " did not die so, reason " << to_string(info.reason));
  MODEL_EXPECT(info.origin_topic == name && info.group == group.name && info.source == group.source, who << ": wrong origin");
  MODEL_EXPECT(info.failures >= death->failures_min && info.failures <= death->failures_max,
               who << ": failures " << info.failures << " instead of " << death->failures_min);
  MODEL_EXPECT(info.deliveries >= death->deliveries_min && info.deliveries <= death->deliveries_max,
               who << ": deliveries " << info.deliveries << " instead of " << death->deliveries_min << " to " << death->deliveries_max);
  MODEL_EXPECT(death->error.empty() || info.error == death->error, who << ": error " << info.error << " instead of " << death->error);
  MODEL_EXPECT(info.attempts.size() <= 5, who << ": " << info.attempts.size() << " attempts");
  const RefMessage& message = topics.at(name).messages[death->origin];
  MODEL_EXPECT(seen.message.payload.text() == message.payload && seen.message.key == message.key && seen.message.id == message.id &&
                   seen.message.headers.copy() == message.headers,
               who << ": not the whole message");
  MODEL_EXPECT(ms(info.published) == message.time, who << ": wrong publish time");
  MODEL_EXPECT(seen.state == LetterState::kDead, who << ": a new letter in state " << to_string(seen.state));
  progress.letters.push_back(*death);
  progress.deaths.erase(death);
}

void Reference::redrive(RefGroup& group, const std::string& name, std::uint64_t letter) {
  RefProgress& progress = group.topics.at(name);
  RefLetter& dead = progress.letters.at(letter);
  dead.state = LetterState::kRedriven;
  const RefTopic& topic = topics.at(name);
  const RefMessage& message = topic.messages[dead.origin];
  RefItem item;
  item.offset = dead.origin;
  item.letter = letter + 1;
  item.key = order_key(group, topic, message);
  item.redrives = dead.redrives + 1;
  item.optional = message.expires != 0;   // whether its old ttl still holds is left open
  progress.items[{item.offset, item.letter}] = item;
}

void Reference::reopened() {
  for (RefToken& token : tokens) {
    token.overtaken = true;
    if (token.state == TokenState::kLive) token.state = TokenState::kVoid;
  }
  std::vector<std::string> gone;
  for (const auto& [name, topic] : topics)
    if (topic.options.ephemeral) gone.push_back(name);
  for (const std::string& name : gone) remove_topic(name);
  for (auto at = groups.begin(); at != groups.end();) at = at->second.options.is_volatile ? groups.erase(at) : std::next(at);
  for (auto& [key, group] : groups)
    for (auto& [topic, progress] : group.topics) {
      progress.acked = 0;
      RefProgress fresh;
      for (auto& [item_key, item] : progress.items) {
        if (item.state == RefState::kLeased) give_back(item);
        if (item.settled() || item.letter != 0) continue;
        // What was dispatched under an older filter may be looked at again, or not.
        add_item(group, fresh, topics.at(topic), item.offset);
        if (fresh.items.at(item_key).state == RefState::kUnwanted) item.optional = true;
      }
    }
}

void Reference::check_invariants() const {
  std::map<std::uint64_t, const RefItem*> leases;
  for (const auto& [key, group] : groups)
    for (const auto& [name, progress] : group.topics)
      for (const auto& [item_key, item] : progress.items) {
        MODEL_EXPECT(item.settled() || item.failures < group.options.max_attempts, "a message lives on after max_attempts");
        if (item.state == RefState::kLeased) MODEL_EXPECT(leases.emplace(item.epoch, &item).second, "two leases with one epoch");
      }
  std::size_t live = 0;
  for (const RefToken& token : tokens) live += token.state == TokenState::kLive && leases.contains(token.token.epoch.value);
  MODEL_EXPECT(live == leases.size(), "leases and tokens differ: " << leases.size() << " and " << live);
}

}  // namespace weir::model
