// Transactions with a request id that are remembered (S-6, S-28).
#include "broker/core/requests.h"

#include <catch2/catch.hpp>

namespace weir::core {
namespace {

using namespace std::chrono_literals;
using Ids = std::vector<std::string>;
Time at(Duration since) { return Time{since}; }

RequestState state(std::uint64_t content, Time time, std::size_t publishes = 1) {
  return {{content, content}, time, 7, std::vector<Published>(publishes, Published{Offset{3}, false})};
}

TEST_CASE("a request is known for an hour", "[core][S-6][S-28]") {
  Requests requests;
  CHECK(requests.find("a", at(0ms)) == nullptr);
  CHECK(requests.record("a", state(1, at(0ms))).empty());
  REQUIRE(requests.find("a", at(1h - 1ms)) != nullptr);
  CHECK(requests.find("a", at(0ms))->content == base::Hash128{1, 1});
  CHECK(requests.find("a", at(0ms))->version == 7);
  CHECK(requests.find("a", at(0ms))->publishes.at(0).offset == Offset{3});
  CHECK(requests.find("a", at(1h)) == nullptr);
  CHECK(requests.expire(at(1h - 1ms)).empty());
  CHECK(requests.expire(at(1h)) == Ids{"a"});
  CHECK(requests.size() == 0);
}

TEST_CASE("past the bound the oldest is forgotten, and named so that its record goes", "[core][S-33]") {
  Requests requests(2, 100);
  CHECK(requests.record("a", state(1, at(1ms))).empty());
  CHECK(requests.record("b", state(2, at(2ms))).empty());
  CHECK(requests.record("c", state(3, at(3ms))) == Ids{"a"});
  CHECK(requests.find("a", at(3ms)) == nullptr);
  CHECK(requests.find("b", at(3ms)) != nullptr);
  CHECK(requests.size() == 2);
}

TEST_CASE("the offsets of their answers are bounded together", "[core][S-33]") {
  Requests requests(100, 10);
  CHECK(requests.record("a", state(1, at(1ms), 4)).empty());
  CHECK(requests.record("b", state(2, at(2ms), 4)).empty());
  CHECK(requests.record("c", state(3, at(3ms), 5)) == Ids{"a"});
  CHECK(requests.record("d", state(4, at(4ms), 10)) == Ids{"b", "c"});
  CHECK(requests.size() == 1);
}

TEST_CASE("an id that is too old to count is recorded anew in its place", "[core][S-6]") {
  Requests requests;
  CHECK(requests.record("a", state(1, at(0ms))).empty());
  CHECK(requests.record("a", state(2, at(2h))) == Ids{"a"});
  CHECK(requests.find("a", at(2h))->content == base::Hash128{2, 2});
  CHECK(requests.size() == 1);
}

TEST_CASE("loaded in any order, the oldest goes first", "[core][S-6]") {
  Requests requests(3, 100);
  requests.load("new", state(1, at(90min)));
  requests.load("old", state(2, at(0ms)));
  requests.load("middle", state(3, at(60min)));
  CHECK(requests.find("middle", at(90min)) != nullptr);
  CHECK(requests.expire(at(90min)) == Ids{"old"});
  CHECK(requests.record("newest", state(4, at(91min))).empty());
  CHECK(requests.record("more", state(5, at(92min))) == Ids{"middle"});
}

}  // namespace
}  // namespace weir::core
