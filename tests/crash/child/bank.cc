#include <atomic>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <thread>

#include "tests/crash/bank.h"
#include "tests/crash/child/child.h"
#include "tests/model/dice.h"

namespace weir::crash {
namespace {

using model::Dice;

/// Says that something is wrong, in a file that the test looks for.
void bad(const std::string& store, const std::string& text) { std::ofstream(store + ".bad", std::ios::app) << text << "\n"; }

void set_up(Broker& broker) {
  TopicOptions topic;
  topic.durability = Durability::kProcess;
  for (const char* name : {bank::kTransfers, bank::kResults}) broker.create_topic(name, topic).value();
  GroupOptions group;
  group.max_attempts = 1000;
  group.max_deliveries = 10'000;
  group.backoff = {Duration{1}, 1.0, Duration{2}, true};
  broker.create_group(bank::kTransfers, bank::kGroup, group).value();
  broker.transact([](Transaction& tx) {
    if (tx.get(bank::account(0)).value()) return ok();
    for (int i = 0; i < bank::kAccounts; ++i) tx.put(bank::account(i), std::to_string(bank::kOpening));
    return ok();
  }).value();
}

/// Consume, change state, publish.
void apply(Broker& broker, Delivery& d, Dice& dice) {
  const bank::Transfer transfer = bank::Transfer::parse(d.payload().str());
  if (dice.percent(3)) throw std::runtime_error("before the transaction");
  TransactionOptions options;
  options.durability = dice.percent(3) ? Durability::kPower : Durability::kProcess;
  options.attempts_max = 1000;
  broker.transact([&](Transaction& tx) {
    const std::string from = bank::account(transfer.from), to = bank::account(transfer.to), applied = bank::applied(transfer.id);
    const std::int64_t rich = std::stoll(tx.get(from).value().value()), poor = std::stoll(tx.get(to).value().value());
    const auto before = tx.get(applied).value();
    tx.put(from, std::to_string(rich - transfer.amount));
    tx.put(to, std::to_string(poor + transfer.amount));
    tx.put(applied, before ? *before + "again" : "once");
    tx.publish(bank::kResults, Message{.key = from, .payload = std::to_string(transfer.id)});
    tx.ack(d);
    return ok();
  }, options).value();
  if (dice.percent(3)) throw std::runtime_error("behind the transaction");
}

/// Nobody ever sees a part of a transfer.
void audit(Broker& broker, const std::string& store) {
  const auto page = broker.scan_state(StateRange::prefix(bank::kAccountPrefix));
  if (!page.ok()) return bad(store, page.status().to_string());
  std::int64_t sum = 0;
  for (const StatePut& entry : page->entries) sum += std::stoll(entry.value);
  if (sum != bank::kAccounts * bank::kOpening) bad(store, "an audit found " + std::to_string(sum));
}

}  // namespace

int run_bank(const std::string& store, std::uint64_t seed, bool finish) {
  OpenOptions options;
  options.memtable_bytes = 1u << 20;
  options.wal_bytes_max = 4u << 20;
  options.reserve_bytes = 0;
  auto broker = open(store, options).value();
  set_up(*broker);
  std::printf("open\n");
  std::fflush(stdout);
  SubscribeOptions subscribe;
  subscribe.group = bank::kGroup;
  subscribe.threads = 3;
  subscribe.prefetch = 20;
  std::atomic<std::uint64_t> threads{0};
  auto work = broker->subscribe(bank::kTransfers, subscribe, [&](Delivery& d) {
    thread_local Dice dice(seed * 100 + threads.fetch_add(1));
    apply(*broker, d, dice);
  }).value();
  if (finish) {
    DrainRequest drain;
    drain.include_waiting = true;
    const Status drained = broker->drain(drain);
    work.stop();
    return drained.ok() && broker->close().ok() ? 0 : 4;
  }
  std::thread auditor([&] {
    while (true) audit(*broker, store);
  });
  Dice dice(seed);
  for (std::uint64_t n = 0;; ++n) {
    bank::Transfer transfer{seed * 1'000'000 + n, static_cast<int>(dice.below(bank::kAccounts)), 0, static_cast<std::int64_t>(dice.between(1, 100))};
    transfer.to = (transfer.from + 1 + static_cast<int>(dice.below(bank::kAccounts - 1))) % bank::kAccounts;
    Message message;
    if (dice.percent(60)) message.key = bank::account(transfer.from);
    message.payload = transfer.text();
    broker->publish(bank::kTransfers, std::move(message)).value();
    // The handlers shall keep up.
    while (n % 20 == 0 && broker->group(bank::kTransfers, bank::kGroup).value().total().depth > 60) std::this_thread::yield();
  }
}

}  // namespace weir::crash
