// A key that fails for ever, with many messages behind it: the other keys must not notice, nor the memory.
#include <algorithm>
#include <chrono>
#include <string>

#include "bench/child.h"
#include "bench/machine.h"
#include "bench/publishing.h"
#include "bench/workload.h"

namespace bench {
namespace {

constexpr const char* kStuck = "stuck";
constexpr const char* kGroup = "workers";

/// Works off what is there until `wanted` messages of other keys are acked; the stuck key's are given back as failures. The time begins
/// with the first message of another key.
struct Worked {
  Tally others;
  double until_first = 0;
};
Worked work(Store& store, const std::string& topic, std::uint64_t wanted) {
  Worked worked;
  Stopwatch since_first;
  const Stopwatch watch;
  while (worked.others.messages < wanted && watch.seconds() < 600) {
    weir::FetchRequest fetch;
    fetch.source = topic;
    fetch.group = kGroup;
    fetch.wait = std::chrono::seconds(1);
    const weir::FetchResult fetched = must(store.broker().fetch(std::move(fetch)), "fetch");
    weir::SettleRequest settle;
    std::uint64_t others = 0;
    for (const weir::Delivered& delivered : fetched.deliveries)
      if (delivered.message.key == kStuck) settle.settlements.push_back(weir::Settlement::retry(delivered.token, "it fails for ever"));
      else settle.settlements.push_back(weir::Settlement::ack(delivered.token)), ++others;
    if (settle.settlements.empty()) continue;
    if (others > 0 && worked.others.messages == 0) {
      worked.until_first = watch.seconds();
      since_first = Stopwatch();
    }
    must(store.broker().settle(std::move(settle)).status(), "settle");
    worked.others.messages += others;
  }
  worked.others.seconds = since_first.seconds();
  return worked;
}

}  // namespace

/// Publishes `behind` messages, all of the stuck key when `stuck` and of 1,000 keys when not, and then `others` messages of
/// 1,000 keys. Answers the rate of the others, the time until the first of them was delivered, and the memory at the end.
void stuck_key_task(const Json& order, const Answer& answer) {
  const bool stuck = order.at("stuck");
  Store store(std::filesystem::path(order.at("directory").get<std::string>()));
  const std::string topic = store.create_topics(1).front();
  weir::GroupOptions group;
  // Often enough to be in the way if it could be, and never dead within the run.
  group.backoff = {std::chrono::milliseconds(50), 1.0, std::chrono::milliseconds(50), false};
  group.max_attempts = 1000;
  group.max_deliveries = 10'000;
  must(store.broker().create_group(topic, kGroup, group).status(), "create_group");

  Stream stream;
  stream.topics = {topic};
  stream.messages_max = order.at("behind");
  if (stuck) {
    PayloadPool pool(stream.payload_bytes);
    for (std::uint64_t published = 0; published < stream.messages_max; published += 100) {
      std::vector<weir::Message> messages(100);
      for (weir::Message& message : messages) message.key = kStuck, message.payload = pool.copy();
      must(store.broker().publish_all(topic, std::move(messages), weir::Durability::kProcess).status(), "publish_all");
    }
  } else {
    stream.keys = 1000;
    publish_batches(store, stream);
    work(store, topic, stream.messages_max);
  }
  stream.keys = 1000;
  stream.messages_max = order.at("others");
  publish_batches(store, stream);
  const Worked worked = work(store, topic, stream.messages_max);
  const weir::GroupTopicStats stats = store.group_stats(topic, kGroup);
  answer({{"rate", worked.others.rate()}, {"until_first", worked.until_first}, {"resident", resident_anonymous_bytes()},
          {"blocked", stats.blocked}, {"spilled", stats.spilled}});
}

void stuck_key(const Run& run) {
  const std::uint64_t behind = run.scale.messages_or(1'000'000, 100'000);
  // So many that their rate is taken over more than a moment.
  const std::uint64_t others = std::max<std::uint64_t>(2 * behind, 400'000);
  const auto ask = [&](bool stuck) {
    const TempDirectory directory(run.directory.path(), "store-");
    Child child({{"task", "stuck-key"}, {"directory", directory.path().string()}, {"stuck", stuck}, {"behind", behind}, {"others", others}});
    Json answer = child.answer();
    child.kill_hard();
    return answer;
  };
  Samples free_rate, stuck_rate, until_first, free_memory, stuck_memory, growth, blocked, spilled;
  interleave(
      run.scale.rounds,
      [&] {
        const Json answer = ask(false);
        free_rate.add(answer.at("rate"));
        free_memory.add(answer.at("resident").get<double>());
      },
      [&] {
        const Json answer = ask(true);
        stuck_rate.add(answer.at("rate"));
        stuck_memory.add(answer.at("resident").get<double>());
        until_first.add(answer.at("until_first"));
        blocked.add(answer.at("blocked").get<double>());
        spilled.add(answer.at("spilled").get<double>());
      });
  growth.add((stuck_memory.median() - free_memory.median()) / static_cast<double>(behind));
  const Subject subject{"stuck-key", 100, "process"};
  run.report.figure(subject, "blocked_messages", blocked, "messages");
  run.report.figure(subject, "spilled_messages", spilled, "messages");
  run.report.figure(subject, "rate_without", free_rate, "msg/s");
  run.report.figure(subject, "rate", stuck_rate, "msg/s", {"no stuck key", free_rate.median()});
  run.report.figure(subject, "time_until_other_keys_flow", until_first, "s");
  run.report.figure(subject, "memory_per_blocked_message", growth, "bytes");
}

}  // namespace bench
