// Producer sessions (S-6, S-3).
#include "broker/core/sessions.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
#include <optional>

#include "broker/base/prng.h"

namespace weir::core {
namespace {

using namespace std::chrono_literals;
using Verdict = Sessions::Verdict;
using MaybeOffsets = std::vector<std::optional<Offset>>;
Time at(std::int64_t ms) { return Time{Duration{ms}}; }

std::vector<Offset> offsets(std::uint64_t first, std::size_t count) {
  std::vector<Offset> out;
  for (std::size_t i = 0; i < count; ++i) out.push_back(Offset{first + i});
  return out;
}

TEST_CASE("a session begins at 1 and goes on without gaps", "[core][S-6]") {
  Sessions sessions;
  CHECK(sessions.check("s", 2, 1, at(0)).verdict == Verdict::kGap);
  CHECK(sessions.check("s", 1, 3, at(0)).verdict == Verdict::kFresh);
  CHECK(sessions.size() == 0);
  sessions.record("s", 1, offsets(10, 3), at(0));
  CHECK(sessions.check("s", 4, 1, at(0)).verdict == Verdict::kFresh);
  const Sessions::Answer gap = sessions.check("s", 6, 1, at(0));
  CHECK(gap.verdict == Verdict::kGap);
  CHECK(gap.expected == 4);
  CHECK(gap.status() == ErrorCode::sequence_gap);
  CHECK(gap.status().message().find("4") != std::string::npos);
  CHECK(sessions.last_sequence("s") == 3);
  CHECK(sessions.last_sequence("t") == std::nullopt);
}

TEST_CASE("a repeated request is answered with its offsets and time", "[core][S-6]") {
  Sessions sessions;
  sessions.record("s", 1, std::vector<Offset>{Offset{4}, Offset{9}, Offset{10}}, at(5));
  sessions.record("s", 4, offsets(20, 2), at(6));
  Sessions::Answer again = sessions.check("s", 1, 3, at(7));
  CHECK(again.verdict == Verdict::kDuplicate);
  CHECK(again.status().ok());
  CHECK(again.offsets == MaybeOffsets{Offset{4}, Offset{9}, Offset{10}});
  CHECK(again.time == at(5));
  again = sessions.check("s", 2, 3, at(7));
  CHECK(again.offsets == MaybeOffsets{Offset{9}, Offset{10}, Offset{20}});
  again = sessions.check("s", 5, 1, at(7));
  CHECK(again.offsets == MaybeOffsets{Offset{21}});
  CHECK(again.time == at(6));
}

TEST_CASE("a request that was stored in part is refused", "[core][S-6]") {
  Sessions sessions;
  sessions.record("s", 1, offsets(0, 3), at(0));
  const Sessions::Answer answer = sessions.check("s", 3, 2, at(0));
  CHECK(answer.verdict == Verdict::kInvalid);
  CHECK(answer.status() == ErrorCode::invalid_argument);
  CHECK(answer.status().message().find("3 to 4") != std::string::npos);
  CHECK(answer.expected == 4);
}

TEST_CASE("numbers that cannot be are refused", "[core][S-6]") {
  Sessions sessions;
  CHECK(sessions.check("s", 0, 1, at(0)).verdict == Verdict::kInvalid);
  CHECK(sessions.check("s", 1, 0, at(0)).verdict == Verdict::kInvalid);
  CHECK(sessions.check("s", ~std::uint64_t{0}, 2, at(0)).verdict == Verdict::kInvalid);
  CHECK(sessions.check("s", ~std::uint64_t{0}, 1, at(0)).verdict == Verdict::kGap);
}

TEST_CASE("older requests are duplicates even when their offsets are forgotten", "[core][S-6]") {
  Sessions sessions;
  for (std::uint64_t i = 0; i < 100; ++i) sessions.record("s", i + 1, offsets(i, 1), at(0));
  Sessions::Answer answer = sessions.check("s", 1, 1, at(0));
  CHECK(answer.verdict == Verdict::kDuplicate);
  CHECK(answer.offsets == MaybeOffsets{std::nullopt});
  CHECK(answer.time == std::nullopt);
  CHECK(sessions.check("s", 37, 1, at(0)).offsets == MaybeOffsets{Offset{36}});
  CHECK(sessions.check("s", 36, 2, at(0)).offsets == MaybeOffsets{std::nullopt, Offset{36}});
}

TEST_CASE("what is persisted brings a session back", "[core][S-6]") {
  Sessions before;
  before.record("s", 1, offsets(5, 2), at(1));
  const SessionState state = before.record("s", 3, offsets(9, 2), at(2));
  CHECK(state.last_sequence == 4);
  CHECK(state.request_sequence == 3);
  CHECK(state.request_offsets == std::vector<std::uint64_t>{9, 10});

  Sessions sessions;
  sessions.load("s", state);
  CHECK(sessions.check("s", 3, 2, at(3)).offsets == MaybeOffsets{Offset{9}, Offset{10}});
  CHECK(sessions.check("s", 3, 2, at(3)).time == at(2));
  CHECK(sessions.check("s", 1, 2, at(3)).offsets == MaybeOffsets{std::nullopt, std::nullopt});
  CHECK(sessions.check("s", 5, 1, at(3)).verdict == Verdict::kFresh);
  CHECK(sessions.check("s", 6, 1, at(3)).verdict == Verdict::kGap);
}

TEST_CASE("a persisted state that contradicts itself gives no offsets", "[core][S-32]") {
  Sessions sessions;
  sessions.load("s", {.last_sequence = 4, .last_used = at(0), .request_sequence = 1, .request_offsets = {1, 2}, .request_time = at(0)});
  sessions.load("t", {.last_sequence = 1, .last_used = at(0), .request_sequence = 0, .request_offsets = {1, 2}, .request_time = at(0)});
  CHECK(sessions.check("s", 1, 2, at(0)).offsets == MaybeOffsets{std::nullopt, std::nullopt});
  CHECK(sessions.check("t", 1, 1, at(0)).offsets == MaybeOffsets{std::nullopt});
}

TEST_CASE("a request whose write failed is taken back", "[core][S-6]") {
  Sessions sessions;
  sessions.record("s", 1, offsets(0, 2), at(0));
  sessions.record("s", 3, offsets(2, 1), at(0));
  sessions.record("s", 4, offsets(3, 1), at(0));
  sessions.take_back("s", 3);
  CHECK(sessions.last_sequence("s") == 2);
  CHECK(sessions.check("s", 3, 1, at(0)).verdict == Verdict::kFresh);
  CHECK(sessions.check("s", 1, 2, at(0)).offsets == MaybeOffsets{Offset{0}, Offset{1}});
  sessions.take_back("s", 1);
  CHECK(sessions.size() == 0);
  CHECK(sessions.check("s", 1, 1, at(0)).verdict == Verdict::kFresh);
  sessions.take_back("nobody", 1);
}

TEST_CASE("idle sessions are forgotten and named once", "[core][S-33]") {
  Sessions sessions;
  sessions.record("old", 1, offsets(0, 1), at(0));
  sessions.record("new", 1, offsets(1, 1), at(1000));
  CHECK(sessions.expire(at(0) + Sessions::kIdleMax - 1ms).empty());
  CHECK(sessions.expire(at(0) + Sessions::kIdleMax) == std::vector<std::string>{"old"});
  CHECK(sessions.expire(at(0) + Sessions::kIdleMax).empty());
  CHECK(sessions.size() == 1);
  CHECK(sessions.check("new", 1, 1, at(0) + Sessions::kIdleMax).verdict == Verdict::kDuplicate);  // a use, too
  CHECK(sessions.expire(at(1000) + Sessions::kIdleMax).empty());
}

TEST_CASE("past the bound the least recently used session is forgotten", "[core][S-33]") {
  Sessions sessions(3);
  for (const char* name : {"a", "b", "c"}) sessions.record(name, 1, offsets(0, 1), at(0));
  sessions.check("a", 1, 1, at(1));
  sessions.record("d", 1, offsets(0, 1), at(2));
  CHECK(sessions.size() == 3);
  CHECK(sessions.expire(at(2)) == std::vector<std::string>{"b"});
  sessions.record("e", 1, offsets(0, 1), at(3));  // "c" goes
  sessions.record("c", 1, offsets(0, 1), at(4));  // and comes back: "a" goes
  CHECK(sessions.expire(at(4)) == std::vector<std::string>{"a"});
}

TEST_CASE("loaded sessions are ordered by their last use", "[core][S-33]") {
  Sessions sessions(2);
  sessions.load("new", {.last_sequence = 1, .last_used = at(9), .request_sequence = 0, .request_offsets = {}, .request_time = {}});
  sessions.load("old", {.last_sequence = 1, .last_used = at(1), .request_sequence = 0, .request_offsets = {}, .request_time = {}});
  sessions.load("mid", {.last_sequence = 1, .last_used = at(5), .request_sequence = 0, .request_offsets = {}, .request_time = {}});
  CHECK(sessions.expire(at(9)) == std::vector<std::string>{"old"});
  sessions.record("x", 1, offsets(0, 1), at(10));
  CHECK(sessions.expire(at(10)) == std::vector<std::string>{"mid"});
}

TEST_CASE("remembered offsets are bounded over all sessions", "[core][S-33]") {
  Sessions sessions;
  std::vector<Offset> scattered;
  for (std::uint64_t i = 0; i < 10'000; ++i) scattered.push_back(Offset{3 * i});
  for (int s = 0; s < 110; ++s) sessions.record("s" + std::to_string(s), 1, scattered, at(0));
  CHECK(sessions.check("s0", 2, 1, at(0)).offsets == MaybeOffsets{Offset{3}});
  const Sessions::Answer late = sessions.check("s109", 2, 1, at(0));
  CHECK(late.verdict == Verdict::kDuplicate);
  CHECK(late.offsets == MaybeOffsets{std::nullopt});
}

TEST_CASE("random producers with retries store each message once and in order", "[core][S-6][S-3]") {
  const std::uint64_t seed = GENERATE(1, 2, 3);
  CAPTURE(seed);
  base::Prng random(seed);
  std::optional<Sessions> sessions(std::in_place);
  std::map<std::string, std::vector<Offset>> stored;  // by sequence - 1
  std::map<std::string, SessionState> disk;
  std::uint64_t next_offset = 0;
  for (int step = 0; step < 5000; ++step) {
    const std::string name(1, static_cast<char>('a' + random.below(5)));
    std::vector<Offset>& log = stored[name];
    const std::uint64_t last = log.size();
    const std::uint64_t sequence = 1 + last - std::min(last, random.below(20)) + (random.below(10) == 0 ? random.below(3) : 0);
    const std::size_t count = 1 + random.below(4);
    const Sessions::Answer answer = sessions->check(name, sequence, count, at(step));
    REQUIRE(answer.expected == last + 1);
    if (sequence > last + 1) {
      REQUIRE(answer.verdict == Verdict::kGap);
    } else if (sequence == last + 1) {
      REQUIRE(answer.verdict == Verdict::kFresh);
      std::vector<Offset> given;
      for (std::size_t i = 0; i < count; ++i) given.push_back(Offset{next_offset += 1 + random.below(2)});
      const SessionState state = sessions->record(name, sequence, given, at(step));
      if (random.below(8) == 0) {
        sessions->take_back(name, sequence);
      } else {
        log.insert(log.end(), given.begin(), given.end());
        disk[name] = state;
      }
    } else if (sequence + count - 1 > last) {
      REQUIRE(answer.verdict == Verdict::kInvalid);
    } else {
      REQUIRE(answer.verdict == Verdict::kDuplicate);
      for (std::size_t i = 0; i < count; ++i)
        if (answer.offsets.at(i)) REQUIRE(*answer.offsets[i] == log[sequence - 1 + i]);
    }
    if (random.below(500) == 0) {
      sessions.emplace();
      for (const auto& [each, state] : disk) sessions->load(each, state);
    }
  }
}

}  // namespace
}  // namespace weir::core
