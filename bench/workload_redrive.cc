// Moving dead letters, and what others notice of it.
#include <chrono>
#include <string>
#include <vector>

#include "bench/publishing.h"
#include "bench/workload.h"

namespace bench {
namespace {

constexpr const char* kGroup = "workers";

/// `count` dead letters of a group on a new topic.
std::string make_letters(Store& store, const std::string& topic, std::uint64_t count) {
  must(store.broker().create_topic(topic, {.durability = weir::Durability::kProcess}).status(), "create_topic");
  weir::GroupOptions options;
  options.in_flight_max = 100'000;
  must(store.broker().create_group(topic, kGroup, options).status(), "create_group");
  PayloadPool pool(100);
  for (std::uint64_t n = 0; n < count;) {
    std::vector<weir::Message> batch;
    for (; batch.size() < 1000 && n < count; ++n) {
      weir::Message& message = batch.emplace_back();
      message.key = "key" + std::to_string(n);
      message.payload = pool.copy();
    }
    must(store.broker().publish_all(topic, std::move(batch)).status(), "publish_all");
  }
  for (std::uint64_t n = 0; n < count;) {
    weir::FetchRequest fetch;
    fetch.source = topic;
    fetch.group = kGroup;
    fetch.messages_max = 1000;
    fetch.wait = std::chrono::seconds(10);
    const weir::FetchResult fetched = must(store.broker().fetch(std::move(fetch)), "fetch");
    weir::SettleRequest settle;
    for (const weir::Delivered& delivered : fetched.deliveries) settle.settlements.push_back(weir::Settlement::reject(delivered.token, "it fails"));
    n += settle.settlements.size();
    must(store.broker().settle(std::move(settle)).status(), "settle");
  }
  return topic;
}

weir::RedriveRequest redrive_of(const std::string& topic) {
  weir::RedriveRequest request;
  request.topic = topic;
  request.group = kGroup;
  return request;
}

/// Single publishes at `process` to `topic`, for so long or until `over`.
template <class Over>
Latencies publish_until(Store& store, const std::string& topic, Over over) {
  Latencies latencies;
  PayloadPool pool(100);
  while (!over()) {
    weir::Message message;
    message.payload = pool.copy();
    const Stopwatch watch;
    must(store.broker().publish(topic, std::move(message), weir::Durability::kProcess).status(), "publish");
    latencies.add(watch.seconds() * 1e6);
  }
  return latencies;
}

}  // namespace

void redrive(const Run& run) {
  const std::uint64_t count = run.scale.messages_or(100'000, 10'000);
  Samples to_group, to_topic, discarded, listed, alone_p50, alone_p99, beside_p50, beside_p99, beside_max;
  for (int round = 0; round < run.scale.rounds; ++round) {
    const TempDirectory directory(run.directory.path(), "store-");
    Store store(directory.path());
    const auto rate_of = [&](Samples& samples, auto act) {
      const Stopwatch watch;
      const std::uint64_t moved = act();
      samples.add(static_cast<double>(moved) / watch.seconds());
    };
    const std::string topic = make_letters(store, "letters", count);
    rate_of(listed, [&] {
      weir::ListDeadLettersRequest list;
      list.topic = topic;
      list.group = kGroup;
      std::uint64_t letters = 0;
      for (const weir::DeadLetterGroup& group : must(store.broker().dead_letter_groups(list), "dead_letter_groups").groups) letters += group.count;
      return letters;
    });
    rate_of(to_group, [&] { return must(store.broker().redrive(redrive_of(topic)), "redrive").redriven; });
    const std::string other = make_letters(store, "sent", count);
    must(store.broker().create_topic("mended", {.durability = weir::Durability::kProcess}).status(), "create_topic");
    weir::RedriveRequest sent = redrive_of(other);
    sent.to_topic = "mended";
    rate_of(to_topic, [&] { return must(store.broker().redrive(sent), "redrive").redriven; });
    const std::string third = make_letters(store, "discarded", count);
    weir::DiscardRequest discard;
    discard.topic = third;
    discard.group = kGroup;
    rate_of(discarded, [&] { return must(store.broker().discard(discard), "discard").discarded; });

    // What a publisher notices of a job that goes as fast as it can.
    const std::string fourth = make_letters(store, "beside", count);
    must(store.broker().create_topic("busy", {.durability = weir::Durability::kProcess}).status(), "create_topic");
    const Stopwatch watch;
    Latencies alone = publish_until(store, "busy", [&] { return watch.seconds() > run.scale.seconds / 3; });
    weir::RedriveRequest job = redrive_of(fourth);
    job.background = true;
    const std::string id = must(store.broker().redrive(job), "redrive").job;
    Latencies beside = publish_until(store, "busy", [&] { return must(store.broker().job(id), "job").state != "running"; });
    alone_p50.add(alone.median());
    alone_p99.add(alone.quantile(0.99));
    beside_p50.add(beside.median());
    beside_p99.add(beside.quantile(0.99));
    beside_max.add(beside.quantile(1));
  }
  const Subject subject{"redrive", 100, "process"};
  run.report.figure(subject, "grouped_by_error", listed, "letters/s");
  run.report.figure(subject, "to_group", to_group, "letters/s");
  run.report.figure(subject, "to_topic", to_topic, "letters/s");
  run.report.figure(subject, "discarded", discarded, "letters/s");
  run.report.figure(subject, "publish_p50_beside_a_job", beside_p50, "us", {"no job", alone_p50.median()});
  run.report.figure(subject, "publish_p99_beside_a_job", beside_p99, "us", {"no job", alone_p99.median()});
  run.report.figure(subject, "publish_max_beside_a_job", beside_max, "us");
}

}  // namespace bench
