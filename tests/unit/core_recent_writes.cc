// The window of recent writes, against a model that remembers everything (S-28).
#include "broker/core/recent_writes.h"

#include <catch2/catch.hpp>

#include <map>
#include <string>
#include <vector>

#include "broker/base/prng.h"

namespace weir::core {
namespace {

using Verdict = RecentWrites::Verdict;
using Keys = std::vector<std::string>;
using Ranges = std::vector<StateRange>;

Verdict check(const RecentWrites& writes, std::uint64_t at, const Keys& keys, const Ranges& ranges = {}) { return writes.check(at, keys, ranges).verdict; }

TEST_CASE("a key that was written behind the read is overwritten, others are not", "[core][S-28]") {
  RecentWrites writes;
  writes.start(10);
  CHECK(check(writes, 10, {"a"}) == Verdict::kUnchanged);
  writes.note("a", 11);
  writes.note("b", 12);
  CHECK(check(writes, 10, {"a"}) == Verdict::kOverwritten);
  CHECK(check(writes, 11, {"a"}) == Verdict::kUnchanged);
  CHECK(check(writes, 11, {"a", "b"}) == Verdict::kOverwritten);
  CHECK(check(writes, 12, {"a", "b"}) == Verdict::kUnchanged);
  CHECK(writes.check(11, Keys{"c", "b"}, Ranges{}).key == "b");
}

TEST_CASE("a key that comes into a scanned range, or goes from it, is told: phantoms", "[core][S-28]") {
  RecentWrites writes;
  writes.start(0);
  writes.note("order/5", 1);
  CHECK(check(writes, 0, {}, {StateRange::prefix("order/")}) == Verdict::kOverwritten);
  CHECK(check(writes, 1, {}, {StateRange::prefix("order/")}) == Verdict::kUnchanged);
  CHECK(check(writes, 0, {}, {StateRange::prefix("order0")}) == Verdict::kUnchanged);
  CHECK(check(writes, 0, {}, {{"order/5", "order/5"}}) == Verdict::kUnchanged);   // empty
  CHECK(check(writes, 0, {}, {{"order/4", "order/5"}}) == Verdict::kUnchanged);   // its end is not in it
  CHECK(check(writes, 0, {}, {{"order/5", "order/6"}}) == Verdict::kOverwritten);
  CHECK(check(writes, 0, {}, {{"order/6", ""}}) == Verdict::kUnchanged);
  CHECK(check(writes, 0, {}, {{"", ""}}) == Verdict::kOverwritten);
  // Ranges in any order, and over one another.
  CHECK(check(writes, 0, {}, {{"z", ""}, {"order/1", "order/9"}, {"order/2", "order/3"}}) == Verdict::kOverwritten);
}

TEST_CASE("a read from before what is remembered is too old to tell, even if nothing was written to it", "[core][S-28][S-33]") {
  RecentWrites writes(3, 1000);
  writes.start(5);
  CHECK(check(writes, 4, {"a"}) == Verdict::kTooOld);
  CHECK(check(writes, 4, {}) == Verdict::kUnchanged);   // it read nothing
  for (std::uint64_t commit = 6; commit <= 8; ++commit) writes.note("k" + std::to_string(commit), commit);
  CHECK(check(writes, 5, {"a"}) == Verdict::kUnchanged);
  writes.note("k9", 9);
  CHECK(writes.size() == 3);
  CHECK(check(writes, 5, {"a"}) == Verdict::kTooOld);
  CHECK(check(writes, 6, {"a"}) == Verdict::kUnchanged);
  CHECK(check(writes, 6, {"k7"}) == Verdict::kOverwritten);
}

TEST_CASE("bytes of keys are bounded, too, and a key written again and again does not stay for ever", "[core][S-33]") {
  RecentWrites writes(1000, 64);
  writes.start(0);
  for (std::uint64_t commit = 1; commit <= 100; ++commit) writes.note(std::string(16, 'k'), commit);
  CHECK(writes.bytes() <= 64);
  CHECK(writes.size() == 4);
  CHECK(check(writes, 96, {std::string(16, 'k')}) == Verdict::kOverwritten);
  CHECK(check(writes, 100, {std::string(16, 'k')}) == Verdict::kUnchanged);
  CHECK(check(writes, 95, {"x"}) == Verdict::kTooOld);
  CHECK(check(writes, 96, {"x"}) == Verdict::kUnchanged);
}

TEST_CASE("prefixes end where they should", "[core][S-28]") {
  CHECK(StateRange::prefix("a").end == "b");
  CHECK(StateRange::prefix("a\xff").end == "b");
  CHECK(StateRange::prefix("\xff\xff").end.empty());
  CHECK(StateRange::prefix("").end.empty());
}

TEST_CASE("the window never calls a write unchanged that was one, and knows all within its bound", "[core][S-28]") {
  const std::uint64_t seed = 20261;
  base::Prng random(seed);
  for (int run = 0; run < 20; ++run) {
    const std::size_t writes_max = 1 + random.below(60);
    RecentWrites writes(writes_max, 1u << 20);
    writes.start(100);
    std::multimap<std::uint64_t, std::string> all;   // the model
    std::uint64_t commit = 100;
    for (int step = 0; step < 400; ++step) {
      commit += random.below(3) == 0;
      const std::string key(1, static_cast<char>('a' + random.below(12)));
      if (commit > 100) writes.note(key, commit), all.emplace(commit, key);
      const std::uint64_t read_at = commit - std::min<std::uint64_t>(commit - 100, random.below(12));
      Keys keys;
      Ranges ranges;
      for (std::uint64_t i = random.below(3); i > 0; --i) keys.push_back(std::string(1, static_cast<char>('a' + random.below(14))));
      for (std::uint64_t i = random.below(4); i > 0; --i) {
        const char begin = static_cast<char>('a' + random.below(14));
        ranges.push_back({std::string(1, begin), random.below(5) == 0 ? std::string() : std::string(1, static_cast<char>(begin + random.below(4)))});
      }
      bool overwritten = false;
      std::size_t since = 0;
      for (auto write = all.upper_bound(read_at); write != all.end(); ++write, ++since) {
        for (const std::string& k : keys) overwritten = overwritten || k == write->second;
        for (const StateRange& r : ranges) overwritten = overwritten || (write->second >= r.begin && (r.end.empty() || write->second < r.end));
      }
      INFO("seed " << seed << ", run " << run << ", step " << step << ", since " << since << " of " << writes_max);
      const Verdict verdict = check(writes, read_at, keys, ranges);
      if (keys.empty() && ranges.empty()) {
        REQUIRE(verdict == Verdict::kUnchanged);
      } else if (verdict == Verdict::kTooOld) {
        REQUIRE(since >= writes_max);   // only for want of room
      } else {
        REQUIRE((verdict == Verdict::kOverwritten) == overwritten);
      }
    }
  }
}

}  // namespace
}  // namespace weir::core
