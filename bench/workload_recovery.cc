// Opening a large store after kill -9.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/child.h"
#include "bench/machine.h"
#include "bench/payload_pool.h"
#include "bench/publishing.h"
#include "bench/raw_rocksdb.h"
#include "bench/workload.h"

namespace bench {
namespace {

constexpr std::uint64_t kGroups = 16;
constexpr const char* kBacklog = "backlog";

std::string group_name(std::uint64_t i) { return "group-" + std::to_string(i); }

weir::OpenOptions options_of(const Json& order) {
  weir::OpenOptions options;
  options.memtable_bytes = order.at("memtable_bytes");
  options.wal_bytes_max = order.at("wal_bytes_max");
  return options;
}

/// Leases the backlog to a group that keeps `unacked` of its messages, scattered at random, and acks all others. None of them is begun, so the
/// kill charges nobody.
void leave_unacked(weir::Broker& broker, const std::string& group, std::uint64_t unacked, std::uint64_t backlog) {
  std::mt19937_64 random(unacked);
  std::uint64_t kept = 0, seen = 0;
  while (seen < backlog) {
    weir::FetchRequest fetch;
    fetch.source = kBacklog;
    fetch.group = group;
    fetch.messages_max = 5000;
    fetch.wait = std::chrono::seconds(10);
    fetch.lease = std::chrono::hours(12);
    fetch.reports_begun = true;
    const weir::FetchResult fetched = must(broker.fetch(std::move(fetch)), "fetch");
    if (fetched.deliveries.empty()) throw std::runtime_error("the backlog of " + group + " does not come to an end");
    weir::SettleRequest acks;
    for (const weir::Delivered& delivered : fetched.deliveries) {
      // Of those that are left to see, the ones that are left to keep: exactly `unacked` in the end.
      if (random() % (backlog - seen++) < unacked - kept) ++kept;
      else acks.settlements.push_back(weir::Settlement::ack(delivered.token));
    }
    must(broker.settle(std::move(acks)).status(), "settle");
  }
}

/// The names of the large table files: a new one means that a memtable was flushed and its part of the log is not needed any more.
std::set<std::string> large_tables(const std::filesystem::path& directory, std::uint64_t least_bytes) {
  std::set<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory, error))
    if (entry.path().extension() == ".sst" && entry.file_size(error) >= least_bytes && !error) names.insert(entry.path().filename());
  return names;
}

/// Publishes until the next flush is near, so that the log is about as long as it gets. How much lies between two flushes is watched first.
/// Returns the payload bytes published since the last flush.
std::uint64_t fill_log(Store& store, const weir::OpenOptions& options) {
  Stream stream;
  stream.topics = {"tail"};
  stream.messages_max = 2000;
  std::uint64_t published = 0, flushed_at = 0, between = 0;
  int flushes = 0;
  std::set<std::string> seen = large_tables(store.directory(), options.memtable_bytes / 2);
  while (published < 6 * options.wal_bytes_max) {
    publish_batches(store, stream);
    published += stream.messages_max * stream.payload_bytes;
    const std::set<std::string> now = large_tables(store.directory(), options.memtable_bytes / 2);
    if (!std::includes(seen.begin(), seen.end(), now.begin(), now.end())) {
      between = std::max(between, published - flushed_at);
      flushed_at = published;
      ++flushes;
    }
    seen = now;
    if (flushes >= 3 && published - flushed_at >= between / 10 * 8) break;
  }
  return published - flushed_at;
}

struct Opened {
  double open = 0, first_fetch = 0, first_publish = 0;
  std::uint64_t unacked = 0, topics = 0;
};

/// Opens the store and uses it once; what was unacked before the kill must still be there.
Opened open_and_use(const std::filesystem::path& directory, const Json& order) {
  Opened opened;
  const Stopwatch opening;
  Store store(directory, options_of(order));
  opened.open = opening.seconds();
  weir::FetchRequest fetch;
  fetch.source = kBacklog;
  fetch.group = group_name(0);
  fetch.wait = std::chrono::seconds(10);
  fetch.messages_max = 1;
  fetch.reports_begun = true;
  const Stopwatch fetching;
  must(store.broker().fetch(std::move(fetch)).status(), "fetch after the kill");
  opened.first_fetch = fetching.seconds();
  PayloadPool pool(100);
  weir::Message message;
  message.payload = pool.copy();
  const Stopwatch publishing;
  must(store.broker().publish("tail", std::move(message), weir::Durability::kProcess).status(), "publish after the kill");
  opened.first_publish = publishing.seconds();
  for (std::uint64_t i = 0; i < kGroups; ++i) opened.unacked += store.group_stats(kBacklog, group_name(i)).depth;
  opened.topics = store.status().topics;
  return opened;
}

double raw_open(const Run& run, std::uint64_t log_bytes) {
  const TempDirectory directory(run.directory.path(), "raw-");
  // Nothing is flushed, so that all of it must be replayed.
  const std::uint64_t memtable_bytes = std::uint64_t{2} << 30;
  RawRocksDb(directory.path(), memtable_bytes).put_for(60, 100, false, 100, log_bytes / 100);
  const Stopwatch watch;
  const RawRocksDb opened(directory.path(), memtable_bytes);
  return watch.seconds();
}

}  // namespace

/// Fills the store in `directory` with `messages` messages in all, answers {unacked, log_bytes, dedup_ids}, and waits with the store open to be killed.
void fill_store_task(const Json& order, const Answer& answer) {
  const std::uint64_t messages = order.at("messages");
  Store store(std::filesystem::path(order.at("directory").get<std::string>()), options_of(order));
  const std::uint64_t unacked_each = messages / 10 / kGroups, backlog = messages / 10;
  must(store.broker().create_topic(kBacklog).status(), "create_topic");
  must(store.broker().create_topic("tail").status(), "create_topic");
  weir::GroupOptions group;
  group.order = weir::Order::kNone;
  group.in_flight_max = group.member_in_flight_max = 100'000;
  for (std::uint64_t i = 0; i < kGroups; ++i) must(store.broker().create_group(kBacklog, group_name(i), group).status(), "create_group");

  Stream stream;
  stream.topics = {kBacklog};
  stream.messages_max = backlog;
  publish_batches(store, stream);
  for (std::uint64_t i = 0; i < kGroups; ++i) leave_unacked(store.broker(), group_name(i), unacked_each, backlog);

  stream.topics = store.create_topics(order.at("topics"));
  const std::uint64_t with_ids = std::min<std::uint64_t>(messages / 10, 1'000'000);
  stream.messages_max = messages - backlog - with_ids;
  publish_batches(store, stream);
  // The ids come late, so that none of them has left its window.
  stream.ids = true;
  stream.messages_max = with_ids;
  publish_batches(store, stream);
  const std::uint64_t log_bytes = fill_log(store, options_of(order));
  answer({{"unacked", kGroups * unacked_each}, {"log_bytes", log_bytes}, {"dedup_ids", store.status().dedup_ids}});
  for (;;) pause();
}

void open_after_kill(const Run& run) {
  const std::uint64_t messages = run.scale.messages_or(10'000'000, 500'000);
  const TempDirectory killed(run.directory.path(), "killed-");
  const std::uint64_t mib = std::uint64_t{1} << 20;
  const Json order = {{"task", "fill-store"},
                      {"directory", killed.path().string()},
                      {"messages", messages},
                      {"topics", messages / 1000},
                      {"memtable_bytes", (run.scale.quick ? 16 : 64) * mib},
                      {"wal_bytes_max", (run.scale.quick ? 32 : 128) * mib}};
  Json filled;
  {
    Child child(order);
    filled = child.answer();
    child.kill_hard();
  }
  const std::uint64_t log_bytes = filled.at("log_bytes");
  Samples raw, open, first_fetch, first_publish;
  Opened last;
  interleave(
      run.scale.rounds, [&] { raw.add(raw_open(run, log_bytes)); },
      [&] {
        // Every round opens a copy, as opening shortens the log.
        const TempDirectory copy(run.directory.path(), "copy-");
        std::filesystem::copy(killed.path(), copy.path(), std::filesystem::copy_options::recursive);
        flush_file_system(copy.path());
        last = open_and_use(copy.path(), order);
        open.add(last.open), first_fetch.add(last.first_fetch), first_publish.add(last.first_publish);
      });
  const Subject subject{"open-after-kill", 100, "process"};
  const auto once = [&](const char* metric, double value, const char* unit) {
    Samples samples;
    samples.add(value);
    run.report.figure(subject, metric, samples, unit);
  };
  once("messages", static_cast<double>(messages), "messages");
  once("topics", static_cast<double>(last.topics), "topics");
  once("unacked_before_kill", filled.at("unacked").get<double>(), "messages");
  once("unsettled_after_open", static_cast<double>(last.unacked), "messages");
  once("dedup_ids", filled.at("dedup_ids").get<double>(), "ids");
  once("published_since_flush", static_cast<double>(log_bytes), "bytes");
  once("log_file_bytes", static_cast<double>(directory_bytes(killed.path(), ".log")), "bytes");
  once("disk_bytes", static_cast<double>(directory_bytes(killed.path())), "bytes");
  run.report.figure(subject, "raw_rocksdb_open_time", raw, "s");
  run.report.figure(subject, "open_time", open, "s", {"raw rocksdb replaying as large a log", raw.median()});
  run.report.figure(subject, "first_fetch_time", first_fetch, "s");
  run.report.figure(subject, "first_publish_time", first_publish, "s");
}

}  // namespace bench
