// The Nth operation on the write-ahead log fails, for N = 1, 2, 3 and on until nothing fails any more (S-32).
#include <catch2/catch.hpp>

#include <memory>
#include <string>

#include "broker/engine/open.h"
#include "tests/crash/rounds.h"
#include "tests/crash/script.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/temp_directory.h"

namespace {

using namespace weir;
using namespace weir::crash;

Result<std::unique_ptr<Broker>> open_at(const std::string& store, const std::shared_ptr<ManualClock>& clock, std::shared_ptr<rocksdb::FileSystem> files) {
  OpenOptions options;
  options.clock = clock;
  options.reserve_bytes = 0;
  return engine::open_embedded(store, options, {std::move(files), "boot"});
}

/// Reads go on, writes do not, and the status says why.
void check_stopped(Broker& broker) {
  CHECK(broker.publish("a", Message{.payload = "after"}, Durability::kProcess).code() == ErrorCode::stopped);
  CHECK(broker.publish("a", Message{.payload = "after"}, Durability::kPower).code() == ErrorCode::stopped);
  CHECK(broker.create_topic("later").code() == ErrorCode::stopped);
  CommitRequest put;
  put.puts = {{"after", "1"}};
  CHECK(broker.commit(put).code() == ErrorCode::stopped);
  CHECK(broker.get_state("last").ok());
  BrowseRequest browse;
  browse.topic = "a";
  CHECK(broker.browse(browse).ok());
  CHECK(broker.topic("a").ok());
  const auto status = broker.status();
  REQUIRE(status.ok());
  CHECK(status->state == StoreState::kStopped);
  CHECK_FALSE(status->reason.empty());
}

}  // namespace

TEST_CASE("whichever operation on the log fails, no OK is false, and the store says that it stopped", "[crash][S-5][S-28][S-32]") {
  using Passed = test::FaultFileSystem::Passed;
  const std::uint64_t seed = rounds_from("WEIR_SEED", 11), acts = rounds_from("WEIR_FAULT_ACTS", 30);
  const Passed passed = GENERATE(Passed::kNothing, Passed::kHalf, Passed::kWhole);
  std::uint64_t faults = 0, unknown = 0;
  for (std::uint64_t n = 1;; ++n) {
    INFO("seed " << seed << ", operation " << n << ", of which passes " << static_cast<int>(passed));
    test::TempDirectory directory;
    const std::string store = directory.file("store");
    auto files = std::make_shared<test::FaultFileSystem>();
    files->fail_wal_operation(n, test::FaultFileSystem::Error::kInputOutput, passed);
    Script script(seed);
    {
      auto opened = open_at(store, script.clock(), files);
      if (opened.ok()) {
        Status answer = script.set_up(**opened);
        const bool made = answer.ok();
        for (std::uint64_t i = 0; i < acts && answer.ok(); ++i) answer = script.act(**opened);
        INFO(answer);
        if (!answer.ok()) {
          CHECK((answer == ErrorCode::outcome_unknown || answer == ErrorCode::stopped));
          unknown += answer == ErrorCode::outcome_unknown;
          if (made) check_stopped(**opened);
        }
      } else {
        INFO(opened.status());
        CHECK(opened.code() == ErrorCode::stopped);
      }
    }
    const bool failed = files->failed();
    faults += failed;
    {
      auto opened = open_at(store, script.clock(), nullptr);
      INFO("reopened: " << opened.status());
      REQUIRE(opened.ok());
      CHECK((*opened)->status()->state == StoreState::kRunning);
      const std::string problem = script.recovered(**opened, script.last_ok());
      REQUIRE(problem == "");
      const Status goes_on = script.set_up(**opened);
      CHECK(goes_on.ok());
      CHECK(script.act(**opened).ok());
    }
    if (!failed) break;
    REQUIRE(n < 1000);
  }
  CHECK(faults > 10);
  CHECK(unknown > 0);
}
