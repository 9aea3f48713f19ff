#include "tests/crash/script.h"

#include <algorithm>

#include "tests/crash/ledger.h"

namespace weir::crash {
namespace {

constexpr const char* kTopics[] = {"a", "b"};
constexpr const char* kKey = "last";

std::string open_state(std::uint32_t failures, std::uint32_t deaths) { return "open " + std::to_string(failures) + " " + std::to_string(deaths); }
std::string dead_state(std::uint32_t deaths) { return "dead " + std::to_string(deaths); }

}  // namespace

Status Script::set_up(Broker& broker) {
  for (const char* name : kTopics) {
    TopicOptions topic;
    topic.durability = Durability::kProcess;
    if (const auto made = broker.create_topic(name, topic); !made.ok()) return made.status();
    GroupOptions group;
    group.order = Order::kNone;
    group.lease = std::chrono::hours{12};
    group.max_attempts = 1000;
    group.max_deliveries = 10'000;
    if (const auto made = broker.create_group(name, "g", group); !made.ok()) return made.status();
  }
  return {};
}

Status Script::note(Status answer, bool power) {
  if (answer.ok()) {
    last_ok_ = last_act_;
    if (power) last_power_ = last_act_;
  }
  return answer;
}

Status Script::act(Broker& broker) {
  const std::uint64_t how = dice_.below(10);
  if (how < 4) return publish(broker);
  if (how < 5) return redrive(broker);
  if (how < 7) return transact(broker);
  return settle(broker);
}

Status Script::publish(Broker& broker) {
  PublishRequest request;
  const std::uint64_t count = dice_.between(1, 4);
  std::vector<std::string> tags;
  for (std::uint64_t i = 0; i < count; ++i) {
    tags.push_back("m" + std::to_string(next_tag_++));
    weir::Message m;
    m.payload = payload_of(tags.back());
    request.batch.push_back({kTopics[dice_.below(2)], std::move(m)});
  }
  const bool power = dice_.percent(30);
  request.durability = power ? Durability::kPower : Durability::kProcess;
  ++last_act_;
  for (std::uint64_t i = 0; i < count; ++i) history_[tags[i]] = {request.batch[i].topic, kNoOffset.value, 0, 0, {{last_act_, open_state(0, 0)}}};
  const auto answer = broker.publish(request);
  if (answer.ok())
    for (std::uint64_t i = 0; i < count; ++i) history_[tags[i]].offset = answer->messages[i].offset.value;
  return note(answer.status(), power);
}

/// Takes what there is to take.
std::string Script::refill(Broker& broker) {
  clock_->advance(Duration{1000});
  for (const char* topic : kTopics) {
    FetchRequest request;
    request.source = topic;
    request.group = "g";
    request.messages_max = 20;
    request.reports_begun = true;
    const auto fetched = broker.fetch(request);
    if (!fetched.ok()) return "fetch: " + fetched.status().to_string();
    for (const Delivered& d : fetched->deliveries) {
      if (d.token.epoch.value <= last_epoch_) return "epochs went back to " + std::to_string(d.token.epoch.value);
      last_epoch_ = d.token.epoch.value;
      held_.emplace_back(tag_of(d.message.payload.text()), d.token);
    }
  }
  return {};
}

Script::Settling Script::choose(std::uint64_t most) {
  Settling out;
  for (std::uint64_t i = dice_.between(1, most); i > 0 && !held_.empty(); --i) {
    const std::size_t at = dice_.below(held_.size());
    const auto [tag, token] = held_[at];
    held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(at));
    const Message& m = history_.at(tag);
    const std::uint64_t how = dice_.below(10);
    if (how < 5) {
      out.settlements.push_back(Settlement::ack(token));
      out.next.emplace_back(tag, "acked");
    } else if (how < 8) {
      out.settlements.push_back(Settlement::retry(token, "not now", Duration{1}));
      out.next.emplace_back(tag, open_state(m.failures + 1, m.deaths));
    } else {
      out.settlements.push_back(Settlement::reject(token, "never"));
      out.next.emplace_back(tag, dead_state(m.deaths + 1));
    }
  }
  return out;
}

void Script::note_settled(const Settling& settling) {
  for (std::size_t i = 0; i < settling.next.size(); ++i) {
    Message& m = history_.at(settling.next[i].first);
    m.changes.push_back({last_act_, settling.next[i].second});
    m.failures += settling.settlements[i].kind == Settle::kRetry;
    m.deaths += settling.settlements[i].kind == Settle::kReject;
  }
}

Status Script::settle(Broker& broker) {
  if (held_.empty())
    if (const std::string problem = refill(broker); !problem.empty()) return {ErrorCode::internal, problem};
  if (held_.empty()) return publish(broker);
  SettleRequest request;
  const bool power = dice_.percent(20);
  request.durability = power ? Durability::kPower : Durability::kProcess;
  const Settling settling = choose(3);
  request.settlements = settling.settlements;
  const auto answer = broker.settle(request);
  Status status = answer.status();
  if (answer.ok())
    for (const Status& one : answer->results)
      if (!one.ok()) status = one;
  ++last_act_;
  note_settled(settling);
  return note(status, power);
}

/// Everything at once: messages to both topics, settlements, and the key.
Status Script::transact(Broker& broker) {
  if (held_.empty())
    if (const std::string problem = refill(broker); !problem.empty()) return {ErrorCode::internal, problem};
  CommitRequest request;
  const bool power = dice_.percent(30);
  request.durability = power ? Durability::kPower : Durability::kProcess;
  const std::string number = std::to_string(next_tag_++);
  request.request_id = "transaction " + number;
  request.puts = {{kKey, number}};
  std::vector<std::string> tags;
  for (const char* topic : kTopics) {
    tags.push_back("m" + std::to_string(next_tag_++));
    weir::Message m;
    m.payload = payload_of(tags.back());
    request.publishes.push_back({topic, std::move(m)});
  }
  const Settling settling = choose(3);
  request.settlements = settling.settlements;
  ++last_act_;
  for (std::size_t i = 0; i < tags.size(); ++i) history_[tags[i]] = {kTopics[i], kNoOffset.value, 0, 0, {{last_act_, open_state(0, 0)}}};
  note_settled(settling);
  Message& key = history_[kKey];
  key.offset = kNoOffset.value;
  key.changes.push_back({last_act_, "put " + number});
  const auto answer = broker.commit(request);
  if (answer.ok())
    for (std::size_t i = 0; i < tags.size(); ++i) history_[tags[i]].offset = answer->publishes[i].offset.value;
  // Sent again it is the same one, whether it was lost on the way or not.
  if (answer.ok() && dice_.percent(20)) {
    const auto again = broker.commit(request);
    if (!again.ok()) return again.status();
    if (again->version != answer->version || again->publishes.size() != tags.size() || again->publishes[0].offset != answer->publishes[0].offset)
      return {ErrorCode::internal, "a repeated transaction was answered otherwise"};
  }
  return note(answer.status(), power);
}

Status Script::redrive(Broker& broker) {
  const std::string topic = kTopics[dice_.below(2)];
  ListDeadLettersRequest list;
  list.topic = topic;
  list.group = "g";
  const auto letters = broker.dead_letters(list);
  if (!letters.ok() && letters.code() != ErrorCode::topic_not_found && letters.code() != ErrorCode::not_found) return {ErrorCode::internal, letters.status().to_string()};
  if (!letters.ok() || letters->letters.empty()) return publish(broker);
  const DeadLetter& letter = dice_.pick(letters->letters);
  RedriveRequest request;
  request.topic = topic;
  request.group = "g";
  request.letters = {letter.offset};
  request.force = true;
  Message& m = history_.at(std::string(tag_of(letter.message.payload.text())));
  m.failures = 0;
  m.changes.push_back({++last_act_, open_state(0, m.deaths)});
  const auto answer = broker.redrive(request);
  return note(answer.status(), false);
}

std::string Script::look(Broker& broker, Seen& seen) {
  held_.clear();
  const auto last = broker.get_state(kKey);
  if (!last.ok()) return "state: " + last.status().to_string();
  if (*last) seen[kKey] = {"put " + **last, kNoOffset.value};
  for (const char* topic : kTopics) {
    BrowseRequest browse;
    browse.topic = topic;
    browse.messages_max = 10'000;
    const auto page = broker.browse(browse);
    if (page.code() == ErrorCode::topic_not_found) continue;   // not even the topic is remembered
    if (!page.ok()) return "browse: " + page.status().to_string();
    std::uint64_t next = 0;
    std::vector<std::string> tags;
    for (const StoredMessage& m : page->messages) {
      const std::string tag(tag_of(m.payload.text()));
      if (m.offset.value != next++) return "offset " + std::to_string(m.offset.value) + " after a gap";
      if (m.payload.text() != payload_of(tag) || !history_.contains(tag)) return "a message that nobody published, " + tag;
      if (!seen.emplace(tag, std::pair("acked", m.offset.value)).second) return tag + " is there twice";
      tags.push_back(tag);
    }
    if (broker.group(topic, "g").code() == ErrorCode::group_not_found) continue;
    ListDeadLettersRequest list;
    list.topic = topic;
    list.group = "g";
    list.messages_max = 10'000;
    list.include_resolved = true;
    std::map<std::string, std::uint32_t> deaths;
    const auto letters = broker.dead_letters(list);
    if (letters.ok())
      for (const DeadLetter& letter : letters->letters) {
        const std::string tag(tag_of(letter.message.payload.text()));
        const std::uint32_t count = ++deaths[tag];
        if (!seen.contains(tag) || letter.message.dead_letter->redrives != count - 1) return "a dead letter too many: " + tag;
        if (letter.state == LetterState::kDead) seen[tag].first = dead_state(count);
      }
    clock_->advance(Duration{60'000});
    for (;;) {   // everything that is left is taken, looked at, and given back
      const auto info = broker.group(topic, "g");
      if (!info.ok()) return "group: " + info.status().to_string();
      if (info->total().in_flight == info->total().depth) break;
      FetchRequest request;
      request.source = topic;
      request.group = "g";
      request.messages_max = 1000;
      request.reports_begun = true;
      const auto fetched = broker.fetch(request);
      if (!fetched.ok()) return "fetch: " + fetched.status().to_string();
      for (const Delivered& d : fetched->deliveries) {
        const std::string tag(tag_of(d.message.payload.text()));
        if (d.token.epoch.value <= last_epoch_) return "epochs went back to " + std::to_string(d.token.epoch.value);
        last_epoch_ = d.token.epoch.value;
        if (!seen.contains(tag) || seen[tag].first != "acked") return tag + " comes out, and is " + (seen.contains(tag) ? seen[tag].first : "absent");
        seen[tag].first = open_state(d.failures, deaths[tag]);
        held_.emplace_back(tag, d.token);
      }
      if (fetched->deliveries.empty() && broker.group(topic, "g")->total().in_flight != broker.group(topic, "g")->total().depth)
        return "in flight " + std::to_string(info->total().in_flight) + " of depth " + std::to_string(info->total().depth) + ", and nothing comes out";
    }
  }
  return {};
}

std::string Script::recovered(Broker& broker, std::int64_t at_least) {
  Seen seen;
  if (const std::string problem = look(broker, seen); !problem.empty()) return problem;
  // Each message was seen in a state that it had from one act on, until the next on it.
  std::int64_t low = at_least, high = last_act_;
  std::string low_by = "what was promised", high_by = "the end";
  for (auto& [tag, m] : history_) {
    const std::string state = seen.contains(tag) ? seen[tag].first : "absent";
    std::int64_t from = -1, until = m.changes.front().act - 1;
    if (state != "absent") {
      const auto at = std::find_if(m.changes.begin(), m.changes.end(), [&](const Change& c) { return c.state == state; });
      if (at == m.changes.end()) return tag + " is " + state + ", which it never was; last " + m.changes.back().state;
      if (m.offset != kNoOffset.value && m.offset != seen[tag].second) return tag + " is at another offset";
      from = at->act;
      until = std::next(at) == m.changes.end() ? last_act_ : std::next(at)->act - 1;
    }
    const std::string why = tag + " is " + state;
    if (from > low) low = from, low_by = why;
    if (until < high) high = until, high_by = why;
  }
  if (low > high) return "the store remembers act " + std::to_string(low) + " (" + low_by + ") and not act " + std::to_string(high + 1) + " (" + high_by + ")";
  // What is forgotten never was.
  for (auto at = history_.begin(); at != history_.end();) {
    Message& m = at->second;
    const auto seen_at = seen.find(at->first);
    const std::string state = seen_at == seen.end() ? "absent" : seen_at->second.first;
    while (!m.changes.empty() && m.changes.back().state != state) m.changes.pop_back(), ++forgotten_;
    if (m.changes.empty()) {
      at = history_.erase(at);
      continue;
    }
    m.offset = seen_at->second.second;
    m.failures = m.deaths = 0;
    if (state.starts_with("open ")) m.failures = static_cast<std::uint32_t>(std::stoul(state.substr(5)));
    if (state != "acked") m.deaths = static_cast<std::uint32_t>(std::stoul(state.substr(state.rfind(' ') + 1)));
    ++at;
  }
  for (auto& [tag, m] : history_)
    for (Change& c : m.changes) c.act = -1;   // the numbers start anew: all of it is old now
  last_act_ = last_ok_ = last_power_ = 0;
  return {};
}

}  // namespace weir::crash
