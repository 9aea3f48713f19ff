// Messages that wait outside the log for their time, and what else is there: ttl, caps, retention, deletion, many at once (S-7).
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

CONTRACT_TEST_EVERY_TOPIC("ttl runs from the due time", "[S-7][S-8]") {
  f.topic("orders");
  f.group("orders", "billing");
  schedule(f, "orders", {.payload = "1", .ttl = 10min, .delay = 1h});
  f.advance(1h);
  const Delivered got = f.one("orders", "billing");
  CHECK(got.message.expires_at == f.now() + 10min);
}

CONTRACT_TEST("ttl runs from the due time also where the broker was closed then", "[S-7][S-8]") {
  f.topic("orders");
  f.group("orders", "billing");
  const Time due = f.now() + 1h;
  schedule(f, "orders", {.payload = "1", .ttl = 10min, .deliver_at = due});
  schedule(f, "orders", {.payload = "2", .ttl = 2h, .deliver_at = due});
  f.close();
  f.advance(2h);
  const Delivered got = f.one("orders", "billing");
  CHECK(text(got) == "2");
  CHECK(got.message.expires_at == due + 2h);
  CHECK(f.topic_info("orders").next == Offset{2});
}

CONTRACT_TEST_EVERY_TOPIC("the number of scheduled messages is shown", "[S-7]") {
  f.topic("orders");
  f.group("orders", "billing");
  const std::string id = schedule(f, "orders", {.payload = std::string(100, 'x'), .delay = 1h}).schedule;
  schedule(f, "orders", {.payload = "2", .delay = 2h});
  CHECK(f.topic_info("orders").scheduled == 2);
  CHECK(f.topic_info("orders").scheduled_bytes > 100);
  CHECK(f.stats("orders", "billing").scheduled == 2);
  CHECK(f.stats("orders", "billing").depth == 0);
  CHECK(f->status().value().scheduled == 2);
  expect_ok(f->cancel_schedule(id));
  f.advance(2h);
  REQUIRE(eventually([&] { return f.topic_info("orders").scheduled == 0; }));
  CHECK(f.topic_info("orders").scheduled_bytes == 0);
  CHECK(f->status().value().scheduled == 0);
}

CONTRACT_TEST_EVERY_TOPIC("a topic that is deleted takes its schedules with it", "[S-7]") {
  f.topic("orders");
  f.topic("mails");
  const std::string id = schedule(f, "orders", {.payload = "1", .delay = 1h}).schedule;
  const std::string other = schedule(f, "mails", {.payload = "2", .delay = 1h}).schedule;
  expect_ok(f->delete_topic("orders"));
  CHECK(ids(schedules(f)) == std::vector<std::string>{other});
  expect_error(f->cancel_schedule(id), ErrorCode::not_found);
  f.topic("orders");
  CHECK(schedules(f, "orders").empty());
  CHECK(f.topic_info("orders").scheduled == 0);
  f.advance(2h);
  REQUIRE(eventually([&] { return f.topic_info("mails").visible == Offset{1}; }));
  CHECK(f.topic_info("orders").next == Offset{0});
  CHECK(f->status().value().scheduled == 0);
}

CONTRACT_TEST_EVERY_TOPIC("under a cap that rejects, room is kept from the publish on", "[S-7][S-10]") {
  f.topic("orders", {.bytes_max = 6000});
  f.group("orders", "billing");
  const std::string payload(500, 'x');
  std::vector<std::string> all;
  Status status;
  while (status.ok() && all.size() < 100) {
    const auto result = f->publish("orders", {.payload = payload, .delay = 1h});
    status = result.status();
    if (result.ok()) all.push_back(result->schedule);
  }
  expect_error(status, ErrorCode::full, "bytes_max");
  CHECK(all.size() > 2);
  expect_error(f->publish("orders", {.payload = payload}), ErrorCode::full);
  expect_ok(f->cancel_schedule(all.back()));
  expect_ok(f->publish("orders", {.payload = payload}));
  // All that was taken finds its room.
  f.advance(1h);
  REQUIRE(eventually([&] { return f.topic_info("orders").visible == Offset{all.size()}; }));
  CHECK(f.fetch_all("orders", "billing", all.size()).size() == all.size());
}

CONTRACT_TEST_EVERY_TOPIC("under drop_oldest a due message enters and the oldest go", "[S-7][S-10]") {
  f.topic("orders", {.bytes_max = 3000, .cap_policy = CapPolicy::kDropOldest});
  for (int i = 0; i < 10; ++i) schedule(f, "orders", {.payload = std::string(1000, static_cast<char>('0' + i)), .delay = 1h});
  CHECK(f.topic_info("orders").scheduled == 10);
  f.advance(1h);
  REQUIRE(eventually([&] { return f.topic_info("orders").visible == Offset{10}; }));
  REQUIRE(f.eventually_as_time_passes(1s, [&] { return f.topic_info("orders").bytes <= 4500; }));
  CHECK(f.topic_info("orders").first > Offset{0});
}

CONTRACT_TEST("schedules hold back no retention", "[S-7][S-10]") {
  f.topic("orders", {.retention_age = 1h});
  f.group("orders", "billing");
  schedule(f, "orders", {.payload = "later", .delay = 24h * 30});
  f.publish_texts("orders", {"1", "2"});
  f.ack(f.fetch_all("orders", "billing", 2));
  CHECK(f.stats("orders", "billing").pinned_bytes == 0);
  REQUIRE(f.eventually_as_time_passes(30min, [&] { return f.topic_info("orders").first == Offset{2}; }));
  CHECK(f.topic_info("orders").bytes == 0);
  f.advance(24h * 31);
  CHECK(text(f.one("orders", "billing")) == "later");
}

CONTRACT_TEST_EVERY_TOPIC("many messages of several topics that are due at once all come, once each", "[S-7]") {
  const int count = 3500;   // several steps
  for (const char* topic : {"a", "b", "c"}) f.topic(topic, {.durability = f.kind() == TopicKind::kDurable ? Durability::kProcess : Durability::kMemory});
  for (const char* topic : {"a", "b", "c"}) {
    std::vector<Message> messages;
    for (int i = 0; i < count; ++i) messages.push_back({.payload = std::to_string(i), .delay = 1h});
    expect_ok(f->publish_all(topic, std::move(messages)));
  }
  f.advance(1h);
  for (const char* topic : {"a", "b", "c"}) {
    INFO(topic);
    REQUIRE(eventually([&] { return f.topic_info(topic).visible == Offset{count}; }));
    CHECK(f.topic_info(topic).scheduled == 0);
    const auto all = f->browse({.topic = topic, .messages_max = 10'000}).value().messages;
    REQUIRE(all.size() == count);
    for (int i = 0; i < count; ++i)
      if (all[static_cast<std::size_t>(i)].payload.text() != std::to_string(i)) FAIL("message " << i << " is out of place");
  }
}

CONTRACT_TEST("a message that is cancelled and run by several at once goes one way", "[S-7]") {
  f.topic("orders", {.durability = Durability::kProcess});
  for (int round = 0; round < 20; ++round) {
    const Offset before = f.topic_info("orders").next;
    const std::string id = schedule(f, "orders", {.payload = "1", .delay = 1h}).schedule;
    std::vector<std::future<Result<Done>>> answers;
    for (int i = 0; i < 8; ++i) {
      auto answer = std::make_shared<std::promise<Result<Done>>>();
      answers.push_back(answer->get_future());
      const auto note = [answer](Result<Done> result) { answer->set_value(std::move(result)); };
      if (i % 2 == 0)
        f->async_cancel_schedule(id, {}, note);
      else
        f->async_run_schedule(id, {}, note);
      if (i == 3) f.advance(1h);   // and time takes it, too
    }
    int ok = 0;
    for (auto& answer : answers) {
      const Result<Done> result = answer.get();
      if (result.ok()) ++ok;
      else expect_error(result, ErrorCode::not_found);
    }
    CHECK(ok <= 1);
    REQUIRE(eventually([&] { return f.topic_info("orders").scheduled == 0; }));
    CHECK(f.topic_info("orders").next.value - before.value <= 1);
    if (ok == 0) CHECK(f.topic_info("orders").next.value - before.value == 1);   // then it was due
  }
}

CONTRACT_TEST("all of ephemeral_bytes_max may be scheduled, and no more", "[S-7][S-33]") {
  f.options.ephemeral_bytes_max = 100'000;
  f->create_topic("fleeting", {.ephemeral = true}).value();
  f.group("fleeting", "group");
  Status status;
  int taken = 0;
  while (status.ok() && taken < 1000) {
    status = f->publish("fleeting", {.payload = std::string(1000, 'x'), .delay = 1h}).status();
    taken += status.ok();
  }
  expect_error(status, ErrorCode::full, "ephemeral_bytes_max");
  CHECK(taken > 10);
  CHECK(taken < 100);
  CHECK(f->status().value().ephemeral_bytes > 50'000);
  expect_ok(f->delete_topic("fleeting"));
  CHECK(f->status().value().ephemeral_bytes == 0);
}

CONTRACT_TEST_EVERY_TOPIC("a transaction may publish for later, wholly or not at all, and once", "[S-7][S-28][S-6]") {
  f.topic("orders");
  f.topic("mails", {.payload_bytes_max = 10});
  f.group("orders", "billing");
  CommitRequest request;
  request.request_id = "request-1";
  request.publishes = {{"orders", {.payload = "later", .delay = 1h}}, {"orders", {.payload = "now"}}, {"mails", {.payload = "mail", .id = "m", .delay = 2h}}};
  const CommitResult first = f->commit(request).value();
  REQUIRE(first.publishes.size() == 3);
  CHECK_FALSE(first.publishes[0].schedule.empty());
  CHECK(first.publishes[1].offset == Offset{0});
  const auto repeated = [&] {
    const CommitResult again = f->commit(request).value();
    REQUIRE(again.publishes.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(again.publishes[i].schedule == first.publishes[i].schedule);
      CHECK(again.publishes[i].offset == first.publishes[i].offset);
    }
  };
  repeated();
  if (f.kind() == TopicKind::kDurable) {
    f.reopen();
    repeated();
  }
  CHECK(f.topic_info("orders").scheduled == 1);
  CHECK(f.topic_info("mails").scheduled == 1);
  request.request_id = "request-2";
  request.publishes = {{"orders", {.payload = "never", .delay = 1h}}, {"mails", {.payload = "too large for it"}}};
  expect_error(f->commit(request), ErrorCode::limit_exceeded);
  request.publishes = {{"orders", {.payload = "never", .delay = -1h}}};
  expect_error(f->commit(request), ErrorCode::invalid_argument, "delay");
  CHECK(f.topic_info("orders").scheduled == 1);
  f.ack(f.one("orders", "billing"));
  f.advance(1h);
  CHECK(text(f.one("orders", "billing")) == "later");
  expect_ok(f->cancel_schedule(first.publishes[2].schedule));
}

CONTRACT_TEST("a verified store has its schedules checked", "[S-7]") {
  f.topic("orders");
  const std::uint64_t before = f->verify().value().records;
  for (int i = 0; i < 5; ++i) schedule(f, "orders", {.payload = "1", .delay = 1h});
  const VerifyReport report = f->verify().value();
  CHECK(report.problems.empty());
  CHECK(report.records >= before + 10);
}

}  // namespace
}  // namespace weir::test
