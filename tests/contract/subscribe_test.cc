// Handlers: what their return and their exceptions mean, and the life of a subscription (S-15, S-16).
#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "tests/contract/fixture.h"
#include "tests/support/collector.h"

namespace weir::test {
namespace {

Subscription subscribe(Fixture& f, SubscribeOptions options, Handler handler) {
  return f->subscribe("orders", std::move(options), std::move(handler)).value();
}

CONTRACT_TEST_EVERY_TOPIC("a handler gets every message, and returning is ack", "[S-16]") {
  f.topic("orders");
  f.publish_texts("orders", {"1", "2"});
  Collector<std::string> seen;
  Subscription s = subscribe(f, {.group = "billing"}, [&](Delivery& d) { seen.add(d.payload().str()); });
  f.publish_texts("orders", {"3"});
  REQUIRE(seen.wait_for(3));
  CHECK(seen.items() == Texts{"1", "2", "3"});
  expect_ok(f->drain());
  CHECK(f.stats("orders", "billing").acked == 3);
  CHECK(f.stats("orders", "billing").depth == 0);
  CHECK(s.handled() == 3);
  CHECK(s.running());
}

CONTRACT_TEST_EVERY_TOPIC("subscribing creates the group with its options", "[S-12]") {
  f.topic("orders");
  Subscription s = subscribe(f, {.group = "billing", .order = Order::kNone, .lease = 7s, .max_attempts = 2}, [](Delivery&) {});
  const GroupInfo info = f.group_info("orders", "billing");
  CHECK(info.options.order == Order::kNone);
  CHECK(info.options.lease == 7s);
  CHECK(info.options.max_attempts == 2);
  CHECK(info.members == 1);
}

CONTRACT_TEST_EVERY_TOPIC("throwing is a retry with the exception's text", "[S-16]") {
  f.topic("orders");
  Collector<std::uint32_t> attempts;
  Subscription s = subscribe(f, {.group = "billing", .max_attempts = 3, .backoff = fixed_backoff(1s)}, [&](Delivery& d) {
    attempts.add(d.attempt());
    throw std::runtime_error("what went wrong");
  });
  f.publish_texts("orders", {"1"});
  REQUIRE(f.eventually_as_time_passes(1s, [&] { return f.letters("orders", "billing").size() == 1; }));
  CHECK(attempts.items() == std::vector<std::uint32_t>{1, 2, 3});
  const DeadLetter letter = f.letters("orders", "billing")[0];
  CHECK(letter.message.dead_letter->error == "what went wrong");
  CHECK(letter.message.dead_letter->reason == DeathReason::kMaxAttempts);
}

CONTRACT_TEST_EVERY_TOPIC("throwing something that is no exception is a retry too", "[S-16]") {
  f.topic("orders");
  Subscription s = subscribe(f, {.group = "billing", .max_attempts = 1}, [](Delivery&) { throw 42; });
  f.publish_texts("orders", {"1"});
  REQUIRE(eventually([&] { return f.letters("orders", "billing").size() == 1; }));
  CHECK_FALSE(f.letters("orders", "billing")[0].message.dead_letter->error.empty());
}

CONTRACT_TEST_EVERY_TOPIC("throwing Reject is reject", "[S-16]") {
  f.topic("orders");
  Subscription s = subscribe(f, {.group = "billing"}, [](Delivery&) { throw Reject("cannot be read"); });
  f.publish_texts("orders", {"1"});
  REQUIRE(eventually([&] { return f.letters("orders", "billing").size() == 1; }));
  const DeadLetter letter = f.letters("orders", "billing")[0];
  CHECK(letter.message.dead_letter->error == "cannot be read");
  CHECK(letter.message.dead_letter->reason == DeathReason::kRejected);
}

CONTRACT_TEST_EVERY_TOPIC("throwing RetryAfter is a retry with that delay", "[S-16][S-18]") {
  f.topic("orders");
  Collector<Time> times;
  Subscription s = subscribe(f, {.group = "billing"}, [&](Delivery& d) {
    times.add(f.now());
    if (d.failures() == 0) throw RetryAfter(1h, "busy elsewhere");
  });
  f.publish_texts("orders", {"1"});
  REQUIRE(eventually([&] { return times.size() == 1 && f.stats("orders", "billing").waiting_retries == 1; }));
  f.advance(59min);
  CHECK(f.stats("orders", "billing").waiting_retries == 1);
  f.advance(1min);
  REQUIRE(times.wait_for(2));
  CHECK(times.items()[1] - times.items()[0] == 1h);
}

CONTRACT_TEST_EVERY_TOPIC("a handler may say how its delivery ends", "[S-16]") {
  f.topic("orders");
  Collector<std::string> seen;
  std::atomic<bool> released{false};
  Subscription s = subscribe(f, {.group = "billing"}, [&](Delivery& d) {
    seen.add(d.payload().str());
    if (d.payload().text() == "reject") d.reject("no");
    if (d.payload().text() == "retry" && d.failures() == 0) d.retry("not yet", 0ms);
    if (d.payload().text() == "release" && !released.exchange(true)) d.release();
    if (d.payload().text() == "changed mind") {
      d.reject("no");
      d.ack();
    }
  });
  f.publish_texts("orders", {"reject", "retry", "release", "changed mind"});
  REQUIRE(seen.wait_for(6));
  expect_ok(f->drain());
  const GroupTopicStats stats = f.stats("orders", "billing");
  CHECK(stats.acked == 3);
  CHECK(stats.retried == 1);
  CHECK(stats.dead == 1);
  CHECK(stats.released >= 1);
  CHECK(stats.depth == 0);
}

CONTRACT_TEST_EVERY_TOPIC("what a handler is shown is the message and its counters", "[S-16]") {
  f.topic("orders");
  Collector<Texts> seen;
  Subscription s = subscribe(f, {.group = "billing"}, [&](Delivery& d) {
    seen.add({d.topic(), std::to_string(d.offset().value), std::string(d.key()), std::string(d.id()), d.payload().str(),
              std::string(d.headers().find("h").value_or("none")), std::to_string(d.attempt()), std::to_string(d.redrives())});
  });
  f.publish("orders", {.key = "k", .payload = "p", .id = "i", .headers = {{"h", "v"}}});
  REQUIRE(seen.wait_for(1));
  CHECK(seen.items()[0] == Texts{"orders", "0", "k", "i", "p", "v", "1", "0"});
}

CONTRACT_TEST_EVERY_TOPIC("a detached delivery is settled by whoever holds its token", "[S-16][S-15]") {
  f.topic("orders");
  Collector<Token> tokens;
  Subscription s = subscribe(f, {.group = "billing"}, [&](Delivery& d) { tokens.add(d.detach()); });
  f.publish_texts("orders", {"1", "2"});
  REQUIRE(tokens.wait_for(2));
  CHECK(f.stats("orders", "billing").acked == 0);
  CHECK(f.stats("orders", "billing").in_flight == 2);
  expect_ok(f->ack(tokens.items()[0]));
  expect_ok(f->settle(Settlement::reject(tokens.items()[1], "no")));
  CHECK(f.stats("orders", "billing").in_flight == 0);
}

CONTRACT_TEST_EVERY_TOPIC("several threads work at once, and a key is worked by one at a time and in order", "[S-13][S-16]") {
  constexpr int kKeys = 8, kEach = 50;
  f.topic("orders");
  std::mutex mutex;
  std::map<std::string, int> running;   // guarded by mutex
  std::map<std::string, Texts> worked;  // guarded by mutex
  std::set<std::thread::id> threads;    // guarded by mutex
  std::atomic<int> overlaps{0}, done{0};
  Subscription s = subscribe(f, {.group = "billing", .threads = 4}, [&](Delivery& d) {
    const std::string key(d.key());
    {
      std::lock_guard lock(mutex);
      threads.insert(std::this_thread::get_id());
      if (running[key]++ > 0) ++overlaps;
      worked[key].push_back(d.payload().str());
    }
    std::this_thread::yield();
    std::lock_guard lock(mutex);
    --running[key];
    ++done;
  });
  for (int i = 0; i < kEach; ++i) {
    std::vector<Message> batch;
    for (int key = 0; key < kKeys; ++key) batch.push_back({.key = std::to_string(key), .payload = std::to_string(i)});
    expect_ok(f->publish_all("orders", std::move(batch)));
  }
  REQUIRE(eventually([&] { return done == kKeys * kEach; }));
  s.stop();
  CHECK(overlaps == 0);
  for (const auto& [key, texts_of_key] : worked) {
    Texts expected;
    for (int i = 0; i < kEach; ++i) expected.push_back(std::to_string(i));
    CHECK(texts_of_key == expected);
  }
}

CONTRACT_TEST_EVERY_TOPIC("handlers really run beside each other", "[S-16]") {
  f.topic("orders");
  std::atomic<int> inside{0};
  Gate both;
  Subscription s = subscribe(f, {.group = "billing", .threads = 2}, [&](Delivery&) {
    if (++inside == 2) both.open();
    both.wait();
  });
  f.publish_texts("orders", {"1", "2"});
  CHECK(both.wait());
}

CONTRACT_TEST_EVERY_TOPIC("a lease extends itself while its handler runs, or its message is held ready", "[S-15]") {
  f.topic("orders");
  f.publish_texts("orders", {"long", "buffered"});
  Gate finish;
  Collector<std::string> seen;
  Subscription s = subscribe(f, {.group = "billing"}, [&](Delivery& d) {
    seen.add(d.payload().str());
    if (d.payload().text() == "long") finish.wait();
  });
  REQUIRE(seen.wait_for(1));
  REQUIRE(eventually([&] { return f.stats("orders", "billing").in_flight == 2; }));
  for (int i = 0; i < 12; ++i) {  // four minutes, with a lease of 30 s
    f.advance(20s);
    f.expect_nothing("orders", "billing");
  }
  CHECK(f.stats("orders", "billing").expired_leases == 0);
  finish.open();
  REQUIRE(seen.wait_for(2));
  expect_ok(f->drain());
  CHECK(f.stats("orders", "billing").acked == 2);
  CHECK(seen.items() == Texts{"long", "buffered"});
}

CONTRACT_TEST_EVERY_TOPIC("past the limit a lease expires, and a second delivery may run beside the first", "[S-15]") {
  f.topic("orders");
  Gate finish;
  Collector<std::uint32_t> attempts;
  Subscription s = subscribe(f, {.group = "billing", .backoff = fixed_backoff(1s), .threads = 2, .extend_until = 1min}, [&](Delivery& d) {
    attempts.add(d.attempt());
    if (d.attempt() == 1) finish.wait();
  });
  f.publish_texts("orders", {"1"});
  REQUIRE(attempts.wait_for(1));
  CHECK(f.eventually_as_time_passes(10s, [&] { return attempts.size() == 2; }));
  finish.open();
  s.stop();
  CHECK(attempts.items() == std::vector<std::uint32_t>{1, 2});
  CHECK(f.stats("orders", "billing").acked == 1);
}

CONTRACT_TEST_EVERY_TOPIC("a handler may extend its lease", "[S-15]") {
  f.topic("orders");
  Collector<ErrorCode> answers;
  Subscription s = subscribe(f, {.group = "billing"}, [&](Delivery& d) { answers.add(d.extend(1h).code()); });
  f.publish_texts("orders", {"1"});
  REQUIRE(answers.wait_for(1));
  CHECK(answers.items()[0] == ErrorCode::ok);
}

CONTRACT_TEST_EVERY_TOPIC("a handler may use the broker", "[S-16]") {
  f.topic("orders");
  f.topic("bills");
  Collector<bool> done;
  Subscription s = subscribe(f, {.group = "billing"}, [&](Delivery& d) {
    done.add(d.broker().publish("bills", {.payload = "bill for " + d.payload().str()}).ok());
  });
  f.publish_texts("orders", {"1"});
  REQUIRE(done.wait_for(1));
  CHECK(done.items()[0]);
  CHECK(texts(f.browse("bills")) == Texts{"bill for 1"});
}

CONTRACT_TEST_EVERY_TOPIC("a pattern can be subscribed to", "[S-16][S-2]") {
  Collector<std::string> seen;
  Subscription s = f->subscribe("orders.*", {.group = "audit"}, [&](Delivery& d) { seen.add(d.topic()); }).value();
  f.topic("orders.a");
  f.publish_texts("orders.a", {"1"});
  f.topic("orders.b");
  f.publish_texts("orders.b", {"1"});
  REQUIRE(seen.wait_for(2));
  CHECK(sorted(seen.items()) == Texts{"orders.a", "orders.b"});
}

// --- The life of a subscription ---------------------------------------------------------------------------------------------------

CONTRACT_TEST_EVERY_TOPIC("stopping waits for the running handler and gives the rest back uncounted", "[S-35][S-16]") {
  f.topic("orders");
  Gate started, finish;
  std::atomic<int> finished{0};
  Subscription s = subscribe(f, {.group = "billing"}, [&](Delivery&) {
    started.open();
    finish.wait();
    ++finished;
  });
  f.publish_texts("orders", {"1", "2", "3"});
  REQUIRE(started.wait());
  std::thread stopping([&] { s.stop(1h); });
  CHECK(eventually([&] { return !s.running(); }));
  finish.open();
  stopping.join();
  CHECK(finished == 1);
  CHECK(f.stats("orders", "billing").acked == 1);
  CHECK(f.group_info("orders", "billing").members == 0);
  for (const Delivered& each : f.fetch_all("orders", "billing", 2)) {
    CHECK(each.failures == 0);
    CHECK(each.deliveries == 0);
  }
  s.stop();  // again is no harm
}

CONTRACT_TEST_EVERY_TOPIC("a handler that runs on when stopping gave up keeps its lease until it ends", "[S-35][S-16]") {
  f.topic("orders");
  Gate started, finish;
  Subscription s = subscribe(f, {.group = "billing"}, [&](Delivery&) {
    started.open();
    finish.wait();
  });
  f.publish_texts("orders", {"1"});
  REQUIRE(started.wait());
  s.stop(10ms);
  CHECK_FALSE(s.running());
  CHECK(f.stats("orders", "billing").in_flight == 1);
  f.expect_nothing("orders", "billing");
  finish.open();
  CHECK(eventually([&] { return f.stats("orders", "billing").acked == 1; }));
}

CONTRACT_TEST_EVERY_TOPIC("a destroyed subscription takes no more", "[S-16]") {
  f.topic("orders");
  Collector<std::string> seen;
  {
    Subscription s = subscribe(f, {.group = "billing"}, [&](Delivery& d) { seen.add(d.payload().str()); });
    f.publish_texts("orders", {"1"});
    REQUIRE(seen.wait_for(1));
  }
  f.publish_texts("orders", {"2"});
  CHECK(text(f.one("orders", "billing")) == "2");
  CHECK(seen.size() == 1);
}

CONTRACT_TEST_EVERY_TOPIC("a subscription ends with its group, and says so", "[S-22][S-16]") {
  f.topic("orders");
  Collector<ErrorCode> ended;
  Subscription s = subscribe(f, {.group = "billing", .on_end = [&](const Status& why) { ended.add(why.code()); }}, [](Delivery&) {});
  expect_ok(f->delete_group("orders", "billing"));
  REQUIRE(ended.wait_for(1));
  CHECK(ended.items()[0] == ErrorCode::group_not_found);
  CHECK(eventually([&] { return !s.running(); }));
}

CONTRACT_TEST_EVERY_TOPIC("closing the broker ends its subscriptions", "[S-35][S-16]") {
  f.topic("orders");
  Collector<ErrorCode> ended;
  Subscription s = subscribe(f, {.group = "billing", .on_end = [&](const Status& why) { ended.add(why.code()); }}, [](Delivery&) {});
  expect_ok(f->close());
  REQUIRE(ended.wait_for(1));
  CHECK(ended.items()[0] == ErrorCode::closed);
  s.stop();
}

CONTRACT_TEST_EVERY_TOPIC("a subscription has 1 to 256 threads and holds 1 to 10,000 messages ready", "[S-33]") {
  f.topic("orders");
  const auto handler = [](Delivery&) {};
  for (const SubscribeOptions& bad : {SubscribeOptions{.group = "g", .threads = 0}, SubscribeOptions{.group = "g", .threads = 257},
                                      SubscribeOptions{.group = "g", .prefetch = 0}, SubscribeOptions{.group = "g", .prefetch = 10'001}})
    expect_one_of(f->subscribe("orders", bad, handler), {ErrorCode::invalid_argument, ErrorCode::limit_exceeded});
  expect_ok(f->subscribe("orders", {.group = "g", .threads = 256, .prefetch = 10'000}, handler));
}

CONTRACT_TEST_EVERY_TOPIC("subscribing to what is not there says so", "[S-2]") {
  expect_error(f->subscribe("nowhere", {.group = "billing"}, [](Delivery&) {}), ErrorCode::topic_not_found);
  f.topic("orders");
  expect_error(f->subscribe("orders", {.group = ""}, [](Delivery&) {}), ErrorCode::invalid_argument);
}

CONTRACT_TEST_EVERY_TOPIC("a volatile group of a subscription goes when the subscription does", "[S-10]") {
  f.topic("orders");
  {
    Subscription s = subscribe(f, {.group = "view", .is_volatile = true}, [](Delivery&) {});
    expect_ok(f->group("orders", "view"));
  }
  CHECK(eventually([&] { return f->group("orders", "view").code() == ErrorCode::group_not_found; }));
}

CONTRACT_TEST_EVERY_TOPIC("a handler's delay that is out of range is taken as the nearest that is in it", "[S-16][S-18]") {
  f.topic("orders");
  std::atomic<int> runs{0};
  auto subscription = f->subscribe("orders", {.group = "billing"}, [&](Delivery&) {
    if (++runs == 1) throw RetryAfter(-5ms, "at once");
  });
  expect_ok(subscription);
  f.publish_texts("orders", {"1"});
  CHECK(eventually([&] { return runs == 2; }));
  subscription->stop();
  CHECK(f.stats("orders", "billing").retried == 1);
}

CONTRACT_TEST_EVERY_TOPIC("a lease may be extended for as long as can be said", "[S-15]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish_texts("orders", {"1"});
  (void)f.one("orders", "billing", {.extend_until = Duration::max()});
  f.advance(24h);
  f.expect_nothing("orders", "billing");
  CHECK(f.stats("orders", "billing").in_flight == 1);
}

}  // namespace
}  // namespace weir::test
