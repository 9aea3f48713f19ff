// What operators do to single messages, in every state that a message can be in.
#include <catch2/catch.hpp>

#include "tests/unit/core_cursor_fixture.h"

namespace weir::core {
namespace {

using namespace std::chrono_literals;

Operation act(MessageAct act, Offset offset) {
  Operation out;
  out.offset = offset;
  out.act = act;
  out.error = "by hand";
  out.who = "jo";
  out.in_log = true;
  return out;
}

ErrorCode operate(CursorStory& f, MessageAct what, Offset offset) {
  Operation operation = act(what, offset);
  if (offset.value < f.log.size()) operation.key_hash = f.log[offset.value].key_hash;
  const ErrorCode code = f.cursor.operate(operation, f.now);
  f.cursor.check_invariants();
  return code;
}

std::vector<std::uint64_t> offsets(const std::vector<Taken>& taken) {
  std::vector<std::uint64_t> out;
  for (const auto& each : taken) out.push_back(each.offset.value);
  return out;
}

using Offsets = std::vector<std::uint64_t>;

TEST_CASE("an undelivered message is acked, skipped or dead-lettered, and passed over", "[core][S-16]") {
  CursorStory f;
  for (int i = 0; i < 5; ++i) f.publish();
  CHECK(operate(f, MessageAct::kAck, Offset{1}) == ErrorCode::ok);
  CHECK(operate(f, MessageAct::kSkip, Offset{2}) == ErrorCode::ok);
  CHECK(operate(f, MessageAct::kDeadLetter, Offset{3}) == ErrorCode::ok);
  CHECK(operate(f, MessageAct::kAck, Offset{1}) == ErrorCode::already_settled);
  CHECK(operate(f, MessageAct::kDeadLetter, Offset{2}) == ErrorCode::already_settled);
  CHECK(operate(f, MessageAct::kRunNow, Offset{4}) == ErrorCode::failed_precondition);
  CHECK(f.cursor.totals().acked == 1);
  const std::vector<Death> deaths = f.cursor.take_deaths();
  REQUIRE(deaths.size() == 1);
  CHECK(deaths[0].id.offset == Offset{3});
  CHECK(deaths[0].reason == DeathReason::kRejected);
  CHECK(deaths[0].failures == 0);
  CHECK(deaths[0].history.error == "by hand");
  REQUIRE(deaths[0].history.attempts.size() == 1);
  CHECK(deaths[0].history.attempts[0].member == "jo");
  CHECK(offsets(f.fetch()) == Offsets{0, 4});
}

TEST_CASE("what is not in the log is not found", "[core][S-16]") {
  CursorStory f;
  Operation gone = act(MessageAct::kAck, Offset{7});
  gone.in_log = false;
  CHECK(f.cursor.operate(gone, f.now) == ErrorCode::not_found);
}

TEST_CASE("the token of a leased message that an operator settled is void", "[core][S-14]") {
  for (const MessageAct what : {MessageAct::kAck, MessageAct::kSkip, MessageAct::kDeadLetter}) {
    INFO(static_cast<int>(what));
    CursorStory f;
    f.publish();
    const auto taken = f.fetch();
    REQUIRE(taken.size() == 1);
    CHECK(operate(f, MessageAct::kRunNow, Offset{0}) == ErrorCode::failed_precondition);
    CHECK(operate(f, what, Offset{0}) == ErrorCode::ok);
    CHECK(f.cursor.leased() == 0);
    CHECK(f.ack(taken[0]) == ErrorCode::lease_lost);
    CHECK(f.retry(taken[0]) == ErrorCode::lease_lost);
    CHECK(operate(f, what, Offset{0}) == ErrorCode::already_settled);
    CHECK(f.fetch().empty());
    CHECK(f.cursor.take_deaths().size() == (what == MessageAct::kDeadLetter ? 1 : 0));
  }
}

TEST_CASE("a waiting retry is run now, acked, skipped or dead-lettered with its history", "[core][S-18]") {
  CursorStory f;
  for (int i = 0; i < 3; ++i) f.publish();
  for (const auto& taken : f.fetch()) CHECK(f.retry(taken, 1h) == ErrorCode::ok);
  CHECK(f.cursor.waiting() == 3);
  CHECK(operate(f, MessageAct::kRunNow, Offset{1}) == ErrorCode::ok);
  CHECK(f.cursor.waiting() == 2);
  CHECK(operate(f, MessageAct::kRunNow, Offset{1}) == ErrorCode::ok);   // it is due
  CHECK(operate(f, MessageAct::kDeadLetter, Offset{0}) == ErrorCode::ok);
  CHECK(operate(f, MessageAct::kSkip, Offset{2}) == ErrorCode::ok);
  CHECK(f.cursor.waiting() == 0);
  const std::vector<Death> deaths = f.cursor.take_deaths();
  REQUIRE(deaths.size() == 1);
  CHECK(deaths[0].failures == 1);
  CHECK(deaths[0].deliveries == 1);
  CHECK(deaths[0].history.error == "by hand");
  CHECK(deaths[0].history.attempts.size() == 2);
  CHECK(offsets(f.fetch()) == Offsets{1});
}

TEST_CASE("the rest of the key flows after an operator's act, and in order", "[core][S-13]") {
  CursorStory f;
  for (int i = 0; i < 4; ++i) f.publish("k");
  const auto first = f.fetch(1);
  CHECK(offsets(first) == Offsets{0});
  CHECK(f.retry(first[0], 1h) == ErrorCode::ok);
  CHECK(f.fetch().empty());   // all of the key waits
  CHECK(operate(f, MessageAct::kSkip, Offset{2}) == ErrorCode::ok);   // one that stands behind its key
  SECTION("the waiting one is skipped") {
    CHECK(operate(f, MessageAct::kSkip, Offset{0}) == ErrorCode::ok);
    CHECK(offsets(f.fetch()) == Offsets{1, 3});
  }
  SECTION("the waiting one is dead-lettered") {
    CHECK(operate(f, MessageAct::kDeadLetter, Offset{0}) == ErrorCode::ok);
    CHECK(offsets(f.fetch()) == Offsets{1, 3});
  }
  SECTION("the waiting one is run now, and goes first") {
    CHECK(operate(f, MessageAct::kRunNow, Offset{0}) == ErrorCode::ok);
    CHECK(offsets(f.fetch(1)) == Offsets{0});
  }
  SECTION("all that waits behind the key is skipped") {
    for (const std::uint64_t offset : {1, 3}) CHECK(operate(f, MessageAct::kSkip, Offset{offset}) == ErrorCode::ok);
    CHECK(operate(f, MessageAct::kSkip, Offset{0}) == ErrorCode::ok);
    CHECK(f.fetch().empty());
    CHECK(f.cursor.blocked() == 0);
    f.publish("k");
    CHECK(offsets(f.fetch()) == Offsets{4});
  }
}

TEST_CASE("of messages of a key that were leased together, dead-lettering one gives the rest back, and acking one does not", "[core][S-13]") {
  CursorStory f;
  for (int i = 0; i < 3; ++i) f.publish("k");
  const auto chain = f.fetch();
  REQUIRE(chain.size() == 3);
  CHECK(operate(f, MessageAct::kAck, Offset{0}) == ErrorCode::ok);
  CHECK(f.cursor.leased() == 2);
  CHECK(operate(f, MessageAct::kDeadLetter, Offset{1}) == ErrorCode::ok);
  CHECK(f.cursor.leased() == 0);
  CHECK(f.ack(chain[2]) == ErrorCode::lease_lost);
  CHECK(offsets(f.fetch()) == Offsets{2});
}

TEST_CASE("a redriven letter is found by its original offset", "[core][S-26]") {
  CursorStory f;
  f.publish("k");
  const auto taken = f.fetch();
  CHECK(f.settle(Settlement::reject(taken[0].token, "no")) == ErrorCode::ok);
  CHECK(f.cursor.take_deaths().size() == 1);
  CHECK(operate(f, MessageAct::kAck, Offset{0}) == ErrorCode::already_settled);
  f.cursor.redrive({Offset{0}, 1}, f.log[0].key_hash, 1, Time{});
  CHECK(operate(f, MessageAct::kDeadLetter, Offset{0}) == ErrorCode::ok);
  const std::vector<Death> deaths = f.cursor.take_deaths();
  REQUIRE(deaths.size() == 1);
  CHECK(deaths[0].id.letter == 1);
  CHECK(deaths[0].redrives == 1);
  CHECK(f.cursor.redriven() == 0);
}

}  // namespace
}  // namespace weir::core
