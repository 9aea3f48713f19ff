// What is removed, when, and what is never removed (S-10).
#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

const std::string kKibibyte(1024, 'x');

// Retention works in the background, now and then, by the broker's clock.
bool first_becomes(Fixture& f, const std::string& topic, Offset first) {
  return f.eventually_as_time_passes(1s, [&] { return f.topic_info(topic).first == first; });
}

TopicOptions kept_for(Duration age) {
  TopicOptions options;
  options.retention_age = age;
  return options;
}

CONTRACT_TEST_EVERY_TOPIC("messages older than the age are removed", "[S-10]") {
  f.topic("orders", kept_for(1h));
  f.publish_texts("orders", {"1", "2"});
  f.advance(30min);
  f.publish_texts("orders", {"3"});
  f.advance(31min);
  CHECK(first_becomes(f, "orders", Offset{2}));
  CHECK(texts(f.browse("orders")) == Texts{"3"});
  CHECK(f.publish("orders", {.payload = "4"}) == Offset{3});
}

CONTRACT_TEST("the age is 7 days by default", "[S-10]") {
  CHECK(f.topic("orders").options.retention_age == std::chrono::hours{24 * 7});
  f.publish_texts("orders", {"1"});
  f.advance(std::chrono::hours{24 * 7} - 1h);
  f.publish_texts("orders", {"2"});
  CHECK(f.topic_info("orders").first == Offset{0});
  f.advance(2h);
  CHECK(first_becomes(f, "orders", Offset{1}));
}

CONTRACT_TEST_EVERY_TOPIC("a message is not removed before every group has settled it", "[S-10]") {
  f.topic("orders", kept_for(1h));
  f.group("orders", "fast");
  f.group("orders", "slow");
  f.publish_texts("orders", {"1", "2", "3"});
  f.ack(f.fetch_all("orders", "fast", 3));
  f.ack(f.one("orders", "slow"));
  f.advance(2h);
  CHECK(first_becomes(f, "orders", Offset{1}));
  f.advance(48h);
  CHECK(texts(f.fetch_all("orders", "slow", 2)) == Texts{"2", "3"});
  CHECK(f.topic_info("orders").first == Offset{1});
}

CONTRACT_TEST_EVERY_TOPIC("a leased or waiting message is not removed", "[S-10]") {
  f.topic("orders", kept_for(1h));
  GroupOptions options;
  options.lease = 12h;
  f.group("orders", "billing", options);
  f.publish_texts("orders", {"leased", "waiting"});
  const std::vector<Delivered> got = f.fetch_all("orders", "billing", 2);
  f.retry(got[1], "later", 10h);
  f.advance(5h);
  f.publish_texts("orders", {"new"});
  CHECK(f.topic_info("orders").first == Offset{0});
  f.ack(got[0]);
  CHECK(first_becomes(f, "orders", Offset{1}));
}

CONTRACT_TEST_EVERY_TOPIC("settled messages go, oldest first, while the topic is larger than its bytes", "[S-10]") {
  TopicOptions options;
  options.retention_bytes = 10 * 1024;
  f.topic("orders", options);
  f.group("orders", "billing");
  for (int i = 0; i < 30; ++i) f.publish("orders", {.payload = kKibibyte});
  CHECK(f.topic_info("orders").bytes > 30 * 1024);
  CHECK(f.topic_info("orders").first == Offset{0});  // nothing is settled

  f.ack(f.fetch_all("orders", "billing", 30));
  REQUIRE(f.eventually_as_time_passes(1s, [&] { return f.topic_info("orders").bytes <= 10 * 1024; }));
  const TopicInfo info = f.topic_info("orders");
  CHECK(info.first > Offset{15});
  CHECK(info.first < Offset{25});
  CHECK(f.browse("orders").at(0).offset == info.first);
}

CONTRACT_TEST_EVERY_TOPIC("with no group, age and bytes alone decide", "[S-10]") {
  TopicOptions options;
  options.retention_bytes = 5 * 1024;
  f.topic("orders", options);
  for (int i = 0; i < 20; ++i) f.publish("orders", {.payload = kKibibyte});
  CHECK(f.eventually_as_time_passes(1s, [&] { return f.topic_info("orders").bytes <= 5 * 1024; }));
}

CONTRACT_TEST_EVERY_TOPIC("a topic may discard each message as soon as all groups settled it", "[S-10]") {
  TopicOptions options;
  options.discard_settled = true;
  f.topic("orders", options);
  f.group("orders", "one");
  f.group("orders", "two");
  f.publish_texts("orders", {"1", "2", "3"});
  f.ack(f.fetch_all("orders", "one", 3));
  CHECK(f.browse("orders").size() == 3);
  f.ack(f.one("orders", "two"));
  f.ack(f.one("orders", "two"));
  CHECK(texts(f.browse("orders")) == Texts{"3"});  // hidden at once
  CHECK(f.topic_info("orders").first == Offset{2});
}

CONTRACT_TEST_EVERY_TOPIC("with no group, nothing is discarded as settled", "[S-10]") {
  TopicOptions options;
  options.discard_settled = true;
  f.topic("orders", options);
  f.publish_texts("orders", {"1", "2"});
  f.advance(1h);
  CHECK(f.browse("orders").size() == 2);
}

CONTRACT_TEST("what retention removed does not come back after reopening", "[S-10]") {
  f.topic("orders", kept_for(1h));
  f.publish_texts("orders", {"1", "2"});
  f.advance(2h);
  f.publish_texts("orders", {"3"});
  REQUIRE(first_becomes(f, "orders", Offset{2}));
  f.reopen();
  CHECK(f.topic_info("orders").first == Offset{2});
  CHECK(texts(f.browse("orders")) == Texts{"3"});
}

CONTRACT_TEST("a topic that retention emptied keeps its next offset over reopening", "[S-10][S-3]") {
  f.topic("orders", kept_for(1h));
  f.publish_texts("orders", {"1", "2"});
  f.advance(2h);
  REQUIRE(first_becomes(f, "orders", Offset{2}));
  f.reopen();
  CHECK(f.topic_info("orders").next == Offset{2});
  CHECK(f.publish("orders", {.payload = "3"}) == Offset{2});
}

// --- The hard cap ------------------------------------------------------------------------------------------------------------

CONTRACT_TEST_EVERY_TOPIC("a topic at its hard cap rejects, and what it has stays", "[S-10][S-33]") {
  TopicOptions options;
  options.bytes_max = 10 * 1024;
  options.discard_settled = true;
  f.topic("orders", options);
  f.group("orders", "billing");
  Status last;
  std::uint64_t stored = 0;
  while (last.ok() && stored < 50) {
    last = f->publish("orders", {.payload = kKibibyte}).status();
    if (last.ok()) ++stored;
  }
  expect_error(last, ErrorCode::full, "orders");
  CHECK(stored >= 7);
  CHECK(stored <= 10);
  CHECK(f.browse("orders").size() == stored);

  f.ack(f.fetch_all("orders", "billing", stored));
  CHECK(f.eventually_as_time_passes(1s, [&] { return f->publish("orders", {.payload = kKibibyte}).ok(); }));
}

// Dropping may lag behind publishing a little; what is below the cap stays.
TopicInfo when_below(Fixture& f, std::uint64_t bytes) {
  REQUIRE(eventually([&] { return f.topic_info("orders").bytes <= bytes; }));
  return f.topic_info("orders");
}

TopicOptions dropping(std::uint64_t bytes) {
  TopicOptions options;
  options.bytes_max = bytes;
  options.cap_policy = CapPolicy::kDropOldest;
  return options;
}

CONTRACT_TEST_EVERY_TOPIC("a topic that drops its oldest takes every publish and stays below its cap", "[S-10]") {
  f.topic("orders", dropping(10 * 1024));
  f.group("orders", "billing");
  for (int i = 0; i < 40; ++i) f.publish("orders", {.payload = std::to_string(i) + kKibibyte});
  const TopicInfo info = when_below(f, 10 * 1024);
  CHECK(info.first > Offset{25});
  CHECK(info.next == Offset{40});
  CHECK(info.dropped_unsettled == info.first.value);

  const std::vector<Delivered> rest = f.fetch_all("orders", "billing", info.next - info.first);
  CHECK(rest.front().message.offset == info.first);
  f.expect_nothing("orders", "billing");
}

CONTRACT_TEST_EVERY_TOPIC("dropping the oldest voids leases on it, and the retries that wait", "[S-10]") {
  f.topic("orders", dropping(10 * 1024));
  f.group("orders", "billing");
  f.publish("orders", {.payload = "leased"});
  f.publish("orders", {.payload = "waiting"});
  const std::vector<Delivered> got = f.fetch_all("orders", "billing", 2);
  f.retry(got[1], "later", 10s);
  for (int i = 0; i < 40; ++i) f.publish("orders", {.payload = kKibibyte});
  const TopicInfo info = when_below(f, 10 * 1024);
  expect_error(f->ack(got[0].token), ErrorCode::lease_lost);
  f.advance(10s);
  const std::vector<Delivered> rest = f.fetch_all("orders", "billing", info.next - info.first);
  CHECK(rest.front().message.offset == info.first);
  CHECK(f.stats("orders", "billing").waiting_retries == 0);
}

CONTRACT_TEST_EVERY_TOPIC("messages dropped after every group settled them are no loss", "[S-10]") {
  f.topic("orders", dropping(10 * 1024));
  f.group("orders", "billing");
  for (int i = 0; i < 40; ++i) {
    f.publish("orders", {.payload = kKibibyte});
    f.ack(f.one("orders", "billing"));
  }
  const TopicInfo info = when_below(f, 10 * 1024);
  CHECK(info.first > Offset{0});
  CHECK(info.dropped_unsettled == 0);
}

// --- Groups that pin, and groups that go -----------------------------------------------------------------------------------

CONTRACT_TEST_EVERY_TOPIC("the bytes that a group pins are shown", "[S-10]") {
  f.topic("orders");
  f.group("orders", "fast");
  f.group("orders", "slow");
  CHECK(f.stats("orders", "slow").pinned_bytes == 0);
  for (int i = 0; i < 20; ++i) f.publish("orders", {.payload = kKibibyte});
  f.ack(f.fetch_all("orders", "fast", 20));
  CHECK(f.stats("orders", "fast").pinned_bytes == 0);
  CHECK(f.stats("orders", "slow").pinned_bytes >= 20 * 1024);
  CHECK(f.stats("orders", "slow").pinned_bytes <= f.topic_info("orders").bytes);
}

CONTRACT_TEST_EVERY_TOPIC("deleting a group unpins what it had not settled", "[S-10][S-22]") {
  f.topic("orders", kept_for(1h));
  f.group("orders", "dead");
  f.publish_texts("orders", {"1", "2"});
  f.advance(2h);
  CHECK(f.topic_info("orders").first == Offset{0});
  expect_ok(f->delete_group("orders", "dead"));
  CHECK(first_becomes(f, "orders", Offset{2}));
}

CONTRACT_TEST_EVERY_TOPIC("a volatile group is gone with its last member", "[S-10]") {
  GroupOptions options;
  options.is_volatile = true;
  f.topic("orders");
  f.group("orders", "view", options);
  const MemberId first = f.join("orders", "view"), second = f.join("orders", "view");
  expect_ok(f->leave(first));
  CHECK(f.group_info("orders", "view").members == 1);
  expect_ok(f->leave(second));
  CHECK(eventually([&] { return f->group("orders", "view").code() == ErrorCode::group_not_found; }));
}

CONTRACT_TEST("a volatile group does not outlive the broker", "[S-10]") {
  GroupOptions options;
  options.is_volatile = true;
  f.topic("orders");
  f.group("orders", "view", options);
  f.join("orders", "view");
  f.reopen();
  CHECK(eventually([&] { return f->group("orders", "view").code() == ErrorCode::group_not_found; }));
}

CONTRACT_TEST_EVERY_TOPIC("a group may expire when nobody fetched for long", "[S-10]") {
  GroupOptions options;
  options.expire_idle = 1h;
  f.topic("orders");
  f.group("orders", "view", options);
  for (int i = 0; i < 3; ++i) {
    f.advance(50min);
    f.expect_nothing("orders", "view");  // a fetch, though it brings nothing
  }
  f.advance(50min);
  expect_ok(f->group("orders", "view"));
  f.advance(11min);
  CHECK(f.eventually_as_time_passes(1s, [&] { return f->group("orders", "view").code() == ErrorCode::group_not_found; }));
}

CONTRACT_TEST("what is hidden because all groups settled it stays hidden for a group that comes later", "[S-10][S-12]") {
  f.topic("orders", {.discard_settled = true});
  f.group("orders", "first");
  PublishRequest request{.topic = "orders"};
  for (const char* each : {"1", "2", "3"}) request.messages.push_back({.payload = each});
  expect_ok(f->publish(std::move(request)));
  const auto got = f.fetch_all("orders", "first", 3);
  f.ack(got[0]);
  f.ack(got[1]);
  CHECK(texts(f.browse("orders")) == Texts{"3"});
  f.group("orders", "second");
  CHECK(texts(f.fetch_all("orders", "second", 1)) == Texts{"3"});
  f.expect_nothing("orders", "second");
  CHECK(texts(f.browse("orders")) == Texts{"3"});
}

}  // namespace
}  // namespace weir::test
