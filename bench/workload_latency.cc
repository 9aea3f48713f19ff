// One message from publish to the start of its handler.
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "bench/payload_pool.h"
#include "bench/raw_limits.h"
#include "bench/store.h"
#include "bench/workload.h"

namespace bench {
namespace {

/// Publishes one message at a time, blocking, and waits for its handler; the time is from before the publish until the handler starts.
void publish_to_handler_for(const Run& run, int pause_microseconds, Latencies& latencies) {
  Store store(run.directory);
  const std::string topic = store.create_topics(1).front();
  std::mutex mutex;
  std::condition_variable changed;
  bool handled = true;  // guarded by mutex
  Stopwatch published;  // guarded by mutex

  weir::SubscribeOptions options;
  options.group = "handlers";
  weir::Subscription subscription = must(store.broker().subscribe(topic, std::move(options), [&](weir::Delivery&) {
    const Stopwatch now;
    std::lock_guard lock(mutex);
    latencies.add((published.seconds() - now.seconds()) * 1e6);
    handled = true;
    changed.notify_all();
  }), "subscribe");
  PayloadPool pool(100);
  const Stopwatch watch;
  while (watch.seconds() < run.scale.seconds) {
    std::this_thread::sleep_for(std::chrono::microseconds(pause_microseconds));
    weir::Message message;
    message.payload = pool.copy();
    {
      std::lock_guard lock(mutex);
      handled = false;
      published = Stopwatch();
    }
    must(store.broker().publish(topic, std::move(message), weir::Durability::kProcess).status(), "publish");
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return handled; });
  }
  subscription.stop();
}

}  // namespace

void latency(const Run& run) {
  // Without a pause the two threads stay on two processors; with one they often share a processor, where a hand-off is cheaper.
  for (const int pause_microseconds : {0, 200}) {
    Samples raw_median, raw_p99, median, p99, difference;
    interleave(run.scale.rounds, [&] {
      Latencies raw;
      hand_off_for(run.scale.seconds, pause_microseconds, raw);
      Latencies ours;
      publish_to_handler_for(run, pause_microseconds, ours);
      raw_median.add(raw.median()), raw_p99.add(raw.quantile(0.99));
      median.add(ours.median()), p99.add(ours.quantile(0.99));
      difference.add(ours.median() - raw.median());
    });
    const Subject subject{"latency", 100, "process"};
    const std::string suffix = pause_microseconds ? "_spaced" : "";
    run.report.figure(subject, "raw_hand_off_median" + suffix, raw_median, "us");
    run.report.figure(subject, "raw_hand_off_p99" + suffix, raw_p99, "us");
    run.report.figure(subject, "publish_to_handler_median" + suffix, median, "us", {kRawHandOff, raw_median.median()});
    run.report.figure(subject, "publish_to_handler_p99" + suffix, p99, "us", {kRawHandOff, raw_p99.median()});
    run.report.figure(subject, "over_hand_off_median" + suffix, difference, "us");
  }
}

}  // namespace bench
