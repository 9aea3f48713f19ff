// Asking again after an answer that was lost (S-5, S-6), where something is in the way by now; and refusals that leave nothing behind.
#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

PublishRequest in_session(const std::string& topic, std::uint64_t sequence, const std::string& text) {
  PublishRequest request;
  request.topic = topic;
  request.messages = {{.payload = text}};
  request.session = SessionPosition{"s", sequence};
  return request;
}

}  // namespace

CONTRACT_TEST_EVERY_TOPIC("what a topic has already it answers as a duplicate, however full it is by now", "[S-5][S-6][S-10]") {
  TopicOptions options;
  options.bytes_max = 3000;
  f.topic("orders", options);
  const Offset first = f.publish("orders", {.payload = std::string(500, 'x'), .id = "one"});
  f->publish(in_session("orders", 1, std::string(500, 'y'))).value();
  Status full;
  for (int i = 0; i < 10 && full.ok(); ++i) full = f->publish("orders", {.payload = std::string(500, 'z')}).status();
  expect_error(full, ErrorCode::full, "orders");

  const Published again = f->publish("orders", {.payload = std::string(500, 'x'), .id = "one"}).value();
  CHECK(again.duplicate);
  CHECK(again.offset == first);
  CHECK(f->publish(in_session("orders", 1, std::string(500, 'y'))).value().messages.at(0).duplicate);
  expect_error(f->publish(in_session("orders", 2, std::string(500, 'y'))), ErrorCode::full, "orders");
  // A batch of both is refused for what is new in it.
  expect_error(f->publish_all("orders", {{.payload = std::string(500, 'x'), .id = "one"}, {.payload = std::string(500, 'x'), .id = "two"}}), ErrorCode::full);

  options.payload_bytes_max = 100;
  expect_ok(f->alter_topic("orders", f.kind() == TopicKind::kEphemeral ? [&] { options.ephemeral = true; return options; }() : options));
  CHECK(f->publish("orders", {.payload = std::string(500, 'x'), .id = "one"}).value().duplicate);
}

CONTRACT_TEST("a refused publish makes no topic", "[S-1][S-2][S-9]") {
  f.options.auto_create_topics = true;
  f.group(">", "pattern");
  expect_error(f->publish("new1.a", {.payload = std::string(2u << 20, 'x')}), ErrorCode::limit_exceeded, "payload");
  PublishRequest batch;
  batch.batch = {{"new2.a", {.payload = "1"}}, {"bad..name", {.payload = "1"}}};
  expect_error(f->publish(batch), ErrorCode::invalid_argument);
  PublishRequest expecting;
  expecting.topic = "new3.a";
  expecting.messages = {{.payload = "1"}};
  f.publish("known", {.payload = "1"});
  expecting.expected = {{.topic = "known", .last = Offset{7}}};
  expect_error(f->publish(expecting), ErrorCode::conflict);
  CHECK(f->list_topics().value().topics.size() == 1);
  f.options.topic_defaults.ephemeral = true;
  f.reopen();
  batch.batch = {{"new4.a", {.payload = "1"}}, {"known", {.payload = "1"}}};
  expect_error(f->publish(batch), ErrorCode::invalid_argument, "mix");
  CHECK(f->list_topics().value().topics.size() == 1);
  CHECK(f->publish("new5.a", {.payload = "1"}).ok());
}

CONTRACT_TEST("a publish to an ephemeral topic that expects of a durable one is refused", "[S-3][S-4]") {
  f.topic("durable", {.track_keys = true});
  f->create_topic("ephemeral", {.ephemeral = true}).value();
  PublishRequest request;
  request.topic = "ephemeral";
  request.messages = {{.payload = "1"}};
  request.expected = {{.topic = "durable", .key = "k", .last = kNoOffset}};
  expect_error(f->publish(request), ErrorCode::invalid_argument, "mix");
}

CONTRACT_TEST("a deadline at the end of time is none", "[S-20][S-33]") {
  f.topic("orders");
  f.group("orders", "g");
  CallContext context;
  context.deadline = Time::max();
  FetchRequest request;
  request.source = "orders";
  request.group = "g";
  request.wait = 20ms;
  const auto began = std::chrono::steady_clock::now();
  CHECK(f->fetch(request, context).value().deliveries.empty());
  CHECK(std::chrono::steady_clock::now() - began >= 20ms);
  f->publish("orders", {.payload = "1"}, {}, context).value();
  CHECK(f->fetch(request, context).value().deliveries.size() == 1);
}

CONTRACT_TEST("a page of no topics is refused", "[S-33]") {
  f.topic("orders");
  ListTopicsRequest request;
  request.topics_max = 0;
  expect_error(f->list_topics(request), ErrorCode::limit_exceeded, "topics_max");
}

}  // namespace weir::test
