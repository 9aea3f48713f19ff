#include "bench/consuming.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <utility>

namespace bench {

Tally fetch_and_ack(Store& store, const std::string& source, const std::string& group, std::uint64_t messages, double seconds,
                    std::uint32_t batch) {
  Tally tally;
  const Stopwatch watch;
  while (tally.messages < messages && watch.seconds() < seconds) {
    weir::FetchRequest fetch;
    fetch.source = source;
    fetch.group = group;
    fetch.messages_max = batch;
    fetch.wait = std::chrono::seconds(1);
    const weir::FetchResult fetched = must(store.broker().fetch(std::move(fetch)), "fetch");
    if (fetched.deliveries.empty()) continue;
    weir::SettleRequest settle;
    settle.settlements.reserve(fetched.deliveries.size());
    for (const weir::Delivered& delivered : fetched.deliveries) settle.settlements.push_back(weir::Settlement::ack(delivered.token));
    for (const weir::Status& status : must(store.broker().settle(std::move(settle)), "settle").results) must(status, "ack");
    tally.messages += fetched.deliveries.size();
  }
  tally.seconds = watch.seconds();
  return tally;
}

Tally handle(Store& store, const std::string& source, const std::string& group, std::uint64_t messages, double seconds, std::uint32_t threads) {
  std::atomic<std::uint64_t> handled{0};
  std::promise<void> all_handled;
  const Stopwatch watch;
  weir::SubscribeOptions options;
  options.group = group;
  options.threads = threads;
  weir::Subscription subscription = must(store.broker().subscribe(source, std::move(options), [&](weir::Delivery&) {
    if (handled.fetch_add(1, std::memory_order_relaxed) + 1 == messages) all_handled.set_value();
  }), "subscribe");
  all_handled.get_future().wait_for(std::chrono::duration<double>(seconds));
  // Stopping settles what was handled, so that the acks are part of the time.
  subscription.stop();
  return {handled, watch.seconds()};
}

}  // namespace bench
