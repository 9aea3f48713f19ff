#include <algorithm>
#include <atomic>
#include <cstdio>
#include <functional>
#include <mutex>
#include <set>
#include <thread>

#include "tests/crash/child/child.h"
#include "tests/crash/ledger.h"
#include "tests/model/dice.h"

namespace weir::crash {
namespace {

using model::Dice;

std::string number(std::uint64_t n) { return std::to_string(n); }
std::string dash(std::string_view text) { return text.empty() ? "-" : std::string(text); }

struct GroupSpec {
  const char* source;
  const char* name;
  Order order;
  bool reports_begun;
};
constexpr GroupSpec kGroups[] = {
    {"t.0", "a", Order::kKey, true},  {"t.0", "b", Order::kNone, false},   {"t.1", "a", Order::kKey, true},
    {"t.*", "all", Order::kKey, true}, {"t.2", "strict", Order::kTopic, true}, {"t.1", "handlers", Order::kKey, true},
};
constexpr std::size_t kHandlers = 5;   // the group that a subscription works
constexpr const char* kTopics[] = {"t.0", "t.1", "t.2"};

class Load {
 public:
  Load(const std::string& store, const std::string& ledger_path, std::uint64_t seed)
      : book_(LedgerBook::read(ledger_path)), ledger_(ledger_path), seed_(seed) {
    OpenOptions options;
    options.memtable_bytes = 1u << 20;   // so that kills hit flushes and compactions too
    options.wal_bytes_max = 4u << 20;
    options.reserve_bytes = 0;
    broker_ = std::move(open(store, options).value());
    run_ = book_.runs + 1;
    ledger_.write("open " + number(run_) + " " + number(broker_->status().value().incarnation) + "\n");
  }

  void run() {
    set_up();
    std::printf("open\n");
    std::fflush(stdout);
    repeat_unresolved();
    std::vector<std::thread> threads;
    for (std::uint64_t i = 0; i < 2; ++i) threads.emplace_back([this, i] { guarded([&] { produce(i); }); });
    threads.emplace_back([this] { guarded([&] { produce_async(); }); });
    for (std::uint64_t i = 0; i < 3; ++i) threads.emplace_back([this, i] { guarded([&] { consume(i); }); });
    threads.emplace_back([this] { guarded([&] { operate(); }); });
    auto handlers = subscribe();
    for (std::thread& t : threads) t.join();
  }

 private:
  template <class F>
  void guarded(F act) {
    try {
      act();
    } catch (const std::exception& error) {
      bad(error.what());
    }
  }

  void bad(const std::string& text) { ledger_.write("bad " + text + "\n"); }

  void set_up() {
    for (const char* name : kTopics) {
      TopicOptions options;
      options.durability = Durability::kProcess;
      broker_->create_topic(name, options).value();
    }
    for (const GroupSpec& spec : kGroups) {
      GroupOptions options;
      options.order = spec.order;
      options.max_attempts = 3;
      options.lease = std::chrono::minutes{10};
      options.backoff = {Duration{1}, 2.0, Duration{8}, true};
      broker_->create_group(spec.source, spec.name, options).value();
    }
  }

  // --- Publishing ----------------------------------------------------------------------------------------------------

  static std::string pending(const std::string& op, const PublishRequest& request) {
    std::string line = "pub " + op + " " + dash(request.session ? request.session->session : "") + " " +
                       number(request.session ? request.session->sequence : 0) + " " + number(request.messages.size() + request.batch.size());
    const auto add = [&](const std::string& topic, const Message& m) {
      line += " " + topic + " " + dash(m.key) + " " + dash(m.id) + " " + std::string(tag_of(m.payload.text()));
    };
    for (const Message& m : request.messages) add(request.topic, m);
    for (const TopicMessage& m : request.batch) add(m.topic, m.message);
    return line + "\n";
  }

  void resolved(const std::string& op, const Result<PublishResult>& answer) {
    if (answer.ok()) {
      std::string line = "pubok " + op;
      for (const Published& p : answer->messages) line += " " + number(p.offset.value);
      ledger_.write(line + "\n");
    } else if (answer.code() == ErrorCode::busy) {
      ledger_.write("puberr " + op + " busy\n");
    } else {
      bad("publish " + op + ": " + answer.status().to_string());
    }
  }

  Message message(const std::string& tag, const std::string& key, const std::string& id) {
    Message m;
    m.payload = payload_of(tag);
    m.key = key;
    m.id = id;
    return m;
  }

  /// What a kill left open and can be repeated is repeated: with its ids, or at its place in its session.
  void repeat_unresolved() {
    std::map<std::string, std::uint64_t> last;
    for (const auto& [op, publish] : book_.publishes)
      if (!publish.session.empty())
        last[publish.session] = std::max(last[publish.session], publish.sequence + publish.messages.size() - 1);
    sessions_ = last;
    for (const auto& [op, publish] : book_.publishes) {
      if (publish.offsets || publish.refused) continue;
      const bool repeatable = !publish.session.empty() || std::all_of(publish.messages.begin(), publish.messages.end(), [](const LedgerMessage& m) { return !m.id.empty(); });
      if (!repeatable) continue;
      PublishRequest request;
      for (const LedgerMessage& m : publish.messages) request.batch.push_back({m.topic, message(m.tag, m.key, m.id)});
      if (!publish.session.empty()) request.session = SessionPosition{publish.session, publish.sequence};
      resolved(op, broker_->publish(request));
    }
  }

  void produce(std::uint64_t thread) {
    Dice dice(seed_ * 1000 + thread);
    const std::string who = "p" + number(run_) + "." + number(thread);
    const std::string session = "session" + number(thread);
    std::uint64_t sequence = sessions_.contains(session) ? sessions_.at(session) : 0;
    for (std::uint64_t n = 0;; ++n) {
      const std::string op = who + "." + number(n);
      PublishRequest request;
      const std::uint64_t how = dice.below(4);
      const bool ids = how == 1, in_session = how == 2;
      const std::uint64_t count = dice.percent(50) ? 1 : dice.between(2, 20);
      for (std::uint64_t i = 0; i < count; ++i) {
        const std::string tag = op + "." + number(i);
        request.batch.push_back({kTopics[dice.below(3)],
                                 message(tag, dice.percent(80) ? "k" + number(thread) + number(dice.below(10)) : "", ids ? "id." + tag : "")});
      }
      if (in_session) request.session = SessionPosition{session, sequence + 1};
      if (dice.percent(30)) request.durability = Durability::kPower;
      ledger_.write(pending(op, request));
      const auto answer = broker_->publish(request);
      if (in_session && answer.ok()) sequence += count;
      resolved(op, answer);
      if (ids && answer.ok() && dice.percent(20)) {   // the same ids again are stored once
        const auto again = broker_->publish(request);
        if (!again.ok() || !std::all_of(again->messages.begin(), again->messages.end(), [](const Published& p) { return p.duplicate; }))
          bad("ids published again were no duplicates, op " + op);
      }
      throttle();
    }
  }

  /// Several in flight from one thread, of one key: they must stand in the log in this order.
  void produce_async() {
    Dice dice(seed_ * 1000 + 77);
    const std::string who = "async" + number(run_);
    std::atomic<int> in_flight = 0;
    for (std::uint64_t n = 0;; ++n) {
      const std::string op = who + "." + number(n);
      PublishRequest request;
      request.topic = kTopics[n % 3];
      request.messages.push_back(message(op + ".0", "async", ""));
      if (dice.percent(5)) request.durability = Durability::kPower;
      ledger_.write(pending(op, request));
      in_flight.fetch_add(1);
      broker_->async_publish(std::move(request), {}, [this, op, &in_flight](Result<PublishResult> answer) {
        resolved(op, answer);
        in_flight.fetch_sub(1);
        in_flight.notify_one();
      });
      for (int now = in_flight.load(); now >= 16; now = in_flight.load()) in_flight.wait(now);
      throttle();
    }
  }

  /// Producers do not run away from consumers, or the checks would take ever longer.
  void throttle() {
    const std::uint64_t mine = published_.fetch_add(1);
    for (std::uint64_t settled = settled_.load(); mine > 400 + 4 * settled; settled = settled_.load()) settled_.wait(settled);
  }

  // --- Consuming -----------------------------------------------------------------------------------------------------

  static std::string got(const GroupSpec& spec, const StoredMessage& m, const Token& token, std::uint32_t failures, std::uint32_t deliveries, std::uint32_t crashes) {
    return std::string("got ") + spec.source + " " + spec.name + " " + m.topic() + " " + number(m.offset.value) + " " + number(token.redrive) + " " +
           number(token.epoch.value) + " " + number(failures) + " " + number(deliveries) + " " + number(crashes) + " " +
           std::string(tag_of(m.payload.text())) + "\n";
  }

  std::string place_of(const GroupSpec& spec, const StoredMessage& m) const {
    if (spec.order == Order::kNone || (spec.order == Order::kKey && m.key.empty())) return {};
    return std::string(spec.source) + "/" + spec.name + "/" + m.topic() + "/" + (spec.order == Order::kTopic ? "" : std::string(m.key));
  }

  void start_work(const std::string& place) {
    if (place.empty()) return;
    const std::scoped_lock lock(mutex_);
    if (!at_work_.insert(place).second) bad("worked twice at once: " + place);
  }
  void end_work(const std::string& place) {
    if (place.empty()) return;
    const std::scoped_lock lock(mutex_);
    at_work_.erase(place);
  }

  Settlement random_settlement(Dice& dice, const Token& token) {
    const std::uint64_t how = dice.below(100);
    if (how < 80) return Settlement::ack(token);
    if (how < 86) return Settlement::retry(token, "not now");
    if (how < 91) return Settlement::retry(token, "not now", Duration{dice.below(6)});
    if (how < 96) return Settlement::reject(token, "never");
    return Settlement::release(token);
  }

  void consume(std::uint64_t thread) {
    Dice dice(seed_ * 1000 + 100 + thread);
    for (;;) {
      const GroupSpec& spec = kGroups[dice.below(std::size(kGroups))];
      FetchRequest request;
      request.source = spec.source;
      request.group = spec.name;
      request.messages_max = static_cast<std::uint32_t>(dice.between(1, 24));
      request.wait = Duration{2};
      request.reports_begun = spec.reports_begun;
      const auto fetched = broker_->fetch(request);
      if (!fetched.ok()) {
        bad("fetch: " + fetched.status().to_string());
        return;
      }
      std::string lines;
      for (const Delivered& d : fetched->deliveries) {
        lines += got(spec, d.message, d.token, d.failures, d.deliveries, d.crashes);
        if (d.message.payload.text() != payload_of(tag_of(d.message.payload.text()))) lines += "bad payload at offset " + number(d.message.offset.value) + "\n";
        if (d.crashes > 0 && (fetched->deliveries.size() != 1 || suspects_.fetch_add(1) != 0)) lines += "bad a suspect was not alone\n";
      }
      if (!lines.empty()) ledger_.write(lines);
      work(dice, spec, fetched->deliveries);
    }
  }

  void work(Dice& dice, const GroupSpec& spec, const std::vector<Delivered>& deliveries) {
    std::set<std::string> failed;
    const bool together = dice.percent(30);   // acks are sent as one request at the end
    std::vector<Settlement> acks;
    for (const Delivered& d : deliveries) {
      const std::string place = place_of(spec, d.message);
      if (!place.empty() && failed.contains(place)) continue;   // its token is void
      const std::string epoch = number(d.token.epoch.value);
      if (spec.reports_begun) {
        ledger_.write("begin " + epoch + "\n");
        if (const Status begun = broker_->begin(d.token); !begun.ok()) bad("begin: " + begun.to_string());
      }
      start_work(place);
      const Settlement settlement = together ? Settlement::ack(d.token) : random_settlement(dice, d.token);
      ledger_.write("set " + epoch + " " + std::string(to_string(settlement.kind)) + "\n");
      end_work(place);
      if (d.crashes > 0) suspects_.fetch_sub(1);
      if (together) {
        acks.push_back(settlement);
        continue;
      }
      if (settlement.kind != Settle::kAck && !place.empty()) failed.insert(place);
      const Status answer = broker_->settle(settlement);
      settle_resolved(epoch, answer);
      if (!answer.ok() && !place.empty()) failed.insert(place);
    }
    if (acks.empty()) return;
    SettleRequest request;
    request.settlements = acks;
    if (dice.percent(10)) request.durability = Durability::kPower;
    const auto answer = broker_->settle(request);
    if (!answer.ok()) return bad("settle: " + answer.status().to_string());
    for (std::size_t i = 0; i < acks.size(); ++i)
      settle_resolved(number(acks[i].token.epoch.value), answer->results.empty() ? Status{} : answer->results[i]);
  }

  void count_settled() {
    settled_.fetch_add(1);
    settled_.notify_all();
  }

  void settle_resolved(const std::string& epoch, const Status& answer) {
    count_settled();
    ledger_.write("setok " + epoch + " " + std::string(error_info(answer.code()).name) + "\n");
    if (!answer.ok()) bad("a live token was refused: " + answer.to_string());
  }

  Subscription subscribe() {
    const GroupSpec& spec = kGroups[kHandlers];
    SubscribeOptions options;
    options.group = spec.name;
    options.threads = 3;
    options.prefetch = 30;
    return broker_->subscribe(spec.source, options, [this, &spec](Delivery& d) {
      const std::string place = place_of(spec, d.message()), epoch = number(d.token().epoch.value);
      ledger_.write(got(spec, d.message(), d.token(), d.failures(), d.deliveries(), d.crashes()) + "begin " + epoch + "\n");
      start_work(place);
      if (d.crashes() > 0 && suspects_.fetch_add(1) != 0) bad("a suspect was not alone");
      const std::uint64_t how = d.token().epoch.value % 20;
      // All of a key by hand, or none: an ack by hand may overtake those that returning handlers leave to the subscription.
      const bool fails = how == 8, by_hand = !fails && how != 9 && std::hash<std::string>{}(place) % 2 == 0;
      ledger_.write("set " + epoch + (fails ? " retry\n" : how == 9 ? " reject\n" : " ack\n"));
      end_work(place);
      if (d.crashes() > 0) suspects_.fetch_sub(1);
      if (!by_hand) count_settled();
      if (by_hand) {
        const Status answer = d.broker().ack(d.detach());
        settle_resolved(epoch, answer);
      } else if (fails) {
        throw std::runtime_error("not now");
      } else if (how == 9) {
        throw Reject("never");
      }
    }).value();
  }

  // --- Operating -----------------------------------------------------------------------------------------------------

  void operate() {
    Dice dice(seed_ * 1000 + 500);
    std::uint64_t op = book_.redrives.size();
    for (std::uint64_t n = 0;; ++n) {
      const GroupSpec& spec = kGroups[dice.below(std::size(kGroups))];
      const std::string topic = std::string(spec.source) == "t.*" ? kTopics[dice.below(3)] : spec.source;
      ListDeadLettersRequest list;
      list.topic = topic;
      list.group = spec.name;
      list.messages_max = 200;
      const auto letters = broker_->dead_letters(list);
      if (letters.ok() && letters->letters.size() > 3) {
        RedriveRequest request;
        request.topic = topic;
        request.group = spec.name;
        request.force = true;
        for (const DeadLetter& l : letters->letters)
          if (dice.percent(60)) request.letters.push_back(l.offset);
        std::string line = "red " + number(op) + " " + spec.name + " " + topic;
        for (const Offset o : request.letters) line += " " + number(o.value);
        ledger_.write(line + "\n");
        const auto answer = broker_->redrive(request);
        if (!answer.ok()) return bad("redrive: " + answer.status().to_string());
        ledger_.write("redok " + number(op) + " " + number(answer->redriven) + "\n");
        if (!request.letters.empty() && answer->redriven != request.letters.size()) bad("not all dead letters were given back");
        ++op;
      } else if (!letters.ok() && letters.code() != ErrorCode::topic_not_found && letters.code() != ErrorCode::not_found) {
        return bad("dead letters: " + letters.status().to_string());
      }
      if (n % 7 == 3) come_and_go(dice, n);
      const Status pause = broker_->pause_group(spec.source, spec.name);
      const Status resume = broker_->resume_group(spec.source, spec.name);
      if (!pause.ok() || !resume.ok()) return bad("pause: " + pause.to_string() + " " + resume.to_string());
      // The others shall have the machine too: one step per ten settlements.
      const std::uint64_t begin = settled_.load();
      for (std::uint64_t settled = begin; settled < begin + 10; settled = settled_.load()) settled_.wait(settled);
    }
  }

  /// Topics and groups that come and go beside the others.
  void come_and_go(Dice& dice, std::uint64_t n) {
    const std::string name = "tmp." + number(n % 3);
    if (const auto made = broker_->create_topic(name); !made.ok()) return bad("create topic: " + made.status().to_string());
    if (const auto made = broker_->create_group(name, "g"); !made.ok()) return bad("create group: " + made.status().to_string());
    if (const auto put = broker_->publish(name, message("tmp", "", "")); !put.ok()) return bad("publish: " + put.status().to_string());
    if (dice.percent(50))
      if (const Status gone = broker_->delete_group(name, "g"); !gone.ok()) return bad("delete group: " + gone.to_string());
    if (const Status gone = broker_->delete_topic(name); !gone.ok()) return bad("delete topic: " + gone.to_string());
  }

  const LedgerBook book_;
  Ledger ledger_;
  const std::uint64_t seed_;
  std::uint64_t run_ = 0;
  std::unique_ptr<Broker> broker_;
  std::map<std::string, std::uint64_t> sessions_;   // constant once the threads run
  std::atomic<std::uint64_t> published_ = 0, settled_ = 0;
  std::atomic<int> suspects_ = 0;
  std::mutex mutex_;
  std::set<std::string> at_work_;                   // guarded by mutex_
};

}  // namespace

int run_load(const std::string& store, const std::string& ledger, std::uint64_t seed) {
  Load load(store, ledger, seed);
  load.run();
  return 0;
}

}  // namespace weir::crash
