// What an OK means: the three levels (S-4, S-5).
#include "tests/contract/fixture.h"
#include "tests/support/collector.h"

namespace weir::test {
namespace {

PublishRequest one_message(const std::string& topic, std::optional<Durability> level) {
  PublishRequest r{.topic = topic};
  r.messages.push_back({.payload = "x"});
  r.durability = level;
  return r;
}

CONTRACT_TEST("publishes default to power, which syncs the log", "[S-4]") {
  CHECK(f.topic("orders").options.durability == Durability::kPower);
  const std::uint64_t before = f->status().value().syncs;
  f.publish("orders", {.payload = "1"});
  CHECK(f->status().value().syncs > before);
}

CONTRACT_TEST("a process publish never waits for a sync", "[S-4][S-5]") {
  f.topic("orders");
  const std::uint64_t before = f->status().value().syncs;
  for (int i = 0; i < 20; ++i) expect_ok(f->publish(one_message("orders", Durability::kProcess)));
  CHECK(f->status().value().syncs == before);
}

CONTRACT_TEST("a topic may choose its level, and a publish may choose another", "[S-4]") {
  TopicOptions options;
  options.durability = Durability::kProcess;
  f.topic("orders", options);
  const std::uint64_t before = f->status().value().syncs;
  expect_ok(f->publish(one_message("orders", std::nullopt)));
  CHECK(f->status().value().syncs == before);
  expect_ok(f->publish(one_message("orders", Durability::kPower)));
  CHECK(f->status().value().syncs > before);
}

CONTRACT_TEST("publishes at power share syncs", "[S-4]") {
  f.topic("orders");
  const std::uint64_t before = f->status().value().syncs;
  constexpr int kCount = 500;
  Collector<ErrorCode> answers;
  for (int i = 0; i < kCount; ++i)
    f->async_publish(one_message("orders", Durability::kPower), {}, [&](Result<PublishResult> r) { answers.add(r.code()); });
  REQUIRE(answers.wait_for(kCount));
  for (const ErrorCode code : answers.items()) CHECK(code == ErrorCode::ok);
  CHECK(f->status().value().syncs - before < kCount);
}

CONTRACT_TEST("settlements default to process", "[S-4]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish_texts("orders", {"1", "2"});
  const std::vector<Delivered> got = f.fetch_all("orders", "billing", 2);
  const std::uint64_t before = f->status().value().syncs;
  f.ack(got[0]);
  CHECK(f->status().value().syncs == before);
  expect_ok(f->settle(SettleRequest{.settlements = {Settlement::ack(got[1].token)}, .durability = Durability::kPower}));
  CHECK(f->status().value().syncs > before);
}

CONTRACT_TEST("messages, progress and dead letters survive reopening, at both levels", "[S-4]") {
  f.topic("orders");
  f.group("orders", "billing");
  for (const Durability level : {Durability::kProcess, Durability::kPower})
    for (int i = 0; i < 3; ++i) expect_ok(f->publish(one_message("orders", level)));
  f.ack(f.one("orders", "billing"));
  f.reject(f.one("orders", "billing"), "broken");
  f.reopen();

  CHECK(f.browse("orders").size() == 6);
  CHECK(f.letters("orders", "billing").size() == 1);
  const std::vector<Delivered> rest = f.fetch_all("orders", "billing", 4);
  for (std::size_t i = 0; i < 4; ++i) CHECK(rest[i].message.offset == Offset{i + 2});
  f.expect_nothing("orders", "billing");
}

CONTRACT_TEST("a durable topic cannot be published to at memory", "[S-4]") {
  f.topic("orders");
  expect_one_of(f->publish(one_message("orders", Durability::kMemory)), {ErrorCode::invalid_argument, ErrorCode::failed_precondition});
  CHECK(f.browse("orders").empty());
}

// --- Ephemeral topics -------------------------------------------------------------------------------------------------------

TopicOptions ephemeral() {
  TopicOptions options;
  options.ephemeral = true;
  return options;
}

CONTRACT_TEST("an ephemeral topic is gone with everything about it when the broker was closed", "[S-4]") {
  f.options.events = false;   // what is counted is the test's own
  expect_ok(f->create_topic("events", ephemeral()));
  f.topic("orders");
  f.group("events", "view");
  f.publish_texts("events", {"1", "2"});
  f.reject(f.one("events", "view"));
  CHECK(f.letters("events", "view").size() == 1);
  f.reopen();

  expect_error(f->topic("events"), ErrorCode::topic_not_found);
  CHECK_FALSE(f->group("events", "view").ok());
  expect_error(f->browse({.topic = "_dlq.events.view"}), ErrorCode::topic_not_found);
  CHECK(f->list_topics({.include_internal = true}).value().topics.size() == 1);
}

CONTRACT_TEST("an ephemeral topic comes back empty when it is created again", "[S-4]") {
  expect_ok(f->create_topic("events", ephemeral()));
  f.publish_texts("events", {"1"});
  f.reopen();
  expect_ok(f->create_topic("events", ephemeral()));
  CHECK(f.browse("events").empty());
  CHECK(f.publish("events", {.payload = "2"}) == Offset{0});
}

CONTRACT_TEST("publishing to an ephemeral topic writes nothing to the log", "[S-4]") {
  expect_ok(f->create_topic("events", ephemeral()));
  f.group("events", "view");
  const BrokerStatus before = f->status().value();
  for (int i = 0; i < 10; ++i) f.publish("events", {.payload = "x"});
  f.ack(f.fetch_all("events", "view", 10));
  const BrokerStatus after = f->status().value();
  CHECK(after.commits == before.commits);
  CHECK(after.syncs == before.syncs);
}

CONTRACT_TEST("durable and ephemeral topics do not mix in one batch", "[S-4][S-9]") {
  expect_ok(f->create_topic("events", ephemeral()));
  f.topic("orders");
  PublishRequest r;
  r.batch = {{"events", {.payload = "1"}}, {"orders", {.payload = "2"}}};
  expect_one_of(f->publish(std::move(r)), {ErrorCode::invalid_argument, ErrorCode::failed_precondition}, "ephemeral");
  CHECK(f.browse("events").empty());
  CHECK(f.browse("orders").empty());
}

CONTRACT_TEST("subscribers of an ephemeral topic share the bytes that were published", "[S-4]") {
  expect_ok(f->create_topic("events", ephemeral()));
  f.group("events", "one");
  f.group("events", "two");
  const Payload payload(std::string(100'000, 'x'));
  f.publish("events", {.payload = payload});
  const Delivered first = f.one("events", "one"), second = f.one("events", "two");
  CHECK(first.message.payload.data() == payload.data());
  CHECK(second.message.payload.data() == payload.data());
}

CONTRACT_TEST("ephemeral topics have a bound together, past which they are full", "[S-4][S-33]") {
  f.options.ephemeral_bytes_max = 1u << 20;
  expect_ok(f->create_topic("events", ephemeral()));
  expect_ok(f->create_topic("others", ephemeral()));
  f.topic("orders");
  f.group("events", "view");
  Status last;
  std::uint64_t stored = 0;
  while (last.ok() && stored < 100) {
    last = f->publish("events", {.payload = std::string(100'000, 'x')}).status();
    if (last.ok()) ++stored;
  }
  expect_error(last, ErrorCode::full, "ephemeral");
  CHECK(stored >= 8);
  CHECK(stored <= 11);
  expect_error(f->publish("others", {.payload = std::string(200'000, 'x')}), ErrorCode::full);
  f.publish("orders", {.payload = std::string(200'000, 'x')});
  CHECK(f.browse("events").size() == stored);
}

CONTRACT_TEST("a message delivered from an ephemeral topic outlives the topic", "[S-4]") {
  expect_ok(f->create_topic("events", ephemeral()));
  f.group("events", "view");
  f.publish("events", {.key = "key", .payload = "still here", .headers = {{"h", "v"}}});
  const Delivered d = f.one("events", "view");
  f.ack(d);
  expect_ok(f->delete_topic("events"));
  f.close();
  CHECK(text(d) == "still here");
  CHECK(d.message.key == "key");
  CHECK(d.message.headers.find("h") == "v");
}

CONTRACT_TEST("an OK at power has synced what it rests on, although it writes nothing itself", "[S-4][S-5][S-6]") {
  f.topic("orders");
  f.group("orders", "billing");
  const auto publish = [&](Durability level) {
    PublishRequest request{.topic = "orders"};
    request.messages.push_back({.payload = "1", .id = "order-1"});
    request.durability = level;
    return f->publish(std::move(request)).value().messages.at(0);
  };
  CHECK_FALSE(publish(Durability::kProcess).duplicate);
  const std::uint64_t before = f->status().value().syncs;
  CHECK(publish(Durability::kPower).duplicate);
  CHECK(f->status().value().syncs > before);

  const Delivered one = f.one("orders", "billing");
  f.ack(one);   // at `process`
  const std::uint64_t then = f->status().value().syncs;
  SettleRequest again;
  again.settlements.push_back(Settlement::ack(one.token));
  again.durability = Durability::kPower;
  expect_ok(f->settle(std::move(again)));
  CHECK(f->status().value().syncs > then);
}

}  // namespace
}  // namespace weir::test
