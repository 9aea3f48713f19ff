// The ids that are remembered, against a simple model (S-6).
#include "broker/core/dedup.h"

#include <catch2/catch.hpp>

#include <deque>
#include <map>
#include <string>
#include <tuple>

#include "broker/base/prng.h"

namespace weir::core {
namespace {

using namespace std::chrono_literals;
using Expired = std::vector<Dedup::Expired>;
constexpr TopicId kOrders{1}, kBills{2};
Time at(std::int64_t ms) { return Time{Duration{ms}}; }
base::Hash128 id(std::uint64_t n) { return base::hash128(std::to_string(n), 99); }

TEST_CASE("an id is found inside its window, by topic", "[core][S-6]") {
  Dedup dedup(100);
  CHECK(dedup.find(kOrders, id(1), at(0), 10min) == std::nullopt);
  const auto record = dedup.begin_record(1, 0, kOrders, at(1000));
  dedup.insert(record, id(1), Offset{7});
  CHECK(dedup.find(kOrders, id(1), at(1000), 10min) == Offset{7});
  CHECK(dedup.find(kOrders, id(1), at(1000) + 10min - 1ms, 10min) == Offset{7});
  CHECK(dedup.find(kOrders, id(1), at(1000) + 10min, 10min) == std::nullopt);
  CHECK(dedup.find(kOrders, id(1), at(1000), 0ms) == std::nullopt);
  CHECK(dedup.find(kBills, id(1), at(1000), 10min) == std::nullopt);
  CHECK(dedup.find(kOrders, id(2), at(1000), 10min) == std::nullopt);
}

TEST_CASE("an id inserted again is found at its newer place, also when the older one goes", "[core][S-6]") {
  Dedup dedup(100);
  dedup.insert_record(1, 0, kOrders, at(0), std::vector<Dedup::Entry>{{id(1), Offset{1}}, {id(2), Offset{2}}});
  dedup.insert_record(2, 0, kOrders, at(100), std::vector<Dedup::Entry>{{id(1), Offset{3}}});
  CHECK(dedup.size() == 2);
  CHECK(dedup.find(kOrders, id(1), at(100), 50ms) == Offset{3});
  CHECK(dedup.expire(at(150), 150ms) == Expired{{1, 0}});
  CHECK(dedup.find(kOrders, id(1), at(150), 1h) == Offset{3});
  CHECK(dedup.find(kOrders, id(2), at(150), 1h) == std::nullopt);
  CHECK(dedup.expire(at(250), 150ms) == Expired{{2, 0}});
  CHECK(dedup.size() == 0);
}

TEST_CASE("past the bound the oldest ids go, and their records with the last of them", "[core][S-6][S-33]") {
  Dedup dedup(3);
  dedup.insert_record(1, 0, kOrders, at(0), std::vector<Dedup::Entry>{{id(1), Offset{1}}, {id(2), Offset{2}}});
  dedup.insert_record(2, 0, kOrders, at(0), std::vector<Dedup::Entry>{{id(3), Offset{3}}, {id(4), Offset{4}}});
  CHECK(dedup.size() == 3);
  CHECK(dedup.find(kOrders, id(1), at(0), 1h) == std::nullopt);
  CHECK(dedup.find(kOrders, id(2), at(0), 1h) == Offset{2});
  CHECK(dedup.expire(at(0), 1h).empty());
  dedup.insert_record(3, 0, kOrders, at(0), std::vector<Dedup::Entry>{{id(5), Offset{5}}});
  CHECK(dedup.expire(at(0), 1h) == Expired{{1, 0}});
}

TEST_CASE("a commit with more ids than are remembered keeps the newest", "[core][S-33]") {
  Dedup dedup(2);
  const auto orders = dedup.begin_record(1, 0, kOrders, at(0));
  const auto bills = dedup.begin_record(1, 1, kBills, at(0));
  for (std::uint64_t n = 0; n < 5; ++n) dedup.insert(orders, id(n), Offset{n});
  for (std::uint64_t n = 0; n < 5; ++n) dedup.insert(bills, id(n), Offset{n});
  dedup.insert(orders, id(9), Offset{9});
  CHECK(dedup.size() == 2);
  CHECK(dedup.find(kOrders, id(9), at(0), 1h) == Offset{9});
  CHECK(dedup.find(kBills, id(4), at(0), 1h) == Offset{4});
  CHECK(dedup.expire(at(0), 1h).empty());
  CHECK(dedup.expire(at(0) + 1h, 1h) == Expired{{1, 0}, {1, 1}});
}

TEST_CASE("expiry can be done in steps", "[core][S-33]") {
  Dedup dedup(100);
  for (std::uint64_t n = 0; n < 5; ++n)
    dedup.insert_record(n, 1, kOrders, at(0), std::vector<Dedup::Entry>{{id(n), Offset{n}}});
  CHECK(dedup.expire(at(1000), 1s, 2) == Expired{{0, 1}, {1, 1}});
  CHECK(dedup.size() == 3);
  CHECK(dedup.expire(at(1000), 1s).size() == 3);
  CHECK(dedup.expire(at(1000), 1s).empty());
}

TEST_CASE("records that are not persisted are not named", "[core][S-4]") {
  Dedup dedup(100);
  dedup.insert_record(1, Dedup::kNotPersisted, kOrders, at(0), std::vector<Dedup::Entry>{{id(1), Offset{1}}});
  dedup.insert_record(1, 0, kOrders, at(0), std::vector<Dedup::Entry>{{id(2), Offset{2}}});
  CHECK(dedup.expire(at(1000), 1s) == Expired{{1, 0}});
  CHECK(dedup.size() == 0);
}

TEST_CASE("a commit that failed is taken back", "[core][S-6]") {
  Dedup dedup(100);
  dedup.insert_record(1, 0, kOrders, at(0), std::vector<Dedup::Entry>{{id(1), Offset{1}}});
  dedup.insert_record(2, 0, kOrders, at(0), std::vector<Dedup::Entry>{{id(2), Offset{2}}});
  dedup.insert_record(2, 1, kBills, at(0), std::vector<Dedup::Entry>{{id(3), Offset{3}}});
  dedup.take_back(2);
  CHECK(dedup.size() == 1);
  CHECK(dedup.find(kOrders, id(1), at(0), 1h) == Offset{1});
  CHECK(dedup.find(kOrders, id(2), at(0), 1h) == std::nullopt);
  dedup.insert_record(2, 0, kOrders, at(0), std::vector<Dedup::Entry>{{id(2), Offset{5}}});
  CHECK(dedup.find(kOrders, id(2), at(0), 1h) == Offset{5});
  CHECK(dedup.expire(at(0) + 1h, 1h) == Expired{{1, 0}, {2, 0}});
}

TEST_CASE("the ids of a deleted topic are forgotten", "[core][S-2]") {
  Dedup dedup(100);
  dedup.insert_record(1, 0, kOrders, at(0), std::vector<Dedup::Entry>{{id(1), Offset{1}}});
  dedup.insert_record(1, 1, kBills, at(0), std::vector<Dedup::Entry>{{id(1), Offset{2}}});
  dedup.forget_topic(kOrders);
  dedup.forget_topic(TopicId{3});
  CHECK(dedup.find(kOrders, id(1), at(0), 1h) == std::nullopt);
  CHECK(dedup.find(kBills, id(1), at(0), 1h) == Offset{2});
  CHECK(dedup.expire(at(0) + 1h, 1h) == Expired{{1, 0}, {1, 1}});
}

TEST_CASE("random ids agree with a simple model", "[core][S-6]") {
  const std::uint64_t seed = GENERATE(1, 2, 3, 4);
  CAPTURE(seed);
  base::Prng random(seed);
  constexpr std::size_t kIdsMax = 200;
  struct Known {
    TopicId topic;
    std::uint64_t n;
    Offset offset;
    Time time;
    std::uint64_t commit;
  };
  std::deque<Known> model;  // oldest first
  Dedup dedup(kIdsMax);
  std::uint64_t offset = 0;
  Time now = at(0);
  for (std::uint64_t commit = 1; commit < 3000; ++commit) {
    now += Duration{random.below(20)};
    std::map<std::uint64_t, Dedup::Record> records;
    for (std::uint64_t count = random.below(6); count > 0; --count) {
      const TopicId topic{1 + random.below(3)};
      const std::uint64_t n = random.below(400);
      std::optional<Offset> expected;
      for (const Known& known : model)
        if (known.topic == topic && known.n == n) expected = now - known.time < 500ms ? std::optional(known.offset) : std::nullopt;
      REQUIRE(dedup.find(topic, id(n), now, 500ms) == expected);
      if (expected) continue;
      if (!records.contains(topic.value))
        records[topic.value] = dedup.begin_record(commit, static_cast<std::uint32_t>(topic.value), topic, now);
      dedup.insert(records[topic.value], id(n), Offset{++offset});
      model.push_back({topic, n, Offset{offset}, now, commit});
      if (model.size() > kIdsMax) model.pop_front();
    }
    if (random.below(10) == 0) {
      dedup.take_back(commit);
      while (!model.empty() && model.back().commit == commit) model.pop_back();
    }
    for (const Dedup::Expired& gone : dedup.expire(now, 700ms)) {
      REQUIRE(gone.commit <= commit);
      while (!model.empty() && now - model.front().time >= 700ms) model.pop_front();
      for (const Known& known : model) REQUIRE_FALSE((known.commit == gone.commit && known.topic.value == gone.sub));
    }
  }
}

}  // namespace
}  // namespace weir::core
