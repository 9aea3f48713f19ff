// Groups on patterns, and names that may not stand twice (S-2).
#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

CONTRACT_TEST_EVERY_TOPIC("'*' is one token and '>' is the rest", "[S-2]") {
  for (const char* name : {"shop", "shop.eu", "shop.us", "shop.eu.berlin", "mall.eu"}) {
    f.topic(name);
    f.publish(name, {.payload = name});
  }
  const auto reads = [&](const char* pattern, const Texts& topics) {
    INFO(pattern);
    static int number = 0;
    const std::string group = "g" + std::to_string(++number);
    f.group(pattern, group);
    CHECK(sorted(texts(f.fetch_all(pattern, group, topics.size()))) == sorted(topics));
    f.expect_nothing(pattern, group);
  };
  reads("shop.*", {"shop.eu", "shop.us"});
  reads("shop.>", {"shop.eu", "shop.us", "shop.eu.berlin"});
  reads("*.eu", {"shop.eu", "mall.eu"});
  reads("*.eu.*", {"shop.eu.berlin"});
  reads("*", {"shop"});
  reads(">", {"shop", "shop.eu", "shop.us", "shop.eu.berlin", "mall.eu"});
}

CONTRACT_TEST_EVERY_TOPIC("a wildcard is a whole token, and '>' stands last", "[S-2]") {
  for (const char* bad : {"a*", "*a.b", "a.>.b", ">>", "a.*b", "a..*", ".>", "a>"}) {
    INFO(bad);
    expect_error(f->create_group(bad, "g"), ErrorCode::invalid_argument);
  }
}

CONTRACT_TEST_EVERY_TOPIC("a wildcard never matches a topic of the broker", "[S-2]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.group(">", "everything");
  f.group("*.orders.billing", "curious");
  f.dead_letter("orders", "billing", {.payload = "1"});

  CHECK(texts(f.fetch_all(">", "everything", 1)) == Texts{"1"});
  f.expect_nothing(">", "everything");
  f.expect_nothing("*.orders.billing", "curious");
}

CONTRACT_TEST_EVERY_TOPIC("a group on a pattern gets topics created later from their first message", "[S-2]") {
  GroupOptions latest;
  latest.start = StartPoint::latest();
  f.topic("orders.old");
  f.publish("orders.old", {.payload = "before the group"});
  f.group("orders.*", "audit", latest);

  f.topic("orders.new");
  f.publish("orders.new", {.payload = "first"});
  f.publish("orders.new", {.payload = "second"});
  f.publish("orders.old", {.payload = "after the group"});
  CHECK(sorted(texts(f.fetch_all("orders.*", "audit", 3))) == Texts{"after the group", "first", "second"});
  f.expect_nothing("orders.*", "audit");
}

CONTRACT_TEST_EVERY_TOPIC("a group may stand on a pattern before any topic does", "[S-2]") {
  f.group("orders.>", "audit");
  CHECK(f.group_info("orders.>", "audit").topics.empty());
  f.topic("orders.eu");
  f.publish_texts("orders.eu", {"1", "2"});
  CHECK(texts(f.fetch_all("orders.>", "audit", 2)) == Texts{"1", "2"});
}

CONTRACT_TEST("topics of a pattern are still known after reopening, also those created behind it", "[S-2]") {
  f.group("orders.>", "audit");
  f.topic("orders.a");
  f.publish_texts("orders.a", {"a1", "a2"});
  f.ack(f.one("orders.>", "audit"));
  f.reopen();
  f.topic("orders.b");
  f.publish_texts("orders.b", {"b1"});
  CHECK(sorted(texts(f.fetch_all("orders.>", "audit", 2))) == Texts{"a2", "b1"});
}

CONTRACT_TEST_EVERY_TOPIC("each topic of a pattern has its own dead-letter queue", "[S-2][S-23]") {
  f.topic("orders.a");
  f.topic("orders.b");
  f.group("orders.*", "audit");
  for (const char* name : {"orders.a", "orders.b"}) {
    f.publish(name, {.payload = name});
    f.reject(f.one("orders.*", "audit"));
  }
  CHECK(texts(f.browse("_dlq.orders.a.audit")) == Texts{"orders.a"});
  CHECK(texts(f.browse("_dlq.orders.b.audit")) == Texts{"orders.b"});
  const std::vector<DeadLetter> letters = f.letters("orders.a", "audit");
  REQUIRE(letters.size() == 1);
  CHECK(letters[0].message.dead_letter->source == "orders.*");
  CHECK(letters[0].message.dead_letter->origin_topic == "orders.a");
}

CONTRACT_TEST_EVERY_TOPIC("a group name may not stand on two sources that overlap", "[S-2]") {
  f.topic("orders.eu");
  f.topic("weather");
  f.group("orders.*", "audit");
  for (const char* overlapping : {"orders.eu", "orders.>", "*.eu", ">", "*.*"}) {
    INFO(overlapping);
    expect_error(f->create_group(overlapping, "audit"), ErrorCode::already_exists, "orders.*");
  }
  f.group("weather", "audit");
  f.group("mall.*", "audit");
  f.group("orders.*.*", "audit");
  f.group("orders.eu", "billing");
  expect_error(f->create_group("*.*.berlin", "audit"), ErrorCode::already_exists);
}

CONTRACT_TEST_EVERY_TOPIC("one key on two topics of a pattern is two keys", "[S-13]") {
  f.topic("orders.a");
  f.topic("orders.b");
  f.group("orders.*", "audit");
  f.publish("orders.a", {.key = "k", .payload = "a"});
  f.publish("orders.b", {.key = "k", .payload = "b"});
  const std::vector<Delivered> first = f.fetch_all("orders.*", "audit", 1);
  CHECK(first.size() == 1);  // unsettled, and yet
  CHECK(f.fetch_all("orders.*", "audit", 1).size() == 1);
}

CONTRACT_TEST_EVERY_TOPIC("deleting a topic of a pattern leaves the group to the others", "[S-2]") {
  f.topic("orders.a");
  f.topic("orders.b");
  f.group("orders.*", "audit");
  f.publish_texts("orders.a", {"a"});
  f.publish_texts("orders.b", {"b"});
  expect_ok(f->delete_topic("orders.a"));
  CHECK(texts(f.fetch_all("orders.*", "audit", 1)) == Texts{"b"});
  f.expect_nothing("orders.*", "audit");
  CHECK(f.group_info("orders.*", "audit").topics.size() == 1);
}

}  // namespace
}  // namespace weir::test
