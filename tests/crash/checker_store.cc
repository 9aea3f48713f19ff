#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>

#include "tests/crash/checker.h"
#include "weir/broker.h"

namespace weir::crash {
namespace {

constexpr std::size_t kProblemsMax = 10;

struct Letter {
  std::uint64_t origin = 0;
  std::uint32_t redrives = 0;
  LetterState state{};
};

class Checker {
 public:
  Checker(const std::string& directory, const LedgerBook& book) : book_(book) {
    OpenOptions options;
    // Far behind everything that waits, and well before retention.
    clock_ = std::make_shared<ManualClock>(system_clock()->now() + std::chrono::hours{2});
    options.clock = clock_;
    options.reserve_bytes = 0;
    auto opened = open(directory, options);
    if (!opened.ok())
      bad("open: " + opened.status().to_string());
    else
      broker_ = std::move(*opened);
  }

  std::vector<std::string> run() {
    if (!broker_) return problems_;
    read_topics();
    check_publishes();
    const auto groups = broker_->list_groups();
    if (!groups.ok()) bad("list groups: " + groups.status().to_string());
    else
      for (const GroupInfo& group : groups->groups)
        if (!group.source.starts_with("tmp.")) check_group(group);
    if (const Status closed = broker_->close(); !closed.ok()) bad("close: " + closed.to_string());
    return problems_;
  }

 private:
  void bad(std::string text) {
    if (problems_.size() < kProblemsMax) problems_.push_back(std::move(text));
  }

  void read_topics() {
    const auto topics = broker_->list_topics();
    if (!topics.ok()) return bad("list topics: " + topics.status().to_string());
    for (const TopicInfo& info : topics->topics) {
      if (!info.name.starts_with("t.")) continue;
      auto& tags = tags_[info.name];
      BrowseRequest request;
      request.topic = info.name;
      request.messages_max = 10'000;
      for (bool end = false; !end;) {
        const auto page = broker_->browse(request);
        if (!page.ok()) return bad("browse: " + page.status().to_string());
        for (const StoredMessage& m : page->messages) {
          const std::string tag(tag_of(m.payload.text()));
          if (m.offset.value != tags.size()) bad(info.name + ": offset " + std::to_string(m.offset.value) + " instead of " + std::to_string(tags.size()));
          if (m.payload.text() != payload_of(tag)) bad(info.name + ": wrong bytes at offset " + std::to_string(m.offset.value));
          tags.push_back(tag);
          if (!place_of_.emplace(tag, std::pair(info.name, m.offset.value)).second) bad(info.name + ": stored twice: " + tag);
        }
        end = page->end;
        request.from = StartPoint::at(page->next);
      }
      if (info.next.value != tags.size() || info.visible != info.next)
        bad(info.name + ": next " + std::to_string(info.next.value) + ", visible " + std::to_string(info.visible.value) + " with " + std::to_string(tags.size()) + " messages");
    }
  }

  void check_publishes() {
    std::set<std::string> published;
    std::map<std::string, std::map<std::uint64_t, std::pair<std::string, std::uint64_t>>> sessions;   // session → sequence → where
    std::map<std::string, std::map<std::uint64_t, std::uint64_t>> async;                              // run and topic → number → offset
    for (const auto& [op, publish] : book_.publishes) {
      std::size_t there = 0;
      for (std::size_t i = 0; i < publish.messages.size(); ++i) {
        const LedgerMessage& m = publish.messages[i];
        published.insert(m.tag);
        const auto at = place_of_.find(m.tag);
        if (at == place_of_.end()) continue;
        ++there;
        if (at->second.first != m.topic) bad(m.tag + ": in the wrong topic");
        const bool told = publish.offsets && i < publish.offsets->size() && (*publish.offsets)[i] != kNoOffset.value;
        if (told && (*publish.offsets)[i] != at->second.second)
          bad(m.tag + ": at " + std::to_string(at->second.second) + ", was told " + std::to_string((*publish.offsets)[i]));
        if (!publish.session.empty()) sessions[publish.session][publish.sequence + i] = at->second;
        if (op.starts_with("async")) async[op.substr(0, op.find('.')) + m.topic][std::stoull(op.substr(op.find('.') + 1))] = at->second.second;
      }
      if (publish.offsets && there != publish.messages.size()) bad("an acknowledged publish is lost: op " + op + ", " + std::to_string(there) + " of " + std::to_string(publish.messages.size()));
      if (publish.refused && there != 0) bad("a refused publish is there: op " + op);
      if (there != 0 && there != publish.messages.size()) bad("a part of a batch is there: op " + op);
    }
    for (const auto& [tag, place] : place_of_)
      if (!published.contains(tag)) bad("nobody published " + tag);
    for (const auto& [name, numbers] : async) {
      std::uint64_t next = 0;
      for (const auto& [n, offset] : numbers) {
        if (offset < next) bad("published in order, stored out of order: " + name + " number " + std::to_string(n));
        next = offset + 1;
      }
    }
    for (const auto& [session, numbers] : sessions) {
      std::uint64_t expected = numbers.begin()->first;
      std::map<std::string, std::uint64_t> next;
      for (const auto& [sequence, place] : numbers) {
        if (sequence != expected++) bad(session + ": sequence " + std::to_string(sequence) + " without the one before");
        if (place.second < next[place.first]) bad(session + ": sequence " + std::to_string(sequence) + " is out of order");
        next[place.first] = place.second + 1;
      }
    }
  }

  std::vector<Letter> read_letters(const std::string& topic, const std::string& group) {
    std::vector<Letter> letters;
    ListDeadLettersRequest request;
    request.topic = topic;
    request.group = group;
    request.messages_max = 10'000;
    request.include_resolved = true;
    for (bool end = false; !end;) {
      const auto page = broker_->dead_letters(request);
      if (!page.ok()) {
        if (page.code() != ErrorCode::topic_not_found && page.code() != ErrorCode::not_found) bad("dead letters: " + page.status().to_string());
        break;
      }
      for (const DeadLetter& l : page->letters) {
        if (l.offset.value != letters.size()) bad(topic + "/" + group + ": letter " + std::to_string(l.offset.value) + " is not dense");
        if (!l.message.dead_letter) {
          bad(topic + "/" + group + ": a letter without its history");
          letters.emplace_back();
          continue;
        }
        const std::uint64_t origin = l.message.dead_letter->origin_offset.value;
        if (origin >= tags_[topic].size() || tag_of(l.message.payload.text()) != tags_[topic][origin]) bad(topic + "/" + group + ": a letter of another message");
        letters.push_back({origin, l.message.dead_letter->redrives, l.state});
      }
      end = page->end;
      request.from = page->next;
    }
    return letters;
  }

  using Item = std::pair<std::uint64_t, std::uint64_t>;   // offset, 0 or 1 + letter

  void check_group(const GroupInfo& group) {
    // What is in delivery or waits before anything is taken out: nobody holds anything after a death.
    if (group.total().in_flight != 0) bad(group.source + "/" + group.name + ": " + std::to_string(group.total().in_flight) + " in flight after a death");
    std::map<std::string, std::vector<Letter>> letters;
    for (const GroupTopicStats& stats : group.topics) {
      auto& of_topic = letters[stats.topic] = read_letters(stats.topic, group.name);
      const auto dead = static_cast<std::uint64_t>(std::count_if(of_topic.begin(), of_topic.end(), [](const Letter& l) { return l.state == LetterState::kDead; }));
      if (stats.dead != dead) bad(stats.topic + "/" + group.name + ": dead " + std::to_string(stats.dead) + " instead of " + std::to_string(dead));
    }
    std::map<std::string, std::set<Item>> left;
    const std::uint64_t depth = group.total().depth;
    take_out(group, left);
    std::uint64_t taken = 0;
    for (const auto& [topic, items] : left) taken += items.size();
    if (taken != depth) bad(group.source + "/" + group.name + ": depth " + std::to_string(depth) + ", but " + std::to_string(taken) + " came out");
    for (const GroupTopicStats& stats : group.topics) check_states(stats.topic, group.name, letters[stats.topic], left[stats.topic]);
  }

  Result<FetchResult> fetch(const GroupInfo& group) {
    struct Slot {
      std::mutex mutex;
      std::condition_variable done;
      std::optional<Result<FetchResult>> result;
    };
    const auto slot = std::make_shared<Slot>();
    FetchRequest request;
    request.source = group.source;
    request.group = group.name;
    request.messages_max = 1000;
    request.wait = std::chrono::hours{1};
    CallContext context;
    context.cancellation = Cancellation::make();
    broker_->async_fetch(request, context, [slot](Result<FetchResult> r) {
      const std::scoped_lock lock(slot->mutex);
      slot->result.emplace(std::move(r));
      slot->done.notify_all();
    });
    std::unique_lock lock(slot->mutex);
    if (!slot->done.wait_for(lock, std::chrono::seconds{20}, [&] { return slot->result.has_value(); })) {
      lock.unlock();
      context.cancellation.cancel();
      return Status(ErrorCode::deadline_exceeded, "nothing is handed out though the depth is not zero");
    }
    return std::move(*slot->result);
  }

  void take_out(const GroupInfo& group, std::map<std::string, std::set<Item>>& left) {
    for (;;) {
      const auto now = broker_->group(group.source, group.name);
      if (!now.ok()) return bad("group: " + now.status().to_string());
      if (now->paused)
        if (const Status resumed = broker_->resume_group(group.source, group.name); !resumed.ok()) return bad("resume: " + resumed.to_string());
      if (now->total().depth == 0) return;
      clock_->advance(Duration{1000});   // what the death was charged with waits from the open on
      const auto fetched = fetch(group);
      if (!fetched.ok())
        return bad(group.source + "/" + group.name + ": depth " + std::to_string(now->total().depth) + ", waiting " + std::to_string(now->total().waiting_retries) +
                   ", blocked " + std::to_string(now->total().blocked) + ": " + fetched.status().to_string());
      SettleRequest acks;
      for (const Delivered& d : fetched->deliveries) {
        const std::string& topic = d.message.topic();
        if (!left[topic].insert({d.message.offset.value, d.token.redrive}).second)
          bad(topic + "/" + group.name + ": offset " + std::to_string(d.message.offset.value) + " came out twice");
        if (d.message.offset.value >= tags_[topic].size() || tag_of(d.message.payload.text()) != tags_[topic][d.message.offset.value])
          bad(topic + "/" + group.name + ": offset " + std::to_string(d.message.offset.value) + " came out as another message");
        if (!book_.deliveries.empty() && d.token.epoch.value <= book_.deliveries.rbegin()->first) bad("an epoch went back");
        acks.settlements.push_back(Settlement::ack(d.token));
      }
      if (fetched->deliveries.empty()) continue;
      const auto settled = broker_->settle(acks);
      if (!settled.ok() || !settled->results.empty()) return bad("settle: " + settled.status().to_string());
    }
  }

  /// Exactly one of: acknowledged, dead, still there.
  void check_states(const std::string& topic, const std::string& group, const std::vector<Letter>& letters, const std::set<Item>& left) {
    const std::string who = topic + "/" + group + " ";
    std::map<Item, std::vector<const LedgerDelivery*>> deliveries;
    for (const auto& [epoch, d] : book_.deliveries)
      if (d.topic == topic && d.group == group) deliveries[{d.offset, d.redrive}].push_back(&d);
    std::map<std::pair<std::uint64_t, std::uint32_t>, std::uint64_t> died;   // origin and redrives → letter
    for (std::uint64_t i = 0; i < letters.size(); ++i)
      if (!died.emplace(std::pair(letters[i].origin, letters[i].redrives), i).second)
        bad(who + "letter " + std::to_string(i) + ": offset " + std::to_string(letters[i].origin) + " died twice of the same life");

    const auto check = [&](Item item, std::uint32_t redrives) {
      const std::string name = who + "offset " + std::to_string(item.first) + (item.second ? " letter " + std::to_string(item.second - 1) : "");
      bool acked = false, maybe = false, rejected = false, unsettled_handler = false;
      for (const LedgerDelivery* d : deliveries[item]) {
        acked |= d->confirmed("ack");
        rejected |= d->confirmed("reject");
        maybe |= d->settle == "ack" && !d->code;
        unsettled_handler |= d->group == "handlers" && !d->code;
      }
      const bool dead = died.contains({item.first, redrives}), there = left.contains(item);
      if (dead && there) bad(name + ": dead and still to be delivered");
      if (acked && (dead || there)) bad(name + ": acknowledged, and " + (dead ? "dead" : "still to be delivered"));
      if (rejected && !dead) bad(name + ": rejected and not dead");
      if (!acked && !maybe && !unsettled_handler && !dead && !there) bad(name + ": lost");
    };
    for (std::uint64_t offset = 0; offset < tags_[topic].size(); ++offset) check({offset, 0}, 0);
    for (std::uint64_t i = 0; i < letters.size(); ++i) {
      if (letters[i].redrives > 0 && !died.contains({letters[i].origin, letters[i].redrives - 1})) bad(who + "letter " + std::to_string(i) + ": without the life before");
      if (letters[i].state == LetterState::kRedriven)
        check({letters[i].origin, i + 1}, letters[i].redrives + 1);
      else if (died.contains({letters[i].origin, letters[i].redrives + 1}) || left.contains({letters[i].origin, i + 1}))
        bad(who + "letter " + std::to_string(i) + ": not redriven, and yet given back");
    }
    for (const auto& [offset, redrive] : left)
      if (redrive > letters.size() || (redrive != 0 && letters[redrive - 1].origin != offset)) bad(who + "offset " + std::to_string(offset) + ": given back without a letter");
    for (const LedgerRedrive& redrive : book_.redrives)
      if (redrive.confirmed && redrive.topic == topic && redrive.group == group)
        for (const std::uint64_t letter : redrive.letters)
          if (letter >= letters.size() || letters[letter].state != LetterState::kRedriven) bad(who + "letter " + std::to_string(letter) + ": a confirmed redrive is lost");
  }

  const LedgerBook& book_;
  std::shared_ptr<ManualClock> clock_;
  std::unique_ptr<Broker> broker_;
  std::vector<std::string> problems_;
  std::map<std::string, std::vector<std::string>> tags_;                          // topic → tag of each offset
  std::map<std::string, std::pair<std::string, std::uint64_t>> place_of_;         // tag → topic and offset
};

}  // namespace

std::vector<std::string> check_store(const std::string& directory, const LedgerBook& book) { return Checker(directory, book).run(); }

}  // namespace weir::crash
