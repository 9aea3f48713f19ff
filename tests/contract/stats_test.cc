// The figures of topics, groups and the broker, and waiting until there is nothing to do.
#include <future>

#include "tests/contract/fixture.h"
#include "tests/support/collector.h"

namespace weir::test {
namespace {

CONTRACT_TEST_EVERY_TOPIC("a group's figures tell what became of its messages", "[stats]") {
  f.topic("orders");
  f.group("orders", "billing");
  const Time start = f.now();
  f.publish_texts("orders", {"ack", "retry", "reject", "release", "leased"});
  f.advance(10s);
  GroupTopicStats s = f.stats("orders", "billing");
  CHECK(s.depth == 5);
  CHECK(s.floor == Offset{0});
  CHECK(s.in_flight == 0);
  CHECK(s.delivered == 0);
  CHECK(s.oldest == start);
  CHECK(s.lag == 10s);

  const std::vector<Delivered> got = f.fetch_all("orders", "billing", 5);
  CHECK(f.stats("orders", "billing").in_flight == 5);
  f.ack(got[0]);
  f.retry(got[1], "no", 1h);
  f.reject(got[2]);
  f.release(got[3]);
  s = f.stats("orders", "billing");
  CHECK(s.floor == Offset{1});
  CHECK(s.depth == 3);
  CHECK(s.in_flight == 1);
  CHECK(s.waiting_retries == 1);
  CHECK(s.dead == 1);
  CHECK(s.delivered == 5);
  CHECK(s.acked == 1);
  CHECK(s.retried == 1);
  CHECK(s.released == 1);
  CHECK(s.dead_lettered == 1);
  CHECK(s.expired == 0);
  CHECK(s.filtered == 0);
}

CONTRACT_TEST_EVERY_TOPIC("a group that keeps up has no depth and no lag", "[stats]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish_texts("orders", {"1", "2"});
  f.ack(f.fetch_all("orders", "billing", 2));
  f.advance(1h);
  const GroupTopicStats s = f.stats("orders", "billing");
  CHECK(s.depth == 0);
  CHECK(s.lag == 0ms);
  CHECK_FALSE(s.oldest.has_value());
  CHECK(s.floor == Offset{2});
}

CONTRACT_TEST_EVERY_TOPIC("messages behind a key at work are shown as blocked", "[S-13]") {
  f.topic("orders");
  f.group("orders", "billing");
  for (const char* payload : {"1", "2", "3"}) f.publish("orders", {.key = "k", .payload = payload});
  f.one("orders", "billing");
  f.expect_nothing("orders", "billing");
  CHECK(f.stats("orders", "billing").blocked == 2);
}

CONTRACT_TEST_EVERY_TOPIC("a redriven letter is shown until it is settled", "[S-26]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.dead_letter("orders", "billing", {.payload = "1"});
  CHECK(f.stats("orders", "billing").dead == 1);
  f.redrive("orders", "billing");
  CHECK(f.stats("orders", "billing").redriven == 1);
  CHECK(f.stats("orders", "billing").dead == 0);
  f.ack(f.one("orders", "billing"));
  CHECK(f.stats("orders", "billing").redriven == 0);
}

CONTRACT_TEST_EVERY_TOPIC("a group on a pattern has figures for each topic and their sum", "[stats]") {
  f.topic("orders.a");
  f.topic("orders.b");
  f.group("orders.*", "audit");
  f.publish_texts("orders.a", {"1", "2"});
  f.advance(1min);
  f.publish_texts("orders.b", {"3"});
  const GroupInfo info = f.group_info("orders.*", "audit");
  REQUIRE(info.topics.size() == 2);
  for (const GroupTopicStats& each : info.topics) CHECK(each.depth == (each.topic == "orders.a" ? 2 : 1));
  CHECK(info.total().depth == 3);
  CHECK(info.total().lag == 1min);
}

CONTRACT_TEST("depth and dead letters are right after reopening", "[stats]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish_texts("orders", {"0", "1", "2", "3"});
  const std::vector<Delivered> got = f.fetch_all("orders", "billing", 4);
  f.ack(got[1]);
  f.reject(got[2]);
  f.retry(got[3], "no", 1h);
  f.reopen();
  const GroupTopicStats s = f.stats("orders", "billing");
  CHECK(s.depth == 2);
  CHECK(s.dead == 1);
  CHECK(s.waiting_retries == 1);
  CHECK(s.floor == Offset{0});
}

CONTRACT_TEST("the broker tells how it is", "[S-32][S-33]") {
  f.options.events = false;   // what is counted is the test's own
  const Time opened = f.now();
  f.topic("orders");
  f.group("orders", "billing");
  f.publish_texts("orders", {"1", "2"});
  const BrokerStatus s = f->status().value();
  CHECK(s.state == StoreState::kRunning);
  CHECK(s.reason.empty());
  CHECK_FALSE(s.location.empty());
  CHECK(s.incarnation > 0);
  CHECK(s.opened == opened);
  CHECK(s.topics == 1);
  CHECK(s.groups == 1);
  CHECK(s.messages == 2);
  CHECK(s.commits >= 2);
  CHECK(s.queued_requests == 0);
  CHECK(s.disk_free_bytes > 0);
  CHECK(to_string(s.state) == "running");
}

// --- Drain ----------------------------------------------------------------------------------------------------------------------

std::future<Status> drain(Fixture& f, DrainRequest request) {
  auto answer = std::make_shared<std::promise<Status>>();
  f->async_drain(std::move(request), {}, [answer](Result<Done> r) { answer->set_value(r.status()); });
  return answer->get_future();
}

CONTRACT_TEST_EVERY_TOPIC("drain answers at once when there is nothing to do", "[S-35]") {
  expect_ok(f->drain());
  f.topic("orders");
  f.publish_texts("orders", {"nobody's"});
  expect_ok(f->drain());
}

CONTRACT_TEST_EVERY_TOPIC("drain waits until every message of the groups is settled", "[S-35]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish_texts("orders", {"1", "2"});
  std::future<Status> done = drain(f, {});
  CHECK(done.wait_for(0s) != std::future_status::ready);
  const std::vector<Delivered> got = f.fetch_all("orders", "billing", 2);
  f.ack(got[0]);
  CHECK(done.wait_for(0s) != std::future_status::ready);
  f.ack(got[1]);
  REQUIRE(done.wait_for(kPatience) == std::future_status::ready);
  expect_ok(done.get());
}

CONTRACT_TEST_EVERY_TOPIC("drain of some groups does not wait for others", "[S-35]") {
  f.topic("orders");
  f.group("orders", "fast");
  f.group("orders", "slow");
  f.publish_texts("orders", {"1"});
  f.ack(f.one("orders", "fast"));
  std::future<Status> done = drain(f, {.groups = {{"orders", "fast"}}});
  REQUIRE(done.wait_for(kPatience) == std::future_status::ready);
  expect_ok(done.get());
}

CONTRACT_TEST_EVERY_TOPIC("drain waits for retries that are not due only when asked to", "[S-35]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish_texts("orders", {"1"});
  f.retry(f.one("orders", "billing"), "later", 1h);
  std::future<Status> soon = drain(f, {});
  REQUIRE(soon.wait_for(kPatience) == std::future_status::ready);
  std::future<Status> all = drain(f, {.groups = {}, .include_waiting = true});
  CHECK(all.wait_for(0s) != std::future_status::ready);
  f.advance(1h);
  CHECK(all.wait_for(0s) != std::future_status::ready);
  f.ack(f.one("orders", "billing"));
  REQUIRE(all.wait_for(kPatience) == std::future_status::ready);
}

CONTRACT_TEST_EVERY_TOPIC("drain of an unknown group says so", "[S-35]") {
  f.topic("orders");
  expect_error(f->drain({.groups = {{"orders", "nobody"}}, .include_waiting = false}), ErrorCode::group_not_found);
}

CONTRACT_TEST_EVERY_TOPIC("drain ends at its deadline", "[S-35]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish_texts("orders", {"1"});
  auto answer = std::make_shared<std::promise<Status>>();
  auto future = answer->get_future();
  CallContext context;
  context.deadline = f.now() + 5s;
  f->async_drain({}, context, [answer](Result<Done> r) { answer->set_value(r.status()); });
  CHECK(future.wait_for(0s) != std::future_status::ready);
  f.advance(5s);
  REQUIRE(future.wait_for(kPatience) == std::future_status::ready);
  expect_error(future.get(), ErrorCode::deadline_exceeded);
}

}  // namespace
}  // namespace weir::test
