// Consuming at `process`: fetch and ack, and handlers, against publishing the same messages one by one.
#include <string>

#include "bench/consuming.h"
#include "bench/machine.h"
#include "bench/publishing.h"
#include "bench/raw_rocksdb.h"
#include "bench/workload.h"

namespace bench {
namespace {

using Consume = Tally (*)(Store&, const std::string& source, const std::string& group, std::uint64_t messages, double seconds);

/// In each round a new store is filled by single asynchronous publishes and then worked off, so that publishing and consuming deal with
/// the very same messages.
void consuming(const Run& run, const std::string& workload, std::uint32_t keys, std::size_t payload_bytes, Consume consume) {
  Samples raw, published, consumed;
  interleave(
      run.scale.rounds,
      [&] {
        const TempDirectory directory(run.directory.path(), "raw-");
        raw.add(RawRocksDb(directory.path()).put_for(run.scale.seconds, payload_bytes, false).rate());
        flush_file_system(directory.path());
      },
      [&] {
        Store store(run.directory);
        Stream stream;
        stream.topics = store.create_topics(1);
        stream.payload_bytes = payload_bytes;
        stream.keys = keys;
        stream.seconds = run.scale.seconds;
        must(store.broker().create_group(stream.topics.front(), "workers").status(), "create_group");
        const Tally in = publish_singly(store, stream);
        published.add(in.rate());
        consumed.add(consume(store, stream.topics.front(), "workers", in.messages, 4 * run.scale.seconds).rate());
        flush_file_system(store.directory());
      });
  const Subject subject{workload, payload_bytes, "process"};
  const std::string suffix = keys ? "_" + std::to_string(keys) + "_keys" : "_keyless";
  run.report.figure(subject, "raw_rocksdb_rate", raw, "msg/s");
  run.report.figure(subject, "publish_async_rate" + suffix, published, "msg/s", {kRawRocksDb, raw.median()});
  run.report.figure(subject, "rate" + suffix, consumed, "msg/s", {"publish-async of the same run", published.median()});
  run.report.figure(subject, "rate_against_raw" + suffix, consumed, "msg/s", {kRawRocksDb, raw.median()});
}

Tally fetch(Store& store, const std::string& source, const std::string& group, std::uint64_t messages, double seconds) {
  return fetch_and_ack(store, source, group, messages, seconds);
}
Tally by_handler(Store& store, const std::string& source, const std::string& group, std::uint64_t messages, double seconds) {
  return handle(store, source, group, messages, seconds);
}

}  // namespace

void fetch_ack(const Run& run) {
  consuming(run, "fetch-ack", 0, 100, fetch);
  consuming(run, "fetch-ack", 1000, 100, fetch);
  consuming(run, "fetch-ack", 0, 1024, fetch);
}

void subscribe(const Run& run) {
  consuming(run, "subscribe", 0, 100, by_handler);
  consuming(run, "subscribe", 1000, 100, by_handler);
}

}  // namespace bench
