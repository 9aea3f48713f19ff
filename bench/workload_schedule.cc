// Many messages that are due in a month: what they cost those who open the store and those who use it for other things. And how fast messages come
// that are due.
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>

#include "bench/child.h"
#include "bench/consuming.h"
#include "bench/machine.h"
#include "bench/publishing.h"
#include "bench/workload.h"

namespace bench {
namespace {

constexpr const char* kLater = "later";
constexpr const char* kNow = "now";
constexpr std::size_t kBatch = 1000;
constexpr std::uint64_t kPayloadBytes = 100;

weir::Time after(std::chrono::milliseconds delay) { return std::chrono::time_point_cast<weir::Duration>(std::chrono::system_clock::now() + delay); }

/// The first is due then, each of the others `step` behind the one before.
void schedule(Store& store, std::uint64_t messages, weir::Time due, weir::Duration step) {
  Stream stream;
  stream.payload_bytes = kPayloadBytes;
  MessageMaker maker(stream);
  for (std::uint64_t done = 0; done < messages; done += kBatch) {
    std::vector<weir::Message> batch;
    batch.reserve(kBatch);
    for (std::size_t i = 0; i < kBatch; ++i) {
      batch.push_back(maker.next());
      batch.back().deliver_at = due + step * static_cast<std::int64_t>(done + i);
    }
    must(store.broker().publish_all(kLater, std::move(batch), weir::Durability::kProcess).status(), "publish_all");
  }
}

void make_topics(Store& store) {
  must(store.broker().create_topic(kLater).status(), "create_topic");
  must(store.broker().create_topic(kNow).status(), "create_topic");
  weir::GroupOptions group;
  group.order = weir::Order::kNone;
  must(store.broker().create_group(kNow, "readers", group).status(), "create_group");
}

}  // namespace

/// Makes a store with `messages` scheduled messages and answers {seconds}; waits with the store open to be killed, or (`close`) closes it before
/// it answers.
void fill_schedule_task(const Json& order, const Answer& answer) {
  Store store(std::filesystem::path(order.at("directory").get<std::string>()));
  make_topics(store);
  const Stopwatch watch;
  schedule(store, order.at("messages"), after(std::chrono::hours{24 * 30}), weir::Duration{1});
  const double seconds = watch.seconds();
  if (order.at("close").get<bool>()) wait_quiet();   // what RocksDB merges in the background is not what is measured
  if (order.at("close").get<bool>()) must(store.broker().close(), "close");
  answer({{"seconds", seconds}});
  for (;;) pause();
}

/// Opens a store and answers {open, resident, scheduled}: in seconds, and the process's memory in bytes a moment later.
void open_schedule_task(const Json& order, const Answer& answer) {
  const Stopwatch watch;
  Store store(std::filesystem::path(order.at("directory").get<std::string>()));
  const double open = watch.seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));   // what the broker does right after opening is counted, too
  answer({{"open", open}, {"resident", resident_bytes()}, {"scheduled", store.status().scheduled}});
}

/// Opens a store and uses another topic of it for `seconds` each; answers the rates {publish, consume}.
void beside_schedule_task(const Json& order, const Answer& answer) {
  Store store(std::filesystem::path(order.at("directory").get<std::string>()));
  Stream stream;
  stream.topics = {kNow};
  stream.seconds = order.at("seconds");
  const Tally published = publish_batches(store, stream);
  const Tally consumed = fetch_and_ack(store, kNow, "readers", published.messages, order.at("seconds"));
  answer({{"publish", published.rate()}, {"consume", consumed.rate()}});
}

/// Schedules `messages` messages for a moment ahead, and answers {rate}: how many a second came from then on.
void enter_schedule_task(const Json& order, const Answer& answer) {
  Store store(std::filesystem::path(order.at("directory").get<std::string>()));
  make_topics(store);
  const std::uint64_t messages = order.at("messages");
  // All are due once the last was published.
  schedule(store, messages, after(std::chrono::milliseconds(2000 + messages / 40)), weir::Duration{0});
  const auto next = [&] { return must(store.broker().topic(kLater), "topic").visible.value; };
  std::uint64_t first = 0;
  while ((first = next()) == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const Stopwatch watch;
  while (next() < messages) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  answer({{"rate", static_cast<double>(messages - first) / watch.seconds()}});
}

void schedule(const Run& run) {
  const std::uint64_t messages = run.scale.messages_or(1'000'000, 50'000);
  const TempDirectory empty(run.directory.path(), "empty-"), full(run.directory.path(), "full-"), killed(run.directory.path(), "killed-");
  const auto fill = [](const TempDirectory& directory, std::uint64_t count, bool close) {
    Child child({{"task", "fill-schedule"}, {"directory", directory.path().string()}, {"messages", count}, {"close", close}});
    const double seconds = child.answer().at("seconds");
    child.kill_hard();
    return seconds;
  };
  Samples publish_rate;
  fill(empty, 0, true);
  publish_rate.add(static_cast<double>(messages) / fill(full, messages, true));
  publish_rate.add(static_cast<double>(messages) / fill(killed, messages, false));

  Samples open_empty, open_full, open_killed, resident_empty, resident_full, resident_killed;
  const double mib = 1 << 20;
  const auto open = [&](const TempDirectory& directory, std::uint64_t scheduled, Samples& time, Samples& resident) {
    // Every round opens a copy, as opening shortens the log.
    const TempDirectory copy(run.directory.path(), "copy-");
    std::filesystem::copy(directory.path(), copy.path(), std::filesystem::copy_options::recursive);
    flush_file_system(copy.path());
    Child child({{"task", "open-schedule"}, {"directory", copy.path().string()}});
    const Json answer = child.answer();
    if (answer.at("scheduled").get<std::uint64_t>() != scheduled) throw std::runtime_error("schedules are missing");
    time.add(answer.at("open").get<double>() * 1000);
    resident.add(answer.at("resident").get<double>() / mib);
  };
  interleave(
      run.scale.rounds, [&] { open(empty, 0, open_empty, resident_empty); }, [&] { open(full, messages, open_full, resident_full); },
      [&] { open(killed, messages, open_killed, resident_killed); });

  Samples publish_empty, publish_full, consume_empty, consume_full;
  const auto use = [&](const TempDirectory& directory, Samples& publish, Samples& consume) {
    const TempDirectory copy(run.directory.path(), "copy-");
    std::filesystem::copy(directory.path(), copy.path(), std::filesystem::copy_options::recursive);
    flush_file_system(copy.path());
    Child child({{"task", "beside-schedule"}, {"directory", copy.path().string()}, {"seconds", run.scale.seconds}});
    const Json answer = child.answer();
    publish.add(answer.at("publish").get<double>());
    consume.add(answer.at("consume").get<double>());
  };
  interleave(
      run.scale.rounds, [&] { use(empty, publish_empty, consume_empty); }, [&] { use(full, publish_full, consume_full); });

  Samples enter_rate;
  interleave(run.scale.rounds, [&] {
    const TempDirectory directory(run.directory.path(), "due-");
    Child child({{"task", "enter-schedule"}, {"directory", directory.path().string()}, {"messages", messages / 5}});
    enter_rate.add(child.answer().at("rate").get<double>());
  });

  const Subject subject{"schedule", kPayloadBytes, "process"};
  run.report.note("schedule: " + std::to_string(messages) + " messages due in 30 days; 'killed' is a store killed right after the last of them");
  run.report.figure(subject, "scheduled_publish_rate", publish_rate, "msg/s");
  run.report.figure(subject, "open_time_empty", open_empty, "ms");
  run.report.figure(subject, "open_time", open_full, "ms", {"an empty store", open_empty.median()});
  run.report.figure(subject, "open_time_killed", open_killed, "ms", {"an empty store", open_empty.median()});
  run.report.figure(subject, "resident_empty", resident_empty, "MiB");
  run.report.figure(subject, "resident", resident_full, "MiB", {"an empty store", resident_empty.median()});
  run.report.figure(subject, "resident_killed", resident_killed, "MiB", {"an empty store", resident_empty.median()});
  run.report.figure(subject, "other_publish_rate_empty", publish_empty, "msg/s");
  run.report.figure(subject, "other_publish_rate", publish_full, "msg/s", {"an empty store", publish_empty.median()});
  run.report.figure(subject, "other_fetch_ack_rate_empty", consume_empty, "msg/s");
  run.report.figure(subject, "other_fetch_ack_rate", consume_full, "msg/s", {"an empty store", consume_empty.median()});
  run.report.figure(subject, "enter_rate", enter_rate, "msg/s");
}

}  // namespace bench
