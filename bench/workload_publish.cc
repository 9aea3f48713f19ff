// Publishing at `process`: batches made by the caller, and single asynchronous publishes.
#include <string>
#include <vector>

#include "bench/machine.h"
#include "bench/publishing.h"
#include "bench/raw_rocksdb.h"
#include "bench/workload.h"

namespace bench {
namespace {

/// One slice of the raw limit, on a database of its own that is gone behind it.
double raw_rate(const Run& run, std::size_t payload_bytes) {
  const TempDirectory directory(run.directory.path(), "raw-");
  const double rate = RawRocksDb(directory.path()).put_for(run.scale.seconds, payload_bytes, false).rate();
  flush_file_system(directory.path());
  return rate;
}

Stream stream_of(const Run& run, std::vector<std::string> topics, std::size_t payload_bytes) {
  Stream stream;
  stream.topics = std::move(topics);
  stream.payload_bytes = payload_bytes;
  stream.seconds = run.scale.seconds;
  return stream;
}

/// One slice on a new store with one topic.
template <class Publish>
double new_store_rate(const Run& run, std::size_t payload_bytes, Publish publish) {
  Store store(run.directory);
  const double rate = publish(store, stream_of(run, store.create_topics(1), payload_bytes)).rate();
  flush_file_system(store.directory());
  return rate;
}

Tally in_batches(Store& store, const Stream& stream) { return publish_batches(store, stream); }
/// Enough for the broker never to wait for its caller, and little enough to stay in the processor's cache.
Tally in_batches_ahead(Store& store, const Stream& stream) { return publish_batches(store, stream, 100, 16); }
Tally one_by_one(Store& store, const Stream& stream) { return publish_singly(store, stream); }

/// Many topics in turn against one topic, both in the same store. The store outlives the rounds, as its topics take long to make, but it
/// is closed while the raw limit runs, so that its background work does not disturb it.
void batches_to_many_topics(const Run& run, const std::string& name, std::size_t topics) {
  const TempDirectory directory(run.directory.path(), "store-");
  Samples raw, one, many;
  std::vector<std::string> names;
  {
    Store store(directory.path());
    names = store.create_topics(topics);
    store.create_topics(1, {}, "single-");
  }
  interleave(
      run.scale.rounds, [&] { raw.add(raw_rate(run, 100)); },
      [&] { Store store(directory.path()); one.add(in_batches(store, stream_of(run, {"single-0"}, 100)).rate()); },
      [&] { Store store(directory.path()); many.add(in_batches(store, stream_of(run, names, 100)).rate()); });
  const Subject subject{name, 100, "process"};
  run.report.figure(subject, "raw_rocksdb_rate", raw, "msg/s");
  run.report.figure(subject, "one_topic_rate", one, "msg/s", {kRawRocksDb, raw.median()});
  run.report.figure(subject, "rate", many, "msg/s", {kRawRocksDb, raw.median()});
  run.report.figure(subject, "rate_against_one_topic", many, "msg/s", {"one topic", one.median()});
}

}  // namespace

void publish_batch(const Run& run) {
  for (const std::size_t payload_bytes : {std::size_t{100}, std::size_t{1024}}) {
    Samples raw, blocking, ahead;
    interleave(
        run.scale.rounds, [&] { raw.add(raw_rate(run, payload_bytes)); },
        [&] { blocking.add(new_store_rate(run, payload_bytes, in_batches)); },
        [&] { ahead.add(new_store_rate(run, payload_bytes, in_batches_ahead)); });
    const Subject subject{"publish-batch", payload_bytes, "process"};
    run.report.figure(subject, "raw_rocksdb_rate", raw, "msg/s");
    run.report.figure(subject, "rate", blocking, "msg/s", {kRawRocksDb, raw.median()});
    run.report.figure(subject, "rate_16_outstanding", ahead, "msg/s", {kRawRocksDb, raw.median()});
  }
}

void publish_batch_64_topics(const Run& run) { batches_to_many_topics(run, "publish-batch-64-topics", 64); }
void publish_batch_10000_topics(const Run& run) { batches_to_many_topics(run, "publish-batch-10000-topics", 10'000); }

void publish_async(const Run& run) {
  for (const std::size_t payload_bytes : {std::size_t{100}, std::size_t{1024}}) {
    Samples raw, ours;
    interleave(
        run.scale.rounds, [&] { raw.add(raw_rate(run, payload_bytes)); },
        [&] { ours.add(new_store_rate(run, payload_bytes, one_by_one)); });
    const Subject subject{"publish-async", payload_bytes, "process"};
    run.report.figure(subject, "raw_rocksdb_rate", raw, "msg/s");
    run.report.figure(subject, "rate", ours, "msg/s", {kRawRocksDb, raw.median()});
  }
}

}  // namespace bench
