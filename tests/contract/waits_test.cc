// Calls that wait, and what ends them: room, cancellation, the end of the broker, the last member's leaving (S-5, S-12, S-33, S-35).
#include <atomic>
#include <thread>

#include "tests/contract/fixture.h"
#include "tests/support/collector.h"

namespace weir::test {
namespace {

CONTRACT_TEST("a publish that was told busy is taken once the queue is ready, however large it is", "[S-33]") {
  f.options.queue_bytes_max = GENERATE(std::uint64_t{0}, std::uint64_t{1000});
  f.topic("orders", {.durability = Durability::kProcess});
  std::atomic<int> taken{0}, busy{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      const std::string payload(t == 0 ? 900 : 50, 'x');
      for (int i = 0; i < 200;) {
        PublishRequest request{.topic = "orders"};
        request.messages.push_back({.payload = payload});
        const auto answer = answer_of<PublishResult>([&](auto done) { f->async_publish(std::move(request), {}, std::move(done)); });
        if (answer.ok()) {
          ++taken, ++i;
          continue;
        }
        if (answer.code() != ErrorCode::busy) return;
        ++busy;
        if (!answer_of<Done>([&](auto done) { f->async_ready({}, std::move(done)); }).ok()) return;
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(taken == 800);
  CHECK(f.topic_info("orders").next == Offset{800});
}

CONTRACT_TEST_EVERY_TOPIC("cancelling when the broker is gone, or going, is harmless", "[S-35]") {
  f.topic("orders");
  f.group("orders", "billing");
  for (int i = 0; i < 30; ++i) {
    CallContext context;
    context.cancellation = Cancellation::make();
    Collector<ErrorCode> answers;
    f->async_fetch({.source = "orders", .group = "billing", .wait = 1h}, context, [&](Result<FetchResult> r) { answers.add(r.code()); });
    std::thread canceller([cancellation = context.cancellation]() mutable { cancellation.cancel(); });
    if (i % 2 == 0) f.reopen();
    canceller.join();
    REQUIRE(answers.wait_for(1));
    CHECK((answers.items()[0] == ErrorCode::cancelled || answers.items()[0] == ErrorCode::closed));
    context.cancellation.cancel();
    if (f.kind() == TopicKind::kEphemeral && i % 2 == 0) {
      f.topic("orders");
      f.group("orders", "billing");
    }
  }
}

CONTRACT_TEST_EVERY_TOPIC("a handler that closes its broker does not wait for itself", "[S-35]") {
  f.options.close_grace = std::chrono::hours{1};
  f.topic("orders");
  Gate closed;
  std::atomic<int> code{-1};
  SubscribeOptions options{.group = "billing"};
  options.threads = GENERATE(1u, 3u);
  auto subscription = f->subscribe("orders", options, [&](Delivery& delivery) {
    code = static_cast<int>(delivery.broker().close().code());
    closed.open();
  });
  REQUIRE(subscription.ok());
  f.publish("orders", {.payload = "1"});
  REQUIRE(closed.wait());
  CHECK(code == 0);
  expect_error(f->publish("orders", {.payload = "2"}), ErrorCode::closed);
}

CONTRACT_TEST_EVERY_TOPIC("whoever subscribes to a volatile group gets in, though its last member leaves at that moment", "[S-12]") {
  f.topic("orders");
  std::atomic<int> refused{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 60; ++i) {
        SubscribeOptions options{.group = "view"};
        options.is_volatile = true;
        const auto subscription = f->subscribe("orders", options, [](Delivery&) {});
        if (!subscription.ok()) ++refused;
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(refused == 0);
  CHECK(f.eventually_as_time_passes(1s, [&] { return f->group("orders", "view").code() == ErrorCode::group_not_found; }));
}

CONTRACT_TEST("the defaults of topics that are made by themselves are looked at when the broker is opened", "[S-2]") {
  f.options.topic_defaults.payload_bytes_max = 0;
  const auto opened = f.place().open(f.options);
  expect_error(opened, ErrorCode::invalid_argument, "topic_defaults");
  expect_error(opened, ErrorCode::invalid_argument, "payload_bytes_max");
}

CONTRACT_TEST("what is late or cancelled when it comes is not begun", "[S-5]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish("orders", {.payload = "1"});
  const Delivered held = f.one("orders", "billing");
  CallContext cancelled, late;
  cancelled.cancellation = Cancellation::make();
  cancelled.cancellation.cancel();
  late.deadline = f.now() - 1ms;
  for (const auto& [context, code] : {std::pair{cancelled, ErrorCode::cancelled}, std::pair{late, ErrorCode::deadline_exceeded}}) {
    expect_error(f->publish("orders", {.payload = "2"}, {}, context), code);
    expect_error(f->settle(Settlement::ack(held.token), context), code);
    expect_error(f->fetch({.source = "orders", .group = "billing"}, context), code);
    expect_error(f->create_topic("bills", {}, context), code);
    expect_error(f->delete_group("orders", "billing", context), code);
  }
  CHECK(f.topic_info("orders").next == Offset{1});
  expect_error(f->topic("bills"), ErrorCode::topic_not_found);
  f.ack(held);
}

}  // namespace
}  // namespace weir::test
