// Leases, tokens and epochs (S-14, S-15).
#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

void one_order(Fixture& f, GroupOptions options = {}) {
  options.backoff = fixed_backoff(1s);
  f.topic("orders");
  f.group("orders", "billing", options);
  f.publish("orders", {.payload = "1"});
}

// Lets the lease run out, and answers the delivery that follows the backoff.
Delivered expire(Fixture& f, Duration lease = 30s) {
  const std::uint64_t before = f.stats("orders", "billing").expired_leases;
  f.advance(lease);
  REQUIRE(eventually([&] { return f.stats("orders", "billing").expired_leases == before + 1; }));
  f.advance(1s);
  return f.one("orders", "billing");
}

CONTRACT_TEST_EVERY_TOPIC("a lease has 30 seconds by default", "[S-14]") {
  one_order(f);
  CHECK(f.one("orders", "billing").lease_until == f.now() + 30s);
}

CONTRACT_TEST_EVERY_TOPIC("a group and a fetch may choose their lease", "[S-14]") {
  GroupOptions options;
  options.lease = 10s;
  one_order(f, options);
  f.publish("orders", {.payload = "2"});
  CHECK(f.one("orders", "billing").lease_until == f.now() + 10s);
  CHECK(f.one("orders", "billing", {.lease = 3s}).lease_until == f.now() + 3s);
}

CONTRACT_TEST_EVERY_TOPIC("a lease of a fetch is 100 ms to 12 h", "[S-14][S-33]") {
  one_order(f);
  const auto with = [&](Duration lease) {
    FetchRequest request{.source = "orders", .group = "billing"};
    request.lease = lease;
    return f->fetch(request).status();
  };
  expect_one_of(with(99ms), {ErrorCode::invalid_argument, ErrorCode::limit_exceeded}, "lease");
  expect_one_of(with(12h + 1ms), {ErrorCode::invalid_argument, ErrorCode::limit_exceeded}, "lease");
  expect_ok(with(12h));
}

CONTRACT_TEST_EVERY_TOPIC("a leased message is nobody else's until the lease expires", "[S-14]") {
  one_order(f);
  f.one("orders", "billing");
  f.advance(29s);
  f.expect_nothing("orders", "billing");
  f.advance(1s);
  REQUIRE(eventually([&] { return f.stats("orders", "billing").expired_leases == 1; }));
  f.advance(1s);
  const Delivered again = f.one("orders", "billing");
  CHECK(text(again) == "1");
  CHECK(again.failures == 1);
  CHECK(again.deliveries == 1);
}

CONTRACT_TEST_EVERY_TOPIC("a fetch after the time sees what is due, whatever the timers do", "[S-14]") {
  one_order(f);
  f.one("orders", "billing", {.reports_begun = true});
  f.advance(30s);
  CHECK(text(f.one("orders", "billing")) == "1");
}

CONTRACT_TEST_EVERY_TOPIC("a token names group, topic and offset, and says nothing else", "[S-14]") {
  f.topic("orders");
  const GroupInfo group = f.group("orders", "billing");
  f.publish_texts("orders", {"0", "1"});
  const std::vector<Delivered> got = f.fetch_all("orders", "billing", 2);
  CHECK(got[1].token.group == group.id);
  CHECK(got[1].token.topic == f.topic_info("orders").id);
  CHECK(got[1].token.offset == Offset{1});
  CHECK(got[1].token.redrive == 0);
}

CONTRACT_TEST_EVERY_TOPIC("a token can be written down and read back", "[S-14]") {
  one_order(f);
  const Delivered d = f.one("orders", "billing");
  const std::string text = d.token.to_string();
  CHECK(text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~") == std::string::npos);
  const Token read = Token::parse(text).value();
  CHECK(read == d.token);
  expect_ok(f->ack(read));
  for (const std::string& bad : {std::string(), std::string("x"), text + "x", text.substr(1), std::string(text.size(), '!')}) {
    INFO(bad);
    expect_error(Token::parse(bad), ErrorCode::invalid_argument);
  }
}

CONTRACT_TEST_EVERY_TOPIC("epochs only rise", "[S-14]") {
  one_order(f);
  Epoch last{};
  for (int i = 0; i < 5; ++i) {
    const Delivered d = f.one("orders", "billing");
    CHECK(d.token.epoch > last);
    last = d.token.epoch;
    f.release(d);
  }
}

CONTRACT_TEST("epochs rise across reopening too, and carry the incarnation", "[S-14]") {
  one_order(f);
  Epoch last{};
  std::uint64_t incarnation = 0;
  for (int i = 0; i < 3; ++i) {
    const BrokerStatus status = f->status().value();
    CHECK(status.incarnation > incarnation);
    incarnation = status.incarnation;
    const Delivered d = f.one("orders", "billing");
    CHECK(d.token.epoch > last);
    CHECK(d.token.epoch.value >> 40 == incarnation);
    last = d.token.epoch;
    f.reopen();
  }
}

CONTRACT_TEST_EVERY_TOPIC("a token that is no longer the newest is refused and changes nothing", "[S-14]") {
  one_order(f);
  const Delivered old = f.one("orders", "billing");
  const Delivered newer = expire(f);
  for (const Settlement& late : {Settlement::ack(old.token), Settlement::retry(old.token, "late"), Settlement::reject(old.token, "late"),
                                 Settlement::release(old.token), Settlement::extend(old.token)}) {
    INFO(to_string(late.kind));
    expect_error(f->settle(late), ErrorCode::lease_lost);
  }
  expect_error(f->begin(old.token), ErrorCode::lease_lost);
  CHECK(f.stats("orders", "billing").in_flight == 1);
  CHECK(f.letters("orders", "billing").empty());
  f.ack(newer);
  CHECK(f.stats("orders", "billing").depth == 0);
}

CONTRACT_TEST_EVERY_TOPIC("a late ack, when nobody has the message yet, is refused as well", "[S-14]") {
  one_order(f);
  const Delivered late = f.one("orders", "billing");
  f.advance(30s);
  REQUIRE(eventually([&] { return f.stats("orders", "billing").expired_leases == 1; }));
  expect_one_of(f->ack(late.token), {ErrorCode::lease_lost, ErrorCode::already_settled});
  f.advance(1s);
  CHECK(f.one("orders", "billing").failures == 1);
}

CONTRACT_TEST("a token from before reopening is void", "[S-14][S-35]") {
  one_order(f);
  const Delivered old = f.one("orders", "billing");
  f.reopen();
  expect_one_of(f->ack(old.token), {ErrorCode::lease_lost, ErrorCode::already_settled});
  CHECK(text(f.one("orders", "billing")) == "1");
  expect_error(f->ack(old.token), ErrorCode::lease_lost);
}

CONTRACT_TEST_EVERY_TOPIC("a token that nobody gave out is refused", "[S-14]") {
  one_order(f);
  const Delivered d = f.one("orders", "billing");
  const auto refused = [&](auto change) {
    Token token = d.token;
    change(token);
    CHECK_FALSE(f->ack(token).ok());
  };
  refused([](Token& t) { t.epoch.value += 1; });
  refused([](Token& t) { t.offset.value += 1; });
  refused([](Token& t) { t.group.value += 1000; });
  refused([](Token& t) { t.topic.value += 1000; });
  refused([](Token& t) { t.redrive = 7; });
  refused([](Token& t) { t = {}; });
  f.ack(d);
}

// --- Which settlement counts ----------------------------------------------------------------------------------------------

CONTRACT_TEST_EVERY_TOPIC("the same settlement again is OK, another one is refused", "[S-14]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish_texts("orders", {"ack", "retry", "reject", "release"});
  const std::vector<Delivered> got = f.fetch_all("orders", "billing", 4);
  const std::vector<Settlement> first = {Settlement::ack(got[0].token), Settlement::retry(got[1].token, "no", 1h),
                                         Settlement::reject(got[2].token, "no"), Settlement::release(got[3].token)};
  for (const Settlement& each : first) expect_ok(f->settle(each));
  const GroupTopicStats before = f.stats("orders", "billing");
  for (std::size_t i = 0; i < first.size(); ++i) {
    INFO(to_string(first[i].kind));
    expect_ok(f->settle(first[i]));
    for (std::size_t j = 0; j < first.size(); ++j) {
      if (i == j) continue;
      Settlement other = first[j];
      other.token = got[i].token;
      expect_error(f->settle(other), ErrorCode::already_settled);
    }
    expect_error(f->settle(Settlement::extend(got[i].token)), ErrorCode::already_settled);
  }
  const GroupTopicStats after = f.stats("orders", "billing");
  CHECK(after.acked == before.acked);
  CHECK(after.retried == before.retried);
  CHECK(after.waiting_retries == 1);
  CHECK(f.letters("orders", "billing").size() == 1);
}

CONTRACT_TEST_EVERY_TOPIC("the same settlement again is OK for 10 minutes, and not later", "[S-14]") {
  one_order(f);
  const Delivered d = f.one("orders", "billing");
  f.ack(d);
  f.advance(10min - 1s);
  expect_ok(f->ack(d.token));
  f.advance(2s);
  expect_error(f->ack(d.token), ErrorCode::already_settled);
}

CONTRACT_TEST_EVERY_TOPIC("a settlement repeated after the message was handed over again changes nothing", "[S-14]") {
  one_order(f);
  const Delivered first = f.one("orders", "billing");
  f.retry(first, "no", 1s);
  f.advance(1s);
  const Delivered second = f.one("orders", "billing");
  expect_ok(f->settle(Settlement::retry(first.token, "no", 1s)));
  expect_one_of(f->ack(first.token), {ErrorCode::lease_lost, ErrorCode::already_settled});
  CHECK(f.stats("orders", "billing").in_flight == 1);
  CHECK(f.stats("orders", "billing").retried == 1);
  f.ack(second);
}

// --- Extending (S-15) --------------------------------------------------------------------------------------------------------

CONTRACT_TEST_EVERY_TOPIC("a member can extend its lease, by the group's length or its own", "[S-15]") {
  one_order(f);
  const Delivered d = f.one("orders", "billing");
  f.advance(20s);
  f.extend(d);
  f.advance(20s);
  f.extend(d, 2min);
  f.advance(119s);
  f.expect_nothing("orders", "billing");
  CHECK(f.stats("orders", "billing").expired_leases == 0);
  f.ack(d);
}

CONTRACT_TEST_EVERY_TOPIC("an extended lease expires like any other", "[S-15]") {
  one_order(f);
  const Delivered d = f.one("orders", "billing");
  f.extend(d, 1min);
  f.advance(31s);
  f.expect_nothing("orders", "billing");
  const Delivered again = expire(f, 29s);
  CHECK(again.failures == 1);
  expect_error(f->settle(Settlement::extend(d.token)), ErrorCode::lease_lost);
}

CONTRACT_TEST_EVERY_TOPIC("leases of a fetch prolong themselves up to a limit", "[S-15]") {
  one_order(f);
  const Delivered d = f.one("orders", "billing", {.extend_until = 5min});
  for (int i = 0; i < 14; ++i) {
    f.advance(20s);
    f.expect_nothing("orders", "billing");
  }
  CHECK(f.stats("orders", "billing").expired_leases == 0);
  // Past it the lease is like any other.
  CHECK(f.eventually_as_time_passes(10s, [&] { return f.stats("orders", "billing").expired_leases == 1; }));
  f.advance(1s);
  const Delivered again = f.one("orders", "billing");
  CHECK(again.failures == 1);
  expect_error(f->ack(d.token), ErrorCode::lease_lost);
}

}  // namespace
}  // namespace weir::test
