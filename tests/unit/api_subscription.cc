// The handler pool: how handlers end deliveries, and what is promised about it.
#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <thread>
#include <vector>

#include "tests/support/collector.h"
#include "tests/unit/api_fake_broker.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

std::vector<Settlement> settlements_of(const FakeBroker& broker, std::uint64_t offset) {
  std::vector<Settlement> found = broker.settlements();
  std::erase_if(found, [&](const Settlement& s) { return s.token.offset.value != offset; });
  return found;
}

TEST_CASE("returning is ack, throwing is retry, Reject and RetryAfter say more", "[api][S-16]") {
  FakeBroker broker;
  auto subscription = broker.subscribe("t", {.group = "g", .threads = 2}, [&](Delivery& d) {
    if (d.attempt() > 1) return;
    switch (d.offset().value) {
      case 1: throw std::runtime_error("boom");
      case 2: throw Reject("never");
      case 3: throw RetryAfter(5s, "later");
      case 4: throw 42;
      case 5: return d.retry("by hand", 7s);
      default: return;
    }
  });
  REQUIRE(subscription.ok());
  broker.fill(6);
  CHECK(eventually([&] { return std::ranges::count(broker.settlements(), Settle::kAck, &Settlement::kind) == 5; }));
  subscription->stop();
  CHECK(settlements_of(broker, 0).at(0).kind == Settle::kAck);
  CHECK(settlements_of(broker, 1).at(0).kind == Settle::kRetry);
  CHECK(settlements_of(broker, 1).at(0).error == "boom");
  CHECK(settlements_of(broker, 1).at(1).kind == Settle::kAck);
  CHECK(settlements_of(broker, 2).at(0).kind == Settle::kReject);
  CHECK(settlements_of(broker, 2).at(0).error == "never");
  CHECK(settlements_of(broker, 3).at(0).kind == Settle::kRetry);
  CHECK(settlements_of(broker, 3).at(0).delay == Duration{5s});
  CHECK(settlements_of(broker, 3).at(0).error == "later");
  CHECK(settlements_of(broker, 4).at(0).error == "unknown exception");
  CHECK(settlements_of(broker, 5).at(0).kind == Settle::kRetry);
  CHECK(settlements_of(broker, 5).at(0).delay == Duration{7s});
}

TEST_CASE("the broker is told which handler has ended before the next one begins, unless the program settles it by itself", "[api][S-17]") {
  FakeBroker broker;
  std::atomic<int> runs{0};
  broker.fill(4);
  auto subscription = broker.subscribe("t", {.group = "g", .threads = 1}, [&](Delivery& d) {
    if (d.offset().value == 2) static_cast<void>(d.detach());   // it is the program's now, and may go on
    ++runs;
  });
  REQUIRE(subscription.ok());
  CHECK(eventually([&] { return runs == 4; }));
  subscription->stop();
  using Pairs = std::vector<std::pair<Offset, Offset>>;
  CHECK(broker.begun_after() == Pairs{{Offset{0}, Offset{1}}, {Offset{1}, Offset{2}}});
}

TEST_CASE("a released message comes again, uncounted", "[api][S-16]") {
  FakeBroker broker;
  std::atomic<int> runs{0};
  auto subscription = broker.subscribe("t", {.group = "g"}, [&](Delivery& d) {
    if (++runs == 1) d.release();
  });
  broker.fill(1);
  CHECK(eventually([&] { return settlements_of(broker, 0).size() == 2; }));
  CHECK(settlements_of(broker, 0).at(0).kind == Settle::kRelease);
  CHECK(settlements_of(broker, 0).at(1).kind == Settle::kAck);
}

TEST_CASE("every message is handled and settled once, with any number of threads", "[api]") {
  const std::uint32_t threads = GENERATE(1u, 2u, 4u);
  const bool inside = GENERATE(true, false);
  FakeBroker broker(inside);
  constexpr std::size_t kCount = 20'000;
  std::vector<std::atomic<int>> runs(kCount);
  auto subscription = broker.subscribe("t", {.group = "g", .threads = threads}, [&](Delivery& d) { ++runs[d.offset().value]; });
  std::thread producer([&] {
    for (std::size_t i = 0; i < kCount / 2; i += 10) broker.fill(10);
  });
  broker.fill(kCount / 2);
  producer.join();
  CHECK(eventually([&] { return broker.settlements().size() == kCount; }));
  CHECK(subscription->handled() == kCount);
  CHECK(std::ranges::all_of(runs, [](const auto& n) { return n == 1; }));
  subscription->stop();
  CHECK(broker.members() == 0);
}

TEST_CASE("a message whose lease is lost is not handled", "[api][S-14]") {
  FakeBroker broker;
  broker.lose(Offset{3});
  Collector<std::uint64_t> handled;
  auto subscription = broker.subscribe("t", {.group = "g"}, [&](Delivery& d) { handled.add(d.offset().value); });
  broker.fill(6);
  CHECK(handled.wait_for(5));
  CHECK(eventually([&] { return broker.settlements().size() == 5; }));
  subscription->stop();
  CHECK(handled.items() == std::vector<std::uint64_t>{0, 1, 2, 4, 5});
}

TEST_CASE("a settlement that the broker was too busy for is sent again", "[api][S-33]") {
  FakeBroker broker;
  broker.settles_busy = 20;
  auto subscription = broker.subscribe("t", {.group = "g", .threads = 2}, [](Delivery&) {});
  broker.fill(5000);
  CHECK(eventually([&] { return broker.settlements().size() == 5000; }));
  CHECK(broker.settles_busy < 20);
}

TEST_CASE("a slow handler holds back neither the outcome of others nor the messages behind it", "[api]") {
  const std::uint32_t threads = GENERATE(1u, 2u);
  FakeBroker broker;
  Gate slow;
  auto subscription = broker.subscribe("t", {.group = "g", .threads = threads}, [&](Delivery& d) {
    if (d.offset() == Offset{50}) slow.wait();
  });
  broker.fill(100);
  // One thread: all before the slow one are settled while it runs. Two: those behind it as well.
  const std::size_t others = threads == 1 ? 50 : 99;
  CHECK(eventually([&] { return broker.settlements().size() == others; }));
  slow.open();
  CHECK(eventually([&] { return broker.settlements().size() == 100; }));
}

TEST_CASE("while all handlers but one are slow the last one goes on, also with new messages", "[api]") {
  FakeBroker broker;
  Gate slow;
  auto subscription = broker.subscribe("t", {.group = "g", .threads = 4}, [&](Delivery& d) {
    if (d.offset() < Offset{3}) slow.wait();
  });
  for (int i = 0; i < 3; ++i) broker.fill(1);
  for (std::size_t i = 0; i < 200; ++i) {
    broker.fill(1);
    REQUIRE(eventually([&] { return broker.settlements().size() == i + 1; }));
  }
  slow.open();
  CHECK(eventually([&] { return broker.settlements().size() == 203; }));
}

TEST_CASE("one hot key flows though the broker holds its next message back", "[api][S-13]") {
  FakeBroker broker;
  broker.hold_keys = true;
  std::atomic<int> at_once{0};
  std::atomic<bool> overlapped{false};
  std::vector<std::uint64_t> order;
  auto subscription = broker.subscribe("t", {.group = "g", .threads = 4}, [&](Delivery& d) {
    if (++at_once > 1) overlapped = true;
    order.push_back(d.offset().value);
    --at_once;
  });
  broker.fill(2000, [](std::size_t) { return "hot"; });
  CHECK(eventually([&] { return broker.settlements().size() == 2000; }));
  subscription->stop();
  CHECK_FALSE(overlapped);
  CHECK(order.size() == 2000);
  CHECK(std::ranges::is_sorted(order));
}

TEST_CASE("messages of one key in one fetch run one after another, and a failure sends the rest back", "[api][S-13]") {
  FakeBroker broker;  // which hands out messages of a key together
  broker.order_keys = true;
  constexpr std::size_t kCount = 3000, kKeys = 7;
  std::mutex mutex;
  std::map<std::string, std::vector<std::uint64_t>> acked;
  std::set<std::string> working;
  std::atomic<bool> overlapped{false};
  std::set<std::uint64_t> failed;
  broker.fill(kCount, [](std::size_t i) { return "k" + std::to_string(i % kKeys); });
  auto subscription = broker.subscribe("t", {.group = "g", .threads = 4, .prefetch = 3000}, [&](Delivery& d) {
    const std::string key(d.key());
    {
      const std::lock_guard lock(mutex);
      if (!working.insert(key).second) overlapped = true;
    }
    std::this_thread::yield();
    const std::lock_guard lock(mutex);
    working.erase(key);
    if (d.offset().value == 1500 && failed.insert(1500).second) throw std::runtime_error("once");
    acked[key].push_back(d.offset().value);
  });
  CHECK(eventually([&] { return std::ranges::count(broker.settlements(), Settle::kAck, &Settlement::kind) == kCount; }));
  subscription->stop();
  CHECK_FALSE(overlapped);
  std::size_t released = 0;
  for (const Settlement& s : broker.settlements()) released += s.kind == Settle::kRelease;
  CHECK(released > 0);
  for (const auto& [key, offsets] : acked) CHECK(std::ranges::is_sorted(offsets));
}

TEST_CASE("a handler may keep its delivery and settle it later", "[api]") {
  FakeBroker broker;
  Collector<Token> tokens;
  auto subscription = broker.subscribe("t", {.group = "g"}, [&](Delivery& d) { tokens.add(d.detach()); });
  broker.fill(1);
  REQUIRE(tokens.wait_for(1));
  subscription->stop();
  CHECK(broker.settlements().empty());
  CHECK(broker.ack(tokens.items().front()).ok());
  CHECK(broker.settlements().size() == 1);
}

TEST_CASE("a handler may extend its lease", "[api][S-15]") {
  FakeBroker broker;
  Collector<Status> extended;
  auto subscription = broker.subscribe("t", {.group = "g"}, [&](Delivery& d) { extended.add(d.extend(5s)); });
  broker.fill(1);
  REQUIRE(extended.wait_for(1));
  CHECK(extended.items().front().ok());
  subscription->stop();
  CHECK(settlements_of(broker, 0).at(0).kind == Settle::kExtend);
}

TEST_CASE("a fetch that fails for a while is tried again", "[api]") {
  FakeBroker broker;
  auto subscription = broker.subscribe("t", {.group = "g", .threads = 2}, [](Delivery&) {});
  broker.fail_fetches({ErrorCode::unavailable, "down"});
  broker.fill(10);
  CHECK(subscription->running());
  broker.fail_fetches(ok());
  CHECK(eventually([&] { return broker.settlements().size() == 10; }));
}

struct Digits {
  static Payload encode(const int& n) { return Payload(std::to_string(n)); }
  static Result<int> decode(const Payload& p) {
    if (p.str().find_first_not_of("0123456789") != std::string::npos) return Status(ErrorCode::invalid_argument, "no number");
    return std::stoi(p.str());
  }
  static constexpr std::string_view content_type = "text/plain";
};

TEST_CASE("typed topics hand out values and reject what cannot be decoded", "[api][S-16]") {
  FakeBroker broker;
  Topic<int, Digits> topic(broker, "t");
  Collector<int> numbers;
  auto subscription = topic.subscribe({.group = "g"}, [&](const int& n) { numbers.add(n); });
  REQUIRE(subscription.ok());
  CHECK(topic.publish(42).ok());
  CHECK(broker.publish("t", {.payload = "forty-two"}).ok());
  CHECK(eventually([&] { return broker.settlements().size() == 2; }));
  CHECK(numbers.items() == std::vector<int>{42});
  CHECK(settlements_of(broker, 1).at(0).kind == Settle::kReject);
}

}  // namespace
}  // namespace weir::test
