// kill -9 of a real process under load, again and again, and a look at what it leaves.
#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <sys/wait.h>

#include "tests/crash/checker.h"
#include "tests/crash/process.h"
#include "tests/crash/rounds.h"
#include "tests/model/dice.h"
#include "tests/support/temp_directory.h"

namespace {

namespace fs = std::filesystem;
using namespace weir::crash;

std::string text_of(const std::vector<std::string>& problems) {
  std::string text;
  for (const std::string& p : problems) text += p + "\n";
  return text;
}

/// What went on while it was killed, so that a run that tested nothing is seen.
struct Totals {
  std::uint64_t published = 0, deliveries = 0, settled = 0, redrives = 0, unknown = 0;
  void add(const LedgerBook& book) {
    for (const auto& [op, publish] : book.publishes) published += publish.offsets ? publish.messages.size() : 0;
    deliveries += book.deliveries.size();
    for (const auto& [epoch, d] : book.deliveries) settled += d.code == "ok", unknown += !d.settle.empty() && !d.code && d.group != "handlers";
    redrives += book.redrives.size();
  }
};

/// One store through `rounds` deaths; a copy of what each leaves is held against the ledger.
void run_generation(std::uint64_t seed, std::uint64_t rounds, Totals& totals) {
  weir::test::TempDirectory directory;
  const std::string store = directory.file("store"), ledger = directory.file("ledger"), copy = directory.file("copy");
  weir::model::Dice dice(seed);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    INFO("seed " << seed << ", round " << round);
    Process child({"load", store, ledger, std::to_string(seed * 1000 + round)});
    const bool early = round > 0 && dice.percent(15);   // while it opens
    if (!early) REQUIRE(child.read_line() == "open");
    const auto moment = std::chrono::milliseconds(early ? dice.between(1, 60) : dice.between(20, 200));
    REQUIRE_FALSE(child.ends_within(moment));
    child.kill_hard();

    const LedgerBook book = LedgerBook::read(ledger);
    fs::remove_all(copy);
    fs::copy(store, copy, fs::copy_options::recursive);
    const std::string problems = text_of(check_ledger(book)) + text_of(check_store(copy, book));
    if (!problems.empty() && std::getenv("WEIR_KEEP")) {
      fs::copy(directory.path(), std::getenv("WEIR_KEEP"), fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    }
    REQUIRE(problems == "");
    if (round + 1 == rounds) totals.add(book);
  }
}

}  // namespace

TEST_CASE("nothing confirmed is lost or done twice over many deaths by kill -9", "[crash][S-4][S-5][S-6][S-13][S-14][S-17][S-23][S-26]") {
  const std::uint64_t rounds = rounds_from("WEIR_CRASH_ROUNDS", 300), seed = seed_of_run();
  constexpr std::uint64_t kGeneration = 15;
  Totals totals;
  for (std::uint64_t done = 0; done < rounds; done += kGeneration) run_generation(seed + done, std::min(kGeneration, rounds - done), totals);
  WARN(rounds << " deaths, seed " << seed << ": " << totals.published << " messages confirmed, " << totals.deliveries << " deliveries, " << totals.settled
              << " settlements confirmed, " << totals.unknown << " of unknown outcome, " << totals.redrives << " redrives");
  CHECK(totals.published > rounds);
  CHECK(totals.settled > rounds);
}
