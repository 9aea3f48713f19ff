#include <algorithm>

#include "tests/model/driver.h"

namespace weir::model {
namespace {

Filter random_filter(Dice& dice) {
  switch (dice.below(4)) {
    case 0: return Filter::exact("kind", "a");
    case 1: return Filter::negate(Filter::exact("kind", "b"));
    case 2: return Filter::present("kind");
    default: return {};
  }
}

constexpr std::size_t kTopicsMax = 6, kGroupsMax = 8;

}  // namespace

void Driver::create_topic() {
  if (reference_.topics.size() >= kTopicsMax) return;
  TopicOptions options;
  options.ephemeral = options_.ephemeral_only || dice_.percent(20);
  const std::string first = options.ephemeral ? "e" : dice_.percent(50) ? "t" : "p";
  const std::string name = first + "." + std::string(1, static_cast<char>('a' + dice_.below(4)));
  if (reference_.topics.contains(name)) return;
  options.durability = options.ephemeral ? Durability::kMemory : dice_.percent(80) ? Durability::kProcess : Durability::kPower;
  if (dice_.percent(30)) options.retention_age = std::chrono::minutes{30};
  if (dice_.percent(20)) options.discard_settled = true;
  options.dedup_window = dice_.percent(15) ? Duration{0} : Duration{600'005};
  note("create topic " + name + (options.discard_settled ? " discarding" : ""));
  const auto info = broker_->create_topic(name, options);
  MODEL_EXPECT(info.ok(), "create topic: " << info.status());
  MODEL_EXPECT(info->next.value == 0 && info->first.value == 0, "a new topic is empty");
  reference_.add_topic(*info);
  // A group on a pattern stands on one kind of topic only (S-4), so names begin with the kind.
}

void Driver::delete_topic() {
  RefTopic* topic = random_topic();
  if (!topic || reference_.topics.size() < 3) return;
  const std::string name = topic->name;
  note("delete topic " + name);
  const Status answer = broker_->delete_topic(name);
  MODEL_EXPECT(answer.ok(), "delete topic: " << answer);
  reference_.remove_topic(name);
  MODEL_EXPECT(broker_->topic(name).code() == ErrorCode::topic_not_found, "a deleted topic is still there");
}

void Driver::create_group() {
  if (reference_.groups.size() >= kGroupsMax) return;
  RefTopic* topic = random_topic();
  if (!topic) return;
  std::string source = topic->name;
  // Whether a group on a pattern outlives the ephemeral topics it stands on is left open, so those have none when the store is reopened.
  if (dice_.percent(15) && !(topic->options.ephemeral && options_.reopens)) source = source.substr(0, 1) + ".*";
  const std::string name = (source.find('*') == std::string::npos ? "g" : "all") + std::to_string(dice_.below(4));
  if (reference_.groups.contains({source, name})) return;
  GroupOptions options;
  options.order = dice_.percent(65) ? Order::kKey : dice_.percent(60) ? Order::kNone : Order::kTopic;
  options.lease = Duration{dice_.between(100, 4000) * 10 + 3};
  options.max_attempts = static_cast<std::uint32_t>(dice_.between(1, 5));
  options.max_deliveries = 10'000;
  options.backoff.first = Duration{dice_.between(1, 200) * 10 + 1};
  options.backoff.jitter = dice_.percent(40);
  if (dice_.percent(25)) options.in_flight_max = static_cast<std::uint32_t>(dice_.between(1, 8));
  if (dice_.percent(20)) options.member_in_flight_max = static_cast<std::uint32_t>(dice_.between(1, 8));
  if (dice_.percent(25)) options.filter = random_filter(dice_);
  options.dead_letter_expired = dice_.percent(30);
  options.hold_key = options.order != Order::kNone && dice_.percent(35);
  bool latest = false;
  for (auto& [topic_name, t] : reference_.topics)
    if (Reference::source_matches(source, topic_name) && t.options.discard_settled) latest = true;   // what is hidden there is left open
  switch (latest ? 1 : dice_.below(6)) {
    case 1: options.start = StartPoint::latest(); break;
    case 2: options.start = StartPoint::at(Offset{dice_.below(topic->messages.size() + 1)}); break;
    case 3:
      if (!topic->messages.empty()) options.start = StartPoint::at(Time{Duration{dice_.pick(topic->messages).time}});
      break;
    default: break;
  }
  note("create group " + source + "/" + name + " order " + std::string(to_string(options.order)) + " max_attempts " +
       std::to_string(options.max_attempts) + " lease " + std::to_string(options.lease.count()) + " in flight " + std::to_string(options.in_flight_max) + " start " +
       std::to_string(static_cast<int>(options.start.kind)) + (options.hold_key ? " holding" : ""));
  const auto info = broker_->create_group(source, name, options);
  MODEL_EXPECT(info.ok(), "create group: " << info.status());
  std::map<std::string, std::uint64_t> starts;
  for (auto& [topic_name, t] : reference_.topics) {
    if (!Reference::source_matches(source, topic_name)) continue;
    const auto now = broker_->topic(topic_name);
    MODEL_EXPECT(now.ok(), "topic: " << now.status());
    std::uint64_t start = now->first.value;
    if (options.start.kind == StartPoint::Kind::kLatest) start = t.messages.size();
    if (options.start.kind == StartPoint::Kind::kOffset) start = std::clamp<std::uint64_t>(options.start.offset.value, start, t.messages.size());
    if (options.start.kind == StartPoint::Kind::kTime)
      while (start < t.messages.size() && t.messages[start].time < options.start.time.time_since_epoch().count()) ++start;
    starts[topic_name] = start;
  }
  reference_.add_group(*info, starts);
}

void Driver::delete_group() {
  RefGroup* group = random_group();
  if (!group || reference_.groups.size() < 3) return;
  note("delete group " + group->source + "/" + group->name);
  const Status answer = broker_->delete_group(group->source, group->name);
  MODEL_EXPECT(answer.ok(), "delete group: " << answer);
  for (RefToken& token : reference_.tokens)
    if (token.group_id == group->id) token.state = TokenState::kVoid;
  // What was hidden and not yet freed may be seen again when no group is left that settled it.
  for (auto& [name, topic] : reference_.topics)
    if (topic.options.discard_settled && group->topics.contains(name)) topic.first_seen = 0;
  reference_.groups.erase({group->source, group->name});
}

void Driver::publish() {
  RefTopic* topic = random_topic();
  if (!topic) return;
  PublishRequest request;
  request.topic = topic->name;
  const std::uint64_t count = dice_.percent(60) ? 1 : dice_.between(2, 12);
  for (std::uint64_t i = 0; i < count; ++i) request.messages.push_back(random_message(*topic));
  if (dice_.percent(10) && !topic->options.ephemeral) request.durability = dice_.percent(50) ? Durability::kPower : Durability::kProcess;
  note("publish " + std::to_string(count) + " to " + topic->name);
  store(std::move(request));
}

void Driver::publish_over_topics() {
  RefTopic* first = random_topic();
  if (!first) return;
  PublishRequest request;
  for (std::uint64_t i = 0; i < 6; ++i) {
    RefTopic* topic = random_topic();
    if (topic->options.ephemeral == first->options.ephemeral) request.batch.push_back({topic->name, random_message(*topic)});
  }
  if (request.batch.empty()) return;
  note("publish " + std::to_string(request.batch.size()) + " over topics");
  store(std::move(request));
}

void Driver::publish_in_session() {
  RefTopic* topic = random_topic();
  if (!topic || topic->options.ephemeral) return;
  const std::string session = "producer" + std::to_string(dice_.below(3));
  std::uint64_t& last = reference_.sessions[session];
  PublishRequest request;
  request.topic = topic->name;
  const std::uint64_t count = dice_.between(1, 4);
  for (std::uint64_t i = 0; i < count; ++i) {
    request.messages.push_back(random_message(*topic));
    request.messages.back().id.clear();
  }
  const std::uint64_t how = dice_.below(10);
  if (how == 0) {
    note("publish with a gap in " + session);
    request.session = SessionPosition{session, last + 2};
    const auto answer = broker_->publish(std::move(request));
    MODEL_EXPECT(answer.code() == ErrorCode::sequence_gap, "a gap in a session: " << answer.status());
  } else if (how <= 3 && last >= count) {
    note("publish again in " + session + " up to " + std::to_string(last));
    request.session = SessionPosition{session, last - count + 1};
    const auto answer = broker_->publish(std::move(request));
    MODEL_EXPECT(answer.ok(), "a repetition in a session: " << answer.status());
    for (const Published& p : answer->messages) MODEL_EXPECT(p.duplicate, "a repetition in a session was stored");
  } else {
    note("publish " + std::to_string(count) + " to " + topic->name + " in " + session + " from " + std::to_string(last + 1));
    request.session = SessionPosition{session, last + 1};
    last += count;
    store(std::move(request));
  }
}

void Driver::fetch() {
  RefGroup* group = random_group();
  if (!group) return;
  FetchRequest request;
  request.source = group->source;
  request.group = group->name;
  request.messages_max = static_cast<std::uint32_t>(dice_.percent(30) ? 1 : dice_.between(2, 20));
  if (dice_.percent(15)) request.bytes_max = dice_.between(1, 200);
  request.reports_begun = dice_.percent(50);
  if (dice_.percent(20)) request.lease = Duration{dice_.between(10, 3000) * 10 + 3};
  std::vector<Member> mine;
  for (const Member& m : members_)
    if (m.group_id == group->id) mine.push_back(m);
  if (!mine.empty() && dice_.percent(70)) request.member = dice_.pick(mine).id;
  note("fetch " + group->source + "/" + group->name + " max " + std::to_string(request.messages_max));
  const std::string must = reference_.must_deliver(*group, request.member.value);
  do_fetch(*group, request, dice_.percent(80) ? must : std::string());
}

void Driver::begin() {
  auto live = live_tokens();
  if (dice_.percent(10) && !reference_.tokens.empty()) {
    RefToken& token = dice_.pick(reference_.tokens);
    const bool holds = token.state == TokenState::kLive && reference_.find_item(token);
    note("begin any @" + std::to_string(token.token.epoch.value & 0xffffffff));
    const Status answer = broker_->begin(token.token);
    MODEL_EXPECT(answer.ok() == holds, "begin: " << answer);
    if (holds) reference_.begun(token);
    return;
  }
  if (live.empty()) return;
  RefToken& token = *dice_.pick(live);
  note("begin " + token.topic + "/" + token.group + "@" + std::to_string(token.token.epoch.value & 0xffffffff));
  const Status answer = broker_->begin(token.token);
  MODEL_EXPECT(answer.ok(), "begin: " << answer);
  reference_.begun(token);
}

Settlement Driver::random_settlement(const Token& token) {
  const std::uint64_t how = dice_.below(100);
  if (how < 55) return Settlement::ack(token);
  const std::string error = "error " + std::to_string(next_name_++);
  if (how < 75) return Settlement::retry(token, error, Duration{dice_.below(3000) * 10 + 5});
  if (how < 85) return Settlement::retry(token, error);
  if (how < 92) return Settlement::reject(token, error);
  return Settlement::release(token);
}

void Driver::settle() {
  const auto live = live_tokens();
  if (live.empty()) return;
  // Mostly the oldest, so that chains are worked in order.
  const RefToken* token = dice_.percent(70) ? live.front() : dice_.pick(live);
  note("settle one");
  do_settle({random_settlement(token->token)});
}

void Driver::settle_many() {
  const auto live = live_tokens();
  std::vector<Settlement> settlements;
  for (const RefToken* token : live)
    if (dice_.percent(50)) settlements.push_back(dice_.percent(80) ? Settlement::ack(token->token) : random_settlement(token->token));
  if (settlements.empty()) return;
  note("settle " + std::to_string(settlements.size()));
  do_settle(std::move(settlements));
}

void Driver::settle_stale() {
  if (reference_.tokens.empty()) return;
  RefToken token = dice_.percent(50) ? reference_.tokens[reference_.tokens.size() - 1 - dice_.below(std::min<std::size_t>(20, reference_.tokens.size()))]
                                     : dice_.pick(reference_.tokens);
  if (token.state == TokenState::kLive && reference_.find_item(token)) return;
  note("settle stale");
  if (dice_.percent(10)) token.token.epoch.value += 1u << 20;   // never given out
  Settlement settlement = dice_.percent(50) && token.state == TokenState::kSettled ? Settlement{token.token, token.kind, {}, "again"} : random_settlement(token.token);
  do_settle({settlement});
}

void Driver::extend() {
  const auto live = live_tokens();
  if (live.empty()) return;
  const RefToken* token = dice_.pick(live);
  const RefItem* item = reference_.find_item(*token);
  // A chain whose leases end at different times is left open by the contract, so only messages without an order are extended alone.
  if (!item->key.empty()) {
    std::vector<Settlement> all;
    for (const RefToken* other : live) {
      const RefItem* o = reference_.find_item(*other);
      if (other->group_id == token->group_id && o->fetch == item->fetch && o->key == item->key) all.push_back(Settlement::extend(other->token, Duration{20'003}));
    }
    note("extend a key's " + std::to_string(all.size()));
    return do_settle(std::move(all));
  }
  note("extend one");
  do_settle({Settlement::extend(token->token, Duration{dice_.between(10, 3000) * 10 + 3})});
}

void Driver::advance() {
  const std::int64_t by = static_cast<std::int64_t>(dice_.percent(60) ? dice_.between(1, 200) : dice_.between(200, 3000)) * 10;
  note("advance " + std::to_string(by));
  move_clock(by);
}

void Driver::advance_far() {
  const std::int64_t by = static_cast<std::int64_t>(dice_.between(1, 25)) * 60'000;
  note("advance " + std::to_string(by));
  move_clock(by);
}

void Driver::redrive() {
  RefGroup* group = random_group();
  if (!group || group->topics.empty()) return;
  auto at = group->topics.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(dice_.below(group->topics.size())));
  const std::string topic = at->first;
  RefProgress& progress = at->second;
  compare_letters(*group, topic);
  RedriveRequest request;
  request.topic = topic;
  request.group = group->name;
  request.force = dice_.percent(20);
  request.redrives_max = static_cast<std::uint32_t>(dice_.between(1, 3));
  if (dice_.percent(60))
    for (std::uint64_t letter = 0; letter < progress.letters.size(); ++letter)
      if (dice_.percent(50)) request.letters.push_back(Offset{letter});
  // A message that has expired may join the letters between listing them and giving all of them back, so then those listed are asked for.
  bool may_join = false;
  for (const auto& [key, item] : progress.items) may_join |= group->options.dead_letter_expired && !item.settled() && (item.expired(reference_.now) || item.optional);
  if (may_join && request.letters.empty())
    for (std::uint64_t letter = 0; letter < progress.letters.size(); ++letter) request.letters.push_back(Offset{letter});
  if (may_join && request.letters.empty()) return;
  note("redrive " + topic + "/" + group->name + " " + (request.letters.empty() ? "all" : std::to_string(request.letters.size())));
  const auto answer = broker_->redrive(request);
  if (progress.letters.empty() && !answer.ok()) return;   // whether the queue is there before its first letter is left open
  MODEL_EXPECT(answer.ok(), "redrive: " << answer.status());
  std::uint64_t redriven = 0, needs_force = 0;
  for (std::uint64_t letter = 0; letter < progress.letters.size(); ++letter) {
    const bool asked = request.letters.empty() || std::find(request.letters.begin(), request.letters.end(), Offset{letter}) != request.letters.end();
    if (!asked || progress.letters[letter].state != LetterState::kDead) continue;
    if (!request.force && progress.letters[letter].redrives >= request.redrives_max) {
      ++needs_force;
      continue;
    }
    reference_.redrive(*group, topic, letter);
    ++redriven;
  }
  MODEL_EXPECT(answer->redriven == redriven, "redriven " << answer->redriven << " instead of " << redriven);
  MODEL_EXPECT(answer->needs_force == needs_force, "needs_force " << answer->needs_force << " instead of " << needs_force);
}

void Driver::discard() {
  RefGroup* group = random_group();
  if (!group || group->topics.empty()) return;
  auto at = group->topics.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(dice_.below(group->topics.size())));
  const std::string topic = at->first;
  RefProgress& progress = at->second;
  compare_letters(*group, topic);
  DiscardRequest request;
  request.topic = topic;
  request.group = group->name;
  request.restore = dice_.percent(35);
  for (std::uint64_t letter = 0; letter < progress.letters.size(); ++letter)
    if (dice_.percent(40)) request.letters.push_back(Offset{letter});
  if (request.letters.empty()) return;
  note(std::string(request.restore ? "restore " : "discard ") + topic + "/" + group->name + " " + std::to_string(request.letters.size()));
  const auto answer = broker_->discard(request);
  MODEL_EXPECT(answer.ok(), "discard: " << answer.status());
  std::uint64_t moved = 0;
  for (const Offset letter : request.letters) {
    if (progress.letters[letter.value].state != (request.restore ? LetterState::kDiscarded : LetterState::kDead)) continue;
    reference_.discard(*group, topic, letter.value, request.restore);
    ++moved;
  }
  MODEL_EXPECT(answer->discarded == moved && answer->skipped == request.letters.size() - moved,
               "discarded " << answer->discarded << " instead of " << moved << ", skipped " << answer->skipped << " " << answer->error);
}

/// Turns hold_key off.
void Driver::free_keys(RefGroup& group) {
  if (!group.options.hold_key) return;
  note("free the keys of " + group.source + "/" + group.name);
  group.options.hold_key = false;
  const auto answer = broker_->alter_group(group.source, group.name, group.options);
  MODEL_EXPECT(answer.ok(), "alter group: " << answer.status());
  for (auto& [name, progress] : group.topics) Reference::free_keys(progress);
}

void Driver::seek() {
  RefGroup* group = random_group();
  if (!group || group->topics.size() != 1 || group->source.find('*') != std::string::npos) return;
  const std::string name = group->topics.begin()->first;
  RefProgress& progress = group->topics.begin()->second;
  const RefTopic& topic = reference_.topics.at(name);
  if (topic.options.discard_settled) return;
  for (const auto& [key, item] : progress.items)
    if (item.letter != 0 && !item.settled()) return;   // what a seek does to those is left open
  // What a fetch found expired becomes a dead letter with the next commit, which is this one at the latest.
  const auto written = broker_->commit({});
  MODEL_EXPECT(written.ok(), "an empty transaction: " << written.status());
  compare_letters(*group, name);
  const std::uint64_t to = dice_.below(topic.messages.size() + 2);
  note("seek " + name + "/" + group->name + " to " + std::to_string(to));
  const auto answer = broker_->seek_group(group->source, group->name, StartPoint::at(Offset{to}));
  MODEL_EXPECT(answer.ok(), "seek: " << answer.status());
  MODEL_EXPECT(answer->positions.size() == 1 && answer->positions[0].topic == name, "seek answers with the topic's position");
  const auto info = broker_->topic(name);
  MODEL_EXPECT(info.ok(), "topic: " << info.status());
  const std::uint64_t actual = answer->positions[0].offset.value;
  const std::uint64_t want = std::clamp<std::uint64_t>(to, info->first.value, topic.messages.size());
  MODEL_EXPECT(actual == want, "seek went to " << actual << " instead of " << want);
  reference_.seek(*group, name, actual);
}

void Driver::pause() {
  RefGroup* group = random_group();
  if (!group) return;
  group->paused = !group->paused && dice_.percent(50);
  note(std::string(group->paused ? "pause " : "resume ") + group->source + "/" + group->name);
  const Status answer = group->paused ? broker_->pause_group(group->source, group->name) : broker_->resume_group(group->source, group->name);
  MODEL_EXPECT(answer.ok(), "pause: " << answer);
}

void Driver::alter_filter() {
  RefGroup* group = random_group();
  if (!group) return;
  GroupOptions options = group->options;
  options.filter = random_filter(dice_);
  if (options.filter == group->options.filter) return;
  note("alter filter of " + group->source + "/" + group->name + " to " + std::to_string(static_cast<int>(options.filter.op)));
  const auto answer = broker_->alter_group(group->source, group->name, options);
  MODEL_EXPECT(answer.ok(), "alter group: " << answer.status());
  reference_.change_filter(*group, options.filter);
}

void Driver::join() {
  RefGroup* group = random_group();
  if (!group || members_.size() > 10) return;
  const auto member = broker_->join({group->source, group->name, "member" + std::to_string(next_name_++)});
  MODEL_EXPECT(member.ok(), "join: " << member.status());
  for (const Member& m : members_) MODEL_EXPECT(m.id != *member, "two members with one id");
  note("join " + group->source + "/" + group->name + " as " + std::to_string(member->value));
  members_.push_back({*member, group->source, group->name, group->id});
}

void Driver::leave() {
  if (members_.empty()) return;
  const std::size_t at = dice_.below(members_.size());
  const Member member = members_[at];
  members_.erase(members_.begin() + static_cast<std::ptrdiff_t>(at));
  const auto group = reference_.groups.find({member.source, member.group});
  const bool there = group != reference_.groups.end() && group->second.id == member.group_id;
  note("leave " + std::to_string(member.id.value));
  const Status answer = broker_->leave(member.id);
  if (!there) return;
  MODEL_EXPECT(answer.ok(), "leave: " << answer);
  reference_.leave(group->second, member.id.value);
}

void Driver::reopen() {
  if (!options_.reopens) return;
  check_letters();
  note("reopen");
  const Status answer = broker_->close();
  MODEL_EXPECT(answer.ok(), "close: " << answer);
  broker_.reset();
  members_.clear();
  reference_.reopened();
  open();
  check_status();
  check_figures();
  check_state();
}

}  // namespace weir::model
