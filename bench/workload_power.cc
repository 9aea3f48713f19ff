// Publishing at `power`: one at a time, and 64 in flight that share syncs.
#include "bench/machine.h"
#include "bench/publishing.h"
#include "bench/raw_limits.h"
#include "bench/workload.h"

namespace bench {
namespace {

struct Slice {
  double rate = 0, median_microseconds = 0, p99_microseconds = 0, syncs_each = 0;
};

Slice raw_slice(const Run& run, std::size_t payload_bytes, std::size_t batch) {
  Latencies latencies;
  const Tally tally = append_and_sync_for(run.directory.path(), run.scale.seconds, payload_bytes, batch, latencies);
  return {tally.rate(), latencies.median(), latencies.quantile(0.99), 1.0 / static_cast<double>(batch)};
}

Stream stream_of(const Run& run, Store& store, std::size_t payload_bytes) {
  Stream stream;
  stream.topics = store.create_topics(1);
  stream.payload_bytes = payload_bytes;
  stream.durability = weir::Durability::kPower;
  stream.seconds = run.scale.seconds;
  return stream;
}

/// Runs `publish` on a new store, and counts the syncs that its messages cost.
template <class Publish>
Slice our_slice(const Run& run, std::size_t payload_bytes, Publish publish) {
  Store store(run.directory);
  const Stream stream = stream_of(run, store, payload_bytes);
  Latencies latencies;
  const std::uint64_t before = store.status().syncs;
  const Tally tally = publish(store, stream, latencies);
  const double syncs = static_cast<double>(store.status().syncs - before);
  Slice slice{tally.rate(), 0, 0, syncs / static_cast<double>(tally.messages)};
  if (latencies.size() > 0) slice.median_microseconds = latencies.median(), slice.p99_microseconds = latencies.quantile(0.99);
  return slice;
}

Slice one_at_a_time(const Run& run, std::size_t payload_bytes) {
  return our_slice(run, payload_bytes, [](Store& store, const Stream& stream, Latencies& latencies) { return publish_one_at_a_time(store, stream, latencies); });
}

Slice in_flight_64(const Run& run, std::size_t payload_bytes) {
  return our_slice(run, payload_bytes, [](Store& store, const Stream& stream, Latencies&) { return publish_singly(store, stream, 64); });
}

/// The samples of the slices of all rounds.
struct Figures {
  Samples rate, median, p99, syncs;
  void add(const Slice& slice) {
    rate.add(slice.rate), median.add(slice.median_microseconds), p99.add(slice.p99_microseconds), syncs.add(slice.syncs_each);
  }
};

}  // namespace

void publish_sync_power(const Run& run) {
  for (const std::size_t payload_bytes : {std::size_t{100}, std::size_t{1024}}) {
    Figures raw, ours;
    interleave(
        run.scale.rounds, [&] { raw.add(raw_slice(run, payload_bytes, 1)); }, [&] { ours.add(one_at_a_time(run, payload_bytes)); });
    const Subject subject{"publish-sync-power", payload_bytes, "power"};
    run.report.figure(subject, "raw_file_rate", raw.rate, "msg/s");
    run.report.figure(subject, "rate", ours.rate, "msg/s", {kRawFile, raw.rate.median()});
    run.report.figure(subject, "raw_file_time_median", raw.median, "us");
    run.report.figure(subject, "time_median", ours.median, "us", {kRawFile, raw.median.median()});
    run.report.figure(subject, "raw_file_time_p99", raw.p99, "us");
    run.report.figure(subject, "time_p99", ours.p99, "us", {kRawFile, raw.p99.median()});
    run.report.figure(subject, "syncs_per_publish", ours.syncs, "syncs");
  }
}

void publish_power_64(const Run& run) {
  for (const std::size_t payload_bytes : {std::size_t{100}, std::size_t{1024}}) {
    Figures raw, one, ours;
    interleave(
        run.scale.rounds, [&] { raw.add(raw_slice(run, payload_bytes, 64)); }, [&] { one.add(one_at_a_time(run, payload_bytes)); },
        [&] { ours.add(in_flight_64(run, payload_bytes)); });
    const Subject subject{"publish-power-64", payload_bytes, "power"};
    run.report.figure(subject, "raw_file_64_each_rate", raw.rate, "msg/s");
    run.report.figure(subject, "one_at_a_time_rate", one.rate, "msg/s");
    run.report.figure(subject, "rate", ours.rate, "msg/s", {"one at a time", one.rate.median()});
    run.report.figure(subject, "rate_against_raw_file", ours.rate, "msg/s", {"64 each write + fdatasync on a file", raw.rate.median()});
    run.report.figure(subject, "syncs_per_publish", ours.syncs, "syncs", {"one at a time", one.syncs.median()});
  }
}

}  // namespace bench
