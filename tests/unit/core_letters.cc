// What requests about dead letters are made of: sets of letters, their pace, what they mean.
#include <catch2/catch.hpp>

#include <memory>
#include <set>
#include <string>

#include "broker/base/prng.h"
#include "broker/core/letter_set.h"
#include "broker/core/letters.h"
#include "broker/core/pace.h"

namespace weir::core {
namespace {
using namespace std::chrono_literals;

TEST_CASE("letter set: letters come and go, and are counted", "[core][S-27]") {
  LetterSet set;
  CHECK_FALSE(set.contains(Offset{0}));
  CHECK(set.insert(Offset{5}));
  CHECK_FALSE(set.insert(Offset{5}));
  CHECK(set.insert(Offset{2048}));
  CHECK(set.size() == 2);
  CHECK(set.contains(Offset{5}));
  CHECK(set.erase(Offset{5}));
  CHECK_FALSE(set.erase(Offset{5}));
  CHECK(set.size() == 1);
  set.erase_before(Offset{2048});
  CHECK(set.size() == 1);
  set.erase_before(Offset{2049});
  CHECK(set.size() == 0);
}

TEST_CASE("letter set: what is collected and loaded again is the same set", "[core][S-27]") {
  base::Prng random(7);
  LetterSet set;
  std::map<std::uint64_t, std::string> disk;
  std::set<std::uint64_t> model;
  std::uint64_t first = 0;
  for (int step = 0; step < 3000; ++step) {
    const std::uint64_t at = first + random() % 9000;
    if (random() % 3 != 0) {
      CHECK(set.insert(Offset{at}) == model.insert(at).second);
    } else {
      CHECK(set.erase(Offset{at}) == (model.erase(at) == 1));
    }
    if (random() % 100 == 0) {
      first += random() % 3000;
      set.erase_before(Offset{first});
      model.erase(model.begin(), model.lower_bound(first));
    }
    if (random() % 50 != 0) continue;
    const LetterSet::Changes changes = set.collect();
    CHECK_FALSE(set.dirty());
    for (const auto& [page, bytes] : changes.put) disk[page] = bytes;
    for (const std::uint64_t page : changes.erase) disk.erase(page);
    LetterSet loaded;
    for (const auto& [page, bytes] : disk) REQUIRE(loaded.load_page(page, bytes));
    REQUIRE(loaded.size() == model.size());
    for (const std::uint64_t letter : model) REQUIRE(loaded.contains(Offset{letter}));
  }
  CHECK(set.size() == model.size());
  CHECK_FALSE(set.load_page(0, "short"));
}

TEST_CASE("pace: the n-th is due n / rate seconds after the start", "[core][S-26]") {
  Pace pace(4);
  pace.start(1000);
  CHECK(pace.due(1000, 100) == 0);
  CHECK(pace.when_ms(1) == 1250);
  CHECK(pace.due(1249, 100) == 0);
  CHECK(pace.due(1250, 100) == 1);
  pace.done(1);
  CHECK(pace.due(1250, 100) == 0);
  CHECK(pace.when_ms(1) == 1500);
  CHECK(pace.when_ms(3) == 2000);
  CHECK(pace.due(11'000, 100) == 39);
  CHECK(pace.due(11'000, 10) == 10);
  pace.start(20'000);   // what was not done before is not made up for
  CHECK(pace.due(20'000, 100) == 0);
  CHECK(pace.due(0, 100) == 0);
}

TEST_CASE("pace: fractions come out even over a long time", "[core][S-26]") {
  for (const double rate : {0.001, 0.1, 0.3, 7.7, 333.3, 99'999.0}) {
    Pace pace(rate);
    pace.start(0);
    std::uint64_t done = 0;
    const std::int64_t end = rate < 1 ? 100'000'000 : 1'000'000;
    for (std::int64_t now = 0; now <= end;) {
      const std::uint64_t due = pace.due(now, 1'000'000'000);
      done += due;
      pace.done(due);
      const std::int64_t next = pace.when_ms(1);
      REQUIRE(next > now);
      now = next;
    }
    INFO("rate " << rate);
    CHECK(static_cast<double>(done) == Approx(rate * static_cast<double>(end) / 1000).margin(1.001));
  }
}

TEST_CASE("pace: without a rate everything is due", "[core][S-26]") {
  const Pace pace;
  CHECK_FALSE(pace.limited());
  CHECK(pace.due(0, 500) == 500);
}

TEST_CASE("letters: all conditions that are set must hold", "[core][S-27]") {
  auto info = std::make_shared<DeadLetterInfo>();
  info->error = "no answer from bank 7";
  info->reason = DeathReason::kRejected;
  info->redrives = 2;
  StoredMessage letter;
  letter.time = Time{1000ms};
  letter.key = "k";
  letter.dead_letter = info;
  CHECK(matches({}, {}, letter));
  CHECK(matches({}, {.since = Time{1000ms}, .until = Time{1001ms}}, letter));
  CHECK_FALSE(matches({}, {.until = Time{1000ms}}, letter));
  CHECK_FALSE(matches({}, {.since = Time{1001ms}}, letter));
  CHECK(matches({}, {.error_contains = "bank"}, letter));
  CHECK(matches({}, {.error_contains = ""}, letter));
  CHECK_FALSE(matches({}, {.error_contains = "Bank"}, letter));
  CHECK_FALSE(matches({}, {.key = ""}, letter));
  CHECK(matches({}, {.redrives_min = 2, .redrives_max = 2}, letter));
  CHECK_FALSE(matches({}, {.redrives_min = 3}, letter));
  CHECK_FALSE(matches({}, {.redrives_max = 1}, letter));
  CHECK_FALSE(matches({}, {.reason = DeathReason::kExpired}, letter));
  CHECK_FALSE(matches(Filter::present("h"), {}, letter));
  CHECK_FALSE(matches({}, {.reason = DeathReason::kRejected, .key = "other"}, letter));
}

}  // namespace
}  // namespace weir::core
