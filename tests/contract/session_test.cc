// Producer sessions: exactly one copy, in order, without an id per message (S-6, S-3).
#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

PublishRequest in_session(const std::string& session, std::uint64_t sequence, const Texts& payloads, const std::string& topic = "orders") {
  PublishRequest r{.topic = topic};
  for (const std::string& each : payloads) r.messages.push_back({.payload = each});
  r.session = SessionPosition{.session = session, .sequence = sequence};
  return r;
}

CONTRACT_TEST_EVERY_TOPIC("a session's sequence counts its messages from 1", "[S-6]") {
  f.topic("orders");
  CHECK(f->publish(in_session("s", 1, {"1"})).value().messages.at(0).offset == Offset{0});
  expect_ok(f->publish(in_session("s", 2, {"2", "3"})));
  expect_ok(f->publish(in_session("s", 4, {"4"})));
  CHECK(texts(f.browse("orders")) == Texts{"1", "2", "3", "4"});
  CHECK_FALSE(f->publish(in_session("t", 0, {"x"})).ok());
}

CONTRACT_TEST_EVERY_TOPIC("a repeated request is a duplicate with the offsets of the first", "[S-6]") {
  f.topic("orders");
  expect_ok(f->publish(in_session("s", 1, {"1"})));
  expect_ok(f->publish(in_session("s", 2, {"2", "3"})));
  const PublishResult again = f->publish(in_session("s", 2, {"2", "3"})).value();
  REQUIRE(again.messages.size() == 2);
  CHECK(again.messages[0].duplicate);
  CHECK(again.messages[0].offset == Offset{1});
  CHECK(again.messages[1].offset == Offset{2});
  CHECK(f.browse("orders").size() == 3);
}

CONTRACT_TEST_EVERY_TOPIC("an older request is a duplicate too, though only the session knows of it", "[S-6]") {
  f.topic("orders");
  for (std::uint64_t i = 1; i <= 5; ++i) expect_ok(f->publish(in_session("s", i, {std::to_string(i)})));
  const PublishResult again = f->publish(in_session("s", 2, {"2"})).value();
  REQUIRE(again.messages.size() == 1);
  CHECK(again.messages[0].duplicate);
  CHECK((again.messages[0].offset == Offset{1} || again.messages[0].offset == kNoOffset));
  CHECK(f.browse("orders").size() == 5);
}

CONTRACT_TEST_EVERY_TOPIC("a gap in the sequence is refused", "[S-6]") {
  f.topic("orders");
  expect_error(f->publish(in_session("s", 2, {"2"})), ErrorCode::sequence_gap);
  expect_ok(f->publish(in_session("s", 1, {"1"})));
  expect_error(f->publish(in_session("s", 3, {"3"})), ErrorCode::sequence_gap, "2");
  expect_ok(f->publish(in_session("s", 2, {"2"})));
  CHECK(texts(f.browse("orders")) == Texts{"1", "2"});
}

CONTRACT_TEST_EVERY_TOPIC("when a message is refused, those behind it in its session are too", "[S-3][S-6]") {
  f.topic("orders");
  expect_ok(f->publish(in_session("s", 1, {"1"})));
  PublishRequest bad = in_session("s", 2, {"2"});
  bad.messages[0].key = std::string(2000, 'k');
  expect_error(f->publish(std::move(bad)), ErrorCode::limit_exceeded);
  expect_error(f->publish(in_session("s", 3, {"3"})), ErrorCode::sequence_gap);
  expect_ok(f->publish(in_session("s", 2, {"2"})));
  expect_ok(f->publish(in_session("s", 3, {"3"})));
  CHECK(texts(f.browse("orders")) == Texts{"1", "2", "3"});
}

CONTRACT_TEST_EVERY_TOPIC("sessions do not know of each other", "[S-6]") {
  f.topic("orders");
  expect_ok(f->publish(in_session("s", 1, {"s1"})));
  expect_ok(f->publish(in_session("t", 1, {"t1"})));
  expect_ok(f->publish(in_session("s", 2, {"s2"})));
  CHECK(f->publish(in_session("t", 1, {"t1"})).value().messages.at(0).duplicate);
  CHECK(f.browse("orders").size() == 3);
}

CONTRACT_TEST("a session goes on after reopening", "[S-6]") {
  f.topic("orders");
  expect_ok(f->publish(in_session("s", 1, {"1", "2"})));
  f.reopen();
  const PublishResult again = f->publish(in_session("s", 1, {"1", "2"})).value();
  CHECK(again.messages.at(1).duplicate);
  CHECK(again.messages.at(1).offset == Offset{1});
  expect_error(f->publish(in_session("s", 5, {"5"})), ErrorCode::sequence_gap);
  expect_ok(f->publish(in_session("s", 3, {"3"})));
  CHECK(texts(f.browse("orders")) == Texts{"1", "2", "3"});
}

CONTRACT_TEST("a session may publish to several topics", "[S-6][S-9]") {
  f.topic("orders");
  f.topic("bills");
  PublishRequest r;
  r.batch = {{"orders", {.payload = "1"}}, {"bills", {.payload = "2"}}};
  r.session = SessionPosition{.session = "s", .sequence = 1};
  expect_ok(f->publish(r));
  CHECK(f->publish(r).value().messages.at(1).duplicate);
  expect_ok(f->publish(in_session("s", 3, {"3"}, "bills")));
  CHECK(texts(f.browse("bills")) == Texts{"2", "3"});
}

CONTRACT_TEST_EVERY_TOPIC("a session's name has 1 to 128 bytes", "[S-6][S-33]") {
  f.topic("orders");
  expect_ok(f->publish(in_session(std::string(128, 's'), 1, {"1"})));
  expect_one_of(f->publish(in_session(std::string(129, 's'), 1, {"1"})), {ErrorCode::limit_exceeded, ErrorCode::invalid_argument}, "session");
  expect_error(f->publish(in_session("", 1, {"1"})), ErrorCode::invalid_argument, "session");
}

CONTRACT_TEST("a producer numbers its messages by itself", "[S-6]") {
  f.topic("orders");
  Producer producer(f.broker(), "s");
  PublishRequest two{.topic = "orders", .messages = {}};
  two.messages.push_back({.payload = "1"});
  two.messages.push_back({.payload = "2"});
  expect_ok(producer.publish(two));
  CHECK(producer.next_sequence() == 3);

  PublishRequest bad{.topic = "nowhere", .messages = {}};
  bad.messages.push_back({.payload = "x"});
  expect_error(producer.publish(bad), ErrorCode::topic_not_found);
  CHECK(producer.next_sequence() == 3);  // numbers of a publish that failed for good are not used up

  PublishRequest one{.topic = "orders", .messages = {}};
  one.messages.push_back({.payload = "3"});
  expect_ok(producer.publish(one));
  CHECK(texts(f.browse("orders")) == Texts{"1", "2", "3"});

  Producer back(f.broker(), "s", 3);
  CHECK(back.publish(one).value().messages.at(0).duplicate);
}

CONTRACT_TEST("a session on ephemeral topics leaves no gap in the one of the same name that is on disk", "[S-4][S-6]") {
  f.topic("orders");
  f.topic("bus", {.ephemeral = true});
  expect_ok(f->publish(in_session("s", 1, {"1"})));
  expect_ok(f->publish(in_session("s", 1, {"a", "b"}, "bus")));
  expect_ok(f->publish(in_session("s", 2, {"2"})));
  f.reopen();
  expect_ok(f->publish(in_session("s", 3, {"3"})));
  f.topic("bus", {.ephemeral = true});
  expect_ok(f->publish(in_session("s", 1, {"a"}, "bus")));
}

}  // namespace
}  // namespace weir::test
