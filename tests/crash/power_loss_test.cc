// Power loss: the machine goes down, and with it whatever was not synced.
#include <catch2/catch.hpp>

#include <algorithm>
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

Result<std::unique_ptr<Broker>> open_at(const std::string& store, const std::shared_ptr<ManualClock>& clock, std::shared_ptr<rocksdb::FileSystem> files,
                                        const std::string& boot) {
  OpenOptions options;
  options.clock = clock;
  options.reserve_bytes = 0;
  options.memtable_bytes = 64u << 10;   // so that flushes happen too
  return engine::open_embedded(store, options, {std::move(files), boot});
}

}  // namespace

TEST_CASE("a power loss takes the newest acts only, and none that was answered at power", "[crash][S-3][S-4][S-14][S-23][S-28]") {
  const std::uint64_t rounds = rounds_from("WEIR_POWER_ROUNDS", 100), seed = seed_of_run();
  std::uint64_t forgotten = 0, messages = 0;
  for (std::uint64_t first = 0; first < rounds; first += 10) {   // a new store now and then
    test::TempDirectory directory;
    const std::string store = directory.file("store");
    Script script(seed + first);
    model::Dice dice(seed + first + 1'000'000);
    for (std::uint64_t round = first; round < std::min(rounds, first + 10); ++round) {
      INFO("seed " << seed << ", round " << round);
      auto files = std::make_shared<test::FaultFileSystem>();
      {
        auto opened = open_at(store, script.clock(), files, "boot " + std::to_string(round));
        INFO(opened.status());
        REQUIRE(opened.ok());
        Broker& broker = **opened;
        if (round == first) {
          const Status made = script.set_up(broker);
          INFO(made);
          REQUIRE(made.ok());
          // What creates the topics must be on the device for the rest to mean something.
          REQUIRE(broker.create_topic("synced").ok());
          REQUIRE(broker.publish("synced", Message{.payload = "x"}, Durability::kPower).ok());
        } else {
          const std::string problem = script.recovered(broker, script.last_power());
          REQUIRE(problem == "");
        }
        for (std::uint64_t acts = dice.between(1, 60); acts > 0; --acts) {
          const Status answer = script.act(broker);
          INFO(answer);
          REQUIRE(answer.ok());
        }
        files->cut_power();   // from here on nothing reaches the disk, not even a clean close
      }
      // Of what was not synced the device may have some.
      const bool some = dice.percent(50);
      files->drop_unsynced([&](std::uint64_t unsynced) { return some ? dice.below(unsynced + 1) : 0; });
    }
    forgotten += script.forgotten();
    messages += script.messages();
  }
  CHECK(messages > 0);
  if (rounds >= 20) CHECK(forgotten > 0);   // or else nothing was tested; a few losses may happen to take nothing
}
