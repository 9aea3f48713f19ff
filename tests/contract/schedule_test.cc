// Messages that wait outside the log for their time: published, due, listed, cancelled, run now (S-7).
#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

Published schedule(Fixture& f, const std::string& topic, Message message) { return f->publish(topic, std::move(message)).value(); }

std::vector<ScheduleInfo> schedules(Fixture& f, const std::string& topic = {}) { return f->list_schedules({.topic = topic}).value().schedules; }

std::vector<std::string> ids(const std::vector<ScheduleInfo>& all) {
  std::vector<std::string> out;
  for (const ScheduleInfo& each : all) out.push_back(each.id);
  return out;
}

CONTRACT_TEST_EVERY_TOPIC("a message with a delay is delivered when it is due, and not before", "[S-7]") {
  f.topic("orders");
  f.group("orders", "billing");
  const Published later = schedule(f, "orders", {.payload = "later", .delay = 1h});
  CHECK_FALSE(later.schedule.empty());
  CHECK(later.offset == kNoOffset);
  CHECK_FALSE(later.duplicate);
  const Published now = schedule(f, "orders", {.payload = "now"});
  CHECK(now.schedule.empty());
  CHECK(now.offset == Offset{0});
  f.ack(f.one("orders", "billing"));
  f.advance(59min);
  f.expect_nothing("orders", "billing");
  CHECK(f.topic_info("orders").next == Offset{1});
  f.advance(1min);
  const Delivered delivered = f.one("orders", "billing");
  CHECK(text(delivered) == "later");
  CHECK(delivered.message.offset == Offset{1});
  CHECK(delivered.message.time == f.now());
}

CONTRACT_TEST_EVERY_TOPIC("deliver_at is a time, and a time that is past is at once", "[S-7]") {
  f.topic("orders");
  f.group("orders", "billing");
  CHECK(schedule(f, "orders", {.payload = "past", .deliver_at = f.now() - 1h}).offset == Offset{0});
  CHECK(schedule(f, "orders", {.payload = "now", .deliver_at = f.now()}).offset == Offset{1});
  CHECK(schedule(f, "orders", {.payload = "none", .delay = 0ms}).offset == Offset{2});
  CHECK_FALSE(schedule(f, "orders", {.payload = "soon", .deliver_at = f.now() + 1ms}).schedule.empty());
  CHECK(texts(f.fetch_all("orders", "billing", 3)) == Texts{"past", "now", "none"});
  f.advance(1ms);
  CHECK(text(f.one("orders", "billing")) == "soon");
}

CONTRACT_TEST_EVERY_TOPIC("what is wrong with a schedule is said, and nothing is stored", "[S-7][S-33]") {
  f.topic("orders");
  expect_error(f->publish("orders", {.delay = -1ms}), ErrorCode::invalid_argument, "delay");
  expect_error(f->publish("orders", {.deliver_at = f.now(), .delay = 1s}), ErrorCode::invalid_argument, "deliver_at");
  expect_error(f->publish("orders", {.deliver_at = f.now() + 24h * 3651}), ErrorCode::limit_exceeded, "3650 days");
  expect_error(f->publish("orders", {.delay = 24h * 3651}), ErrorCode::limit_exceeded, "3650 days");
  expect_error(f->publish("nowhere", {.delay = 1s}), ErrorCode::topic_not_found);
  CHECK(f.topic_info("orders").next == Offset{0});
  CHECK(f.topic_info("orders").scheduled == 0);
  CHECK(schedules(f).empty());
}

CONTRACT_TEST_EVERY_TOPIC("messages that are due at the same time enter in the order of publishing, earlier ones before them", "[S-7][S-3]") {
  f.topic("orders");
  f.group("orders", "billing", {.order = Order::kTopic});
  const Time due = f.now() + 1h;
  Texts expected = {"early"};
  for (int i = 0; i < 30; ++i) {
    schedule(f, "orders", {.payload = std::to_string(i), .deliver_at = due});
    expected.push_back(std::to_string(i));
  }
  schedule(f, "orders", {.payload = "early", .deliver_at = due - 1ms});
  f.advance(2h);
  REQUIRE(eventually([&] { return f.topic_info("orders").visible == Offset{31}; }));
  CHECK(texts(f.browse("orders")) == expected);
}

CONTRACT_TEST_EVERY_TOPIC("the message is whole when it comes", "[S-7][S-1]") {
  f.topic("orders");
  f.group("orders", "billing");
  const Headers headers = {{"kind", "new"}, {"empty", ""}};
  schedule(f, "orders", {.key = "customer-1", .payload = std::string("a\0b", 3), .id = "order-1", .headers = headers, .content_type = "text/plain", .delay = 1h});
  f.advance(1h);
  const Delivered got = f.one("orders", "billing");
  CHECK(got.message.key == "customer-1");
  CHECK(got.message.payload.str() == std::string("a\0b", 3));
  CHECK(got.message.id == "order-1");
  CHECK(got.message.headers.copy() == headers);
  CHECK(got.message.content_type == "text/plain");
}

CONTRACT_TEST_EVERY_TOPIC("schedules are listed by topic in the order of publishing, and in pages", "[S-7]") {
  f.topic("orders");
  f.topic("mails");
  std::vector<std::string> expected;
  for (int i = 0; i < 7; ++i) expected.push_back(schedule(f, "orders", {.key = "k" + std::to_string(i), .payload = "12345", .id = "i" + std::to_string(i), .delay = 1h * (8 - i)}).schedule);
  schedule(f, "mails", {.delay = 1min});
  const auto all = schedules(f, "orders");
  CHECK(ids(all) == expected);
  CHECK(all[2].topic == "orders");
  CHECK(all[2].due == f.now() + 6h);
  CHECK(all[2].published == f.now());
  CHECK(all[2].key == "k2");
  CHECK(all[2].message_id == "i2");
  CHECK(all[2].payload_bytes == 5);
  std::vector<std::string> paged;
  ListSchedulesRequest request{.topic = "orders", .schedules_max = 3};
  for (int pages = 0; pages < 10; ++pages) {
    const ListSchedulesResult page = f->list_schedules(request).value();
    CHECK(page.schedules.size() <= 3);
    for (const auto& each : page.schedules) paged.push_back(each.id);
    request.after = page.next;
    if (page.end) break;
  }
  CHECK(paged == expected);
  expect_error(f->list_schedules({.topic = "nowhere"}), ErrorCode::topic_not_found);
  expect_error(f->list_schedules({.schedules_max = 0}), ErrorCode::limit_exceeded, "schedules_max");
  expect_error(f->list_schedules({.schedules_max = 10'001}), ErrorCode::limit_exceeded, "schedules_max");
  expect_error(f->list_schedules({.topic = "orders", .after = "nonsense"}), ErrorCode::invalid_argument, "after");
  expect_error(f->list_schedules({.after = "nonsense"}), ErrorCode::invalid_argument, "after");
  expect_error(f->list_schedules({.after = "d"}), ErrorCode::invalid_argument, "after");
}

CONTRACT_TEST("schedules of all topics are listed by due time", "[S-7]") {
  f.topic("orders");
  f.topic("mails");
  f->create_topic("fleeting", {.ephemeral = true}).value();
  f->create_topic("passing", {.ephemeral = true}).value();
  const std::string third = schedule(f, "orders", {.delay = 3h}).schedule;
  const std::string first = schedule(f, "mails", {.delay = 1h}).schedule;
  const std::string second = schedule(f, "orders", {.delay = 2h}).schedule;
  const std::string last = schedule(f, "fleeting", {.delay = 2h}).schedule;
  const std::string fourth = schedule(f, "passing", {.delay = 1min}).schedule;
  const std::vector<std::string> expected = {first, second, third, fourth, last};
  CHECK(ids(schedules(f)) == expected);
  for (std::uint32_t size = 1; size <= 6; ++size) {
    std::vector<std::string> paged;
    ListSchedulesRequest request{.schedules_max = size};
    for (int pages = 0; pages < 20; ++pages) {
      const ListSchedulesResult page = f->list_schedules(request).value();
      for (const auto& each : page.schedules) paged.push_back(each.id);
      request.after = page.next;
      if (page.end) break;
    }
    INFO("pages of " << size);
    CHECK(paged == expected);
  }
}

CONTRACT_TEST_EVERY_TOPIC("a cancelled message never comes", "[S-7]") {
  f.topic("orders");
  f.group("orders", "billing");
  const std::string id = schedule(f, "orders", {.payload = "1", .delay = 1h}).schedule;
  schedule(f, "orders", {.payload = "2", .delay = 1h});
  expect_ok(f->cancel_schedule(id));
  expect_error(f->cancel_schedule(id), ErrorCode::not_found, id);
  expect_error(f->run_schedule(id), ErrorCode::not_found, id);
  CHECK(f.topic_info("orders").scheduled == 1);
  f.advance(2h);
  CHECK(text(f.one("orders", "billing")) == "2");
  f.expect_nothing("orders", "billing");
  CHECK(f.topic_info("orders").next == Offset{1});
  for (const char* wrong : {"", "x", "1", "1-", "01-1"}) {
    expect_error(f->cancel_schedule(wrong), ErrorCode::invalid_argument, "schedule id");
    expect_error(f->run_schedule(wrong), ErrorCode::invalid_argument, "schedule id");
  }
  expect_error(f->cancel_schedule("ffffff-1"), ErrorCode::not_found);
}

CONTRACT_TEST_EVERY_TOPIC("a message that is run now comes now, and once", "[S-7]") {
  f.topic("orders");
  f.group("orders", "billing");
  schedule(f, "orders", {.payload = "1", .delay = 1h});
  const std::string id = schedule(f, "orders", {.payload = "2", .ttl = 10min, .delay = 2h}).schedule;
  expect_ok(f->run_schedule(id));
  const Delivered two = f.one("orders", "billing");
  CHECK(text(two) == "2");
  CHECK(two.message.offset == Offset{0});
  CHECK(two.message.expires_at == f.now() + 10min);
  expect_error(f->run_schedule(id), ErrorCode::not_found);
  expect_error(f->cancel_schedule(id), ErrorCode::not_found);
  f.ack(two);
  f.advance(3h);
  CHECK(text(f.one("orders", "billing")) == "1");
  f.expect_nothing("orders", "billing");
}

CONTRACT_TEST_EVERY_TOPIC("a message that is due can no longer be cancelled", "[S-7]") {
  f.topic("orders");
  const std::string id = schedule(f, "orders", {.payload = "1", .delay = 1h}).schedule;
  f.advance(1h);
  REQUIRE(eventually([&] { return f.topic_info("orders").visible == Offset{1}; }));
  expect_error(f->cancel_schedule(id), ErrorCode::not_found);
  CHECK(schedules(f).empty());
}

CONTRACT_TEST_EVERY_TOPIC("the asynchronous forms answer alike", "[S-7]") {
  f.topic("orders");
  const std::string one = schedule(f, "orders", {.delay = 1h}).schedule;
  const std::string two = schedule(f, "orders", {.delay = 1h}).schedule;
  CHECK(answer_of<ListSchedulesResult>([&](auto done) { f->async_list_schedules({.topic = "orders"}, {}, std::move(done)); }).value().schedules.size() == 2);
  expect_ok(answer_of<Done>([&](auto done) { f->async_cancel_schedule(one, {}, std::move(done)); }));
  expect_ok(answer_of<Done>([&](auto done) { f->async_run_schedule(two, {}, std::move(done)); }));
  expect_error(answer_of<Done>([&](auto done) { f->async_run_schedule(two, {}, std::move(done)); }), ErrorCode::not_found);
  CHECK(f.topic_info("orders").next == Offset{1});
}

CONTRACT_TEST("schedules are there after a reopen, and what was due meanwhile comes at once", "[S-7][S-4]") {
  f.topic("orders");
  f.group("orders", "billing");
  const std::string first = schedule(f, "orders", {.payload = "1", .delay = 1h}).schedule;
  const std::string second = schedule(f, "orders", {.payload = "2", .delay = 3h}).schedule;
  const std::string third = schedule(f, "orders", {.payload = "3", .delay = 30min}).schedule;
  f.reopen();
  CHECK(ids(schedules(f, "orders")) == std::vector<std::string>{first, second, third});
  CHECK(f.topic_info("orders").scheduled == 3);
  CHECK(f->status().value().scheduled == 3);
  const std::string fourth = schedule(f, "orders", {.payload = "4", .delay = 1h}).schedule;
  CHECK(ids(schedules(f, "orders")).back() == fourth);
  f.close();
  f.advance(2h);
  CHECK(texts(f.fetch_all("orders", "billing", 3)) == Texts{"3", "1", "4"});
  expect_ok(f->cancel_schedule(second));
  f.reopen();
  CHECK(schedules(f).empty());
  CHECK(f.topic_info("orders").scheduled == 0);
}

CONTRACT_TEST_EVERY_TOPIC("a batch may mix messages for now and for later", "[S-7][S-9]") {
  f.topic("orders");
  f.topic("mails");
  f.group("orders", "billing");
  f.group("mails", "sender");
  PublishRequest request;
  request.topic = "orders";
  request.messages = {{.payload = "1"}, {.payload = "2", .delay = 1h}, {.payload = "3"}};
  request.batch = {{"mails", {.payload = "4", .delay = 1min}}, {"orders", {.payload = "5"}}};
  const PublishResult result = f->publish(request).value();
  REQUIRE(result.messages.size() == 5);
  CHECK(result.messages[0].offset == Offset{0});
  CHECK_FALSE(result.messages[1].schedule.empty());
  CHECK(result.messages[2].offset == Offset{1});
  CHECK_FALSE(result.messages[3].schedule.empty());
  CHECK(result.messages[4].offset == Offset{2});
  CHECK(texts(f.fetch_all("orders", "billing", 3)) == Texts{"1", "3", "5"});
  f.expect_nothing("mails", "sender");
  f.advance(1h);
  CHECK(text(f.one("orders", "billing")) == "2");
  CHECK(text(f.one("mails", "sender")) == "4");
}

CONTRACT_TEST_EVERY_TOPIC("a batch with one message that cannot be scheduled schedules nothing", "[S-7][S-9]") {
  f.topic("orders", {.payload_bytes_max = 10});
  PublishRequest request;
  request.topic = "orders";
  request.messages = {{.payload = "1", .delay = 1h}, {.payload = "2"}, {.payload = std::string(11, 'x'), .delay = 1h}};
  expect_error(f->publish(request), ErrorCode::limit_exceeded, "payload");
  CHECK(f.topic_info("orders").next == Offset{0});
  CHECK(f.topic_info("orders").scheduled == 0);
  CHECK(schedules(f).empty());
}

CONTRACT_TEST_EVERY_TOPIC("an id counts from the publish: a repetition answers the same schedule", "[S-7][S-6]") {
  f.topic("orders", {.dedup_window = 10min});
  f.group("orders", "billing");
  const Published first = schedule(f, "orders", {.payload = "1", .id = "a", .delay = 5min});
  const Published again = schedule(f, "orders", {.payload = "1", .id = "a", .delay = 5min});
  CHECK(again.duplicate);
  CHECK(again.schedule == first.schedule);
  CHECK(again.offset == kNoOffset);
  CHECK(schedule(f, "orders", {.payload = "1", .id = "a"}).schedule == first.schedule);
  CHECK(f.topic_info("orders").scheduled == 1);
  CHECK(f.topic_info("orders").duplicates == 2);
  f.advance(5min);
  f.ack(f.one("orders", "billing"));
  // Also when it is in the log: the window is that of the id.
  CHECK(schedule(f, "orders", {.payload = "1", .id = "a", .delay = 5min}).schedule == first.schedule);
  f.advance(6min);
  CHECK_FALSE(schedule(f, "orders", {.payload = "1", .id = "a", .delay = 5min}).duplicate);
  // Two of one request.
  PublishRequest request;
  request.topic = "orders";
  request.messages = {{.payload = "2", .id = "b", .delay = 1h}, {.payload = "2", .id = "b", .delay = 2h}, {.payload = "3", .id = "c"}, {.payload = "3", .id = "c", .delay = 1h}};
  const PublishResult both = f->publish(request).value();
  CHECK(both.messages[1].duplicate);
  CHECK(both.messages[1].schedule == both.messages[0].schedule);
  CHECK(both.messages[3].duplicate);
  CHECK(both.messages[3].offset == both.messages[2].offset);
}

CONTRACT_TEST("ids of scheduled messages are remembered across a reopen", "[S-7][S-6]") {
  f.topic("orders");
  const Published first = schedule(f, "orders", {.payload = "1", .id = "a", .delay = 5min});
  const Published now = schedule(f, "orders", {.payload = "2", .id = "b"});
  f.reopen();
  CHECK(schedule(f, "orders", {.payload = "1", .id = "a", .delay = 5min}).schedule == first.schedule);
  CHECK(schedule(f, "orders", {.payload = "2", .id = "b"}).offset == now.offset);
}

CONTRACT_TEST_EVERY_TOPIC("a session's sequence counts from the publish", "[S-7][S-6][S-3]") {
  f.topic("orders");
  const auto request = [](std::uint64_t sequence) {
    PublishRequest out;
    out.topic = "orders";
    out.messages = {{.payload = "1", .delay = 1h}, {.payload = "2"}, {.payload = "3", .delay = 2h}};
    out.session = {"producer", sequence};
    return out;
  };
  const PublishResult first = f->publish(request(1)).value();
  const auto repeated = [&] {
    const PublishResult again = f->publish(request(1)).value();
    REQUIRE(again.messages.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(again.messages[i].duplicate);
      CHECK(again.messages[i].schedule == first.messages[i].schedule);
      CHECK(again.messages[i].offset == first.messages[i].offset);
    }
  };
  repeated();
  if (f.kind() == TopicKind::kDurable) {
    f.reopen();
    repeated();
  }
  CHECK(f.topic_info("orders").scheduled == 2);
  expect_error(f->publish(request(5)), ErrorCode::sequence_gap);
  CHECK_FALSE(f->publish(request(4)).value().messages[0].duplicate);
  CHECK(f.topic_info("orders").scheduled == 4);
}

}  // namespace
}  // namespace weir::test
