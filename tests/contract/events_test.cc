// Broker events: the topic `_events` tells what the broker did, in the commits that did it.
#include <algorithm>
#include <map>

#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

constexpr const char* kEvents = "_events";

/// What happened, by the header `event`, but for what is told of the fixture's own topics and groups.
Texts told(Fixture& f) {
  Texts out;
  const auto page = f->browse({.topic = kEvents, .messages_max = 10'000});
  if (!page.ok()) return out;
  for (const StoredMessage& message : page->messages) out.emplace_back(*message.headers.find("event"));
  return out;
}

/// The payloads of all events of one kind.
Texts payloads(Fixture& f, const std::string& event) {
  BrowseRequest request{.topic = kEvents, .messages_max = 10'000};
  request.filter = Filter::exact("event", event);
  return texts(f->browse(request).value().messages);
}

bool has(const Texts& all, const std::string& part) {
  return std::any_of(all.begin(), all.end(), [&](const std::string& each) { return each.find(part) != std::string::npos; });
}

CONTRACT_TEST("creating, pausing, seeking and deleting are told in their order", "[events]") {
  f.topic("orders");
  f.group("orders", "billing");
  expect_ok(f->pause_group("orders", "billing"));
  expect_ok(f->pause_group("orders", "billing"));   // it was paused
  expect_ok(f->resume_group("orders", "billing"));
  f->seek_group("orders", "billing", StartPoint::earliest()).value();
  expect_ok(f->delete_group("orders", "billing"));
  f.group("orders", "audit");
  expect_ok(f->delete_topic("orders"));
  CHECK(told(f) == Texts{"topic_created", "group_created", "group_paused", "group_resumed", "group_sought", "group_deleted", "group_created", "group_deleted", "topic_deleted"});
  CHECK(payloads(f, "topic_created") == Texts{R"({"event":"topic_created","topic":"orders"})"});
  CHECK(payloads(f, "group_sought") == Texts{R"({"event":"group_sought","source":"orders","group":"billing","topic":"orders","offset":"0"})"});
  const StoredMessage first = f.browse(kEvents).front();
  CHECK(first.content_type == "application/json");
  CHECK(first.key == "orders");
  CHECK(first.headers.find("topic") == "orders");
}

CONTRACT_TEST("a refused act is not told", "[events]") {
  f.topic("orders");
  const Texts before = told(f);
  f.topic("orders");   // it is there
  CHECK_FALSE(f->create_group("nowhere", "billing").ok());
  CHECK_FALSE(f->delete_group("orders", "nobody").ok());
  CHECK_FALSE(f->delete_topic("nowhere").ok());
  CHECK(told(f) == before);
}

CONTRACT_TEST("deaths, redrives, discards and restores are told with what they were", "[events][S-23][S-26][S-27]") {
  f.topic("orders");
  f.group("orders", "billing");
  const DeadLetter one = f.dead_letter("orders", "billing", {.payload = "1"});
  const DeadLetter two = f.dead_letter("orders", "billing", {.payload = "2"});
  const Texts deaths = payloads(f, "dead_lettered");
  REQUIRE(deaths.size() == 2);
  CHECK(deaths[0] == R"({"event":"dead_lettered","topic":"orders","group":"billing","source":"orders","offset":"0","letter":"0","reason":"rejected","deliveries":"1","failures":"1",)"
                     R"("error":"rejected by the test"})");
  f.redrive("orders", "billing", {one.offset});
  DiscardRequest discard{.topic = "orders", .group = "billing"};
  discard.letters = {two.offset};
  discard.reason = "a test order";
  f->discard(discard).value();
  CHECK(has(payloads(f, "redriven"), R"("offset":"0","letter":"0")"));
  CHECK(has(payloads(f, "discarded"), R"("why":"a test order")"));
  discard.restore = true;
  f->discard(discard).value();
  CHECK(payloads(f, "restored").size() == 1);
}

CONTRACT_TEST("messages that a cap drops unread are told", "[events][S-10]") {
  f.topic("orders", {.bytes_max = 3000, .cap_policy = CapPolicy::kDropOldest});
  f.group("orders", "billing");
  for (int i = 0; i < 10; ++i) f.publish("orders", {.payload = std::string(1000, 'x')});
  REQUIRE(f.eventually_as_time_passes(1s, [&] { return f.topic_info("orders").dropped_unsettled > 0 && !payloads(f, "dropped_unread").empty(); }));
  CHECK(has(payloads(f, "dropped_unread"), R"({"event":"dropped_unread","topic":"orders","group":"billing","source":"orders","count":")"));
}

CONTRACT_TEST("events survive a reopen, and a group may consume them with a filter", "[events][S-22]") {
  GroupOptions alerts;
  alerts.filter = Filter::exact("event", "dead_lettered");
  f.group(kEvents, "alerts", alerts);   // in a new store, before there is any event
  f.topic("orders");
  f.group("orders", "billing");
  f.dead_letter("orders", "billing", {.payload = "1"});
  f.reopen();
  const Delivered alert = f.one(kEvents, "alerts");
  CHECK(alert.message.headers.find("event") == "dead_lettered");
  CHECK(alert.message.headers.find("group") == "billing");
  f.reject(alert, "a consumer of the broker's own topics never dead-letters");
  CHECK(f.stats(kEvents, "alerts").waiting_retries == 1);
  CHECK_FALSE(has(told(f), "_events"));
}

CONTRACT_TEST("nothing is told of the topic of events and of groups on it", "[events]") {
  f.topic("orders");
  f.group(kEvents, "alerts");
  expect_ok(f->pause_group(kEvents, "alerts"));
  expect_ok(f->delete_group(kEvents, "alerts"));
  CHECK(told(f) == Texts{"topic_created"});
}

CONTRACT_TEST("the topic of events belongs to the broker", "[events][S-2]") {
  f.topic("orders");
  f.group(">", "all");
  expect_error(f->publish(kEvents, {.payload = "1"}), ErrorCode::invalid_argument, "belongs to the broker");
  expect_error(f->delete_topic(kEvents), ErrorCode::invalid_argument, "belongs to the broker");
  f.publish("orders", {.payload = "1"});
  CHECK(texts(f.fetch_all(">", "all", 1)) == Texts{"1"});
  f.expect_nothing(">", "all");
  const TopicInfo info = f.topic_info(kEvents);
  CHECK(info.options.retention_age == 24h * 7);
  CHECK(info.options.cap_policy == CapPolicy::kDropOldest);
  CHECK(info.options.bytes_max == 64u << 20);
  TopicOptions longer = info.options;
  longer.retention_age = 24h * 30;
  expect_ok(f->alter_topic(kEvents, longer));
}

CONTRACT_TEST("events can be turned off, and what was told stays", "[events]") {
  f.topic("orders");
  f.close();
  f.options.events = false;
  f.topic("mails");
  f.group("mails", "sender");
  f.dead_letter("mails", "sender", {.payload = "1"});
  CHECK(told(f) == Texts{"topic_created"});
  f.close();
  f.options.events = true;
  expect_ok(f->delete_topic("mails"));
  CHECK(told(f) == Texts{"topic_created", "group_deleted", "topic_deleted"});
}

CONTRACT_TEST("a storm of deaths is told in as many commits as it took", "[events]") {
  f.topic("orders", {.durability = Durability::kProcess});
  f.group("orders", "billing");
  std::vector<Message> messages(500, Message{.payload = "1"});
  expect_ok(f->publish_all("orders", std::move(messages)));
  SettleRequest rejects;
  for (const Delivered& each : f.fetch_all("orders", "billing", 500)) rejects.settlements.push_back(Settlement::reject(each.token, "no"));
  const std::uint64_t before = f->status().value().commits;
  expect_ok(f->settle(rejects));
  CHECK(f->status().value().commits - before <= 2);
  CHECK(payloads(f, "dead_lettered").size() == 500);
}

CONTRACT_TEST("what happens to ephemeral topics beside durable ones: acts are told, deaths are not", "[events][S-4]") {
  f->create_topic("fleeting", {.ephemeral = true}).value();
  f.group("fleeting", "group");
  f.dead_letter("fleeting", "group", {.payload = "1"});
  expect_ok(f->delete_topic("fleeting"));
  CHECK(told(f) == Texts{"topic_created", "group_created", "group_deleted", "topic_deleted"});
}

CONTRACT_TEST("the topic keeps a cap, whatever it is altered to, and its consumers have no dead letters", "[events][S-23]") {
  f.topic("orders");
  const TopicOptions kept = f->topic(kEvents).value().options;
  TopicOptions options = kept;
  options.compact = true;
  expect_error(f->alter_topic(kEvents, options), ErrorCode::invalid_argument);
  options = kept;
  options.bytes_max = 0;
  expect_error(f->alter_topic(kEvents, options), ErrorCode::invalid_argument);
  options = kept;
  options.cap_policy = CapPolicy::kReject;
  expect_error(f->alter_topic(kEvents, options), ErrorCode::invalid_argument);
  options = kept;
  options.retention_age = std::chrono::hours{1};
  expect_ok(f->alter_topic(kEvents, options));
  f.group(kEvents, "alerts");
  for (const bool background : {false, true}) expect_error(f->redrive({.topic = kEvents, .group = "alerts", .background = background}), ErrorCode::invalid_argument);
  expect_error(f->topic("_dlq._events.alerts"), ErrorCode::topic_not_found);
}

TEST_CASE("a broker without a disk tells its events in memory", "[events][S-4]") {
  const auto broker = weir::open("memory:").value();
  TopicOptions options;
  options.ephemeral = true;
  broker->create_topic("orders", options).value();
  broker->create_group("orders", "billing").value();
  broker->publish("orders", Message{.payload = "1"}).value();
  const FetchResult fetched = broker->fetch({.source = "orders", .group = "billing"}).value();
  REQUIRE(fetched.deliveries.size() == 1);
  REQUIRE(broker->settle(Settlement::reject(fetched.deliveries[0].token, "no")).ok());
  const auto count = [&] { return broker->browse({.topic = kEvents}).value().messages.size(); };
  REQUIRE(eventually([&] { return count() == 3; }));
  const auto all = broker->browse({.topic = kEvents}).value().messages;
  CHECK(all[2].headers.find("event") == "dead_lettered");
}

}  // namespace
}  // namespace weir::test
