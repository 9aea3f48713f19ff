// Backups and restores under kill -9.
#include <catch2/catch.hpp>

#include <filesystem>
#include <map>
#include <sstream>
#include <string>

#include "tests/crash/process.h"
#include "tests/crash/rounds.h"
#include "tests/model/dice.h"
#include "tests/support/temp_directory.h"
#include "weir/weir.h"

namespace {

using namespace weir;
using namespace weir::crash;
namespace fs = std::filesystem;

OpenOptions as_it_is() {
  OpenOptions options;
  options.reserve_bytes = 0;
  options.create_if_missing = false;
  return options;
}

/// How many messages "t" has, after a look at everything.
std::uint64_t count_of(const std::string& location) {
  const auto broker = open(location, as_it_is()).value();
  CHECK(broker->verify().value().problems.empty());
  std::uint64_t count = 0;
  BrowseRequest browse;
  browse.topic = "t";
  browse.messages_max = 10'000;
  for (bool end = false; !end;) {
    const BrowseResult page = broker->browse(browse).value();
    for (const StoredMessage& message : page.messages) {
      REQUIRE(message.payload.text().starts_with(std::to_string(count) + "x"));
      ++count;
    }
    browse.from = StartPoint::at(page.next);
    end = page.end;
  }
  return count;
}

}  // namespace

TEST_CASE("whoever is killed while it backs up leaves the backups of before whole, and one who restores leaves a store or none", "[crash][S-9][S-14]") {
  const std::uint64_t rounds = rounds_from("WEIR_BACKUP_ROUNDS", 10), seed = seed_of_run();
  test::TempDirectory directory;
  const std::string store = directory.file("store"), backups = directory.file("backups"), restored = directory.file("restored");
  model::Dice dice(seed);
  std::map<std::uint32_t, std::uint64_t> promised;   // by number: what was confirmed before the backup began
  int interrupted = 0, kept = 0;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    INFO("seed " << seed << ", round " << round);
    {
      Process child({"backups", store, backups});
      REQUIRE(child.read_line() == "open");
      REQUIRE_FALSE(child.ends_within(std::chrono::milliseconds(dice.between(100, 1500))));
      child.kill_hard();
      for (std::string line; !(line = child.read_line()).empty();) {
        std::uint32_t number = 0;
        std::uint64_t before = 0;
        REQUIRE((std::istringstream(line) >> number >> before));
        promised[number] = before;
      }
    }
    if (promised.empty()) continue;
    const auto all = list_backups(backups).value();
    std::map<std::uint32_t, std::uint64_t> there;
    for (const BackupInfo& backup : all) {
      CHECK_FALSE(backup.damaged);
      there[backup.number];
    }
    for (const auto& [number, before] : promised) CHECK(there.contains(number));

    fs::remove_all(restored);
    {
      Process child({"restore", backups, restored});
      REQUIRE(child.read_line() == "begin");
      if (!child.ends_within(std::chrono::milliseconds(dice.between(0, 1000)))) ++interrupted;
      child.kill_hard();
    }
    if (open(restored, as_it_is()).code() == ErrorCode::not_found) {
      const Status again = restore_backup(backups, restored);
      INFO(again);
      REQUIRE(again.ok());
    } else {
      ++kept;
    }
    CHECK(count_of(restored) >= promised.rbegin()->second);

    const auto any = std::next(promised.begin(), static_cast<std::ptrdiff_t>(dice.below(promised.size())));
    fs::remove_all(restored);
    REQUIRE(restore_backup(backups, restored, {.number = any->first}).ok());
    CHECK(count_of(restored) >= any->second);
    if (dice.percent(30)) {
      REQUIRE(prune_backups(backups, 2).ok());
      while (promised.size() > 1 && !std::any_of(all.end() - std::min<std::ptrdiff_t>(2, std::ssize(all)), all.end(), [&](const BackupInfo& backup) { return backup.number == promised.begin()->first; }))
        promised.erase(promised.begin());
    }
  }
  WARN(rounds << " deaths, seed " << seed << ": " << promised.size() << " backups left, " << interrupted << " restores interrupted, " << kept << " whole all the same");
  CHECK(promised.size() > 0);
}
