#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <thread>

#include "tests/crash/child/child.h"
#include "tests/crash/ledger.h"

namespace weir::crash {

int run_handlers(const std::string& store, const std::string& ledger_path, const GroupOptions& group, std::uint32_t threads, std::uint32_t prefetch,
                 int messages) {
  Ledger ledger(ledger_path);
  OpenOptions options;
  options.reserve_bytes = 0;
  auto opened = open(store, options);
  if (!opened.ok()) {
    std::fprintf(stderr, "open: %s\n", opened.status().to_string().c_str());
    return 3;
  }
  Broker& broker = **opened;
  ledger.write("open 1 " + std::to_string(broker.status().value().incarnation) + "\n");

  TopicOptions topic;
  topic.durability = Durability::kProcess;
  broker.create_topic("work", topic).value();
  GroupOptions group_options = group;
  group_options.backoff = {Duration{1}, 1.0, Duration{5}, true};
  broker.create_group("work", "workers", group_options).value();
  if (broker.topic("work").value().next.value == 0) {
    std::vector<Message> all;
    for (int i = 0; i < messages; ++i) {
      Message m;
      m.payload = i == messages / 2 ? "poison" : "m" + std::to_string(i);
      if (i % 3 != 0) m.key = "key" + std::to_string(i % 50);
      all.push_back(std::move(m));
    }
    broker.publish_all("work", std::move(all)).value();
  }

  std::atomic<int> running = 0;
  SubscribeOptions subscribe;
  subscribe.group = "workers";
  subscribe.threads = threads;
  subscribe.prefetch = prefetch;
  auto subscription = broker.subscribe("work", subscribe, [&](Delivery& d) {
    ledger.write("got work workers work " + std::to_string(d.offset().value) + " " + std::to_string(d.token().redrive) + " " +
                 std::to_string(d.token().epoch.value) + " " + std::to_string(d.failures()) + " " + std::to_string(d.deliveries()) + " " +
                 std::to_string(d.crashes()) + " " + d.payload().str() + "\n");
    const int beside = running.fetch_add(1);
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
    if (d.payload().text() == "poison") {
      // Best with others at work beside it; alone, when it is run as a suspect.
      while (running.load() < 3 && std::chrono::steady_clock::now() < until) std::this_thread::yield();
      std::abort();
    }
    for (int i = 0; i < 2000 + beside; ++i) std::atomic_signal_fence(std::memory_order_seq_cst);
    running.fetch_sub(1);
    ledger.write("set " + std::to_string(d.token().epoch.value) + " ack\n");
  });
  if (!subscription.ok()) {
    std::fprintf(stderr, "subscribe: %s\n", subscription.status().to_string().c_str());
    return 3;
  }
  DrainRequest drain;
  drain.include_waiting = true;
  const Status drained = broker.drain(drain);
  if (!drained.ok()) std::fprintf(stderr, "drain: %s\n", drained.to_string().c_str());
  subscription->stop();
  const Status closed = broker.close();
  return drained.ok() && closed.ok() ? 0 : 4;
}

}  // namespace weir::crash
