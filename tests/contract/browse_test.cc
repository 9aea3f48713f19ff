// Reading a topic without changing anything (S-11).
#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

CONTRACT_TEST_EVERY_TOPIC("a topic is browsed by offset", "[S-11]") {
  f.topic("orders");
  f.publish_texts("orders", {"0", "1", "2", "3"});
  CHECK(texts(f.browse("orders")) == Texts{"0", "1", "2", "3"});
  CHECK(texts(f.browse("orders", StartPoint::at(Offset{2}))) == Texts{"2", "3"});
  CHECK(f.browse("orders", StartPoint::at(Offset{4})).empty());
  expect_error(f->browse({.topic = "orders", .from = StartPoint::at(Offset{400})}), ErrorCode::position_lost);
  CHECK(f.browse("orders", StartPoint::latest()).empty());
}

CONTRACT_TEST_EVERY_TOPIC("a topic is browsed by time", "[S-11]") {
  f.topic("orders");
  const Time start = f.now();
  for (const char* text : {"0", "1", "2"}) {
    f.publish("orders", {.payload = text});
    f.advance(10s);
  }
  CHECK(texts(f.browse("orders", StartPoint::at(start))) == Texts{"0", "1", "2"});
  CHECK(texts(f.browse("orders", StartPoint::at(start + 1s))) == Texts{"1", "2"});
  CHECK(texts(f.browse("orders", StartPoint::at(start + 10s))) == Texts{"1", "2"});
  CHECK(texts(f.browse("orders", StartPoint::at(start + 20s))) == Texts{"2"});
  CHECK(f.browse("orders", StartPoint::at(start + 21s)).empty());
}

CONTRACT_TEST_EVERY_TOPIC("a topic is browsed from inside a batch", "[S-11]") {
  f.topic("orders");
  expect_ok(f->publish_all("orders", {{.payload = "0"}, {.payload = "1"}, {.payload = "2"}}));
  expect_ok(f->publish_all("orders", {{.payload = "3"}, {.payload = "4"}}));
  CHECK(texts(f.browse("orders", StartPoint::at(Offset{1}))) == Texts{"1", "2", "3", "4"});
  CHECK(texts(f.browse("orders", StartPoint::at(Offset{4}))) == Texts{"4"});
}

CONTRACT_TEST_EVERY_TOPIC("browsing goes on from page to page, to the end", "[S-11]") {
  f.topic("orders");
  Texts expected;
  for (int i = 0; i < 25; ++i) expected.push_back(std::to_string(i));
  f.publish_texts("orders", expected);
  Texts got;
  BrowseRequest request{.topic = "orders", .messages_max = 10};
  for (int page = 0; page < 10; ++page) {
    const BrowseResult r = f->browse(request).value();
    CHECK(r.messages.size() <= 10);
    for (const std::string& each : texts(r.messages)) got.push_back(each);
    request.from = StartPoint::at(r.next);
    if (r.end) break;
    CHECK_FALSE(r.messages.empty());
  }
  CHECK(got == expected);
  const BrowseResult behind = f->browse(request).value();
  CHECK(behind.messages.empty());
  CHECK(behind.end);
  CHECK(behind.next == Offset{25});
}

CONTRACT_TEST_EVERY_TOPIC("a page ends at its bytes, but has one message at least", "[S-11]") {
  f.topic("orders");
  for (int i = 0; i < 5; ++i) f.publish("orders", {.payload = std::string(1000, 'x')});
  CHECK(f->browse({.topic = "orders", .bytes_max = 1}).value().messages.size() == 1);
  const std::size_t some = f->browse({.topic = "orders", .bytes_max = 2500}).value().messages.size();
  CHECK(some >= 2);
  CHECK(some <= 3);
}

CONTRACT_TEST_EVERY_TOPIC("a page has 1 to 10,000 messages", "[S-11][S-33]") {
  f.topic("orders");
  expect_one_of(f->browse({.topic = "orders", .messages_max = 0}), {ErrorCode::invalid_argument, ErrorCode::limit_exceeded});
  expect_one_of(f->browse({.topic = "orders", .messages_max = 10'001}), {ErrorCode::invalid_argument, ErrorCode::limit_exceeded});
  expect_ok(f->browse({.topic = "orders", .messages_max = 10'000}));
}

CONTRACT_TEST_EVERY_TOPIC("a topic is browsed through a filter", "[S-11]") {
  f.topic("orders");
  for (int i = 0; i < 10; ++i)
    f.publish("orders", {.payload = std::to_string(i), .headers = {{"parity", i % 2 == 0 ? "even" : "odd"}}});
  BrowseRequest request{.topic = "orders", .messages_max = 3, .filter = Filter::exact("parity", "odd")};
  Texts got;
  for (int page = 0; page < 10; ++page) {
    const BrowseResult r = f->browse(request).value();
    for (const std::string& each : texts(r.messages)) got.push_back(each);
    request.from = StartPoint::at(r.next);
    if (r.end) break;
  }
  CHECK(got == Texts{"1", "3", "5", "7", "9"});
}

CONTRACT_TEST_EVERY_TOPIC("browsing changes no state", "[S-11]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish_texts("orders", {"1", "2", "3"});
  f.ack(f.one("orders", "billing"));
  const Delivered leased = f.one("orders", "billing");
  const GroupTopicStats before = f.stats("orders", "billing");
  for (int i = 0; i < 5; ++i) CHECK(f.browse("orders").size() == 3);
  const GroupTopicStats after = f.stats("orders", "billing");
  CHECK(after.depth == before.depth);
  CHECK(after.in_flight == before.in_flight);
  CHECK(after.delivered == before.delivered);
  f.ack(leased);
  CHECK(texts(f.fetch("orders", "billing")) == Texts{"3"});
}

CONTRACT_TEST_EVERY_TOPIC("dead letters are browsed like any topic", "[S-11][S-23]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.dead_letter("orders", "billing", {.key = "k", .payload = "1", .headers = {{"h", "v"}}});
  f.advance(1min);
  f.dead_letter("orders", "billing", {.payload = "2"});
  const std::vector<StoredMessage> all = f.browse("_dlq.orders.billing");
  CHECK(texts(all) == Texts{"1", "2"});
  CHECK(all[0].topic() == "_dlq.orders.billing");
  REQUIRE(all[0].dead_letter);
  CHECK(all[0].dead_letter->origin_topic == "orders");
  CHECK(texts(f.browse("_dlq.orders.billing", StartPoint::at(f.now()))) == Texts{"2"});
  CHECK(texts(f.browse("_dlq.orders.billing", StartPoint::at(Offset{1}))) == Texts{"2"});
  CHECK(f.letters("orders", "billing").size() == 2);
}

CONTRACT_TEST_EVERY_TOPIC("browsing from below the first message starts at the first one there is", "[S-11]") {
  TopicOptions options;
  options.discard_settled = true;
  f.topic("orders", options);
  f.group("orders", "billing");
  f.publish_texts("orders", {"0", "1", "2"});
  f.ack(f.one("orders", "billing"));
  CHECK(texts(f.browse("orders", StartPoint::at(Offset{0}))) == Texts{"1", "2"});
}

CONTRACT_TEST("old and new messages are browsed alike after reopening", "[S-11]") {
  f.topic("orders");
  Texts expected;
  for (int i = 0; i < 50; ++i) expected.push_back(std::to_string(i));
  f.publish_texts("orders", expected);
  f.reopen();
  f.publish_texts("orders", {"50"});
  expected.push_back("50");
  CHECK(texts(f.browse("orders")) == expected);
}

}  // namespace
}  // namespace weir::test
