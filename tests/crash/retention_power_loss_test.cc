// Power loss while retention and compaction remove things: what they removed may come back, what they left may not be missing.
#include <catch2/catch.hpp>

#include <map>
#include <memory>
#include <string>

#include "broker/engine/open.h"
#include "tests/crash/rounds.h"
#include "tests/model/dice.h"
#include "tests/support/eventually.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/temp_directory.h"
#include "weir/weir.h"

namespace {

using namespace weir;
using namespace std::chrono_literals;

constexpr int kKeys = 20;

struct Machine {
  test::TempDirectory directory;
  std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>();
  std::shared_ptr<test::FaultFileSystem> files;
  std::unique_ptr<Broker> broker;

  void start(std::uint64_t boot) {
    files = std::make_shared<test::FaultFileSystem>();
    OpenOptions options;
    options.clock = clock;
    options.reserve_bytes = 0;
    options.memtable_bytes = 64u << 10;   // table files come and go
    auto opened = engine::open_embedded(directory.file("store"), options, {files, "boot " + std::to_string(boot)});
    INFO(opened.status());
    REQUIRE(opened.ok());
    broker = std::move(*opened);
  }
  void lose_power(model::Dice& dice) {
    files->cut_power();
    broker.reset();
    const bool some = dice.percent(50);
    files->drop_unsynced([&](std::uint64_t unsynced) { return some ? dice.below(unsynced + 1) : 0; });
  }
  std::vector<StoredMessage> browse(const std::string& topic) {
    std::vector<StoredMessage> out;
    BrowseRequest request;
    request.topic = topic;
    request.messages_max = 10'000;
    while (true) {
      Result<BrowseResult> page = broker->browse(request);
      INFO(page.status());
      REQUIRE(page.ok());
      out.insert(out.end(), page->messages.begin(), page->messages.end());
      if (page->end) return out;
      request.from = StartPoint::at(page->next);
    }
  }
};

}  // namespace

TEST_CASE("a power loss finds the store whole while retention and compaction remove things", "[crash][S-4][S-10][S-32]") {
  const std::uint64_t rounds = std::max<std::uint64_t>(2, crash::rounds_from("WEIR_POWER_ROUNDS", 100) / 10), seed = crash::seed_of_run();
  std::uint64_t retained = 0, compacted = 0;
  for (std::uint64_t store = 0; store < std::max<std::uint64_t>(2, (rounds + 4) / 5); ++store) {
    Machine machine;
    model::Dice dice(seed + store);
    std::map<std::string, std::string> acknowledged;   // at power, of each key the last
    std::map<std::string, std::uint64_t> numbers;
    std::uint64_t next = 0;
    // What a compacted topic keeps for long keeps whole files of the log; without one they go.
    const bool compacts = store % 2 == 1;
    for (std::uint64_t round = 0; round < 5; ++round) {
      INFO("seed " << seed << ", store " << store << ", round " << round);
      machine.start(round);
      Broker& broker = *machine.broker;
      TopicOptions aged, compact;
      aged.retention_age = 1h;
      aged.durability = compact.durability = Durability::kProcess;
      compact.compact = true;
      broker.create_topic("aged", aged).value();
      broker.create_topic("compact", compact).value();
      if (round > 0) {
        CHECK(broker.verify().value().problems.empty());
        (void)machine.browse("aged");
        // Of each key there is what was acknowledged, or something newer.
        std::map<std::string, std::string> found;
        for (const StoredMessage& message : machine.browse("compact")) found[std::string(message.key)] = message.payload.str();
        for (const auto& [key, text] : acknowledged) {
          REQUIRE(found.contains(key));
          CHECK(numbers.at(found[key]) >= numbers.at(text));
        }
      }
      const std::string filler(2000, 'x');
      std::map<std::string, std::string> last = acknowledged;
      for (int part = 0; part < 6; ++part) {
        for (int i = 0; i < 100; ++i) {
          const std::string key = "k" + std::to_string(dice.below(kKeys)), text = std::to_string(next) + filler;
          if (compacts) {
            numbers[text] = next++;
            broker.publish("compact", Message{.key = key, .payload = text}).value();
            last[key] = text;
          }
          broker.publish("aged", Message{.payload = filler}).value();
        }
        if (compacts && dice.percent(50)) {
          // Everything before it in the log is synced with it.
          broker.publish("compact", Message{.key = "end", .payload = "end"}, Durability::kPower).value();
          acknowledged = last;
        }
        const Offset before = broker.topic("aged").value().first;
        // What was published before this part is old now, and this part is not: files of the log can go as a whole.
        machine.clock->advance(40min);
        if (part > 0 && test::eventually([&] { machine.clock->advance(1s); return broker.topic("aged").value().first > before; })) ++retained;
        if (compacts && test::eventually([&] { machine.clock->advance(1s); return broker.topic("compact").value().compacted > 0; })) ++compacted;
      }
      machine.lose_power(dice);
    }
  }
  CHECK(retained > 0);
  CHECK(compacted > 0);
}
