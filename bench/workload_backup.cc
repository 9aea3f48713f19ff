// A backup of a store that is published to at full speed, and the store that is restored from it.
#include <atomic>
#include <filesystem>
#include <future>
#include <stdexcept>
#include <string>

#include "bench/publishing.h"
#include "bench/workload.h"
#include "weir/care.h"

namespace bench {
namespace {

constexpr double kMib = 1024.0 * 1024.0;

/// Publishes in batches until it is told to end; the rest of the time it can be asked how far it is.
class Publisher {
 public:
  explicit Publisher(Store& store)
      : done_(std::async(std::launch::async, [this, &store] {
          Stream stream;
          stream.topics = {"t"};
          stream.messages_max = 10'000;
          while (!ends_) confirmed_ += publish_batches(store, stream).messages;
        })) {}
  ~Publisher() { ends_ = true; }
  std::uint64_t confirmed() const { return confirmed_; }
  void end() {
    ends_ = true;
    done_.get();
  }

 private:
  std::atomic<bool> ends_{false};
  std::atomic<std::uint64_t> confirmed_{0};
  std::future<void> done_;
};

}  // namespace

void backup(const Run& run) {
  const std::uint64_t messages = run.scale.messages_or(5'000'000, 200'000);
  Samples alone, beside, seconds, mebibytes, again, restored_in, verified;
  for (int round = 0; round < run.scale.rounds; ++round) {
    const TempDirectory directory(run.directory.path(), "store-"), backups(run.directory.path(), "backups-"), other(run.directory.path(), "restored-");
    std::uint64_t before = 0;
    {
      Store store(directory.path());
      must(store.broker().create_topic("t", {.durability = weir::Durability::kProcess}).status(), "create_topic");
      Stream stream;
      stream.topics = {"t"};
      stream.messages_max = messages;
      alone.add(publish_batches(store, stream).rate());
      Publisher publisher(store);
      before = messages + publisher.confirmed();
      const std::uint64_t began_at = publisher.confirmed();
      const Stopwatch watch;
      const weir::BackupInfo made = must(store.broker().backup(backups.path().string()), "backup");
      seconds.add(watch.seconds());
      beside.add(static_cast<double>(publisher.confirmed() - began_at) / watch.seconds());
      mebibytes.add(static_cast<double>(made.bytes) / kMib);
      publisher.end();
      const Stopwatch further;
      must(store.broker().backup(backups.path().string()).status(), "backup");
      again.add(further.seconds());
    }
    const std::string location = (other.path() / "store").string();
    const Stopwatch restoring;
    must(weir::restore_backup(backups.path().string(), location, {.number = 1}), "restore_backup");
    restored_in.add(restoring.seconds());
    Store store(std::filesystem::path{location});
    const Stopwatch verifying;
    const weir::VerifyReport report = must(store.broker().verify(), "verify");
    verified.add(static_cast<double>(report.messages) / verifying.seconds());
    if (!report.problems.empty()) throw std::runtime_error("what was restored is damaged: " + report.problems.front().place + ": " + report.problems.front().what);
    const std::uint64_t there = must(store.broker().topic("t"), "topic").next.value;
    if (there < before) throw std::runtime_error("of " + std::to_string(before) + " messages that were confirmed before the backup " + std::to_string(there) + " were restored");
  }
  const Subject subject{"backup", 100, "process"};
  run.report.figure(subject, "publish_rate_alone", alone, "msg/s");
  run.report.figure(subject, "publish_rate_beside_a_backup", beside, "msg/s", {"no backup", alone.median()});
  run.report.figure(subject, "backup_time", seconds, "s");
  run.report.figure(subject, "backup_size", mebibytes, "MiB");
  run.report.figure(subject, "further_backup_time", again, "s");
  run.report.figure(subject, "restore_time", restored_in, "s");
  run.report.figure(subject, "verify_rate", verified, "msg/s");
}

}  // namespace bench
