// Transactions: two publishes, an ack and a put in one commit, against the same four operations apart; and 64 of them that share syncs.
#include <atomic>
#include <deque>
#include <string>

#include "bench/machine.h"
#include "bench/payload_pool.h"
#include "bench/publishing.h"
#include "bench/workload.h"

namespace bench {
namespace {

constexpr std::uint32_t kFetched = 1000;   // leases taken at once, outside of the measured time
constexpr std::uint64_t kKeys = 1000;      // of the state, put in turn

struct Slice {
  double rate = 0, microseconds = 0, syncs_each = 0;
};

/// A store with messages to ack, and what is made of each.
class Work {
 public:
  Work(const Run& run, std::size_t payload_bytes, weir::Durability level) : store_(run.directory), level_(level), payloads_(payload_bytes) {
    topics_ = store_.create_topics(3);
    weir::GroupOptions group;
    group.order = weir::Order::kNone;
    group.in_flight_max = 100'000;
    must(store_.broker().create_group(topics_[0], "workers", group).status(), "create_group");
  }

  Store& store() { return store_; }

  /// Leases for the next transactions: publishes what they will ack, and fetches it.
  void refill() {
    std::vector<weir::Message> messages(kFetched);
    for (weir::Message& message : messages) message.payload = payloads_.copy();
    must(store_.broker().publish_all(topics_[0], std::move(messages), weir::Durability::kProcess).status(), "publish_all");
    while (tokens_.size() < kFetched) {
      weir::FetchRequest fetch;
      fetch.source = topics_[0];
      fetch.group = "workers";
      fetch.messages_max = kFetched;
      fetch.wait = std::chrono::seconds(1);
      for (const weir::Delivered& delivered : must(store_.broker().fetch(std::move(fetch)), "fetch").deliveries) tokens_.push_back(delivered.token);
    }
  }
  bool empty() const { return tokens_.empty(); }

  void apart() {
    weir::Broker& broker = store_.broker();
    for (const int topic : {1, 2}) must(broker.publish(topics_[topic], {.payload = payloads_.copy()}, level_).status(), "publish");
    weir::SettleRequest settle;
    settle.settlements = {weir::Settlement::ack(next_token())};
    settle.durability = level_;
    must(broker.settle(std::move(settle)).status(), "settle");
    weir::CommitRequest put;
    put.durability = level_;
    put.puts = {next_put()};
    must(broker.commit(std::move(put)).status(), "put");
  }

  void together() {
    weir::Transaction tx = store_.broker().begin_transaction({.durability = level_});
    for (const int topic : {1, 2}) tx.publish(topics_[topic], {.payload = payloads_.copy()});
    tx.ack(next_token());
    weir::StatePut put = next_put();
    tx.put(std::move(put.key), std::move(put.value));
    must(tx.commit().status(), "commit");
  }

  void together_async(std::atomic<std::uint64_t>& failed) {
    weir::CommitRequest request;
    request.durability = level_;
    for (const int topic : {1, 2}) request.publishes.push_back({topics_[topic], {.payload = payloads_.copy()}});
    request.settlements = {weir::Settlement::ack(next_token())};
    request.puts = {next_put()};
    store_.window().enter();
    store_.broker().async_commit(std::move(request), {}, [this, &failed](weir::Result<weir::CommitResult> result) {
      if (!result.ok()) failed.fetch_add(1);
      store_.window().leave();
    });
  }

 private:
  weir::Token next_token() {
    const weir::Token token = tokens_.front();
    tokens_.pop_front();
    return token;
  }
  weir::StatePut next_put() { return {"key/" + std::to_string(puts_++ % kKeys), std::string(payloads_.next(), payloads_.payload_bytes())}; }

  Store store_;
  const weir::Durability level_;
  PayloadPool payloads_;
  std::vector<std::string> topics_;
  std::deque<weir::Token> tokens_;
  std::uint64_t puts_ = 0;
};

/// Does `act` for a while; the time of refilling does not count.
template <class Act>
Slice slice_of(const Run& run, std::size_t payload_bytes, weir::Durability level, Act act) {
  Work work(run, payload_bytes, level);
  std::uint64_t done = 0, syncs = 0;
  double seconds = 0;
  while (seconds < run.scale.seconds) {
    work.refill();
    const std::uint64_t before = work.store().status().syncs;
    const Stopwatch watch;
    done += act(work);
    seconds += watch.seconds();
    syncs += work.store().status().syncs - before;
  }
  const auto count = static_cast<double>(done);
  Slice slice{count / seconds, seconds * 1e6 / count, static_cast<double>(syncs) / count};
  flush_file_system(work.store().directory());
  return slice;
}

template <void (Work::*kOne)()>
std::uint64_t one_by_one(Work& work) {
  std::uint64_t done = 0;
  for (; !work.empty(); ++done) (work.*kOne)();
  return done;
}

std::uint64_t in_flight_64(Work& work) {
  std::atomic<std::uint64_t> failed{0};
  work.store().window().set_limit(64);
  std::uint64_t done = 0;
  for (; !work.empty(); ++done) work.together_async(failed);
  work.store().window().wait_empty();
  if (failed > 0) throw std::runtime_error("commit: " + std::to_string(failed) + " failed");
  return done;
}

}  // namespace

void transaction(const Run& run) {
  for (const std::size_t payload_bytes : {std::size_t{100}, std::size_t{1024}}) {
    Samples apart, together;
    interleave(
        run.scale.rounds, [&] { apart.add(slice_of(run, payload_bytes, weir::Durability::kProcess, one_by_one<&Work::apart>).microseconds); },
        [&] { together.add(slice_of(run, payload_bytes, weir::Durability::kProcess, one_by_one<&Work::together>).microseconds); });
    const Subject process{"transaction", payload_bytes, "process"};
    run.report.figure(process, "four_operations_apart_time", apart, "us");
    run.report.figure(process, "time", together, "us", {"the four operations apart", apart.median()});
  }
  Samples one_rate, one_syncs, rate, syncs;
  interleave(
      run.scale.rounds,
      [&] {
        const Slice slice = slice_of(run, 100, weir::Durability::kPower, one_by_one<&Work::together>);
        one_rate.add(slice.rate), one_syncs.add(slice.syncs_each);
      },
      [&] {
        const Slice slice = slice_of(run, 100, weir::Durability::kPower, in_flight_64);
        rate.add(slice.rate), syncs.add(slice.syncs_each);
      });
  const Subject power{"transaction", 100, "power"};
  run.report.figure(power, "one_at_a_time_rate", one_rate, "transactions/s");
  run.report.figure(power, "one_at_a_time_syncs_each", one_syncs, "syncs");
  run.report.figure(power, "rate_64_in_flight", rate, "transactions/s", {"one at a time", one_rate.median()});
  run.report.figure(power, "syncs_each_64_in_flight", syncs, "syncs", {"one at a time", one_syncs.median()});
}

}  // namespace bench
