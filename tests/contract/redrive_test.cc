// Giving dead letters back (S-26).
#include <algorithm>
#include <future>

#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

CONTRACT_TEST_EVERY_TOPIC("a redriven letter is delivered again to its group, and to no other", "[S-26]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.group("orders", "audit");
  const Time published = f.now();
  f.publish("orders", {.key = "k", .payload = "1", .id = "id", .headers = {{"h", "v"}}});
  f.ack(f.one("orders", "audit"));
  for (int i = 0; i < 5; ++i) f.retry(f.one("orders", "billing"), "broken", 0ms);
  f.advance(1h);

  const RedriveResult r = f.redrive("orders", "billing");
  CHECK(r.redriven == 1);
  CHECK(r.skipped == 0);
  CHECK(r.needs_force == 0);
  const Delivered d = f.one("orders", "billing");
  CHECK(text(d) == "1");
  CHECK(d.failures == 0);
  CHECK(d.redrives == 1);
  CHECK(d.message.id == "id");
  CHECK(d.message.key == "k");
  CHECK(d.message.topic() == "orders");
  CHECK(d.message.offset == Offset{0});
  CHECK(d.message.time == published);
  CHECK(d.message.headers.find("h") == "v");
  CHECK(d.message.dead_letter == nullptr);
  f.expect_nothing("orders", "audit");
  f.ack(d);
  f.expect_nothing("orders", "billing");
  CHECK(f.letters("orders", "billing").empty());
  CHECK(f.stats("orders", "billing").depth == 0);
}

CONTRACT_TEST_EVERY_TOPIC("letters are redriven by id, and the others stay dead", "[S-26]") {
  f.topic("orders");
  f.group("orders", "billing");
  std::vector<Offset> ids;
  for (const char* payload : {"1", "2", "3"}) ids.push_back(f.dead_letter("orders", "billing", {.payload = payload}).offset);
  CHECK(f.redrive("orders", "billing", {ids[0], ids[2]}).redriven == 2);
  CHECK(sorted(texts(f.fetch_all("orders", "billing", 2))) == Texts{"1", "3"});
  const std::vector<DeadLetter> left = f.letters("orders", "billing");
  REQUIRE(left.size() == 1);
  CHECK(left[0].offset == ids[1]);
}

CONTRACT_TEST_EVERY_TOPIC("a letter is redriven once, however often it is asked for", "[S-26]") {
  f.topic("orders");
  f.group("orders", "billing");
  const Offset id = f.dead_letter("orders", "billing", {.payload = "1"}).offset;
  CHECK(f.redrive("orders", "billing", {id}).redriven == 1);
  const RedriveResult again = f.redrive("orders", "billing", {id});
  CHECK(again.redriven == 0);
  CHECK(again.skipped == 1);
  CHECK(f.redrive("orders", "billing").redriven == 0);
  CHECK(f.fetch_all("orders", "billing", 1).size() == 1);
  f.expect_nothing("orders", "billing");
}

CONTRACT_TEST_EVERY_TOPIC("a letter that never was is skipped", "[S-26]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.dead_letter("orders", "billing", {.payload = "1"});
  const RedriveResult r = f.redrive("orders", "billing", {Offset{0}, Offset{5}, Offset{~0ull}});
  CHECK(r.redriven == 1);
  CHECK(r.skipped == 2);
}

CONTRACT_TEST_EVERY_TOPIC("a redriven letter is listed as such when asked for", "[S-26][S-23]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.dead_letter("orders", "billing", {.payload = "1"});
  f.redrive("orders", "billing");
  CHECK(f.letters("orders", "billing").empty());
  const auto all = f->dead_letters({.topic = "orders", .group = "billing", .include_resolved = true}).value().letters;
  REQUIRE(all.size() == 1);
  CHECK(all[0].state == LetterState::kRedriven);
  CHECK(texts(f.browse("_dlq.orders.billing")) == Texts{"1"});  // browsing shows the log as it is
}

CONTRACT_TEST_EVERY_TOPIC("a redriven letter comes ahead of its key's undelivered messages", "[S-26][S-13]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.dead_letter("orders", "billing", {.key = "k", .payload = "1"});
  f.publish("orders", {.key = "k", .payload = "2"});
  f.publish("orders", {.key = "k", .payload = "3"});
  const Delivered two = f.one("orders", "billing");
  CHECK(text(two) == "2");
  f.redrive("orders", "billing");
  f.expect_nothing("orders", "billing");  // its key is at work
  f.ack(two);
  const Delivered one = f.one("orders", "billing");
  CHECK(text(one) == "1");
  f.expect_nothing("orders", "billing");
  f.retry(one, "no", 10s);
  f.expect_nothing("orders", "billing");
  f.advance(10s);
  f.ack(f.one("orders", "billing"));
  CHECK(text(f.one("orders", "billing")) == "3");
}

CONTRACT_TEST_EVERY_TOPIC("redriven letters of one key come back in their order", "[S-26][S-13]") {
  f.topic("orders");
  f.group("orders", "billing");
  for (const char* payload : {"1", "2", "3"}) f.dead_letter("orders", "billing", {.key = "k", .payload = payload});
  CHECK(f.redrive("orders", "billing").redriven == 3);
  for (const char* expected : {"1", "2", "3"}) {
    const Delivered d = f.one("orders", "billing");
    CHECK(text(d) == expected);
    f.ack(d);
  }
}

CONTRACT_TEST_EVERY_TOPIC("a redriven letter that fails again is a new dead letter with its redrives counted", "[S-26][S-24]") {
  f.topic("orders");
  f.group("orders", "billing");
  const Time published = f.now();
  const Offset first = f.dead_letter("orders", "billing", {.payload = "1"}).offset;
  f.advance(1h);
  f.redrive("orders", "billing");
  for (int i = 0; i < 5; ++i) f.retry(f.one("orders", "billing"), "still broken", 0ms);
  const std::vector<DeadLetter> letters = f.letters("orders", "billing");
  REQUIRE(letters.size() == 1);
  CHECK(letters[0].offset > first);
  const DeadLetterInfo& info = *letters[0].message.dead_letter;
  CHECK(info.redrives == 1);
  CHECK(info.origin_topic == "orders");
  CHECK(info.origin_offset == Offset{0});
  CHECK(info.published == published);
  CHECK(info.error == "still broken");
  CHECK(info.failures == 5);
  CHECK(info.reason == DeathReason::kMaxAttempts);
}

CONTRACT_TEST_EVERY_TOPIC("a message redriven three times needs force", "[S-26]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.dead_letter("orders", "billing", {.payload = "1"});
  for (std::uint32_t i = 1; i <= 3; ++i) {
    CHECK(f.redrive("orders", "billing").redriven == 1);
    const Delivered d = f.one("orders", "billing");
    CHECK(d.redrives == i);
    f.reject(d, "again");
  }
  const RedriveResult refused = f.redrive("orders", "billing");
  CHECK(refused.redriven == 0);
  CHECK(refused.needs_force == 1);
  CHECK(f.letters("orders", "billing").size() == 1);
  CHECK(f.redrive("orders", "billing", {}, true).redriven == 1);
  CHECK(f.one("orders", "billing").redrives == 4);
}

CONTRACT_TEST_EVERY_TOPIC("how often a message may be redriven without force can be chosen", "[S-26]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.dead_letter("orders", "billing", {.payload = "1"});
  f.redrive("orders", "billing");
  f.reject(f.one("orders", "billing"));
  RedriveRequest request{.topic = "orders", .group = "billing"};
  request.redrives_max = 1;
  CHECK(f->redrive(request).value().needs_force == 1);
  request.redrives_max = 2;
  CHECK(f->redrive(request).value().redriven == 1);
}

CONTRACT_TEST("redriven letters survive reopening, delivered or not", "[S-26]") {
  f.topic("orders");
  f.group("orders", "billing");
  for (const char* payload : {"acked", "failed", "waiting", "dead"}) f.dead_letter("orders", "billing", {.payload = payload});
  CHECK(f.redrive("orders", "billing", {Offset{0}, Offset{1}, Offset{2}}).redriven == 3);
  for (const Delivered& d : f.fetch_all("orders", "billing", 3)) {
    if (text(d) == "acked") f.ack(d);
    if (text(d) == "failed") f.retry(d, "no", 1min);
  }
  f.reopen();
  CHECK(text(f.one("orders", "billing")) == "waiting");
  f.expect_nothing("orders", "billing");
  f.advance(1min);
  const Delivered failed = f.one("orders", "billing");
  CHECK(text(failed) == "failed");
  CHECK(failed.failures == 1);
  CHECK(failed.redrives == 1);
  CHECK(failed.message.topic() == "orders");
  CHECK(failed.message.offset == Offset{1});
  REQUIRE(f.letters("orders", "billing").size() == 1);
  CHECK(f.letters("orders", "billing")[0].message.payload.text() == "dead");
}

CONTRACT_TEST_EVERY_TOPIC("a letter can be redriven when its original is gone", "[S-26]") {
  TopicOptions options;
  options.discard_settled = true;
  f.topic("orders", options);
  f.group("orders", "billing");
  f.dead_letter("orders", "billing", {.payload = "1"});
  CHECK(f.browse("orders").empty());
  f.redrive("orders", "billing");
  CHECK(text(f.one("orders", "billing")) == "1");
}

CONTRACT_TEST_EVERY_TOPIC("a letter given back is kept from retention until it is settled", "[S-26][S-23]") {
  f.topic("orders");
  GroupOptions options;
  options.lease = 12h;
  f.group("orders", "billing", options);
  f.dead_letter("orders", "billing", {.payload = "1"});
  f.redrive("orders", "billing");
  f.retry(f.one("orders", "billing"), "much later", std::chrono::hours{24 * 30});
  f.advance(std::chrono::hours{24 * 29});
  f.expect_nothing("orders", "billing");
  f.advance(std::chrono::hours{24});
  CHECK(text(f.one("orders", "billing")) == "1");
}

CONTRACT_TEST_EVERY_TOPIC("redriving wakes a waiting fetch", "[S-26][S-20]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.dead_letter("orders", "billing", {.payload = "1"});
  FetchRequest request{.source = "orders", .group = "billing"};
  request.wait = 1h;
  auto answer = std::make_shared<std::promise<Result<FetchResult>>>();
  auto future = answer->get_future();
  f->async_fetch(request, {}, [answer](Result<FetchResult> r) { answer->set_value(std::move(r)); });
  f.redrive("orders", "billing");
  REQUIRE(future.wait_for(kPatience) == std::future_status::ready);
  CHECK(texts(future.get().value().deliveries) == Texts{"1"});
}

CONTRACT_TEST_EVERY_TOPIC("many letters are redriven in one request, and each comes once", "[S-26]") {
  constexpr std::size_t kCount = 1500;
  f.topic("orders");
  GroupOptions options;
  options.in_flight_max = 10'000;
  f.group("orders", "billing", options);
  std::vector<Message> messages(kCount);
  for (std::size_t i = 0; i < kCount; ++i) messages[i].payload = std::to_string(i);
  expect_ok(f->publish_all("orders", std::move(messages)));
  SettleRequest settle;
  for (const Delivered& d : f.fetch_all("orders", "billing", kCount)) settle.settlements.push_back(Settlement::reject(d.token));
  CHECK(f->settle(settle).value().results.empty());
  CHECK(f.stats("orders", "billing").dead == kCount);
  CHECK(f.redrive("orders", "billing").redriven == kCount);
  Texts got = sorted(texts(f.fetch_all("orders", "billing", kCount)));
  CHECK(std::unique(got.begin(), got.end()) == got.end());
  f.expect_nothing("orders", "billing");
  CHECK(f.stats("orders", "billing").dead == 0);
}

CONTRACT_TEST_EVERY_TOPIC("a redrive names at most 10,000 letters", "[S-26][S-33]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.dead_letter("orders", "billing", {.payload = "1"});
  RedriveRequest request{.topic = "orders", .group = "billing"};
  request.letters.assign(10'001, Offset{0});
  expect_error(f->redrive(request), ErrorCode::limit_exceeded, "10000");
  CHECK(f.letters("orders", "billing").size() == 1);
}

}  // namespace
}  // namespace weir::test
