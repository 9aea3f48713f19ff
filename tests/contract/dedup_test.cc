// Messages with an id that the topic saw before, and producer sessions (S-6).
#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

Published publish_id(Fixture& f, const std::string& topic, const std::string& id, const std::string& payload = "x") {
  return f->publish(topic, {.payload = payload, .id = id}).value();
}

CONTRACT_TEST_EVERY_TOPIC("an id seen before is OK with the first offset, and not stored again", "[S-6]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish_texts("orders", {"other"});
  const Published first = publish_id(f, "orders", "a", "original");
  CHECK(first.offset == Offset{1});
  CHECK_FALSE(first.duplicate);
  f.publish_texts("orders", {"another"});

  const Published again = publish_id(f, "orders", "a", "changed");
  CHECK(again.offset == Offset{1});
  CHECK(again.duplicate);
  CHECK(texts(f.browse("orders")) == Texts{"other", "original", "another"});
  CHECK(f.topic_info("orders").duplicates == 1);
  CHECK(texts(f.fetch_all("orders", "billing", 3)) == Texts{"other", "original", "another"});
}

CONTRACT_TEST_EVERY_TOPIC("the same id on another topic is another message", "[S-6]") {
  f.topic("orders");
  f.topic("bills");
  publish_id(f, "orders", "a");
  CHECK_FALSE(publish_id(f, "bills", "a").duplicate);
}

CONTRACT_TEST_EVERY_TOPIC("messages without an id are never duplicates", "[S-6]") {
  f.topic("orders");
  f.publish_texts("orders", {"same", "same"});
  CHECK(f.browse("orders").size() == 2);
}

CONTRACT_TEST_EVERY_TOPIC("an id is forgotten when the window is over", "[S-6]") {
  f.topic("orders");
  publish_id(f, "orders", "a");
  f.advance(10min - 1s);
  CHECK(publish_id(f, "orders", "a").duplicate);
  f.advance(2s);
  const Published later = publish_id(f, "orders", "a");
  CHECK_FALSE(later.duplicate);
  CHECK(later.offset == Offset{1});
}

CONTRACT_TEST_EVERY_TOPIC("a topic may choose its window, and to have none", "[S-6]") {
  TopicOptions options;
  options.dedup_window = 1min;
  f.topic("short", options);
  options.dedup_window = 0ms;
  f.topic("none", options);
  publish_id(f, "short", "a");
  publish_id(f, "none", "a");
  CHECK_FALSE(publish_id(f, "none", "a").duplicate);
  CHECK(publish_id(f, "short", "a").duplicate);
  f.advance(61s);
  CHECK_FALSE(publish_id(f, "short", "a").duplicate);
}

CONTRACT_TEST("ids are still known after reopening, and their window goes on", "[S-6]") {
  f.topic("orders");
  publish_id(f, "orders", "a");
  f.advance(5min);
  publish_id(f, "orders", "b");
  f.reopen();
  const Published again = publish_id(f, "orders", "a");
  CHECK(again.duplicate);
  CHECK(again.offset == Offset{0});
  f.advance(5min + 1s);
  CHECK_FALSE(publish_id(f, "orders", "a").duplicate);
  CHECK(publish_id(f, "orders", "b").duplicate);
}

CONTRACT_TEST("ids are still known when they were published at process only", "[S-6]") {
  f.topic("orders");
  expect_ok(f->publish("orders", {.id = "a"}, Durability::kProcess));
  f.reopen();
  CHECK(publish_id(f, "orders", "a").duplicate);
}

CONTRACT_TEST_EVERY_TOPIC("an id that stands twice in one batch is stored once", "[S-6][S-9]") {
  f.topic("orders");
  const PublishResult r = f->publish_all("orders", {{.id = "a"}, {.id = "b"}, {.id = "a"}}).value();
  REQUIRE(r.messages.size() == 3);
  CHECK_FALSE(r.messages[0].duplicate);
  CHECK(r.messages[2].duplicate);
  CHECK(r.messages[2].offset == r.messages[0].offset);
  CHECK(f.browse("orders").size() == 2);
}

CONTRACT_TEST_EVERY_TOPIC("a batch stores those of its messages that are new", "[S-6][S-9]") {
  f.topic("orders");
  publish_id(f, "orders", "b");
  const PublishResult r = f->publish_all("orders", {{.id = "a"}, {.id = "b"}, {.id = "c"}}).value();
  CHECK(r.messages[0].offset == Offset{1});
  CHECK(r.messages[1].offset == Offset{0});
  CHECK(r.messages[1].duplicate);
  CHECK(r.messages[2].offset == Offset{2});
  CHECK(f.browse("orders").size() == 3);
}

CONTRACT_TEST_EVERY_TOPIC("a refused message leaves no id behind", "[S-6]") {
  f.topic("orders");
  std::vector<Message> bad;
  bad.push_back({.id = "a"});
  bad.push_back({.key = std::string(2000, 'k')});
  expect_error(f->publish_all("orders", bad), ErrorCode::limit_exceeded);
  CHECK_FALSE(publish_id(f, "orders", "a").duplicate);
}

CONTRACT_TEST_EVERY_TOPIC("the ids remembered are bounded in the whole store", "[S-6][S-33]") {
  f.options.dedup_ids_max = 100;
  f.topic("orders");
  for (int i = 0; i < 250; ++i) publish_id(f, "orders", "id" + std::to_string(i));
  CHECK(f->status().value().dedup_ids <= 100);
  CHECK(publish_id(f, "orders", "id249").duplicate);  // the newest are those that are kept
  CHECK_FALSE(publish_id(f, "orders", "id0").duplicate);
}

CONTRACT_TEST_EVERY_TOPIC("a duplicate of a message that is gone is still a duplicate", "[S-6]") {
  TopicOptions options;
  options.discard_settled = true;
  f.topic("orders", options);
  f.group("orders", "billing");
  publish_id(f, "orders", "a");
  f.ack(f.one("orders", "billing"));
  CHECK(publish_id(f, "orders", "a").duplicate);
  f.expect_nothing("orders", "billing");
}

}  // namespace
}  // namespace weir::test
