#include <algorithm>

#include "tests/model/driver.h"

namespace weir::model {

void Driver::browse() {
  RefTopic* topic = random_topic();
  if (!topic) return;
  note("browse " + topic->name);
  const auto info = broker_->topic(topic->name);
  MODEL_EXPECT(info.ok(), "topic: " << info.status());
  MODEL_EXPECT(info->id == topic->id, topic->name << ": another id");
  MODEL_EXPECT(info->next.value == topic->messages.size(), topic->name << ": next is " << info->next << " instead of " << topic->messages.size());
  MODEL_EXPECT(info->first.value >= topic->first_seen && info->first <= info->next, topic->name << ": first went back to " << info->first);
  topic->first_seen = info->first.value;

  std::vector<bool> there(topic->messages.size());
  BrowseRequest request;
  request.topic = topic->name;
  request.messages_max = static_cast<std::uint32_t>(dice_.between(1, 500));
  std::uint64_t behind = 0;
  for (bool end = false; !end;) {
    const auto page = broker_->browse(request);
    MODEL_EXPECT(page.ok(), "browse: " << page.status());
    MODEL_EXPECT(page->end || page->next > request.from.offset || !page->messages.empty(), "browse makes no progress");
    for (const StoredMessage& m : page->messages) {
      MODEL_EXPECT(m.offset.value >= behind && m.offset.value < there.size(), topic->name << ": browse goes back or past the end to " << m.offset);
      behind = m.offset.value + 1;
      const RefMessage& want = topic->messages[m.offset.value];
      MODEL_EXPECT(m.payload.text() == want.payload && m.key == want.key && m.id == want.id && m.headers.copy() == want.headers &&
                       m.time.time_since_epoch().count() == want.time,
                   topic->name << " offset " << m.offset << ": browse shows another message");
      there[m.offset.value] = true;
    }
    end = page->end;
    request.from = StartPoint::at(page->next);
  }
  for (std::uint64_t offset = 0; offset < there.size(); ++offset) {
    bool settled = true, groups = false;
    for (const auto& [key, group] : reference_.groups)
      if (const auto at = group.topics.find(topic->name); at != group.topics.end()) {
        groups = true;
        for (auto item = at->second.items.lower_bound({offset, 0}); item != at->second.items.end() && item->first.first == offset; ++item)
          settled &= item->second.settled() || item->second.expired(reference_.now) || item->second.optional || item->first.second != 0;
      }
    const bool old = reference_.now - topic->messages[offset].time >= topic->options.retention_age.count();
    const bool may_go = settled && (old || (topic->options.discard_settled && groups));
    MODEL_EXPECT(there[offset] || may_go || offset < topic->first_seen, topic->name << " offset " << offset << ": missing though it may not go");
    if (offset < topic->first_seen) MODEL_EXPECT(!there[offset], topic->name << " offset " << offset << ": browsed though before first");
    if (offset < topic->first_seen) MODEL_EXPECT(settled, topic->name << " offset " << offset << ": gone though a group needs it");
  }
}

void Driver::compare_letters(RefGroup& group, const std::string& name) {
  RefProgress& progress = group.topics.at(name);
  const std::string who = "letters of " + name + "/" + group.name;
  eventually(who, [&]() -> std::string {
    for (bool end = false; !end;) {
      ListDeadLettersRequest request;
      request.topic = name;
      request.group = group.name;
      request.from = Offset{progress.letters.size()};
      request.include_resolved = true;
      const auto page = broker_->dead_letters(request);
      if (!page.ok()) return progress.letters.empty() && progress.deaths.empty() ? "" : page.status().to_string();
      for (const DeadLetter& letter : page->letters) reference_.letter_seen(group, name, letter);
      end = page->end;
    }
    return progress.deaths.empty() ? "" : std::to_string(progress.deaths.size()) + " deaths without a letter, first of offset " + std::to_string(progress.deaths[0].origin);
  });
}

void Driver::check_letters() {
  note("check letters");
  for (auto& [key, group] : reference_.groups)
    for (auto& [name, progress] : group.topics) {
      compare_letters(group, name);
      if (progress.letters.empty()) continue;
      ListDeadLettersRequest request;
      request.topic = name;
      request.group = group.name;
      request.messages_max = 10'000;
      request.include_resolved = true;
      const auto all = broker_->dead_letters(request);
      MODEL_EXPECT(all.ok(), "dead letters: " << all.status());
      for (const DeadLetter& letter : all->letters) {
        if (letter.offset.value >= progress.letters.size()) continue;   // it died since
        const RefLetter& want = progress.letters[letter.offset.value];
        const std::string who = name + "/" + group.name + " letter " + std::to_string(letter.offset.value);
        MODEL_EXPECT(letter.state == want.state, who << ": " << to_string(letter.state) << " instead of " << to_string(want.state));
        MODEL_EXPECT(letter.message.dead_letter && letter.message.dead_letter->origin_offset.value == want.origin, who << ": changed its origin");
      }
    }
}

void Driver::compare_figures(RefGroup& group) {
  eventually("figures of " + group.source + "/" + group.name, [&]() -> std::string {
    const auto info = broker_->group(group.source, group.name);
    if (!info.ok()) return info.status().to_string();
    if (info->id != group.id || info->paused != group.paused || info->options.order != group.options.order) return "another group";
    for (const auto& [name, progress] : group.topics) {
      const auto found = std::find_if(info->topics.begin(), info->topics.end(), [&, n = &name](const GroupTopicStats& s) { return s.topic == *n; });
      if (found == info->topics.end()) return "no figures of " + name;
      const GroupTopicStats& have = *found;
      std::uint64_t needed = 0, possible = 0, leased = 0, later = 0, waiting = 0, given_back = 0, given_back_max = 0, dead = 0, dead_max = 0;
      std::uint64_t lowest = reference_.topics.at(name).messages.size();
      for (const auto& [key, item] : progress.items) {
        const bool open = !item.settled();
        const bool may_be_gone = item.optional || (item.expired(reference_.now) && item.state != RefState::kLeased);
        needed += open && !may_be_gone;
        possible += open || item.state == RefState::kUnwanted;
        leased += item.state == RefState::kLeased;
        later += item.state == RefState::kWaiting && item.due_min > reference_.now && !may_be_gone;
        waiting += item.state == RefState::kWaiting;
        given_back += open && item.letter != 0 && !may_be_gone;
        given_back_max += open && item.letter != 0;
        dead_max += open && may_be_gone;
        if (open && !may_be_gone && item.letter == 0) lowest = std::min(lowest, item.offset);
      }
      for (const RefLetter& letter : progress.letters) dead += letter.state == LetterState::kDead;
      dead += progress.deaths.size();
      if (!group.options.dead_letter_expired) dead_max = 0;
      const auto range = [&](const char* what, std::uint64_t value, std::uint64_t low, std::uint64_t high) -> std::string {
        if (value >= low && value <= high) return "";
        return name + ": " + what + " " + std::to_string(value) + " instead of " + std::to_string(low) + " to " + std::to_string(high);
      };
      for (const std::string& text :
           {range("in_flight", have.in_flight, leased, leased), range("depth", have.depth, needed, possible),
            range("waiting_retries", have.waiting_retries, later, waiting), range("redriven", have.redriven, given_back, given_back_max),
            range("dead", have.dead, dead, dead + dead_max), range("acked", have.acked, progress.acked, progress.acked),
            range("holding", have.holding, Reference::holding(progress), Reference::holding(progress) + dead_max),
            range("floor", have.floor.value, 0, lowest)})
        if (!text.empty()) return text;
    }
    return {};
  });
}

void Driver::check_figures() {
  note("check figures");
  for (auto& [key, group] : reference_.groups) compare_figures(group);
  const auto all = broker_->list_groups();
  MODEL_EXPECT(all.ok(), "list groups: " << all.status());
  std::size_t ours = 0;
  for (const GroupInfo& info : all->groups) ours += reference_.groups.contains({info.source, info.name});
  MODEL_EXPECT(ours == reference_.groups.size() && all->groups.size() == ours, "groups: " << all->groups.size() << " instead of " << reference_.groups.size());
}

void Driver::check_status() {
  const auto status = broker_->status();
  MODEL_EXPECT(status.ok(), "status: " << status.status());
  MODEL_EXPECT(status->state == StoreState::kRunning, "state " << to_string(status->state) << " " << status->reason);
  MODEL_EXPECT(status->incarnation >= last_incarnation_, "the incarnation went back");
  if (last_incarnation_ != 0 && !log_.empty() && log_.back() == "reopen")
    MODEL_EXPECT(status->incarnation > last_incarnation_, "the incarnation did not rise with the open");
  last_incarnation_ = status->incarnation;
  ListTopicsRequest request;
  const auto topics = broker_->list_topics(request);
  MODEL_EXPECT(topics.ok(), "list topics: " << topics.status());
  MODEL_EXPECT(topics->topics.size() == reference_.topics.size(), "topics: " << topics->topics.size() << " instead of " << reference_.topics.size());
  for (const TopicInfo& info : topics->topics)
    MODEL_EXPECT(reference_.topics.contains(info.name) && reference_.topics.at(info.name).id == info.id, "a topic that should not be: " << info.name);
}

void Driver::drain_all() {
  note("drain all");
  for (auto& [key, group] : reference_.groups) {
    if (group.paused) {
      const Status answer = broker_->resume_group(group.source, group.name);
      MODEL_EXPECT(answer.ok(), "resume: " << answer);
      group.paused = false;
    }
    free_keys(group);
    const std::uint64_t most = 1000 + 20 * next_payload_;
    for (std::uint64_t round = 0;; ++round) {
      MODEL_EXPECT(round < most, group.source << "/" << group.name << ": does not come to an end");
      std::vector<Settlement> acks;
      for (const RefToken* token : live_tokens())
        if (token->group_id == group.id) acks.push_back(Settlement::ack(token->token));
      if (!acks.empty()) {
        do_settle(std::move(acks));
        continue;
      }
      FetchRequest request;
      request.source = group.source;
      request.group = group.name;
      request.messages_max = 1000;
      const std::string must = reference_.must_deliver(group, 0);
      if (!do_fetch(group, request, must).deliveries.empty()) continue;
      bool waits = false;
      for (const auto& [name, progress] : group.topics)
        for (const auto& [item_key, item] : progress.items) waits |= item.state == RefState::kWaiting && !item.expired(reference_.now);
      if (!waits) break;
      note("advance 600000");
      move_clock(600'000);
    }
  }
  for (auto& [key, group] : reference_.groups)
    eventually("the end of " + group.source + "/" + group.name, [&, g = &group]() -> std::string {
      // Expired and unwanted messages are settled when they are looked at, which a fetch does.
      FetchRequest request;
      request.source = g->source;
      request.group = g->name;
      const auto rest = broker_->fetch(request);
      if (!rest.ok()) return rest.status().to_string();
      reference_.fetched(*g, request, rest->deliveries, ++next_fetch_);
      for (const Delivered& d : rest->deliveries) do_settle({Settlement::ack(d.token)});
      const auto info = broker_->group(g->source, g->name);
      if (!info.ok()) return info.status().to_string();
      return info->total().depth == 0 ? "" : "depth " + std::to_string(info->total().depth) + " though everything was handed out";
    });
  DrainRequest request;
  request.include_waiting = true;
  const Status drained = broker_->drain(request);
  MODEL_EXPECT(drained.ok(), "drain: " << drained);
  check_letters();
  check_figures();
  const Status closed = broker_->close();
  MODEL_EXPECT(closed.ok(), "close: " << closed);
}

}  // namespace weir::model
