// Names of topics and groups, and topics as things with a life (S-2).
#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

CONTRACT_TEST_EVERY_TOPIC("topic names are tokens of letters, digits, '_' and '-', joined by dots", "[S-2]") {
  for (const char* good : {"orders", "orders.eu", "a.b.c.d", "A-Z_09", "x", "a._b", "-"}) {
    INFO(good);
    CHECK(f.topic(good).name == good);
  }
  for (const char* bad : {"", ".", "a.", ".a", "a..b", "a b", "a/b", "ä", "a*", "*", ">", "a.*", "a.>", "a\n"}) {
    INFO("'" << bad << "'");
    expect_error(f->create_topic(bad), ErrorCode::invalid_argument);
  }
}

CONTRACT_TEST_EVERY_TOPIC("a topic name has at most 180 bytes", "[S-2][S-33]") {
  f.topic(std::string(180, 't'));
  expect_one_of(f->create_topic(std::string(181, 't')), {ErrorCode::limit_exceeded, ErrorCode::invalid_argument}, "180");
}

CONTRACT_TEST_EVERY_TOPIC("a group name is one token of at most 64 bytes", "[S-2][S-33]") {
  f.topic("orders");
  f.group("orders", std::string(64, 'g'));
  f.group("orders", "A-Z_09");
  expect_one_of(f->create_group("orders", std::string(65, 'g')), {ErrorCode::limit_exceeded, ErrorCode::invalid_argument}, "64");
  for (const char* bad : {"", "a.b", "a b", "*", ">", "ü", "a/b"}) {
    INFO("'" << bad << "'");
    expect_error(f->create_group("orders", bad), ErrorCode::invalid_argument);
  }
}

CONTRACT_TEST_EVERY_TOPIC("the longest names have a dead-letter topic too", "[S-2][S-23]") {
  const std::string topic(180, 't'), group(64, 'g');
  f.topic(topic);
  f.group(topic, group);
  f.dead_letter(topic, group, {.payload = "1"});
  CHECK(texts(f.browse(dead_letter_topic(topic, group))) == Texts{"1"});
}

CONTRACT_TEST("names that begin with '_' belong to the broker", "[S-2]") {
  for (const char* name : {"_mine", "_dlq.orders.billing", "_.x"}) {
    INFO(name);
    expect_one_of(f->create_topic(name), {ErrorCode::invalid_argument, ErrorCode::permission_denied});
  }
}

CONTRACT_TEST_EVERY_TOPIC("nobody publishes to a topic of the broker", "[S-2]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.dead_letter("orders", "billing", {.payload = "1"});
  CHECK_FALSE(f->publish("_dlq.orders.billing", {.payload = "2"}).ok());
  CHECK(f.browse("_dlq.orders.billing").size() == 1);
}

CONTRACT_TEST("publishing to an unknown topic names the near misses", "[S-2]") {
  f.topic("orders");
  f.topic("orders.eu");
  f.topic("weather");
  const auto near = f->publish("ordres", {.payload = "1"});
  expect_error(near, ErrorCode::topic_not_found, "orders");
  CHECK_THAT(near.status().message(), !Catch::Contains("weather"));
  expect_error(f->publish("orders.us", {.payload = "1"}), ErrorCode::topic_not_found, "orders.eu");
  expect_error(f->publish("entirely-else", {.payload = "1"}), ErrorCode::topic_not_found, "entirely-else");
}

CONTRACT_TEST("every verb that names an unknown topic says so", "[S-2]") {
  f.topic("orders");
  expect_error(f->topic("order"), ErrorCode::topic_not_found, "orders");
  expect_error(f->alter_topic("order", {}), ErrorCode::topic_not_found);
  expect_error(f->delete_topic("order"), ErrorCode::topic_not_found);
  expect_error(f->create_group("order", "billing"), ErrorCode::topic_not_found);
  expect_error(f->browse({.topic = "order"}), ErrorCode::topic_not_found);
  expect_one_of(f->fetch({.source = "order", .group = "billing"}), {ErrorCode::topic_not_found, ErrorCode::group_not_found});
  expect_one_of(f->dead_letters({.topic = "order", .group = "billing"}), {ErrorCode::topic_not_found, ErrorCode::group_not_found});
}

CONTRACT_TEST("every verb that names an unknown group says so", "[S-2]") {
  f.topic("orders");
  expect_error(f->group("orders", "billing"), ErrorCode::group_not_found);
  expect_error(f->fetch({.source = "orders", .group = "billing"}), ErrorCode::group_not_found);
  expect_error(f->alter_group("orders", "billing", {}), ErrorCode::group_not_found);
  expect_error(f->delete_group("orders", "billing"), ErrorCode::group_not_found);
  expect_error(f->pause_group("orders", "billing"), ErrorCode::group_not_found);
  expect_error(f->seek_group("orders", "billing", StartPoint::earliest()), ErrorCode::group_not_found);
  expect_error(f->join({.source = "orders", .group = "billing"}), ErrorCode::group_not_found);
  expect_error(f->dead_letters({.topic = "orders", .group = "billing"}), ErrorCode::group_not_found);
  expect_error(f->redrive({.topic = "orders", .group = "billing"}), ErrorCode::group_not_found);
}

CONTRACT_TEST("topics are created explicitly unless auto-creation is on", "[S-2]") {
  expect_error(f->publish("orders", {.payload = "1"}), ErrorCode::topic_not_found);
  CHECK(f->list_topics().value().topics.empty());

  f.close();
  f.options.auto_create_topics = true;
  f.options.topic_defaults.durability = Durability::kProcess;
  f.options.topic_defaults.payload_bytes_max = 17;
  f.publish("orders", {.payload = "1"});
  CHECK(f.topic_info("orders").options == f.options.topic_defaults);
  CHECK(texts(f.browse("orders")) == Texts{"1"});
  expect_error(f->publish("not valid", {.payload = "1"}), ErrorCode::invalid_argument);
}

CONTRACT_TEST("subscribing on an unknown topic creates it when auto-creation is on", "[S-2]") {
  f.options.auto_create_topics = true;
  Subscription s = f->subscribe("orders", {.group = "billing"}, [](Delivery&) {}).value();
  CHECK(f.topic_info("orders").name == "orders");
}

CONTRACT_TEST_EVERY_TOPIC("creating a topic that exists is fine with the same options only", "[S-2]") {
  TopicOptions options;
  options.ephemeral = f.kind() == TopicKind::kEphemeral;
  const TopicInfo first = f.topic("orders", options);
  CHECK(f.topic("orders", options).id == first.id);

  options.retention_age = 1h;
  expect_error(f->create_topic("orders", options), ErrorCode::options_differ, "retention_age");
  CHECK(f.topic_info("orders").options == first.options);
}

Status create_exclusively(Broker& broker, CreateTopicRequest request) {
  return answer_of<TopicInfo>([&](auto done) { broker.async_create_topic(std::move(request), {}, std::move(done)); }).status();
}

CONTRACT_TEST("creating a topic that must not exist says that it does", "[S-2]") {
  CHECK(create_exclusively(f.broker(), {.name = "orders", .options = {}, .if_missing = false}).ok());
  expect_error(create_exclusively(f.broker(), {.name = "orders", .options = {}, .if_missing = false}), ErrorCode::already_exists);
}

CONTRACT_TEST_EVERY_TOPIC("a topic's options can be altered, but not whether it is ephemeral", "[S-2][S-4]") {
  TopicOptions options = f.topic("orders").options;
  options.retention_age = 2h;
  options.discard_settled = true;
  CHECK(f->alter_topic("orders", options).value().options == options);
  CHECK(f.topic_info("orders").options == options);

  options.ephemeral = !options.ephemeral;
  expect_one_of(f->alter_topic("orders", options),
                {ErrorCode::invalid_argument, ErrorCode::failed_precondition, ErrorCode::options_differ}, "ephemeral");
}

CONTRACT_TEST("altered options survive reopening", "[S-2]") {
  TopicOptions options = f.topic("orders").options;
  options.retention_bytes = 12345;
  options.cap_policy = CapPolicy::kDropOldest;
  options.bytes_max = 1u << 30;
  expect_ok(f->alter_topic("orders", options));
  f.reopen();
  CHECK(f.topic_info("orders").options == options);
}

CONTRACT_TEST_EVERY_TOPIC("a name deleted and created again is a new thing", "[S-2][S-14]") {
  const TopicInfo old = f.topic("orders");
  const GroupInfo old_group = f.group("orders", "billing");
  f.publish_texts("orders", {"1", "2"});
  const Delivered stale = f.one("orders", "billing");
  expect_ok(f->delete_topic("orders"));
  expect_error(f->topic("orders"), ErrorCode::topic_not_found);
  expect_error(f->publish("orders", {.payload = "x"}), ErrorCode::topic_not_found);

  CHECK(f.topic("orders").id != old.id);
  CHECK(f.topic_info("orders").next == Offset{0});
  expect_error(f->group("orders", "billing"), ErrorCode::group_not_found);
  CHECK(f.group("orders", "billing").id != old_group.id);
  f.publish_texts("orders", {"new"});
  CHECK_FALSE(f->ack(stale.token).ok());
  const Delivered d = f.one("orders", "billing");
  CHECK(text(d) == "new");
  CHECK(d.message.offset == Offset{0});
}

CONTRACT_TEST_EVERY_TOPIC("deleting a topic takes its dead letters with it", "[S-2]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.dead_letter("orders", "billing", {.payload = "1"});
  expect_ok(f->delete_topic("orders"));
  expect_error(f->browse({.topic = "_dlq.orders.billing"}), ErrorCode::topic_not_found);
}

CONTRACT_TEST("a deleted topic stays deleted after reopening", "[S-2]") {
  f.topic("orders");
  f.publish_texts("orders", {"1"});
  expect_ok(f->delete_topic("orders"));
  f.reopen();
  expect_error(f->topic("orders"), ErrorCode::topic_not_found);
  f.topic("orders");
  CHECK(f.browse("orders").empty());
}

Texts names(const ListTopicsResult& result) {
  Texts all;
  for (const TopicInfo& each : result.topics) all.push_back(each.name);
  return all;
}

CONTRACT_TEST_EVERY_TOPIC("topics are listed by name, by pattern, in pages", "[S-2]") {
  for (const char* name : {"b", "a.y", "a.x", "a.x.1", "c"}) f.topic(name);
  f.group("a.x", "g");
  f.dead_letter("a.x", "g", {.payload = "1"});

  const ListTopicsResult all = f->list_topics().value();
  CHECK(names(all) == Texts{"a.x", "a.x.1", "a.y", "b", "c"});
  CHECK(all.end);
  CHECK(names(f->list_topics({.pattern = "a.*"}).value()) == Texts{"a.x", "a.y"});
  CHECK(names(f->list_topics({.pattern = "a.>"}).value()) == Texts{"a.x", "a.x.1", "a.y"});
  CHECK(names(f->list_topics({.pattern = "b"}).value()) == Texts{"b"});

  const ListTopicsResult page = f->list_topics({.after = "a.x", .topics_max = 2}).value();
  CHECK(names(page) == Texts{"a.x.1", "a.y"});
  CHECK_FALSE(page.end);
  CHECK(names(f->list_topics({.include_internal = true}).value()) == Texts{"_dlq.a.x.g", "_events", "a.x", "a.x.1", "a.y", "b", "c"});
}

}  // namespace
}  // namespace weir::test
