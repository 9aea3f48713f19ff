// Order after death (S-25): a dead letter that holds its key.
#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

GroupOptions holding() {
  GroupOptions options;
  options.hold_key = true;
  return options;
}

/// Message "1" of key k is dead, "2" and "3" came later.
Offset parked(Fixture& f) {
  f.topic("orders");
  f.group("orders", "billing", holding());
  const Offset letter = f.dead_letter("orders", "billing", {.key = "k", .payload = "1"}).offset;
  f.publish("orders", {.key = "k", .payload = "2"});
  f.publish("orders", {.key = "k", .payload = "3"});
  return letter;
}

void expect_in_order(Fixture& f, const Texts& expected) {
  for (const std::string& each : expected) {
    const Delivered d = f.one("orders", "billing");
    CHECK(text(d) == each);
    f.ack(d);
  }
  f.expect_nothing("orders", "billing");
}

CONTRACT_TEST_EVERY_TOPIC("by default a key goes on after a death", "[S-25]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.dead_letter("orders", "billing", {.key = "k", .payload = "1"});
  f.publish("orders", {.key = "k", .payload = "2"});
  CHECK(text(f.one("orders", "billing")) == "2");
  CHECK(f.stats("orders", "billing").holding == 0);
}

CONTRACT_TEST_EVERY_TOPIC("a dead letter parks its key, and no other", "[S-25]") {
  parked(f);
  f.publish("orders", {.key = "other", .payload = "4"});
  f.publish("orders", {.payload = "5"});
  CHECK(texts(f.fetch_all("orders", "billing", 2)) == Texts{"4", "5"});
  f.expect_nothing("orders", "billing");
  const GroupTopicStats stats = f.stats("orders", "billing");
  CHECK(stats.holding == 1);
  CHECK(stats.blocked == 2);
  CHECK(stats.dead == 1);
}

CONTRACT_TEST_EVERY_TOPIC("what was fetched together with the message that died is parked, too", "[S-25][S-13]") {
  f.topic("orders");
  f.group("orders", "billing", holding());
  for (const char* payload : {"1", "2", "3"}) f.publish("orders", {.key = "k", .payload = payload});
  const std::vector<Delivered> chain = f.fetch_all("orders", "billing", 3);
  f.reject(chain[0], "no");
  expect_error(f->ack(chain[1].token), ErrorCode::lease_lost);
  f.expect_nothing("orders", "billing");
  f.redrive("orders", "billing");
  expect_in_order(f, {"1", "2", "3"});
}

CONTRACT_TEST_EVERY_TOPIC("a redriven letter goes first, then the others in order", "[S-25][S-26]") {
  parked(f);
  f.redrive("orders", "billing");
  expect_in_order(f, {"1", "2", "3"});
  CHECK(f.stats("orders", "billing").holding == 0);
}

CONTRACT_TEST_EVERY_TOPIC("a redriven letter that dies again holds its key again", "[S-25][S-26]") {
  parked(f);
  f.redrive("orders", "billing");
  f.reject(f.one("orders", "billing"), "again");
  f.expect_nothing("orders", "billing");
  CHECK(f.stats("orders", "billing").holding == 1);
  f.redrive("orders", "billing");
  expect_in_order(f, {"1", "2", "3"});
}

CONTRACT_TEST_EVERY_TOPIC("a discarded letter lets the others flow, and restored it does not hold them again", "[S-25][S-27]") {
  const Offset letter = parked(f);
  DiscardRequest discard{.topic = "orders", .group = "billing"};
  discard.letters = {letter};
  CHECK(f->discard(discard).value().discarded == 1);
  const Delivered two = f.one("orders", "billing");
  CHECK(text(two) == "2");
  f.ack(two);
  discard.restore = true;
  CHECK(f->discard(discard).value().discarded == 1);
  CHECK(f.stats("orders", "billing").holding == 0);
  const Delivered three = f.one("orders", "billing");
  CHECK(text(three) == "3");
  f.ack(three);
  f.redrive("orders", "billing");
  CHECK(text(f.one("orders", "billing")) == "1");
}

CONTRACT_TEST_EVERY_TOPIC("a letter that is sent to a topic, or edited, lets its key go", "[S-25][S-26]") {
  parked(f);
  f.topic("mended");
  RedriveRequest redrive{.topic = "orders", .group = "billing"};
  redrive.to_topic = "mended";
  CHECK(f->redrive(redrive).value().redriven == 1);
  expect_in_order(f, {"2", "3"});
  const Offset letter = f.dead_letter("orders", "billing", {.key = "k", .payload = "4"}).offset;
  f.publish("orders", {.key = "k", .payload = "5"});
  f.expect_nothing("orders", "billing");
  RedriveRequest edit{.topic = "orders", .group = "billing"};
  edit.letters = {letter};
  edit.edited = Message{.payload = "four"};
  CHECK(f->redrive(edit).value().redriven == 1);
  expect_in_order(f, {"four", "5"});
}

CONTRACT_TEST_EVERY_TOPIC("an expired message that is dead-lettered holds its key", "[S-25][S-8]") {
  f.topic("orders");
  GroupOptions options = holding();
  options.dead_letter_expired = true;
  f.group("orders", "billing", options);
  f.publish("orders", {.key = "k", .payload = "1", .ttl = 1min});
  f.publish("orders", {.key = "k", .payload = "2"});
  f.advance(2min);
  f.expect_nothing("orders", "billing");
  REQUIRE(eventually([&] { return f.letters("orders", "billing").size() == 1; }));
  CHECK(f.stats("orders", "billing").holding == 1);
  f.redrive("orders", "billing");
  expect_in_order(f, {"1", "2"});
}

CONTRACT_TEST("held keys survive reopening", "[S-25]") {
  parked(f);
  f.expect_nothing("orders", "billing");
  f.reopen();
  f.publish("orders", {.key = "k", .payload = "4"});
  f.publish("orders", {.key = "other", .payload = "5"});
  CHECK(text(f.one("orders", "billing")) == "5");
  f.expect_nothing("orders", "billing");
  CHECK(f.stats("orders", "billing").holding == 1);
  f.redrive("orders", "billing");
  f.reopen();
  CHECK(f.stats("orders", "billing").holding == 0);
  for (const char* each : {"1", "2", "3", "4"}) {
    Delivered d = f.one("orders", "billing");
    if (text(d) == "5") {   // its lease went with the close
      f.ack(d);
      d = f.one("orders", "billing");
    }
    CHECK(text(d) == each);
    f.ack(d);
  }
}

CONTRACT_TEST("an edited letter that is given back is there after reopening, and holds nothing", "[S-25][S-26]") {
  const Offset letter = parked(f);
  RedriveRequest edit{.topic = "orders", .group = "billing"};
  edit.letters = {letter};
  edit.edited = Message{.payload = "one"};
  CHECK(f->redrive(edit).value().redriven == 1);
  f.reopen();
  CHECK(f.stats("orders", "billing").holding == 0);
  expect_in_order(f, {"one", "2", "3"});
}

CONTRACT_TEST_EVERY_TOPIC("a letter that retention takes lets its key go", "[S-25][S-23]") {
  parked(f);
  f.expect_nothing("orders", "billing");
  REQUIRE(f.eventually_as_time_passes(std::chrono::hours{24}, [&] { return f.stats("orders", "billing").holding == 0; }));
  CHECK(f.letters("orders", "billing").empty());
  expect_in_order(f, {"2", "3"});
}

CONTRACT_TEST_EVERY_TOPIC("a seek frees what is parked", "[S-25][S-22]") {
  parked(f);
  f.expect_nothing("orders", "billing");
  expect_ok(f->seek_group("orders", "billing", StartPoint::at(Offset{0})));
  CHECK(f.stats("orders", "billing").holding == 0);
  expect_in_order(f, {"1", "2", "3"});
  CHECK(f.letters("orders", "billing").size() == 1);
}

CONTRACT_TEST_EVERY_TOPIC("hold_key can be altered: off frees what is parked, on holds from the next death", "[S-25]") {
  parked(f);
  f.expect_nothing("orders", "billing");
  expect_ok(f->alter_group("orders", "billing", GroupOptions{}));
  CHECK(f.stats("orders", "billing").holding == 0);
  expect_in_order(f, {"2", "3"});
  expect_ok(f->alter_group("orders", "billing", holding()));
  f.publish("orders", {.key = "k", .payload = "4"});
  f.reject(f.one("orders", "billing"), "no");
  f.publish("orders", {.key = "k", .payload = "5"});
  f.expect_nothing("orders", "billing");
}

CONTRACT_TEST_EVERY_TOPIC("with order topic a dead letter parks the topic; with order none there is nothing to hold", "[S-25][S-13]") {
  f.topic("orders");
  GroupOptions options = holding();
  options.order = Order::kNone;
  expect_error(f->create_group("orders", "billing", options), ErrorCode::invalid_argument, "hold_key");
  options.order = Order::kTopic;
  f.group("orders", "billing", options);
  f.dead_letter("orders", "billing", {.key = "a", .payload = "1"});
  f.publish("orders", {.key = "b", .payload = "2"});
  f.expect_nothing("orders", "billing");
  f.redrive("orders", "billing");
  expect_in_order(f, {"1", "2"});
}

CONTRACT_TEST_EVERY_TOPIC("subscribing with another hold_key names the difference", "[S-25][S-12]") {
  f.topic("orders");
  f.group("orders", "billing", holding());
  expect_error(f->create_group("orders", "billing", GroupOptions{}), ErrorCode::options_differ, "hold_key: true vs false");
}

CONTRACT_TEST_EVERY_TOPIC("a parked key keeps no other key's messages, nor its own backlog in memory", "[S-25][S-33]") {
  f.topic("orders");
  GroupOptions options = holding();
  options.in_flight_max = 100'000;
  f.group("orders", "billing", options);
  f.dead_letter("orders", "billing", {.key = "k", .payload = "first"});
  constexpr std::size_t kBehind = 30'000;
  for (std::size_t done = 0; done < kBehind; done += 10'000) {
    std::vector<Message> batch(10'000);
    for (std::size_t i = 0; i < batch.size(); ++i) batch[i] = {.key = "k", .payload = std::to_string(done + i)};
    expect_ok(f->publish_all("orders", std::move(batch)));
  }
  f.publish("orders", {.key = "other", .payload = "free"});
  CHECK(text(f.one("orders", "billing")) == "free");
  const GroupTopicStats stats = f.stats("orders", "billing");
  CHECK(stats.blocked == kBehind);
  CHECK(stats.blocked - stats.spilled <= 16'384);
  f.redrive("orders", "billing");
  f.ack(f.one("orders", "billing"));
  std::size_t next = 0;
  while (next < kBehind) {
    SettleRequest acks;
    for (const Delivered& d : f.fetch("orders", "billing", {.max = 10'000})) {
      REQUIRE(text(d) == std::to_string(next++));
      acks.settlements.push_back(Settlement::ack(d.token));
    }
    REQUIRE(f->settle(acks).value().results.empty());
  }
}

}  // namespace
}  // namespace weir::test
