// The ways to end a delivery (S-16), and settling many at once.
#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

void orders(Fixture& f, const Texts& payloads, GroupOptions options = {}) {
  f.topic("orders");
  f.group("orders", "billing", std::move(options));
  f.publish_texts("orders", payloads);
}

CONTRACT_TEST_EVERY_TOPIC("ack: the message is done", "[S-16]") {
  orders(f, {"1", "2"});
  f.ack(f.one("orders", "billing"));
  f.advance(24h);
  CHECK(texts(f.fetch("orders", "billing")) == Texts{"2"});
  CHECK(f.stats("orders", "billing").floor == Offset{1});
}

CONTRACT_TEST("what was acked is still done after reopening, whatever lies before it", "[S-16]") {
  orders(f, {"0", "1", "2", "3", "4", "5"});
  const std::vector<Delivered> got = f.fetch_all("orders", "billing", 6);
  for (const std::size_t i : {1u, 2u, 5u}) f.ack(got[i]);
  f.reopen();
  CHECK(texts(f.fetch_all("orders", "billing", 3)) == Texts{"0", "3", "4"});
  f.expect_nothing("orders", "billing");
}

CONTRACT_TEST_EVERY_TOPIC("retry: a counted failure, delivered again after the delay", "[S-16][S-18]") {
  orders(f, {"1"});
  const Delivered first = f.one("orders", "billing");
  CHECK(first.failures == 0);
  CHECK(first.deliveries == 0);
  f.retry(first, "not now", 5s);
  CHECK(f.stats("orders", "billing").waiting_retries == 1);
  f.advance(4999ms);
  f.expect_nothing("orders", "billing");
  f.advance(1ms);
  const Delivered second = f.one("orders", "billing");
  CHECK(second.failures == 1);
  CHECK(second.deliveries == 1);
  CHECK(second.message.offset == first.message.offset);
}

CONTRACT_TEST_EVERY_TOPIC("a retry without delay is due at once", "[S-16][S-18]") {
  orders(f, {"1"});
  f.retry(f.one("orders", "billing"), "again", 0ms);
  CHECK(f.one("orders", "billing").failures == 1);
}

CONTRACT_TEST_EVERY_TOPIC("a retry's delay is 365 days at most, and not less than nothing", "[S-16][S-33]") {
  orders(f, {"1", "2"});
  const std::vector<Delivered> got = f.fetch_all("orders", "billing", 2);
  const Duration year = std::chrono::hours{24 * 365};
  expect_one_of(f->settle(Settlement::retry(got[0].token, "", year + 1ms)), {ErrorCode::limit_exceeded, ErrorCode::invalid_argument}, "delay");
  expect_one_of(f->settle(Settlement::retry(got[0].token, "", -1ms)), {ErrorCode::limit_exceeded, ErrorCode::invalid_argument}, "delay");
  f.retry(got[0], "", year);
  f.ack(got[1]);
}

CONTRACT_TEST("a waiting retry keeps its time and its counters over reopening", "[S-16][S-17][S-18]") {
  orders(f, {"1"});
  for (int i = 0; i < 2; ++i) f.retry(f.one("orders", "billing"), "broken", 0ms);
  f.retry(f.one("orders", "billing"), "broken", 1h);
  f.reopen();
  f.advance(59min);
  f.expect_nothing("orders", "billing");
  f.advance(1min);
  const Delivered d = f.one("orders", "billing");
  CHECK(d.failures == 3);
  CHECK(d.deliveries == 3);
}

CONTRACT_TEST_EVERY_TOPIC("reject: straight to the dead letters", "[S-16][S-23]") {
  orders(f, {"1"});
  f.reject(f.one("orders", "billing"), "never");
  const std::vector<DeadLetter> letters = f.letters("orders", "billing");
  REQUIRE(letters.size() == 1);
  CHECK(letters[0].message.payload.text() == "1");
  CHECK(letters[0].message.dead_letter->reason == DeathReason::kRejected);
  CHECK(letters[0].message.dead_letter->error == "never");
  f.advance(24h);
  f.expect_nothing("orders", "billing");
}

CONTRACT_TEST_EVERY_TOPIC("release: given back at once, uncounted", "[S-16]") {
  orders(f, {"1"});
  for (int i = 0; i < 30; ++i) {  // more often than any limit of attempts
    const Delivered d = f.one("orders", "billing");
    REQUIRE(d.failures == 0);
    f.release(d);
  }
  CHECK(f.letters("orders", "billing").empty());
  CHECK(f.stats("orders", "billing").released == 30);
}

CONTRACT_TEST_EVERY_TOPIC("many deliveries are settled in one request, each for itself", "[S-16]") {
  orders(f, {"0", "1", "2", "3", "4"});
  const std::vector<Delivered> got = f.fetch_all("orders", "billing", 5);
  f.ack(got[0]);
  Token unknown = got[4].token;
  unknown.epoch.value += 1;
  SettleRequest request;
  request.settlements = {Settlement::reject(got[0].token), Settlement::ack(got[1].token), Settlement::retry(got[2].token, "no", 1h),
                         Settlement::ack(unknown), Settlement::reject(got[3].token)};
  const SettleResult r = f->settle(request).value();
  REQUIRE(r.results.size() == 5);
  CHECK(r.results[0].code() == ErrorCode::already_settled);
  CHECK(r.results[1].ok());
  CHECK(r.results[2].ok());
  CHECK_FALSE(r.results[3].ok());
  CHECK(r.results[4].ok());
  const GroupTopicStats stats = f.stats("orders", "billing");
  CHECK(stats.acked == 2);
  CHECK(stats.waiting_retries == 1);
  CHECK(stats.in_flight == 1);
  CHECK(stats.dead == 1);
}

CONTRACT_TEST_EVERY_TOPIC("when all settlements are OK there is nothing more to say", "[S-16]") {
  orders(f, {"0", "1"});
  SettleRequest request;
  for (const Delivered& each : f.fetch_all("orders", "billing", 2)) request.settlements.push_back(Settlement::ack(each.token));
  CHECK(f->settle(request).value().results.empty());
}

CONTRACT_TEST_EVERY_TOPIC("one request may settle for several groups and topics", "[S-16]") {
  orders(f, {"1"});
  f.topic("bills");
  f.group("bills", "audit");
  f.group("orders", "audit");
  f.publish_texts("bills", {"b"});
  SettleRequest request;
  request.settlements = {Settlement::ack(f.one("orders", "billing").token), Settlement::reject(f.one("orders", "audit").token),
                         Settlement::ack(f.one("bills", "audit").token)};
  CHECK(f->settle(request).value().results.empty());
  CHECK(f.stats("orders", "billing").depth == 0);
  CHECK(f.letters("orders", "audit").size() == 1);
  CHECK(f.stats("bills", "audit").depth == 0);
}

CONTRACT_TEST_EVERY_TOPIC("a request settles at most 10,000 deliveries", "[S-16][S-33]") {
  orders(f, {"1"});
  const Token token = f.one("orders", "billing").token;
  SettleRequest request;
  request.settlements.assign(10'001, Settlement::ack(token));
  expect_error(f->settle(request), ErrorCode::limit_exceeded, "10000");
  CHECK(f.stats("orders", "billing").in_flight == 1);
  request.settlements.pop_back();
  CHECK(f->settle(request).value().results.empty());  // the same again, ten thousand times
}

CONTRACT_TEST_EVERY_TOPIC("an empty settle request is no harm", "[S-16]") {
  f.topic("orders");
  const auto r = f->settle(SettleRequest{});
  CHECK((r.ok() || r.code() == ErrorCode::invalid_argument));
}

}  // namespace
}  // namespace weir::test
