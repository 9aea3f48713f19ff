// What ids cost.
#include "bench/machine.h"
#include "bench/publishing.h"
#include "bench/raw_rocksdb.h"
#include "bench/workload.h"

namespace bench {
namespace {

template <class Publish>
double time_each(const Run& run, bool ids, Publish publish) {
  Store store(run.directory);
  Stream stream;
  stream.topics = store.create_topics(1);
  stream.ids = ids;
  stream.seconds = run.scale.seconds;
  const double each = publish(store, stream).nanoseconds_each();
  flush_file_system(store.directory());
  return each;
}

}  // namespace

void dedup(const Run& run) {
  const auto in_batches = [](Store& store, const Stream& stream) { return publish_batches(store, stream); };
  const auto one_by_one = [](Store& store, const Stream& stream) { return publish_singly(store, stream); };
  Samples raw, batch_off, batch_on, async_off, async_on;
  interleave(
      run.scale.rounds,
      [&] {
        const TempDirectory directory(run.directory.path(), "raw-");
        raw.add(RawRocksDb(directory.path()).put_for(run.scale.seconds, 100, false).nanoseconds_each());
      },
      [&] { batch_off.add(time_each(run, false, in_batches)); }, [&] { batch_on.add(time_each(run, true, in_batches)); },
      [&] { async_off.add(time_each(run, false, one_by_one)); }, [&] { async_on.add(time_each(run, true, one_by_one)); });
  const Subject subject{"dedup", 100, "process"};
  const Base base{kRawRocksDb, raw.median()};
  run.report.figure(subject, "raw_rocksdb_time_each", raw, "ns");
  run.report.figure(subject, "batch_time_each_ids_off", batch_off, "ns", base);
  run.report.figure(subject, "batch_time_each_ids_on", batch_on, "ns", {"ids off", batch_off.median()});
  run.report.figure(subject, "async_time_each_ids_off", async_off, "ns", base);
  run.report.figure(subject, "async_time_each_ids_on", async_on, "ns", {"ids off", async_off.median()});
}

}  // namespace bench
