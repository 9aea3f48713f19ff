// Subscribing with options, stopping, and what happens when broker or group go first.
#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>
#include <vector>

#include "tests/support/collector.h"
#include "tests/unit/api_fake_broker.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

std::size_t count(const FakeBroker& broker, Settle kind) {
  std::size_t n = 0;
  for (const Settlement& s : broker.settlements()) n += s.kind == kind;
  return n;
}

TEST_CASE("a missing group is made with the options of the subscription", "[api][S-12]") {
  FakeBroker broker;
  auto subscription = broker.subscribe("t", {.group = "g", .order = Order::kNone, .max_attempts = 9, .member = "me"}, [](Delivery&) {});
  REQUIRE(subscription.ok());
  CHECK(broker.group_options.order == Order::kNone);
  CHECK(broker.group_options.max_attempts == 9);
  CHECK(broker.group_options.lease == GroupOptions{}.lease);
  CHECK(broker.last_join().name == "me");
  CHECK(subscription->member() == MemberId{1});
  CHECK(subscription->running());
}

TEST_CASE("subscribing with other options than the group has lists the differences", "[api][S-12]") {
  FakeBroker broker;
  broker.group_exists = true;
  broker.group_options.lease = 20s;
  CHECK(broker.subscribe("t", {.group = "g"}, [](Delivery&) {}).ok());
  CHECK(broker.subscribe("t", {.group = "g", .order = Order::kKey, .lease = 20s}, [](Delivery&) {}).ok());
  const auto refused = broker.subscribe("t", {.group = "g", .order = Order::kNone, .lease = 10s}, [](Delivery&) {});
  REQUIRE(refused.code() == ErrorCode::options_differ);
  CHECK(refused.status().message() == "group g on t: order is key, asked for none; lease is 20000 ms, asked for 10000 ms");
}

TEST_CASE("senseless subscriptions are refused", "[api]") {
  FakeBroker broker;
  CHECK(broker.subscribe("t", {.group = "g"}, Handler()).code() == ErrorCode::invalid_argument);
  CHECK(broker.subscribe("t", {.group = "g", .threads = 0}, [](Delivery&) {}).code() == ErrorCode::limit_exceeded);
  CHECK(broker.subscribe("t", {.group = "g", .prefetch = 10'001}, [](Delivery&) {}).code() == ErrorCode::limit_exceeded);
  CHECK(broker.members() == 0);
}

TEST_CASE("stopping ends the long poll at once, and leaves the group", "[api]") {
  FakeBroker broker;
  auto subscription = broker.subscribe("t", {.group = "g", .threads = 4}, [](Delivery&) {});
  CHECK(eventually([&] { return broker.waiting_fetches() == 1; }));
  const auto begun = std::chrono::steady_clock::now();
  subscription->stop(1h);
  CHECK(std::chrono::steady_clock::now() - begun < 5s);
  CHECK_FALSE(subscription->running());
  CHECK(broker.members() == 0);
  subscription->stop();
}

TEST_CASE("stopping waits for running handlers and gives the rest back", "[api][S-35]") {
  FakeBroker broker;
  Gate entered, leave;
  std::atomic<int> handled{0};
  auto subscription = broker.subscribe("t", {.group = "g"}, [&](Delivery& d) {
    if (d.offset() == Offset{5}) entered.open(), leave.wait();
    ++handled;
  });
  broker.fill(100);
  REQUIRE(entered.wait());
  std::thread stopper([&] { subscription->stop(1h); });
  CHECK(eventually([&] { return count(broker, Settle::kRelease) == 94; }));
  CHECK(eventually([&] { return count(broker, Settle::kAck) == 5; }));
  leave.open();
  stopper.join();
  CHECK(handled == 6);
  CHECK(count(broker, Settle::kAck) == 6);
  CHECK(broker.queued() == 94);
}

TEST_CASE("past the grace a handler is left alone, and is settled when it ends", "[api][S-35]") {
  FakeBroker broker;
  Gate entered, leave;
  std::atomic<bool> ended{false};
  std::optional<Result<Subscription>> subscription = broker.subscribe("t", {.group = "g", .threads = 2}, [&](Delivery&) {
    entered.open();
    leave.wait();
    ended = true;
  });
  broker.fill(1);
  REQUIRE(entered.wait());
  subscription->value().stop(Duration{0});
  CHECK_FALSE(ended);
  CHECK(broker.members() == 0);
  subscription.reset();
  leave.open();
  CHECK(eventually([&] { return count(broker, Settle::kAck) == 1; }));
}

TEST_CASE("a handler that outlives its broker's closing does not touch the broker", "[api][S-35]") {
  Gate entered, leave, gone;
  auto broker = std::make_unique<FakeBroker>();
  auto subscription = broker->subscribe("t", {.group = "g"}, [&, holder = std::shared_ptr<void>(nullptr, [&](void*) { gone.open(); })](Delivery&) {
    entered.open();
    leave.wait();
  });
  REQUIRE(subscription.ok());
  broker->fill(1);
  REQUIRE(entered.wait());
  CHECK(broker->close().ok());
  CHECK_FALSE(subscription->running());
  CHECK(broker->calls_after_close == 0);
  broker.reset();
  leave.open();
  *subscription = Subscription();
  CHECK(gone.wait());
}

TEST_CASE("closing the broker ends subscriptions and later ones are refused", "[api][S-35]") {
  FakeBroker broker;
  Collector<ErrorCode> ends;
  auto subscription =
      broker.subscribe("t", {.group = "g", .threads = 2, .on_end = [&](const Status& why) { ends.add(why.code()); }}, [](Delivery&) {});
  broker.fill(1000);
  CHECK(broker.close().ok());
  CHECK(ends.wait_for(1));
  CHECK(ends.items() == std::vector<ErrorCode>{ErrorCode::closed});
  CHECK(broker.subscribe("t", {.group = "g"}, [](Delivery&) {}).code() == ErrorCode::closed);
  subscription->stop();
  CHECK(broker.calls_after_close == 0);
  CHECK(broker.members() == 0);
}

TEST_CASE("a subscription whose group is deleted ends by itself", "[api]") {
  const bool waiting = GENERATE(true, false);
  FakeBroker broker;
  if (!waiting) broker.fail_fetches({ErrorCode::group_not_found, "deleted"});
  Collector<ErrorCode> ends;
  auto subscription = broker.subscribe("t", {.group = "g", .threads = 3, .on_end = [&](const Status& why) { ends.add(why.code()); }},
                                       [](Delivery&) {});
  REQUIRE(subscription.ok());
  if (waiting) CHECK(eventually([&] { return broker.waiting_fetches() == 1; }));
  broker.fail_fetches({ErrorCode::group_not_found, "deleted"});
  REQUIRE(ends.wait_for(1));
  CHECK_FALSE(subscription->running());
  subscription->stop();
  CHECK(ends.items() == std::vector<ErrorCode>{ErrorCode::group_not_found});
}

TEST_CASE("a handler may stop its own subscription", "[api]") {
  FakeBroker broker;
  Gate stopped;
  std::optional<Subscription> subscription;
  Gate ready;
  subscription = broker.subscribe("t", {.group = "g", .threads = 2}, [&](Delivery& d) {
    if (d.offset() != Offset{0}) return;
    ready.wait();
    subscription->stop();
    stopped.open();
  }).value();
  ready.open();
  broker.fill(10);
  CHECK(stopped.wait());
  CHECK(eventually([&] { return broker.members() == 0; }));
  subscription.reset();
  CHECK(broker.queued() + count(broker, Settle::kAck) == 10);
}

TEST_CASE("on_end may destroy its subscription", "[api]") {
  FakeBroker broker;
  std::optional<Subscription> subscription;
  Gate ready, destroyed;
  subscription = broker.subscribe("t", {.group = "g", .on_end = [&](const Status&) {
    ready.wait();
    subscription.reset();
    destroyed.open();
  }}, [](Delivery&) {}).value();
  ready.open();
  broker.fail_fetches({ErrorCode::stopped, "disk"});
  CHECK(destroyed.wait());
}

TEST_CASE("a callback may stop a subscription whose answers wait for that very callback", "[api]") {
  FakeBroker broker;
  Gate entered, stopped;
  auto subscription = broker.subscribe("t", {.group = "g", .threads = 2}, [](Delivery&) {});
  broker.callbacks.hold(true);
  broker.fill(2000);
  CHECK(eventually([&] { return broker.settlements().size() > 500; }));
  broker.callbacks.post([&] {
    entered.open();
    subscription->stop(10s);
    stopped.open();
  });
  broker.callbacks.hold(false);
  CHECK(entered.wait());
  CHECK(stopped.wait());
  CHECK(broker.members() == 0);
}

TEST_CASE("stop returns while answers are held back", "[api]") {
  FakeBroker broker;
  broker.callbacks.hold(true);
  auto subscription = broker.subscribe("t", {.group = "g", .threads = 2}, [](Delivery&) {});
  broker.fill(1000);
  CHECK(eventually([&] { return broker.settlements().size() > 200; }));
  subscription->stop();
  CHECK(count(broker, Settle::kAck) + broker.queued() == 1000);
  broker.callbacks.hold(false);
}

TEST_CASE("subscriptions come and go while messages flow, and none is lost", "[api]") {
  FakeBroker broker;
  constexpr std::size_t kCount = 20'000;
  std::vector<std::atomic<int>> runs(kCount);
  std::thread producer([&] {
    for (std::size_t i = 0; i < kCount; i += 20) broker.fill(20);
  });
  int rounds = 0;
  for (; count(broker, Settle::kAck) < kCount && rounds < 5000; ++rounds) {
    auto subscription = broker.subscribe("t", {.group = "g", .threads = 1u + rounds % 3}, [&](Delivery& d) { ++runs[d.offset().value]; });
    const std::size_t before = count(broker, Settle::kAck);
    eventually([&] { return count(broker, Settle::kAck) >= std::min(before + 50, kCount); });
  }
  producer.join();
  CHECK(count(broker, Settle::kAck) == kCount);
  CHECK(std::ranges::all_of(runs, [](const auto& n) { return n == 1; }));
  CHECK(broker.members() == 0);
}

}  // namespace
}  // namespace weir::test
