// Messages that expire (S-8).
#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

CONTRACT_TEST_EVERY_TOPIC("an expired message is not delivered", "[S-8]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish("orders", {.payload = "short", .ttl = 1s});
  f.publish("orders", {.payload = "long", .ttl = 1h});
  f.publish("orders", {.payload = "for ever"});
  f.advance(2s);
  CHECK(texts(f.fetch_all("orders", "billing", 2)) == Texts{"long", "for ever"});
  f.expect_nothing("orders", "billing");
  CHECK(f.stats("orders", "billing").expired == 1);
  CHECK(f.letters("orders", "billing").empty());
}

CONTRACT_TEST_EVERY_TOPIC("ttl runs from commit", "[S-8]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.advance(1h);
  f.publish("orders", {.payload = "1", .ttl = 10s});
  CHECK(f.browse("orders").at(0).expires_at == f.now() + 10s);
  f.advance(9s);
  CHECK(texts(f.fetch("orders", "billing")) == Texts{"1"});
}

CONTRACT_TEST_EVERY_TOPIC("a message that expires while it is handed over settles as usual", "[S-8]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish("orders", {.payload = "1", .ttl = 5s});
  f.publish("orders", {.payload = "2", .ttl = 5s});
  const std::vector<Delivered> got = f.fetch_all("orders", "billing", 2);
  f.advance(10s);
  f.ack(got[0]);
  f.reject(got[1], "no");
  CHECK(f.stats("orders", "billing").acked == 1);
  REQUIRE(f.letters("orders", "billing").size() == 1);
  CHECK(f.letters("orders", "billing")[0].message.dead_letter->reason == DeathReason::kRejected);
}

CONTRACT_TEST_EVERY_TOPIC("a message that expires while it waits for its retry is not delivered again", "[S-8]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish("orders", {.payload = "1", .ttl = 30s});
  f.publish("orders", {.payload = "2"});
  for (const Delivered& each : f.fetch_all("orders", "billing", 2)) f.retry(each, "later", 1min);
  f.advance(1min);
  CHECK(texts(f.fetch("orders", "billing")) == Texts{"2"});
  f.expect_nothing("orders", "billing");
  CHECK(f.stats("orders", "billing").expired == 1);
}

CONTRACT_TEST_EVERY_TOPIC("an expired message no longer holds up its key", "[S-8][S-13]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish("orders", {.key = "k", .payload = "1", .ttl = 30s});
  f.publish("orders", {.key = "k", .payload = "2"});
  f.retry(f.one("orders", "billing"), "later", 1h);
  f.advance(1h);
  CHECK(texts(f.fetch("orders", "billing")) == Texts{"2"});
}

CONTRACT_TEST_EVERY_TOPIC("a group may ask for expired messages among its dead letters", "[S-8][S-24]") {
  f.topic("orders");
  GroupOptions options;
  options.dead_letter_expired = true;
  f.group("orders", "billing", options);
  f.group("orders", "audit");
  f.publish("orders", {.payload = "1", .ttl = 1s});
  f.publish("orders", {.payload = "2"});
  f.advance(2s);
  CHECK(texts(f.fetch_all("orders", "billing", 1)) == Texts{"2"});
  CHECK(texts(f.fetch_all("orders", "audit", 1)) == Texts{"2"});
  REQUIRE(eventually([&] { return f.letters("orders", "billing").size() == 1; }));
  const DeadLetter letter = f.letters("orders", "billing")[0];
  CHECK(letter.message.payload.text() == "1");
  CHECK(letter.message.dead_letter->reason == DeathReason::kExpired);
  CHECK(letter.message.dead_letter->failures == 0);
  CHECK(f.letters("orders", "audit").empty());
}

CONTRACT_TEST_EVERY_TOPIC("an expired message counts as settled", "[S-8][S-10]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish("orders", {.payload = "1", .ttl = 1s});
  f.advance(2s);
  f.expect_nothing("orders", "billing");
  CHECK(eventually([&] { return f.stats("orders", "billing").floor == Offset{1}; }));
  CHECK(f.stats("orders", "billing").depth == 0);
}

CONTRACT_TEST_EVERY_TOPIC("a ttl is more than nothing", "[S-8]") {
  f.topic("orders");
  expect_error(f->publish("orders", {.ttl = -1s}), ErrorCode::invalid_argument, "ttl");
  expect_error(f->publish("orders", {.ttl = 0ms}), ErrorCode::invalid_argument, "ttl");
}

CONTRACT_TEST("a ttl goes on while the store is closed", "[S-8]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish("orders", {.payload = "1", .ttl = 1min});
  f.close();
  f.advance(2min);
  f.publish("orders", {.payload = "2"});
  CHECK(texts(f.fetch("orders", "billing")) == Texts{"2"});
}

}  // namespace
}  // namespace weir::test
