// Ephemeral topics as an in-process event bus, against a queue behind a mutex.
#include <atomic>
#include <future>
#include <string>

#include "bench/payload_pool.h"
#include "bench/publishing.h"
#include "bench/raw_limits.h"
#include "bench/workload.h"

namespace bench {
namespace {

constexpr std::uint64_t kDepth = 4096;
/// Two threads that hand messages to each other fall into one of several rhythms and stay there for a while, the raw queue's too. So a round is
/// cut into more, shorter ones: the median then stands for the usual rhythm.
constexpr int kCuts = 3;

/// Publishes `batch` messages a request while one subscriber handles them; the time ends when the last is handled. As in the raw queue, at most
/// about kDepth messages wait. `asynchronous`: with a callback for each request, instead of blocking calls.
Tally through_topic(const Run& run, std::size_t payload_bytes, std::size_t batch, bool asynchronous) {
  std::atomic<std::uint64_t> failed{0};
  Window unhandled, unanswered;
  unhandled.set_limit(kDepth);
  unanswered.set_limit(kDepth);
  std::unique_ptr<weir::Broker> broker = must(weir::open("memory:"), "open");
  weir::TopicOptions topic;
  topic.ephemeral = true;
  topic.discard_settled = true;
  must(broker->create_topic("events", topic).status(), "create_topic");
  weir::SubscribeOptions options;
  options.group = "handlers";
  weir::Subscription subscription =
      must(broker->subscribe("events", std::move(options), [&](weir::Delivery&) { unhandled.leave(); }), "subscribe");

  Stream stream;
  stream.payload_bytes = payload_bytes;
  MessageMaker maker(stream);
  Tally tally;
  const Stopwatch watch;
  while (watch.seconds() < run.scale.seconds / kCuts && failed == 0) {
    for (std::size_t in_slice = 0; in_slice < 64; in_slice += batch) {
      weir::PublishRequest request;
      request.topic = "events";
      request.messages.reserve(batch);
      for (std::size_t i = 0; i < batch; ++i) {
        unhandled.enter();
        request.messages.push_back(maker.next());
      }
      tally.messages += batch;
      if (asynchronous) {
        unanswered.enter();
        broker->async_publish(std::move(request), {}, [&](weir::Result<weir::PublishResult> result) {
          if (!result.ok()) failed.fetch_add(1);
          unanswered.leave();
        });
      } else {
        must(broker->publish(std::move(request)).status(), "publish");
      }
    }
  }
  unanswered.wait_empty();
  if (failed > 0) throw std::runtime_error("async_publish to an ephemeral topic failed");
  unhandled.wait_empty();
  tally.seconds = watch.seconds();
  subscription.stop();
  return tally;
}

}  // namespace

void memory_topic(const Run& run) {
  for (const std::size_t payload_bytes : {std::size_t{100}, std::size_t{1024}}) {
    Samples raw, blocking, asynchronous, batches;
    interleave(
        run.scale.rounds * kCuts, [&] { raw.add(queue_for(run.scale.seconds / kCuts, payload_bytes, kDepth).nanoseconds_each()); },
        [&] { blocking.add(through_topic(run, payload_bytes, 1, false).nanoseconds_each()); },
        [&] { asynchronous.add(through_topic(run, payload_bytes, 1, true).nanoseconds_each()); },
        [&] { batches.add(through_topic(run, payload_bytes, 100, false).nanoseconds_each()); });
    const Subject subject{"memory-topic", payload_bytes, "memory"};
    const Base base{kRawQueue, raw.median()};
    run.report.figure(subject, "raw_queue_time_each", raw, "ns");
    run.report.figure(subject, "time_each", blocking, "ns", base);
    run.report.figure(subject, "time_each_async", asynchronous, "ns", base);
    run.report.figure(subject, "time_each_batches_of_100", batches, "ns", base);
  }
}

}  // namespace bench
