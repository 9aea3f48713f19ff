// A cursor whose dead letters hold their keys (S-25).
#include <catch2/catch.hpp>

#include "tests/unit/core_cursor_fixture.h"

namespace weir::core {
namespace {
using namespace std::chrono_literals;
using Offsets = std::vector<std::uint64_t>;

Offsets offsets(const std::vector<Taken>& taken) {
  Offsets out;
  for (const Taken& t : taken) out.push_back(t.offset.value);
  return out;
}

struct HoldStory : CursorStory {
  std::uint64_t next_letter = 0;
  std::map<std::uint64_t, std::uint64_t> disk;   // what is written of holds

  HoldStory() { options.hold_key = true; }

  /// Buries what died, as the engine does with its commit.
  std::vector<std::uint64_t> bury() {
    std::vector<std::uint64_t> letters;
    for (const Death& death : cursor.take_deaths()) {
      letters.push_back(next_letter++);
      if (death.held_key != 0) cursor.held_by(letters.back(), death.held_key);
    }
    cursor.collect_holds([&](const HoldChange& change) {
      if (change.key_hash == 0)
        disk.erase(change.letter);
      else
        disk[change.letter] = change.key_hash;
    });
    cursor.check_invariants();
    return letters;
  }
  void redrive(Offset offset, std::uint64_t letter) {
    cursor.redrive({offset, letter + 1}, log[offset.value].key_hash, 1, {});
    cursor.release_hold(letter);
    bury();
  }
  ErrorCode reject(const Taken& t) { return settle(Settlement::reject(t.token, "no")); }
};

TEST_CASE("cursor holds: a death parks its key until the letter is given back, which goes first", "[core][S-25]") {
  HoldStory s;
  for (int i = 0; i < 3; ++i) s.publish("a");
  s.publish("b");
  const auto chain = s.fetch();
  REQUIRE(offsets(chain) == Offsets{0, 1, 2, 3});
  REQUIRE(s.reject(chain[0]) == ErrorCode::ok);
  CHECK_FALSE(s.cursor.has_returned());
  CHECK(s.fetch().empty());   // before it is buried, too
  const auto letters = s.bury();
  REQUIRE(letters.size() == 1);
  CHECK(s.disk.size() == 1);
  s.publish("a");
  s.publish("c");
  CHECK(offsets(s.fetch()) == Offsets{5});
  s.redrive(Offset{0}, letters[0]);
  CHECK(s.disk.empty());
  const auto back = s.fetch();
  CHECK(offsets(back) == Offsets{0, 1, 2, 4});
  CHECK(back[0].token.redrive == letters[0] + 1);
}

TEST_CASE("cursor holds: two letters of a key both hold it; one given back passes, the rest waits for the other", "[core][S-25]") {
  HoldStory s;
  s.options.dead_letter_expired = true;
  s.publish("a");
  s.publish("a", s.now + 10);
  s.publish("a");
  const auto first = s.fetch(1);
  REQUIRE(s.reject(first[0]) == ErrorCode::ok);
  const auto letter = s.bury();
  s.later(1s);
  CHECK(s.fetch().empty());   // the second expires as it is looked at, and dies
  const auto expired = s.bury();
  REQUIRE(expired.size() == 1);
  CHECK(s.cursor.holding() == 2);
  s.redrive(Offset{1}, expired[0]);
  const auto passed = s.fetch();
  REQUIRE(offsets(passed) == Offsets{1});
  REQUIRE(s.ack(passed[0]) == ErrorCode::ok);
  CHECK(s.fetch().empty());
  s.cursor.release_hold(letter[0]);   // discarded
  CHECK(offsets(s.fetch()) == Offsets{2});
}

TEST_CASE("cursor holds: a redriven letter that waits for its retry keeps its key waiting", "[core][S-25][S-18]") {
  HoldStory s;
  for (int i = 0; i < 2; ++i) s.publish("a");
  const auto first = s.fetch(1);
  REQUIRE(s.reject(first[0]) == ErrorCode::ok);
  const auto letter = s.bury();
  s.redrive(Offset{0}, letter[0]);
  const auto again = s.fetch(1);
  REQUIRE(s.retry(again[0], 10s) == ErrorCode::ok);
  CHECK(s.fetch().empty());
  s.later(10s);
  CHECK(offsets(s.fetch()) == Offsets{0, 1});
}

TEST_CASE("cursor holds: loaded holds park what the log has of their keys", "[core][S-25]") {
  HoldStory s;
  for (int i = 0; i < 3; ++i) s.publish("a");
  s.publish("b");
  s.cursor.settled().insert(Offset{0});
  s.cursor.load_hold(7, s.log[0].key_hash);
  s.cursor.load_hold(7, s.log[0].key_hash);
  CHECK(offsets(s.fetch()) == Offsets{3});
  CHECK(s.cursor.holding() == 1);
  CHECK(s.cursor.blocked() == 2);
  s.cursor.release_hold(7);
  CHECK(offsets(s.fetch()) == Offsets{1, 2});
  s.cursor.release_hold(7);
}

TEST_CASE("cursor holds: retention of letters, a seek and the option turned off let keys go", "[core][S-25][S-22]") {
  for (const int how : {0, 1, 2}) {
    HoldStory s;
    for (const char* key : {"a", "b", "a", "b"}) s.publish(key);
    const auto taken = s.fetch(2);
    for (const Taken& t : taken) REQUIRE(s.reject(t) == ErrorCode::ok);
    if (how != 2) s.bury();
    CHECK(s.fetch().empty());
    if (how == 0) s.cursor.release_holds_before(1);
    if (how == 1) s.cursor.seek(Offset{2}, s.now);
    if (how == 2) s.cursor.release_holds();   // of deaths that are not buried yet, too
    CHECK(offsets(s.fetch()) == (how == 0 ? Offsets{2} : Offsets{2, 3}));
    s.bury();
    CHECK(s.cursor.holding() == (how == 0 ? 1 : 0));
    CHECK(s.disk.size() == s.cursor.holding());
  }
}

TEST_CASE("cursor holds: past their limit nothing new is handed out until some letters are resolved", "[core][S-25][S-33]") {
  HoldStory s;
  for (std::uint64_t letter = 0; letter < Cursor::kHoldsMax; ++letter) s.cursor.load_hold(letter, 2 * letter + 3);
  s.publish("a");
  CHECK_FALSE(s.cursor.may_look());
  CHECK(s.fetch().empty());
  s.cursor.release_hold(5);
  CHECK(offsets(s.fetch()) == Offsets{0});
}

TEST_CASE("cursor holds: keyless messages hold nothing", "[core][S-25]") {
  HoldStory s;
  s.publish();
  s.publish();
  const auto taken = s.fetch(1);
  REQUIRE(s.reject(taken[0]) == ErrorCode::ok);
  s.bury();
  CHECK(s.cursor.holding() == 0);
  CHECK(offsets(s.fetch()) == Offsets{1});
}

}  // namespace
}  // namespace weir::core
