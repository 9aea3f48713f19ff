// How deliveries end, in the reference.
#include <algorithm>
#include <cmath>

#include "tests/model/reference.h"

namespace weir::model {
namespace {

/// The longest the backoff rule may make a message wait after that many failures (S-18).
std::int64_t backoff_max(const Backoff& rule, std::uint32_t failures) {
  const double delay = static_cast<double>(rule.first.count()) * std::pow(rule.factor, static_cast<double>(failures) - 1);
  return static_cast<std::int64_t>(std::min(delay, static_cast<double>(rule.max.count())));
}

}  // namespace

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

void Reference::die(const RefGroup& group, RefProgress& progress, RefItem& item, DeathReason reason, const std::string& error) {
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
  letter.key = item.key;
  letter.holds = group.options.hold_key && !item.key.empty();
  progress.deaths.push_back(letter);
}

void Reference::fail(RefGroup& group, RefProgress& progress, RefItem& item, std::optional<Duration> delay, std::int64_t at, const std::string& error) {
  ++item.failures;
  item.error = error;
  item.begun = false;
  if (item.failures >= group.options.max_attempts) return die(group, progress, item, DeathReason::kMaxAttempts, error);
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
      die(group, progress, *item, DeathReason::kRejected, settlement.error);
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
  free_keys(progress);
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
      die(group, progress, item, DeathReason::kExpired, {});
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

void Reference::discard(RefGroup& group, const std::string& name, std::uint64_t letter, bool restore) {
  RefLetter& dead = group.topics.at(name).letters.at(letter);
  dead.state = restore ? LetterState::kDead : LetterState::kDiscarded;
  dead.holds = false;
}

void Reference::free_keys(RefProgress& progress) {
  for (RefLetter& letter : progress.letters) letter.holds = false;
  for (RefLetter& letter : progress.deaths) letter.holds = false;
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
