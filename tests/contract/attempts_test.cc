// Counting deliveries and failures, redelivery delays, and suspects (S-17, S-18, S-19).
#include <algorithm>

#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

void orders(Fixture& f, const Texts& payloads, GroupOptions options = {}) {
  f.topic("orders");
  f.group("orders", "billing", std::move(options));
  f.publish_texts("orders", payloads);
}

CONTRACT_TEST_EVERY_TOPIC("a hand-over that is not reported begun counts as begun", "[S-17][S-21]") {
  orders(f, {"1"});
  CHECK(f.one("orders", "billing").deliveries == 0);
  CHECK(f.stats("orders", "billing").delivered == 1);
}

CONTRACT_TEST_EVERY_TOPIC("the expiry of a begun lease is a failure", "[S-17]") {
  GroupOptions options;
  options.backoff = fixed_backoff(1s);
  orders(f, {"1"}, options);
  const Delivered d = f.one("orders", "billing", {.reports_begun = true});
  expect_ok(f->begin(d.token));
  f.advance(30s);
  REQUIRE(eventually([&] { return f.stats("orders", "billing").expired_leases == 1; }));
  f.advance(1s);
  const Delivered again = f.one("orders", "billing");
  CHECK(again.failures == 1);
  CHECK(again.deliveries == 1);
}

CONTRACT_TEST_EVERY_TOPIC("the expiry of a lease that was never begun gives it back uncounted", "[S-17][S-21]") {
  orders(f, {"1"});
  for (int i = 0; i < 10; ++i) {
    const Delivered d = f.one("orders", "billing", {.reports_begun = true});
    CHECK(d.failures == 0);
    CHECK(d.deliveries == 0);
    f.advance(30s);
  }
  CHECK(f.letters("orders", "billing").empty());
}

CONTRACT_TEST_EVERY_TOPIC("beginning twice is beginning once", "[S-17]") {
  orders(f, {"1"});
  const Delivered d = f.one("orders", "billing", {.reports_begun = true});
  expect_ok(f->begin(d.token));
  expect_ok(f->begin(d.token));
  f.retry(d, "no", 0ms);
  CHECK(f.one("orders", "billing").deliveries == 1);
}

CONTRACT_TEST_EVERY_TOPIC("a delivery that was begun is settled like any other", "[S-17]") {
  orders(f, {"1", "2"});
  const std::vector<Delivered> got = f.fetch_all("orders", "billing", 2, {.reports_begun = true});
  for (const Delivered& each : got) {
    expect_ok(f->begin(each.token));
    f.ack(each);
  }
  CHECK(f.stats("orders", "billing").depth == 0);
  CHECK_FALSE(f->begin(got[0].token).ok());
}

CONTRACT_TEST_EVERY_TOPIC("max_attempts failures end among the dead letters", "[S-17][S-23]") {
  orders(f, {"1"});
  for (std::uint32_t i = 0; i < 5; ++i) {
    CHECK(f.letters("orders", "billing").empty());
    const Delivered d = f.one("orders", "billing");
    CHECK(d.failures == i);
    f.retry(d, "failure " + std::to_string(i + 1), 0ms);
  }
  const std::vector<DeadLetter> letters = f.letters("orders", "billing");
  REQUIRE(letters.size() == 1);
  CHECK(letters[0].message.dead_letter->reason == DeathReason::kMaxAttempts);
  CHECK(letters[0].message.dead_letter->failures == 5);
  f.advance(1h);
  f.expect_nothing("orders", "billing");
}

CONTRACT_TEST_EVERY_TOPIC("failures of every kind add up", "[S-17]") {
  GroupOptions options;
  options.max_attempts = 2;
  options.backoff = fixed_backoff(1s);
  orders(f, {"1"}, options);
  f.retry(f.one("orders", "billing"), "once", 0ms);
  f.one("orders", "billing");
  f.advance(30s);
  REQUIRE(eventually([&] { return f.letters("orders", "billing").size() == 1; }));
  CHECK(f.letters("orders", "billing")[0].message.dead_letter->reason == DeathReason::kMaxAttempts);
}

CONTRACT_TEST_EVERY_TOPIC("max_attempts of 1 means no second try", "[S-17]") {
  GroupOptions options;
  options.max_attempts = 1;
  orders(f, {"1"}, options);
  f.retry(f.one("orders", "billing"), "once is enough", 1h);
  CHECK(f.letters("orders", "billing").size() == 1);
}

CONTRACT_TEST_EVERY_TOPIC("max_deliveries begun hand-overs end among the dead letters as a crash loop", "[S-17]") {
  GroupOptions options;
  options.max_attempts = 1000;
  options.max_deliveries = 3;
  orders(f, {"1"}, options);
  for (int i = 0; i < 3; ++i) f.retry(f.one("orders", "billing"), "no", 0ms);
  f.expect_nothing("orders", "billing");
  REQUIRE(eventually([&] { return f.letters("orders", "billing").size() == 1; }));
  const DeadLetter letter = f.letters("orders", "billing")[0];
  CHECK(letter.message.dead_letter->reason == DeathReason::kCrashLoop);
  CHECK(letter.message.dead_letter->deliveries == 3);
}

CONTRACT_TEST("counters survive reopening", "[S-17]") {
  orders(f, {"1"});
  for (std::uint32_t i = 0; i < 4; ++i) {
    f.retry(f.one("orders", "billing"), "no", 0ms);
    f.reopen();
    const Delivered d = f.one("orders", "billing");
    CHECK(d.failures == i + 1);
    f.release(d);
  }
  f.retry(f.one("orders", "billing"), "the last", 0ms);
  CHECK(f.letters("orders", "billing").size() == 1);
}

CONTRACT_TEST("a clean close charges nobody", "[S-17][S-35]") {
  orders(f, {"1", "2"});
  const std::vector<Delivered> got = f.fetch_all("orders", "billing", 2, {.reports_begun = true});
  expect_ok(f->begin(got[0].token));
  f.reopen();
  for (const Delivered& each : f.fetch_all("orders", "billing", 2)) {
    CHECK(each.failures == 0);
    CHECK(each.crashes == 0);
  }
  CHECK(f->status().value().recovered_crash_charges == 0);
}

// --- Delays (S-18) ---------------------------------------------------------------------------------------------------------

CONTRACT_TEST_EVERY_TOPIC("without jitter the delay grows by its factor, up to its maximum", "[S-18]") {
  GroupOptions options;
  options.max_attempts = 100;
  options.max_deliveries = 100;
  options.backoff = {.first = 1s, .factor = 3.0, .max = 20s, .jitter = false};
  orders(f, {"1"}, options);
  for (const Duration delay : {1s, 3s, 9s, 20s, 20s}) {
    INFO(delay.count() << " ms");
    f.retry(f.one("orders", "billing"), "no");
    f.advance(delay - 1ms);
    f.expect_nothing("orders", "billing");
    f.advance(1ms);
    const Delivered d = f.one("orders", "billing");
    f.release(d);
  }
}

CONTRACT_TEST_EVERY_TOPIC("the delay is 1 s, doubled, up to 5 minutes by default", "[S-18]") {
  f.topic("orders");
  const Backoff backoff = f.group("orders", "billing").options.backoff;
  CHECK(backoff.first == 1s);
  CHECK(backoff.factor == 2.0);
  CHECK(backoff.max == 5min);
  CHECK(backoff.jitter);
}

// Fails `count` messages at once, and answers which came back in each step of time. A pilot that fails with exactly that delay comes back
// with the last of its step: when it is there, so are all that are due.
std::vector<std::vector<std::uint64_t>> come_back(Fixture& f, const std::string& topic, std::size_t count, Backoff backoff, Duration step, int steps) {
  GroupOptions options;
  options.max_attempts = 1000;
  options.max_deliveries = 1000;
  options.backoff = backoff;
  f.topic(topic);
  f.group(topic, "billing", options);
  f.publish_texts(topic, Texts(count, "x"));
  f.publish_texts(topic, {"pilot"});
  for (const Delivered& each : f.fetch_all(topic, "billing", count + 1)) f.retry(each, "no", text(each) == "pilot" ? std::optional(step) : std::nullopt);

  std::vector<std::vector<std::uint64_t>> came;
  for (int i = 0; i < steps; ++i) {
    f.advance(step);
    came.emplace_back();
    const auto take = [&](const std::vector<Delivered>& got) {
      bool pilot = false;
      for (const Delivered& each : got) {
        if (text(each) != "pilot") {
          came.back().push_back(each.message.offset.value);
          continue;
        }
        pilot = true;
        f.retry(each, "on", step);
      }
      return pilot;
    };
    while (!take(f.fetch(topic, "billing"))) continue;
    for (auto rest = f.fetch_now(topic, "billing"); !rest.empty(); rest = f.fetch_now(topic, "billing")) take(rest);
  }
  return came;
}

CONTRACT_TEST_EVERY_TOPIC("full jitter spreads the delays between nothing and the rule", "[S-18]") {
  const auto came = come_back(f, "orders", 200, {.first = 10s, .factor = 2.0, .max = 1min, .jitter = true}, 1s, 10);
  std::size_t sum = 0;
  for (const auto& each : came) {
    CHECK(each.size() > 4);  // 20 are to be expected
    CHECK(each.size() < 50);
    sum += each.size();
  }
  CHECK(sum == 200);
}

CONTRACT_TEST_EVERY_TOPIC("the same seed gives the same delays", "[S-18]") {
  const Backoff backoff;
  f.options.seed = 77;
  const auto first = come_back(f, "one", 20, backoff, 50ms, 20);
  f.reopen();
  const auto again = come_back(f, "two", 20, backoff, 50ms, 20);
  f.close();
  f.options.seed = 78;
  const auto other = come_back(f, "three", 20, backoff, 50ms, 20);
  CHECK(first == again);
  CHECK(first != other);
}

CONTRACT_TEST_EVERY_TOPIC("expiry follows the same rule as retry", "[S-18]") {
  GroupOptions options;
  options.backoff = fixed_backoff(20s);
  orders(f, {"1"}, options);
  f.one("orders", "billing");
  f.advance(30s);
  REQUIRE(eventually([&] { return f.stats("orders", "billing").expired_leases == 1; }));
  CHECK(f.stats("orders", "billing").waiting_retries == 1);
  f.advance(19s);
  f.expect_nothing("orders", "billing");
  f.advance(1s);
  CHECK(f.one("orders", "billing").failures == 1);
}

CONTRACT_TEST_EVERY_TOPIC("waiting messages use no in-flight slot", "[S-18][S-20]") {
  GroupOptions options;
  options.in_flight_max = 1;
  orders(f, {"1", "2", "3"}, options);
  f.retry(f.one("orders", "billing"), "later", 1h);
  f.retry(f.one("orders", "billing"), "later", 1h);
  CHECK(text(f.one("orders", "billing")) == "3");
  CHECK(f.stats("orders", "billing").waiting_retries == 2);
}

CONTRACT_TEST_EVERY_TOPIC("past the bound of waiting retries no new messages are handed out until some are due", "[S-18][S-33]") {
  GroupOptions options;
  options.waiting_max = 2;
  orders(f, {"1", "2", "3"}, options);
  f.retry(f.one("orders", "billing"), "later", 1h);
  f.retry(f.one("orders", "billing"), "later", 1h);
  f.expect_nothing("orders", "billing");
  f.advance(1h);
  CHECK(sorted(texts(f.fetch_all("orders", "billing", 3))) == Texts{"1", "2", "3"});
}

// --- Suspects (S-19) ----------------------------------------------------------------------------------------------------------

CONTRACT_TEST_EVERY_TOPIC("a message with half of its attempts used is delivered alone", "[S-19]") {
  GroupOptions options;
  options.max_attempts = 4;
  orders(f, {"suspect 1", "suspect 2"}, options);
  for (int i = 0; i < 2; ++i)
    for (const Delivered& each : f.fetch_all("orders", "billing", 2)) f.retry(each, "no", 0ms);
  f.publish_texts("orders", Texts(10, "innocent"));

  std::size_t innocents = 0, suspects = 0;
  while (innocents + suspects < 12) {
    const std::vector<Delivered> batch = f.fetch("orders", "billing");
    const bool has_suspect = std::any_of(batch.begin(), batch.end(), [](const Delivered& d) { return d.failures >= 2; });
    if (has_suspect) {
      CHECK(batch.size() == 1);
      ++suspects;
    } else {
      innocents += batch.size();
    }
  }
  CHECK(suspects == 2);
  CHECK(innocents == 10);
}

}  // namespace
}  // namespace weir::test
