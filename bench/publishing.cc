#include "bench/publishing.h"

#include <atomic>
#include <future>
#include <stdexcept>
#include <utility>

namespace bench {
namespace {

/// Fixed width, so that every id costs the same.
std::string hex_id(std::uint64_t run, std::uint64_t number) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string id(24, '0');
  for (std::size_t i = 0; i < 8; ++i) id[7 - i] = kDigits[run >> (4 * i) & 15];
  for (std::size_t i = 0; i < 16; ++i) id[23 - i] = kDigits[number >> (4 * i) & 15];
  return id;
}

std::uint64_t next_run() {
  static std::atomic<std::uint64_t> run{0};
  return run.fetch_add(1);
}

/// The outcomes of asynchronous publishes: what is OK is counted, `busy` is remembered, anything else ends the workload.
struct Outcomes {
  std::atomic<std::uint64_t> stored{0};
  std::atomic<std::uint64_t> failed{0};
  std::atomic<bool> busy{false};

  void take(const weir::Result<weir::PublishResult>& result) {
    if (result.ok()) stored.fetch_add(result->messages.size(), std::memory_order_relaxed);
    else if (result.code() == weir::ErrorCode::busy) busy.store(true);
    else failed.fetch_add(1);
  }
};

/// Blocks until the broker takes requests again.
void wait_ready(weir::Broker& broker) {
  std::promise<void> ready;
  broker.async_ready({}, [&](weir::Result<weir::Done>) { ready.set_value(); });
  ready.get_future().wait();
}

/// Submits requests of `batch` messages asynchronously until the stream is over, and waits for all answers.
Tally publish_asynchronously(Store& store, const Stream& stream, std::size_t batch, std::size_t outstanding) {
  MessageMaker maker(stream);
  Outcomes outcomes;
  Window& window = store.window();
  window.set_limit(outstanding);
  // Reading the clock for each single message would be a cost of the benchmark, not of the broker.
  const std::uint64_t requests_per_look = batch >= 64 ? 1 : 64;
  std::size_t turn = 0;
  const Stopwatch watch;
  for (std::uint64_t submitted = 0, requests = 0; submitted < stream.messages_max && outcomes.failed == 0; ++requests) {
    if (requests % requests_per_look == 0 && watch.seconds() >= stream.seconds) break;
    weir::PublishRequest request;
    request.topic = stream.topics[turn];
    if (++turn == stream.topics.size()) turn = 0;
    request.durability = stream.durability;
    request.messages.reserve(batch);
    for (std::size_t i = 0; i < batch; ++i) request.messages.push_back(maker.next());
    window.enter();
    store.broker().async_publish(std::move(request), {}, [&window, &outcomes](weir::Result<weir::PublishResult> result) {
      outcomes.take(result);
      window.leave();
    });
    submitted += batch;
    if (outcomes.busy.load(std::memory_order_relaxed)) {
      wait_ready(store.broker());
      outcomes.busy.store(false);
    }
  }
  window.wait_empty();
  if (outcomes.failed > 0) throw std::runtime_error("async_publish: " + std::to_string(outcomes.failed) + " requests failed");
  return {outcomes.stored, watch.seconds()};
}

}  // namespace

MessageMaker::MessageMaker(const Stream& stream) : pool_(stream.payload_bytes), ids_(stream.ids), run_(next_run()) {
  for (std::uint32_t key = 0; key < stream.keys; ++key) keys_.push_back("key-" + std::to_string(key));
}

weir::Message MessageMaker::next() {
  weir::Message message;
  message.payload = pool_.copy();
  if (!keys_.empty()) message.key = keys_[made_ % keys_.size()];
  if (ids_) message.id = hex_id(run_, made_);
  ++made_;
  return message;
}

Tally publish_batches(Store& store, const Stream& stream, std::size_t batch, std::size_t outstanding) {
  if (outstanding > 1) return publish_asynchronously(store, stream, batch, outstanding);
  MessageMaker maker(stream);
  Tally tally;
  std::size_t turn = 0;
  const Stopwatch watch;
  while (tally.messages < stream.messages_max && watch.seconds() < stream.seconds) {
    std::vector<weir::Message> messages;
    messages.reserve(batch);
    for (std::size_t i = 0; i < batch; ++i) messages.push_back(maker.next());
    must(store.broker().publish_all(stream.topics[turn], std::move(messages), stream.durability).status(), "publish_all");
    if (++turn == stream.topics.size()) turn = 0;
    tally.messages += batch;
  }
  tally.seconds = watch.seconds();
  return tally;
}

Tally publish_singly(Store& store, const Stream& stream, std::size_t outstanding) {
  return publish_asynchronously(store, stream, 1, outstanding);
}

Tally publish_one_at_a_time(Store& store, const Stream& stream, Latencies& latencies) {
  MessageMaker maker(stream);
  Tally tally;
  const Stopwatch watch;
  while (tally.messages < stream.messages_max && watch.seconds() < stream.seconds) {
    weir::Message message = maker.next();
    const Stopwatch once;
    must(store.broker().publish(stream.topics.front(), std::move(message), stream.durability).status(), "publish");
    latencies.add(once.seconds() * 1e6);
    ++tally.messages;
  }
  tally.seconds = watch.seconds();
  return tally;
}

}  // namespace bench
