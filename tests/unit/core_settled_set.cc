// Which offsets are settled, against a std::set, through reopening (S-14, S-22).
#include "broker/core/settled_set.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
#include <set>

#include "broker/base/prng.h"

namespace weir::core {
namespace {

using namespace std::chrono_literals;
constexpr std::uint64_t kPage = SettledSet::kPageOffsets;
Time at(std::int64_t ms) { return Time{Duration{ms}}; }

/// What a disk would hold.
struct Disk {
  std::optional<Offset> floor;
  std::map<std::uint64_t, std::string> pages;

  void write(SettledSet& set) {
    SettledSet::Changes changes;
    set.collect(changes);
    if (changes.floor) floor = changes.floor;
    for (const auto& [page, bitmap] : changes.put) {
      REQUIRE(bitmap.size() == SettledSet::kPageBytes);
      REQUIRE(page >= set.floor().value / kPage);
      REQUIRE(bitmap != std::string(SettledSet::kPageBytes, '\0'));
      pages[page] = bitmap;
    }
    for (const std::uint64_t page : changes.erase) REQUIRE(pages.erase(page) == 1);
    REQUIRE_FALSE(set.dirty());
  }
  SettledSet read() const {
    SettledSet set;
    set.load(floor.value());
    for (const auto& [page, bitmap] : pages) REQUIRE(set.load_page(page, bitmap));
    return set;
  }
};

/// The same, slowly.
struct Model {
  std::uint64_t floor = 0;
  std::set<std::uint64_t> above;
  void normalize() {
    above.erase(above.begin(), above.lower_bound(floor));
    while (above.erase(floor) == 1) ++floor;
  }
  bool contains(std::uint64_t n) const { return n < floor || above.contains(n); }
  bool insert(std::uint64_t n) {
    if (contains(n)) return false;
    above.insert(n);
    normalize();
    return true;
  }
  std::uint64_t next(std::uint64_t n) const {
    n = std::max(n, floor);
    for (auto settled = above.lower_bound(n); settled != above.end() && *settled == n; ++settled) ++n;
    return n;
  }
};

void expect_equal(const SettledSet& set, const Model& model, base::Prng& random, std::uint64_t span) {
  REQUIRE(set.floor().value == model.floor);
  REQUIRE(set.count_above_floor() == model.above.size());
  for (int i = 0; i < 8; ++i) {
    const std::uint64_t n = (model.floor > 100 ? model.floor - 100 : 0) + random.below(span + 5000);
    REQUIRE(set.contains(Offset{n}) == model.contains(n));
    REQUIRE(set.next_unsettled(Offset{n}).value == model.next(n));
  }
}

TEST_CASE("random settlements agree with a std::set, also after reopening", "[core][S-22]") {
  const std::uint64_t seed = GENERATE(1, 2, 3, 4);
  const std::uint64_t span = GENERATE(70, 3000, 12'000);
  CAPTURE(seed, span);
  base::Prng random(seed);
  SettledSet set;
  Model model;
  Disk disk;
  disk.write(set);
  for (int step = 0; step < 2500; ++step) {
    const std::uint64_t n = model.floor + random.below(span);
    switch (random.below(100)) {
      default: REQUIRE(set.insert(Offset{n}, at(step)) == model.insert(n)); break;
      case 0: case 1: {
        const std::uint64_t begin = n > 50 ? n - random.below(50) : n, end = begin + random.below(random.below(10) == 0 ? 2 * span : 300);
        set.insert_range(Offset{begin}, Offset{end});
        for (std::uint64_t i = begin; i < end; ++i) model.above.insert(i);
        model.normalize();
        break;
      }
      case 2: case 3: case 4: case 5: case 6: case 7: case 8: case 9: case 10: case 11: case 12: case 13: case 14: case 15:
        set.insert(set.floor());
        model.insert(model.floor);
        break;
      case 16: {
        const std::uint64_t floor = n - std::min<std::uint64_t>(n, random.below(200));
        set.raise_floor(Offset{floor});
        model.floor = std::max(model.floor, floor);
        model.normalize();
        break;
      }
      case 17:
        if (random.below(5) == 0) {
          const std::uint64_t floor = random.below(model.floor + span);
          set.reset(Offset{floor});
          model = {floor, {}};
        }
        break;
      case 18: case 19: case 20: disk.write(set); break;
      case 21:
        disk.write(set);
        set = disk.read();
        REQUIRE_FALSE(set.dirty());
        break;
    }
    expect_equal(set, model, random, span);
  }
  disk.write(set);
  expect_equal(disk.read(), model, random, span);
}

TEST_CASE("offsets settled in order need no page", "[core]") {
  SettledSet set;
  Disk disk;
  disk.write(set);
  for (std::uint64_t n = 0; n < 3 * kPage; ++n) REQUIRE(set.insert(Offset{n}, at(1)));
  SettledSet::Changes changes;
  set.collect(changes);
  CHECK(changes.floor == Offset{3 * kPage});
  CHECK(changes.put.empty());
  CHECK(changes.erase.empty());
}

TEST_CASE("a new set gives its floor once, a loaded one has nothing to write", "[core]") {
  SettledSet set{Offset{17}};
  CHECK(set.dirty());
  SettledSet::Changes changes;
  set.collect(changes);
  CHECK(changes.floor == Offset{17});
  CHECK_FALSE(set.dirty());
  set.load(Offset{0});
  CHECK_FALSE(set.dirty());
}

TEST_CASE("a page holds an offset's bit at offset & 7 of its byte", "[core]") {
  SettledSet set;
  set.insert(Offset{kPage + 13});
  SettledSet::Changes changes;
  set.collect(changes);
  REQUIRE(changes.put.size() == 1);
  CHECK(changes.put[0].first == 1);
  std::string expected(SettledSet::kPageBytes, '\0');
  expected[1] = 1 << 5;
  CHECK(changes.put[0].second == expected);
}

TEST_CASE("a page on disk is erased once the floor has passed it, and not before", "[core]") {
  SettledSet set;
  Disk disk;
  set.insert(Offset{5});
  set.insert(Offset{kPage + 5});
  disk.write(set);
  CHECK(disk.pages.size() == 2);
  set.raise_floor(Offset{kPage - 1});
  disk.write(set);
  CHECK(disk.pages.size() == 2);
  set.raise_floor(Offset{kPage});
  disk.write(set);
  CHECK(disk.pages.size() == 1);
  set.raise_floor(Offset{100 * kPage});
  disk.write(set);
  CHECK(disk.pages.empty());
}

TEST_CASE("a seek back forgets what was settled and makes the old pages garbage", "[core][S-22]") {
  SettledSet set{Offset{10 * kPage}};
  Disk disk;
  set.insert(Offset{11 * kPage});
  set.insert(Offset{12 * kPage});
  disk.write(set);
  set.reset(Offset{3});
  CHECK_FALSE(set.contains(Offset{3}));
  CHECK_FALSE(set.contains(Offset{11 * kPage}));
  CHECK(set.count_above_floor() == 0);
  set.insert(Offset{12 * kPage + 1});
  disk.write(set);
  CHECK(disk.floor == Offset{3});
  CHECK(disk.pages.size() == 1);
  const SettledSet back = disk.read();
  CHECK(back.contains(Offset{12 * kPage + 1}));
  CHECK_FALSE(back.contains(Offset{12 * kPage}));
}

TEST_CASE("wrong pages are refused", "[core][S-32]") {
  SettledSet set;
  set.load(Offset{kPage});
  CHECK_FALSE(set.load_page(1, std::string(255, 'x')));
  CHECK_FALSE(set.load_page(1, std::string(257, 'x')));
  CHECK_FALSE(set.load_page(~std::uint64_t{0}, std::string(256, 'x')));
  CHECK_FALSE(set.load_page(std::uint64_t{1} << 40, std::string(256, 'x')));
  CHECK(set.load_page(0, std::string(256, 'x')));  // below the floor: garbage that is erased
  SettledSet::Changes changes;
  set.collect(changes);
  CHECK(changes.erase == std::vector<std::uint64_t>{0});
}

TEST_CASE("a loaded page whose bits reach the floor moves it", "[core]") {
  SettledSet set;
  set.load(Offset{10});
  std::string bitmap(SettledSet::kPageBytes, '\xff');
  bitmap.back() = '\x7f';
  REQUIRE(set.load_page(0, bitmap));
  CHECK(set.floor() == Offset{kPage - 1});
  CHECK(set.count_above_floor() == 0);
  CHECK(set.insert(Offset{kPage - 1}));
  CHECK(set.floor() == Offset{kPage});
}

TEST_CASE("the time of the last settlement of a page is known until it is pruned", "[core][S-14]") {
  SettledSet set;
  CHECK(set.last_settled(Offset{0}) == std::nullopt);
  set.insert(Offset{0}, at(10));
  CHECK(set.last_settled(Offset{0}) == at(10));
  CHECK(set.last_settled(Offset{1}) == std::nullopt);
  set.insert(Offset{kPage + 3}, at(20));
  CHECK(set.last_settled(Offset{kPage + 3}) == at(20));
  CHECK(set.last_settled(Offset{0}) == at(10));
  set.insert(Offset{5}, at(30));
  CHECK(set.last_settled(Offset{0}) >= at(10));
  CHECK(set.last_settled(Offset{5}) == at(30));

  set.insert_range(Offset{1}, Offset{2 * kPage});
  CHECK(set.floor() == Offset{2 * kPage});
  CHECK(set.last_settled(Offset{5}) == at(30));
  CHECK(set.last_settled(Offset{kPage + 3}) == at(20));
  set.prune(at(30));
  CHECK(set.last_settled(Offset{5}) == at(30));
  set.prune(at(31));
  CHECK(set.last_settled(Offset{5}) == std::nullopt);
  CHECK(set.last_settled(Offset{kPage + 3}) == std::nullopt);
}

TEST_CASE("an answered time is never earlier than the settlement", "[core][S-14]") {
  base::Prng random(9);
  SettledSet set;
  std::map<std::uint64_t, Time> settled;
  for (int step = 0; step < 20'000; ++step) {
    const std::uint64_t n = set.floor().value + (random.below(3) == 0 ? 0 : random.below(3 * kPage));
    if (set.insert(Offset{n}, at(step))) settled[n] = at(step);
  }
  for (const auto& [n, time] : settled) REQUIRE(set.last_settled(Offset{n}) >= time);
}

}  // namespace
}  // namespace weir::core
