// What many messages cost beside time: bytes written, memory, disk.
#include <algorithm>
#include <string>

#include "bench/child.h"
#include "bench/consuming.h"
#include "bench/machine.h"
#include "bench/publishing.h"
#include "bench/raw_rocksdb.h"
#include "bench/workload.h"

namespace bench {
namespace {

Json facts(const std::filesystem::path& directory, std::uint64_t written_before) {
  return {{"written", written_bytes() - written_before},
          {"resident", resident_bytes()},
          {"resident_anonymous", resident_anonymous_bytes()},
          {"disk", directory_bytes(directory)}};
}

/// The samples of one kind of store after one step.
struct Footprint {
  Samples write_amplification, resident, anonymous, disk;
  void add(const Json& facts, double user_bytes) {
    const double mib = 1 << 20;
    write_amplification.add(facts.at("written").get<double>() / user_bytes);
    resident.add(facts.at("resident").get<double>() / mib);
    anonymous.add(facts.at("resident_anonymous").get<double>() / mib);
    disk.add(facts.at("disk").get<double>() / user_bytes);
  }
  void report(const Run& run, const Subject& subject, const std::string& step, const Footprint* raw) const {
    const auto one = [&](const std::string& metric, const Samples& samples, const char* unit, const Samples* base) {
      if (base) run.report.figure(subject, metric + step, samples, unit, {"raw rocksdb", base->median()});
      else run.report.figure(subject, metric + step, samples, unit);
    };
    one("write_amplification", write_amplification, "x", raw ? &raw->write_amplification : nullptr);
    one("resident", resident, "MiB", raw ? &raw->resident : nullptr);
    one("resident_anonymous", anonymous, "MiB", raw ? &raw->anonymous : nullptr);
    one("disk_over_payload", disk, "x", raw ? &raw->disk : nullptr);
  }
};

}  // namespace

/// Publishes `messages` messages of `payload_bytes` to `topics` topics in turn, and lets a group ack them all. Answers the facts after
/// each of the two steps, with background work done: {published, consumed}.
void footprint_task(const Json& order, const Answer& answer) {
  const std::filesystem::path directory = order.at("directory").get<std::string>();
  const std::uint64_t written_before = written_bytes();
  Store store(directory);
  Stream stream;
  stream.topics = store.create_topics(order.at("topics"));
  stream.payload_bytes = order.at("payload_bytes");
  stream.messages_max = order.at("messages");
  must(store.broker().create_group(">", "readers").status(), "create_group");
  publish_batches(store, stream);
  wait_quiet();
  const Json published = facts(directory, written_before);
  fetch_and_ack(store, ">", "readers", stream.messages_max, 600);
  wait_quiet();
  answer({{"published", published}, {"consumed", facts(directory, written_before)}});
}

/// The same messages as keys of RocksDB. Answers {published}.
void raw_footprint_task(const Json& order, const Answer& answer) {
  const std::filesystem::path directory = order.at("directory").get<std::string>();
  const std::uint64_t written_before = written_bytes();
  RawRocksDb raw(directory);
  raw.put_for(600, order.at("payload_bytes"), false, 100, order.at("messages"));
  wait_quiet();
  answer({{"published", facts(directory, written_before)}});
}

void footprint(const Run& run) {
  const std::uint64_t messages = run.scale.messages_or(10'000'000, 500'000);
  const std::uint64_t payload_bytes = 100;
  const double user_bytes = static_cast<double>(messages * payload_bytes);
  const auto ask = [&](const char* task, std::uint64_t topics) {
    const TempDirectory directory(run.directory.path(), "store-");
    Child child({{"task", task}, {"directory", directory.path().string()}, {"messages", messages}, {"payload_bytes", payload_bytes}, {"topics", topics}});
    Json answer = child.answer();
    child.kill_hard();
    return answer;
  };
  Footprint raw, published, consumed, published_64, consumed_64;
  interleave(
      run.scale.quick ? 1 : run.scale.rounds, [&] { raw.add(ask("raw-footprint", 1).at("published"), user_bytes); },
      [&] {
        const Json answer = ask("footprint", 1);
        published.add(answer.at("published"), user_bytes);
        consumed.add(answer.at("consumed"), user_bytes);
      },
      [&] {
        const Json answer = ask("footprint", 64);
        published_64.add(answer.at("published"), user_bytes);
        consumed_64.add(answer.at("consumed"), user_bytes);
      });
  const Subject subject{"footprint", payload_bytes, "process"};
  run.report.note("footprint: " + std::to_string(messages) + " messages; 'consumed' is after a group acked them all");
  raw.report(run, subject, "_raw_rocksdb", nullptr);
  published.report(run, subject, "_published", &raw);
  consumed.report(run, subject, "_consumed", &raw);
  published_64.report(run, subject, "_published_64_topics", &raw);
  consumed_64.report(run, subject, "_consumed_64_topics", &raw);
}

}  // namespace bench
