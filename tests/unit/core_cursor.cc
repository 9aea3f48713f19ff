#include <catch2/catch.hpp>

#include "tests/unit/core_cursor_fixture.h"

namespace weir::core {
namespace {
using namespace std::chrono_literals;

std::vector<std::uint64_t> offsets(const std::vector<Taken>& taken) {
  std::vector<std::uint64_t> out;
  for (const Taken& t : taken) out.push_back(t.offset.value);
  return out;
}
using Offsets = std::vector<std::uint64_t>;

TEST_CASE("cursor: what is acked is settled, and the floor follows", "[core][S-12]") {
  CursorStory s;
  for (int i = 0; i < 3; ++i) s.publish();
  const auto taken = s.fetch();
  REQUIRE(offsets(taken) == Offsets{0, 1, 2});
  REQUIRE(s.ack(taken[1]) == ErrorCode::ok);
  CHECK(s.cursor.floor() == Offset{0});
  REQUIRE(s.ack(taken[0]) == ErrorCode::ok);
  CHECK(s.cursor.floor() == Offset{2});
  CHECK(s.fetch().empty());
}

TEST_CASE("cursor: a key that waits for its retry holds only its own messages back", "[core][S-13]") {
  CursorStory s;
  s.publish("a");
  const auto first = s.fetch();
  s.publish("a");
  s.publish("b");
  s.publish();
  REQUIRE(s.retry(first[0], 10s) == ErrorCode::ok);
  CHECK(offsets(s.fetch()) == Offsets{2, 3});
  s.later(10s);
  const auto again = s.fetch(1);
  REQUIRE(offsets(again) == Offsets{0});
  CHECK(s.fetch().empty());
  REQUIRE(s.ack(again[0]) == ErrorCode::ok);
  CHECK(offsets(s.fetch()) == Offsets{1});
}

TEST_CASE("cursor: one fetch takes consecutive messages of a key, and a failure gives the rest back", "[core][S-13]") {
  CursorStory s;
  for (int i = 0; i < 4; ++i) s.publish("a");
  const auto chain = s.fetch();
  REQUIRE(offsets(chain) == Offsets{0, 1, 2, 3});
  REQUIRE(s.ack(chain[0]) == ErrorCode::ok);
  REQUIRE(s.retry(chain[1], 0ms) == ErrorCode::ok);
  CHECK(s.ack(chain[2]) == ErrorCode::lease_lost);
  CHECK(s.ack(chain[3]) == ErrorCode::lease_lost);
  CHECK(s.cursor.item(chain[2].slot).failures == 0);
  CHECK(offsets(s.fetch()) == Offsets{1, 2, 3});
}

TEST_CASE("cursor: another fetch gets nothing of a key that is in delivery", "[core][S-13]") {
  CursorStory s;
  s.publish("a");
  s.publish("a");
  const auto one = s.fetch(1);
  CHECK(s.fetch().empty());
  REQUIRE(s.ack(one[0]) == ErrorCode::ok);
  CHECK(offsets(s.fetch()) == Offsets{1});
}

TEST_CASE("cursor: a message nacked past its limit goes to the dead letters", "[core][S-17]") {
  GroupOptions options;
  options.max_attempts = 3;
  CursorStory s(options);
  s.publish("a");
  for (int i = 0; i < 3; ++i) {
    const auto taken = s.fetch();
    REQUIRE(taken.size() == 1);
    CHECK(s.cursor.item(taken[0].slot).failures == static_cast<std::uint32_t>(i));
    REQUIRE(s.retry(taken[0], 0ms) == ErrorCode::ok);
  }
  const auto deaths = s.cursor.take_deaths();
  REQUIRE(deaths.size() == 1);
  CHECK(deaths[0].reason == DeathReason::kMaxAttempts);
  CHECK(deaths[0].failures == 3);
  CHECK(deaths[0].deliveries == 3);
  CHECK(deaths[0].history.attempts.size() == 3);
  CHECK(s.cursor.floor() == Offset{1});
}

TEST_CASE("cursor: releasing counts nothing, and too many begun hand-overs are a crash loop", "[core][S-16][S-17]") {
  GroupOptions options;
  options.max_attempts = 1000;
  options.max_deliveries = 4;
  CursorStory s(options);
  s.publish();
  for (int i = 0; i < 10; ++i) {
    const auto taken = s.fetch();
    REQUIRE(taken.size() == 1);
    REQUIRE(s.settle(Settlement::release(taken[0].token)) == ErrorCode::ok);
  }
  REQUIRE_FALSE(s.cursor.has_deaths());
  for (int i = 0; i < 4; ++i) {
    const auto taken = s.fetch();
    REQUIRE(taken.size() == 1);
    REQUIRE(s.retry(taken[0], 0ms) == ErrorCode::ok);
  }
  const auto deaths = s.cursor.take_deaths();
  REQUIRE(deaths.size() == 1);
  CHECK(deaths[0].reason == DeathReason::kCrashLoop);
  CHECK(deaths[0].deliveries == 4);
}

TEST_CASE("cursor: a begun lease that expires is a failure, an unbegun one is not", "[core][S-14][S-17][S-21]") {
  for (const bool begun : {true, false}) {
    CursorStory s;
    s.publish();
    const auto taken = s.fetch(1, begun);
    REQUIRE(taken.size() == 1);
    s.later(31s);
    s.cursor.tick(s.now);
    CHECK(s.ack(taken[0]) == ErrorCode::lease_lost);
    s.later(2s);
    const auto again = s.fetch();
    REQUIRE(again.size() == 1);
    CHECK(s.cursor.item(again[0].slot).failures == (begun ? 1u : 0u));
    CHECK(again[0].token.epoch > taken[0].token.epoch);
  }
}

TEST_CASE("cursor: the first settlement wins, and the same again is fine for ten minutes", "[core][S-14]") {
  CursorStory s;
  s.publish();
  const auto taken = s.fetch();
  REQUIRE(s.ack(taken[0]) == ErrorCode::ok);
  CHECK(s.ack(taken[0]) == ErrorCode::ok);
  CHECK(s.retry(taken[0]) == ErrorCode::already_settled);
  s.later(11min);
  CHECK(s.ack(taken[0]) == ErrorCode::already_settled);
}

TEST_CASE("cursor: a suspect is delivered alone", "[core][S-19]") {
  GroupOptions options;
  options.max_attempts = 2;
  CursorStory s(options);
  s.publish();
  const auto taken = s.fetch();
  REQUIRE(s.retry(taken[0], 0ms) == ErrorCode::ok);
  for (int i = 0; i < 3; ++i) s.publish();
  std::vector<Offsets> fetches;
  for (int i = 0; i < 2; ++i) fetches.push_back(offsets(s.fetch()));
  CHECK(fetches == std::vector<Offsets>{{0}, {1, 2, 3}});
}

TEST_CASE("cursor: alone at a crash is guilty; of several none is, until one was there most often", "[core][S-17][S-19]") {
  GroupOptions options;
  options.max_attempts = 3;
  CursorStory s(options);
  s.publish();
  s.publish();
  const ItemId guilty{Offset{0}, 0};
  const ItemId innocent{Offset{1}, 0};
  s.cursor.crash(guilty, 10, 0, false, false, s.now);
  s.cursor.crash(innocent, 11, 0, false, false, s.now);
  CHECK(s.cursor.crashes_of(guilty) == 1);
  s.later(10s);
  const auto one = s.fetch();
  REQUIRE(one.size() == 1);                       // one of the charged runs at a time
  CHECK(s.cursor.item(one[0].slot).failures == 0);
  CHECK(s.fetch().empty());
  REQUIRE(s.ack(one[0]) == ErrorCode::ok);
  s.cursor.gate_opened();
  const auto other = s.fetch();
  REQUIRE(other.size() == 1);
  REQUIRE(s.settle(Settlement::release(other[0].token)) == ErrorCode::ok);
  const ItemId left{other[0].offset, 0};
  s.cursor.crash(left, 50, 0, true, true, s.now);
  s.later(1h);
  const auto last = s.fetch();
  REQUIRE(last.size() == 1);
  CHECK(s.cursor.item(last[0].slot).failures == 2);   // this crash, and the one it was a suspect of
}

TEST_CASE("cursor: expired and unwanted messages are settled without a delivery", "[core][S-8][S-22]") {
  GroupOptions options;
  options.dead_letter_expired = true;
  CursorStory s(options);
  s.publish({}, 1);
  s.publish({}, 0, false);
  s.publish();
  CHECK(offsets(s.fetch()) == Offsets{2});
  const auto deaths = s.cursor.take_deaths();
  REQUIRE(deaths.size() == 1);
  CHECK(deaths[0].reason == DeathReason::kExpired);
  CHECK(s.cursor.totals().filtered == 1);
  CHECK(s.cursor.floor() == Offset{2});
}

TEST_CASE("cursor: a redriven letter goes ahead of its key's undelivered messages", "[core][S-26]") {
  CursorStory s;
  s.publish("a");
  s.publish("a");
  s.publish("a");
  const auto first = s.fetch(1);
  REQUIRE(s.settle(Settlement::reject(first[0].token, "bad")) == ErrorCode::ok);
  s.cursor.redrive({Offset{0}, 1}, s.log[0].key_hash, 1, Time{});
  const auto again = s.fetch(1);
  REQUIRE(again.size() == 1);
  CHECK(again[0].token.redrive == 1);
  CHECK(s.cursor.item(again[0].slot).failures == 0);
  CHECK(s.cursor.item(again[0].slot).redrives == 1);
  REQUIRE(s.ack(again[0]) == ErrorCode::ok);
  CHECK(offsets(s.fetch()) == Offsets{1, 2});
}

TEST_CASE("cursor: a chain goes back in the order of its hand-over, also behind a redriven letter of a later offset", "[core][S-13][S-26]") {
  CursorStory s;
  for (int i = 0; i < 3; ++i) s.publish("a");
  const auto first = s.fetch();
  REQUIRE(s.ack(first[0]) == ErrorCode::ok);
  REQUIRE(s.ack(first[1]) == ErrorCode::ok);
  REQUIRE(s.settle(Settlement::reject(first[2].token, "bad")) == ErrorCode::ok);
  s.cursor.seek(Offset{0}, s.now);
  s.cursor.redrive({Offset{2}, 1}, s.log[2].key_hash, 1, Time{});
  const auto chain = s.fetch();
  REQUIRE(offsets(chain) == Offsets{2, 0, 1, 2});
  SECTION("a retry of the first") { REQUIRE(s.retry(chain[0]) == ErrorCode::ok); }
  SECTION("the lease of all is over") {
    s.later(s.options.lease);
    s.cursor.tick(s.now);
    CHECK(s.cursor.item(chain[0].slot).failures == 1);
    CHECK(s.cursor.item(chain[1].slot).failures == 0);
  }
  for (std::size_t i = 1; i < chain.size(); ++i) CHECK(s.ack(chain[i]) == ErrorCode::lease_lost);
}

TEST_CASE("cursor: a message that died of an expired lease was not settled by anybody", "[core][S-14][S-17]") {
  GroupOptions options;
  options.max_attempts = 1;
  CursorStory s(options);
  s.publish();
  const auto taken = s.fetch();
  s.later(options.lease);
  s.cursor.tick(s.now);
  REQUIRE(s.cursor.take_deaths().size() == 1);
  CHECK(s.retry(taken[0]) == ErrorCode::lease_lost);
  CHECK(s.ack(taken[0]) == ErrorCode::lease_lost);
}

TEST_CASE("cursor: a lease that nobody was told of leaves no trace", "[core][S-14][S-17][S-20]") {
  CursorStory s;
  for (int i = 0; i < 2; ++i) s.publish("a");
  const auto first = s.fetch(1);
  REQUIRE(s.retry(first[0], Duration{0}) == ErrorCode::ok);
  const CursorTotals before = s.cursor.totals();
  const auto again = s.fetch();
  REQUIRE(offsets(again) == Offsets{0, 1});
  for (auto t = again.rbegin(); t != again.rend(); ++t) s.cursor.take_back(t->slot);
  s.cursor.check_invariants();
  CHECK(s.cursor.totals().delivered == before.delivered);
  CHECK(s.cursor.totals().released == before.released);
  CHECK(s.retry(first[0], Duration{0}) == ErrorCode::ok);   // still the newest that was given out
  CHECK(s.ack(again[0]) == ErrorCode::lease_lost);
  const auto last = s.fetch();
  REQUIRE(offsets(last) == Offsets{0, 1});
  CHECK(s.cursor.item(last[0].slot).deliveries == 2);
  CHECK(s.cursor.item(last[1].slot).deliveries == 1);
}

TEST_CASE("cursor: an ack of an earlier opening is not taken for one of this", "[core][S-14]") {
  CursorStory s;
  s.next_epoch = first_epoch(1);
  for (int i = 0; i < 2; ++i) s.publish();
  const auto taken = s.fetch();
  REQUIRE(s.ack(taken[0]) == ErrorCode::ok);
  REQUIRE(s.ack(taken[0]) == ErrorCode::ok);
  s.next_epoch = first_epoch(2);
  CHECK(s.ack(taken[0]) == ErrorCode::already_settled);
}

TEST_CASE("cursor: a stuck key with a long backlog is spilled, and comes back in order", "[core][S-13]") {
  CursorStory s;
  constexpr std::uint64_t kBehind = 50'000;
  s.publish("stuck");
  const auto stuck = s.fetch(1);
  for (std::uint64_t i = 0; i < kBehind; ++i) s.publish("stuck");
  s.publish("other");
  CHECK(offsets(s.fetch()) == Offsets{kBehind + 1});
  CHECK(s.cursor.blocked() == kBehind);
  CHECK(s.cursor.blocked() - s.cursor.spilled() < 10'000);
  REQUIRE(s.ack(stuck[0]) == ErrorCode::ok);
  std::uint64_t expected = 1;
  while (true) {
    const auto taken = s.fetch(1000);
    if (taken.empty()) break;
    for (const Taken& t : taken) {
      REQUIRE(t.offset == Offset{expected++});
      REQUIRE(s.cursor.settle(Settlement::ack(t.token), s.now) == ErrorCode::ok);
    }
  }
  CHECK(expected == kBehind + 1);
}

TEST_CASE("cursor: a retry that was loaded at open does not overtake its key's unsettled messages in the log", "[core][S-13]") {
  CursorStory s;
  for (int i = 0; i < 3; ++i) s.publish("a");
  s.load_due_retry(Offset{1});
  for (std::uint64_t expected = 0; expected < 3; ++expected) {
    const auto taken = s.fetch(1);
    REQUIRE(offsets(taken) == Offsets{expected});
    REQUIRE(s.ack(taken[0]) == ErrorCode::ok);
  }
}

TEST_CASE("cursor: a loaded retry does not overtake what was blocked before the log reached it", "[core][S-13]") {
  CursorStory s;
  for (int i = 0; i < 4; ++i) s.publish("a");
  s.load_due_retry(Offset{2});
  const auto first = s.fetch(1);
  REQUIRE(offsets(first) == Offsets{0});
  REQUIRE(s.fetch().empty());   // 1 is blocked, 2 is reached, 3 is blocked
  REQUIRE(s.ack(first[0]) == ErrorCode::ok);
  for (std::uint64_t expected = 1; expected < 4; ++expected) {
    const auto taken = s.fetch(1);
    REQUIRE(offsets(taken) == Offsets{expected});
    REQUIRE(s.ack(taken[0]) == ErrorCode::ok);
  }
}

TEST_CASE("cursor: a seek voids leases and waiting retries", "[core][S-22]") {
  CursorStory s;
  for (int i = 0; i < 4; ++i) s.publish("a");
  const auto taken = s.fetch(2);
  REQUIRE(s.retry(taken[0], 10s) == ErrorCode::ok);
  s.cursor.seek(Offset{0}, s.now);
  CHECK(s.ack(taken[1]) == ErrorCode::lease_lost);
  const auto again = s.fetch();
  CHECK(offsets(again) == Offsets{0, 1, 2, 3});
  CHECK(s.cursor.item(again[0].slot).failures == 0);
}

TEST_CASE("cursor: what is dropped by a cap is lost to deliveries and retries", "[core][S-10]") {
  CursorStory s;
  for (int i = 0; i < 6; ++i) s.publish();
  const auto taken = s.fetch(3);
  REQUIRE(s.retry(taken[0], 10s) == ErrorCode::ok);
  REQUIRE(s.ack(taken[1]) == ErrorCode::ok);
  CHECK(s.cursor.lose_before(Offset{4}, s.now) == 3);
  CHECK(s.ack(taken[2]) == ErrorCode::lease_lost);
  s.later(1h);
  CHECK(offsets(s.fetch()) == Offsets{4, 5});
}

}  // namespace
}  // namespace weir::core
