// What operators do to single messages of a group (S-16), by offset and by id.
#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

Status act(Fixture& f, MessageAct what, Offset offset, const std::string& error = {}) {
  SettleMessageRequest request{.topic = "orders", .group = "billing", .offset = offset, .act = what};
  request.error = error;
  return f->settle_message(request);
}

CONTRACT_TEST_EVERY_TOPIC("an operator acks, skips or dead-letters messages that wait or were not handed out", "[S-16]") {
  f.topic("orders");
  f.group("orders", "billing", {.backoff = fixed_backoff(1h)});
  f.group("orders", "audit");
  f.publish_texts("orders", {"0", "1", "2", "3", "4"});
  f.retry(f.one("orders", "billing"), "not now");
  expect_ok(act(f, MessageAct::kAck, Offset{0}));
  expect_ok(act(f, MessageAct::kSkip, Offset{1}));
  expect_ok(act(f, MessageAct::kDeadLetter, Offset{2}, "looks wrong"));
  expect_error(act(f, MessageAct::kAck, Offset{1}), ErrorCode::already_settled, "offset 1");
  expect_error(act(f, MessageAct::kAck, Offset{5}), ErrorCode::not_found, "offset 5");
  CHECK(texts(f.fetch_all("orders", "billing", 2)) == Texts{"3", "4"});
  CHECK(texts(f.fetch_all("orders", "audit", 5)) == Texts{"0", "1", "2", "3", "4"});   // groups never affect each other
  REQUIRE(eventually([&] { return f.letters("orders", "billing").size() == 1; }));
  const DeadLetter letter = f.letters("orders", "billing")[0];
  CHECK(letter.message.payload.text() == "2");
  CHECK(letter.message.dead_letter->reason == DeathReason::kRejected);
  CHECK(letter.message.dead_letter->error == "looks wrong");
  CHECK(letter.message.dead_letter->failures == 0);
  CHECK(letter.message.dead_letter->attempts.size() == 1);
}

CONTRACT_TEST_EVERY_TOPIC("a leased message that an operator settled is lost to its member", "[S-14][S-16]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish_texts("orders", {"0", "1"});
  const std::vector<Delivered> leased = f.fetch_all("orders", "billing", 2);
  expect_error(act(f, MessageAct::kRunNow, Offset{0}), ErrorCode::failed_precondition, "leased");
  expect_ok(act(f, MessageAct::kAck, Offset{0}));
  expect_ok(act(f, MessageAct::kDeadLetter, Offset{1}));
  for (const Delivered& each : leased) {
    expect_one_of(f->ack(each.token), {ErrorCode::lease_lost, ErrorCode::already_settled});
    expect_one_of(f->settle(Settlement::retry(each.token)), {ErrorCode::lease_lost, ErrorCode::already_settled});
  }
  CHECK(f.stats("orders", "billing").in_flight == 0);
  CHECK(f.stats("orders", "billing").depth == 0);
  f.expect_nothing("orders", "billing");
  CHECK(f.letters("orders", "billing").size() == 1);
}

CONTRACT_TEST_EVERY_TOPIC("a waiting retry is run now", "[S-16][S-18]") {
  f.topic("orders");
  f.group("orders", "billing", {.backoff = fixed_backoff(1h)});
  f.publish("orders", {.key = "k", .payload = "0"});
  f.publish("orders", {.key = "k", .payload = "1"});
  f.retry(f.one("orders", "billing"), "not now");
  f.expect_nothing("orders", "billing");
  expect_error(act(f, MessageAct::kRunNow, Offset{1}), ErrorCode::failed_precondition, "does not wait");
  expect_ok(act(f, MessageAct::kRunNow, Offset{0}));
  const Delivered again = f.one("orders", "billing");
  CHECK(text(again) == "0");
  CHECK(again.failures == 1);
  f.ack(again);
  CHECK(text(f.one("orders", "billing")) == "1");
}

CONTRACT_TEST_EVERY_TOPIC("the rest of the key flows after an operator's act, in order", "[S-13][S-16]") {
  f.topic("orders");
  f.group("orders", "billing", {.backoff = fixed_backoff(1h)});
  for (const char* payload : {"0", "1", "2", "3"}) f.publish("orders", {.key = "k", .payload = payload});
  f.retry(f.one("orders", "billing"), "not now");
  f.expect_nothing("orders", "billing");
  expect_ok(act(f, MessageAct::kSkip, Offset{2}));
  expect_ok(act(f, MessageAct::kDeadLetter, Offset{0}));
  CHECK(texts(f.fetch_all("orders", "billing", 2)) == Texts{"1", "3"});
}

CONTRACT_TEST_EVERY_TOPIC("a message is named by its id while the dedup window knows it", "[S-6][S-16]") {
  f.topic("orders", {.dedup_window = 10min});
  f.group("orders", "billing");
  f.publish("orders", {.payload = "0", .id = "a"});
  f.publish("orders", {.payload = "1", .id = "b"});
  const auto by_id = [&](const std::string& id) {
    SettleMessageRequest request{.topic = "orders", .group = "billing", .act = MessageAct::kSkip};
    request.id = id;
    return f->settle_message(request);
  };
  expect_ok(by_id("b"));
  expect_error(by_id("b"), ErrorCode::already_settled);
  expect_error(by_id("nobody"), ErrorCode::not_found, "dedup window");
  CHECK(texts(f.fetch_all("orders", "billing", 1)) == Texts{"0"});
  f.advance(11min);
  expect_error(by_id("a"), ErrorCode::not_found, "dedup window");
}

CONTRACT_TEST("the id of a scheduled message names its schedule", "[S-7][S-16]") {
  f.topic("orders");
  f.group("orders", "billing");
  const std::string schedule = f->publish("orders", {.payload = "0", .id = "a", .delay = 1min}).value().schedule;
  SettleMessageRequest request{.topic = "orders", .group = "billing", .act = MessageAct::kSkip};
  request.id = "a";
  expect_error(f->settle_message(request), ErrorCode::not_found, schedule);
}

CONTRACT_TEST_EVERY_TOPIC("what is wrong with an operator's act is said", "[S-16]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish_texts("orders", {"0"});
  expect_error(f->settle_message({.topic = "nowhere", .group = "billing"}), ErrorCode::topic_not_found);
  expect_error(f->settle_message({.topic = "orders", .group = "nobody"}), ErrorCode::group_not_found);
  expect_error(f->settle_message({.topic = "orders", .group = "billing", .act = static_cast<MessageAct>(9)}), ErrorCode::invalid_argument, "act");
  expect_ok(answer_of<Done>([&](auto done) { f->async_settle_message({.topic = "orders", .group = "billing"}, {}, std::move(done)); }));
  expect_error(answer_of<Done>([&](auto done) { f->async_settle_message({.topic = "orders", .group = "billing"}, {}, std::move(done)); }), ErrorCode::already_settled);
}

CONTRACT_TEST("an operator's act is kept across a reopen", "[S-16][S-4]") {
  f.topic("orders");
  f.group("orders", "billing", {.backoff = fixed_backoff(1h)});
  f.publish_texts("orders", {"0", "1", "2", "3"});
  for (const Delivered& each : f.fetch_all("orders", "billing", 3)) f.retry(each, "not now");
  expect_ok(act(f, MessageAct::kAck, Offset{0}));
  expect_ok(act(f, MessageAct::kRunNow, Offset{1}));
  expect_ok(act(f, MessageAct::kDeadLetter, Offset{2}, std::string(5000, 'x')));
  expect_ok(act(f, MessageAct::kSkip, Offset{3}));
  f.reopen();
  CHECK(texts(f.fetch_all("orders", "billing", 1)) == Texts{"1"});
  f.expect_nothing("orders", "billing");
  REQUIRE(f.letters("orders", "billing").size() == 1);
  CHECK(f.letters("orders", "billing")[0].message.dead_letter->error == std::string(4096, 'x'));
  CHECK(f.letters("orders", "billing")[0].message.dead_letter->failures == 1);
}

CONTRACT_TEST("messages of a dead-letter topic are acked by an operator, and never dead-lettered again", "[S-16][S-23]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.dead_letter("orders", "billing", {.payload = "0"});
  f.group("_dlq.orders.billing", "repair");
  const auto on_letters = [&](MessageAct what) { return f->settle_message({.topic = "_dlq.orders.billing", .group = "repair", .act = what}); };
  expect_error(on_letters(MessageAct::kDeadLetter), ErrorCode::invalid_argument, "_dlq.orders.billing");
  expect_ok(on_letters(MessageAct::kAck));
  f.expect_nothing("_dlq.orders.billing", "repair");
}

}  // namespace
}  // namespace weir::test
