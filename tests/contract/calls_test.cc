// How calls answer: where callbacks run, back-pressure, and what a closed broker says (S-33, S-35).
#include <algorithm>
#include <atomic>
#include <deque>
#include <future>
#include <mutex>
#include <thread>

#include "tests/contract/fixture.h"
#include "tests/support/collector.h"

namespace weir::test {
namespace {

PublishRequest one_message(const std::string& topic, const std::string& payload = "x") {
  PublishRequest r{.topic = topic};
  r.messages.push_back({.payload = payload});
  return r;
}

CONTRACT_TEST_EVERY_TOPIC("a callback is called once, and never inside the call or on its thread", "[S-33]") {
  f.topic("orders");
  f.group("orders", "billing");
  const std::thread::id here = std::this_thread::get_id();
  Collector<bool> elsewhere;
  std::atomic<int> calls{0};
  const auto note = [&](const auto&) {
    ++calls;
    elsewhere.add(std::this_thread::get_id() != here);
  };
  f->async_publish(one_message("orders"), {}, note);
  f->async_publish(one_message("nowhere"), {}, note);
  f->async_publish({}, {}, note);
  f->async_get_topic("orders", {}, note);
  f->async_get_topic("nowhere", {}, note);
  f->async_list_topics({}, {}, note);
  f->async_get_group({"orders", "billing"}, {}, note);
  f->async_fetch({.source = "orders", .group = "billing"}, {}, note);
  f->async_settle({}, {}, note);
  f->async_browse({.topic = "orders"}, {}, note);
  f->async_status({}, note);
  f->async_list_schedules({.topic = "orders"}, {}, note);
  REQUIRE(elsewhere.wait_for(12));
  expect_ok(f->close());
  CHECK(calls == 12);
  for (const bool each : elsewhere.items()) CHECK(each);
}

CONTRACT_TEST_EVERY_TOPIC("a callback may call the broker, also when that answers at once", "[S-33]") {
  f.topic("orders");
  Collector<ErrorCode> answers;
  f->async_publish(one_message("orders"), {}, [&](Result<PublishResult> first) {
    answers.add(first.code());
    f->async_publish(one_message("nowhere"), {}, [&](Result<PublishResult> second) {
      answers.add(second.code());
      f->async_get_topic("orders", {}, [&](Result<TopicInfo> third) { answers.add(third.code()); });
    });
  });
  REQUIRE(answers.wait_for(3));
  CHECK(answers.items() == std::vector<ErrorCode>{ErrorCode::ok, ErrorCode::topic_not_found, ErrorCode::ok});
}

CONTRACT_TEST("a callback that blocks delays other callbacks and nothing else", "[S-33]") {
  f.topic("orders");
  Gate blocked, finish;
  f->async_status({}, [&](Result<BrokerStatus>) {
    blocked.open();
    finish.wait();
  });
  REQUIRE(blocked.wait());
  f.publish_texts("orders", {"1", "2"});  // the blocking forms go on
  CHECK(f.browse("orders").size() == 2);
  finish.open();
  f.close();  // the callback has ended
}

// Runs what it is given when it is told to.
class HandExecutor {
 public:
  Executor executor() {
    return [this](UniqueFunction<void()> work) {
      std::lock_guard lock(mutex_);
      work_.push_back(std::move(work));
    };
  }
  std::size_t waiting() {
    std::lock_guard lock(mutex_);
    return work_.size();
  }
  void run() {
    for (;;) {
      UniqueFunction<void()> work;
      {
        std::lock_guard lock(mutex_);
        if (work_.empty()) return;
        work = std::move(work_.front());
        work_.pop_front();
      }
      work();
    }
  }

 private:
  std::mutex mutex_;
  std::deque<UniqueFunction<void()>> work_;  // guarded by mutex_
};

CONTRACT_TEST("callbacks run on the executor that the program gives", "[S-33]") {
  HandExecutor hand;
  f.options.executor = hand.executor();
  f.topic("orders");
  bool called = false;
  std::thread::id on;
  f->async_publish(one_message("orders"), {}, [&](Result<PublishResult> r) {
    called = r.ok();
    on = std::this_thread::get_id();
  });
  REQUIRE(eventually([&] { return hand.waiting() > 0; }));
  CHECK_FALSE(called);
  hand.run();
  CHECK(called);
  CHECK(on == std::this_thread::get_id());
  f.publish_texts("orders", {"2"});  // blocking forms do not need it
  f.close();
  hand.run();
}

CONTRACT_TEST("a full queue answers busy at once, and nothing acknowledged is lost", "[S-33][S-5]") {
  f.options.queue_requests_max = 4;
  f.topic("orders");
  constexpr int kCount = 2000;
  Collector<std::pair<std::string, ErrorCode>> answers;
  for (int i = 0; i < kCount; ++i)
    f->async_publish(one_message("orders", std::to_string(i)), {},
                     [&, i](Result<PublishResult> r) { answers.add({std::to_string(i), r.code()}); });
  REQUIRE(answers.wait_for(kCount));
  Texts acknowledged;
  std::size_t busy = 0;
  for (const auto& [payload, code] : answers.items()) {
    if (code == ErrorCode::ok) acknowledged.push_back(payload);
    else if (code == ErrorCode::busy) ++busy;
    else FAIL_CHECK("unexpected " << error_info(code).name);
  }
  CHECK(busy > 0);
  CHECK(error_info(ErrorCode::busy).retryable);
  CHECK(sorted(texts(f->browse({.topic = "orders", .messages_max = 10'000}).value().messages)) == sorted(acknowledged));
}

CONTRACT_TEST("who was told busy is told when to try again", "[S-33]") {
  f.options.queue_requests_max = 2;
  f.topic("orders");
  constexpr std::uint64_t kCount = 200;
  std::atomic<std::uint64_t> stored{0};
  Collector<std::uint64_t> busy;  // a producer that sends without waiting, and sends again what was refused
  const auto send = [&] {
    f->async_publish(one_message("orders"), {}, [&](Result<PublishResult> r) {
      if (r.ok()) ++stored;
      if (r.code() == ErrorCode::busy) busy.add(1);
    });
  };
  for (std::uint64_t i = 0; i < kCount; ++i) send();
  std::uint64_t sent_again = 0;
  while (stored < kCount) {
    REQUIRE(eventually([&] { return busy.size() > sent_again || stored == kCount; }));
    if (stored == kCount) break;
    auto ready = std::make_shared<std::promise<ErrorCode>>();
    auto room = ready->get_future();
    f->async_ready({}, [ready](Result<Done> r) { ready->set_value(r.code()); });
    REQUIRE(room.wait_for(kPatience) == std::future_status::ready);
    CHECK(room.get() == ErrorCode::ok);
    ++sent_again;
    send();
  }
  CHECK(sent_again > 0);
  CHECK(f.topic_info("orders").next == Offset{kCount});
}

CONTRACT_TEST("a queue is bounded in bytes too", "[S-33]") {
  f.options.queue_bytes_max = 100'000;
  f.topic("orders");
  constexpr int kCount = 200;
  Collector<ErrorCode> answers;
  for (int i = 0; i < kCount; ++i)
    f->async_publish(one_message("orders", std::string(50'000, 'x')), {}, [&](Result<PublishResult> r) { answers.add(r.code()); });
  REQUIRE(answers.wait_for(kCount));
  std::uint64_t stored = 0;
  bool busy = false;
  for (const ErrorCode code : answers.items()) {
    if (code == ErrorCode::ok) ++stored;
    else busy = busy || code == ErrorCode::busy;
  }
  CHECK(busy);
  CHECK(f.topic_info("orders").next == Offset{stored});
}

CONTRACT_TEST("the blocking form waits for room by itself", "[S-33]") {
  f.options.queue_requests_max = 1;
  f.topic("orders");
  constexpr int kThreads = 8, kEach = 25;
  std::atomic<int> failures{0};
  Broker& broker = f.broker();
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i)
        if (!broker.publish("orders", {.payload = "x"}).ok()) ++failures;
    });
  for (std::thread& each : threads) each.join();
  CHECK(failures == 0);
  CHECK(f.topic_info("orders").next == Offset{kThreads * kEach});
}

CONTRACT_TEST("nobody is told to wait when there is room", "[S-33]") {
  f.topic("orders");
  Gate ready;
  f->async_ready({}, [&](Result<Done> r) {
    if (r.ok()) ready.open();
  });
  CHECK(ready.wait());
}

// --- Closing ---------------------------------------------------------------------------------------------------------------------

CONTRACT_TEST_EVERY_TOPIC("a closed broker answers closed to every verb", "[S-35]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish_texts("orders", {"1"});
  const Delivered d = f.one("orders", "billing");
  expect_ok(f->close());
  expect_error(f->publish("orders", {.payload = "2"}), ErrorCode::closed);
  expect_error(f->fetch({.source = "orders", .group = "billing"}), ErrorCode::closed);
  expect_error(f->ack(d.token), ErrorCode::closed);
  expect_error(f->begin(d.token), ErrorCode::closed);
  expect_error(f->create_topic("bills"), ErrorCode::closed);
  expect_error(f->topic("orders"), ErrorCode::closed);
  expect_error(f->browse({.topic = "orders"}), ErrorCode::closed);
  expect_error(f->group("orders", "billing"), ErrorCode::closed);
  expect_error(f->redrive({.topic = "orders", .group = "billing"}), ErrorCode::closed);
  expect_error(f->drain(), ErrorCode::closed);
  expect_error(f->subscribe("orders", {.group = "billing"}, [](Delivery&) {}), ErrorCode::closed);
  expect_ok(f->close());  // again is no harm
}

CONTRACT_TEST_EVERY_TOPIC("closing answers everything that was submitted", "[S-35]") {
  f.topic("orders");
  constexpr int kCount = 500;
  Collector<ErrorCode> answers;
  for (int i = 0; i < kCount; ++i) f->async_publish(one_message("orders"), {}, [&](Result<PublishResult> r) { answers.add(r.code()); });
  expect_ok(f->close());
  REQUIRE(answers.wait_for(kCount));
  for (const ErrorCode code : answers.items())
    CHECK((code == ErrorCode::ok || code == ErrorCode::closed || code == ErrorCode::outcome_unknown));
}

CONTRACT_TEST("what was acknowledged before closing is there after reopening", "[S-35][S-5]") {
  f.topic("orders");
  constexpr int kCount = 500;
  Collector<std::pair<std::string, ErrorCode>> answers;
  for (int i = 0; i < kCount; ++i)
    f->async_publish(one_message("orders", std::to_string(i)), {},
                     [&, i](Result<PublishResult> r) { answers.add({std::to_string(i), r.code()}); });
  f.close();
  REQUIRE(answers.wait_for(kCount));
  Texts stored = sorted(texts(f->browse({.topic = "orders", .messages_max = 1000}).value().messages));
  for (const auto& [payload, code] : answers.items()) {
    const bool there = std::binary_search(stored.begin(), stored.end(), payload);
    if (code == ErrorCode::ok) CHECK(there);
    if (code == ErrorCode::closed) CHECK_FALSE(there);
  }
}

CONTRACT_TEST("closing lets running handlers finish", "[S-35]") {
  f.topic("orders");
  Gate started, finish;
  std::atomic<bool> closed{false};
  Subscription s = f->subscribe("orders", {.group = "billing"}, [&](Delivery&) {
    started.open();
    finish.wait();
  }).value();
  f.publish_texts("orders", {"1", "2"});
  REQUIRE(started.wait());
  Broker& broker = f.broker();
  std::thread closing([&] { closed = broker.close().ok(); });
  CHECK(eventually([&] { return !s.running() || broker.publish("orders", {.payload = "late"}).code() == ErrorCode::closed; }));
  CHECK_FALSE(closed);
  finish.open();
  closing.join();
  CHECK(closed);
  s.stop();
  f.reopen();
  const std::vector<Delivered> rest = f.fetch_all("orders", "billing", 1);
  CHECK(text(rest.at(0)) == "2");  // the first was acked, the second was released
  CHECK(rest.at(0).failures == 0);
  CHECK(rest.at(0).deliveries == 0);
}

CONTRACT_TEST("closing waits for handlers no longer than its grace, and charges nobody", "[S-35]") {
  f.options.close_grace = 50ms;
  f.topic("orders");
  Gate started, finish;
  Subscription s = f->subscribe("orders", {.group = "billing"}, [&](Delivery&) {
    started.open();
    finish.wait();
  }).value();
  f.publish_texts("orders", {"1"});
  REQUIRE(started.wait());
  expect_ok(f->close());
  finish.open();
  s.stop();
  f.reopen();
  const Delivered back = f.one("orders", "billing");
  CHECK(back.failures == 0);
  CHECK(back.crashes == 0);
}

CONTRACT_TEST("closing releases what is leased, uncounted", "[S-35]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish_texts("orders", {"1", "2"});
  f.fetch_all("orders", "billing", 2);
  f.reopen();
  const std::vector<Delivered> back = f.fetch_all("orders", "billing", 2);
  for (const Delivered& each : back) {
    CHECK(each.failures == 0);
    CHECK(each.crashes == 0);
  }
}

}  // namespace
}  // namespace weir::test
