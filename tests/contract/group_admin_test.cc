// Pausing, seeking, filtering and deleting groups (S-22).
#include <future>

#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

void orders(Fixture& f, const Texts& payloads, GroupOptions options = {}) {
  f.topic("orders");
  f.group("orders", "billing", std::move(options));
  f.publish_texts("orders", payloads);
}

CONTRACT_TEST_EVERY_TOPIC("a paused group hands nothing out, and what is leased may be settled", "[S-22]") {
  orders(f, {"1", "2"});
  const Delivered leased = f.one("orders", "billing");
  expect_ok(f->pause_group("orders", "billing"));
  CHECK(f.group_info("orders", "billing").paused);
  f.expect_nothing("orders", "billing");
  f.ack(leased);
  f.publish_texts("orders", {"3"});
  f.expect_nothing("orders", "billing");
  expect_ok(f->resume_group("orders", "billing"));
  CHECK_FALSE(f.group_info("orders", "billing").paused);
  CHECK(texts(f.fetch_all("orders", "billing", 2)) == Texts{"2", "3"});
}

CONTRACT_TEST_EVERY_TOPIC("pausing twice is pausing once", "[S-22]") {
  orders(f, {"1"});
  expect_ok(f->pause_group("orders", "billing"));
  expect_ok(f->pause_group("orders", "billing"));
  expect_ok(f->resume_group("orders", "billing"));
  CHECK(text(f.one("orders", "billing")) == "1");
}

CONTRACT_TEST_EVERY_TOPIC("resuming wakes a waiting fetch", "[S-22][S-20]") {
  orders(f, {"1"});
  expect_ok(f->pause_group("orders", "billing"));
  FetchRequest request{.source = "orders", .group = "billing"};
  request.wait = 1h;
  auto answer = std::make_shared<std::promise<Result<FetchResult>>>();
  auto future = answer->get_future();
  f->async_fetch(request, {}, [answer](Result<FetchResult> r) { answer->set_value(std::move(r)); });
  CHECK(future.wait_for(0s) != std::future_status::ready);
  expect_ok(f->resume_group("orders", "billing"));
  REQUIRE(future.wait_for(kPatience) == std::future_status::ready);
  CHECK(texts(future.get().value().deliveries) == Texts{"1"});
}

CONTRACT_TEST("a group is still paused after reopening", "[S-22]") {
  orders(f, {"1"});
  expect_ok(f->pause_group("orders", "billing"));
  f.reopen();
  CHECK(f.group_info("orders", "billing").paused);
  f.expect_nothing("orders", "billing");
}

// --- Seek ---------------------------------------------------------------------------------------------------------------------

Offset seek(Fixture& f, StartPoint to) {
  const SeekGroupResult r = f->seek_group("orders", "billing", to).value();
  REQUIRE(r.positions.size() == 1);
  CHECK(r.positions[0].topic == "orders");
  return r.positions[0].offset;
}

CONTRACT_TEST_EVERY_TOPIC("a group is sought back and forth, and told where it is", "[S-22]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish_texts("orders", {"0", "1"});
  f.advance(1min);
  const Time later = f.now();
  f.publish_texts("orders", {"2", "3"});
  f.ack(f.fetch_all("orders", "billing", 4));
  CHECK(f.stats("orders", "billing").depth == 0);

  const auto gets = [&](const Texts& expected) {
    CHECK(f.stats("orders", "billing").depth == expected.size());
    CHECK(texts(f.fetch_all("orders", "billing", expected.size())) == expected);
    f.expect_nothing("orders", "billing");
  };
  CHECK(seek(f, StartPoint::earliest()) == Offset{0});
  gets({"0", "1", "2", "3"});
  CHECK(seek(f, StartPoint::at(Offset{3})) == Offset{3});
  gets({"3"});
  CHECK(seek(f, StartPoint::at(later)) == Offset{2});
  gets({"2", "3"});
  CHECK(seek(f, StartPoint::at(later - 1s)) == Offset{2});
  CHECK(seek(f, StartPoint::latest()) == Offset{4});
  f.expect_nothing("orders", "billing");
  f.publish_texts("orders", {"4"});
  gets({"4"});
}

CONTRACT_TEST_EVERY_TOPIC("a seek to where nothing is any more, or not yet, says where it really went", "[S-22]") {
  TopicOptions options;
  options.discard_settled = true;
  f.topic("orders", options);
  f.group("orders", "billing");
  f.publish_texts("orders", {"0", "1", "2"});
  f.ack(f.fetch_all("orders", "billing", 2));
  CHECK(seek(f, StartPoint::at(Offset{0})) == Offset{2});
  CHECK(seek(f, StartPoint::at(Offset{1000})) == Offset{3});
  f.publish_texts("orders", {"3"});
  CHECK(text(f.one("orders", "billing")) == "3");
}

CONTRACT_TEST_EVERY_TOPIC("a seek voids leases and waiting retries, and resets the counters from the new point on", "[S-22]") {
  orders(f, {"leased", "waiting", "acked"});
  const std::vector<Delivered> got = f.fetch_all("orders", "billing", 3);
  f.retry(got[1], "no", 1h);
  f.ack(got[2]);
  seek(f, StartPoint::earliest());
  expect_error(f->ack(got[0].token), ErrorCode::lease_lost);
  CHECK(f.stats("orders", "billing").waiting_retries == 0);
  CHECK(f.stats("orders", "billing").in_flight == 0);
  const std::vector<Delivered> again = f.fetch_all("orders", "billing", 3);
  CHECK(texts(again) == Texts{"leased", "waiting", "acked"});
  for (const Delivered& each : again) {
    CHECK(each.failures == 0);
    CHECK(each.deliveries == 0);
  }
  f.advance(1h);
}

CONTRACT_TEST_EVERY_TOPIC("a seek leaves the dead letters alone", "[S-22][S-23]") {
  orders(f, {"1"});
  f.reject(f.one("orders", "billing"));
  seek(f, StartPoint::earliest());
  CHECK(f.letters("orders", "billing").size() == 1);
  CHECK(text(f.one("orders", "billing")) == "1");
}

CONTRACT_TEST("where a group was sought to survives reopening, also its counters", "[S-22]") {
  orders(f, {"1", "2"});
  f.retry(f.one("orders", "billing"), "no", 0ms);
  seek(f, StartPoint::earliest());
  f.ack(f.one("orders", "billing"));
  f.reopen();
  const Delivered d = f.one("orders", "billing");
  CHECK(text(d) == "2");
  CHECK(d.failures == 0);
  f.ack(d);
  seek(f, StartPoint::earliest());
  f.reopen();
  CHECK(texts(f.fetch_all("orders", "billing", 2)) == Texts{"1", "2"});
}

CONTRACT_TEST_EVERY_TOPIC("a seek on a pattern moves every topic and tells of each", "[S-22]") {
  f.topic("orders.a");
  f.topic("orders.b");
  f.group("orders.*", "audit");
  f.publish_texts("orders.a", {"a0", "a1"});
  f.publish_texts("orders.b", {"b0"});
  const SeekGroupResult r = f->seek_group("orders.*", "audit", StartPoint::latest()).value();
  REQUIRE(r.positions.size() == 2);
  for (const auto& each : r.positions) CHECK(each.offset == (each.topic == "orders.a" ? Offset{2} : Offset{1}));
  f.expect_nothing("orders.*", "audit");
}

// --- Filters -------------------------------------------------------------------------------------------------------------------

CONTRACT_TEST_EVERY_TOPIC("a group gets what its filter wants, and the rest counts as settled", "[S-22]") {
  f.topic("orders");
  const std::vector<Headers> all = {{},
                                    {{"country", "de"}},
                                    {{"country", "dk"}, {"size", "xl"}},
                                    {{"country", "fr"}, {"size", "l"}},
                                    {{"size", "xl"}}};
  for (std::size_t i = 0; i < all.size(); ++i) f.publish("orders", {.payload = std::to_string(i), .headers = all[i]});

  const auto gets = [&](const Filter& filter, const Texts& expected) {
    static int number = 0;
    const std::string name = "g" + std::to_string(++number);
    INFO(name);
    GroupOptions options;
    options.filter = filter;
    f.group("orders", name, options);
    const Texts got = expected.empty() ? texts(f.fetch_now("orders", name)) : texts(f.fetch_all("orders", name, expected.size()));
    CHECK(got == expected);
    f.expect_nothing("orders", name);
    const GroupTopicStats stats = f.stats("orders", name);
    CHECK(stats.filtered == all.size() - expected.size());
    CHECK(stats.depth == expected.size());
  };
  gets({}, {"0", "1", "2", "3", "4"});
  gets(Filter::exact("country", "de"), {"1"});
  gets(Filter::prefix("country", "d"), {"1", "2"});
  gets(Filter::suffix("size", "l"), {"2", "3", "4"});
  gets(Filter::present("size"), {"2", "3", "4"});
  gets(Filter::all({Filter::prefix("country", "d"), Filter::exact("size", "xl")}), {"2"});
  gets(Filter::any({Filter::exact("country", "fr"), Filter::exact("country", "de")}), {"1", "3"});
  gets(Filter::negate(Filter::present("country")), {"0", "4"});
  gets(Filter::exact("country", ""), {});
  gets(Filter::exact("planet", "earth"), {});
}

CONTRACT_TEST_EVERY_TOPIC("a filter change concerns only what was not yet dispatched", "[S-22]") {
  GroupOptions options;
  options.filter = Filter::exact("kind", "a");
  f.topic("orders");
  options = f.group("orders", "billing", options).options;
  const auto publish = [&](const char* kind, const char* payload) { f.publish("orders", {.payload = payload, .headers = {{"kind", kind}}}); };
  publish("a", "leased");
  publish("a", "waiting");
  publish("b", "skipped before");
  const std::vector<Delivered> got = f.fetch_all("orders", "billing", 2);
  f.retry(got[1], "later", 1min);
  f.expect_nothing("orders", "billing");  // has gone past the third

  options.filter = Filter::exact("kind", "b");
  expect_ok(f->alter_group("orders", "billing", options));
  publish("a", "skipped after");
  publish("b", "wanted after");
  f.ack(got[0]);
  CHECK(text(f.one("orders", "billing")) == "wanted after");
  f.advance(1min);
  CHECK(text(f.one("orders", "billing")) == "waiting");
  f.expect_nothing("orders", "billing");
}

CONTRACT_TEST_EVERY_TOPIC("a filter change reaches what waits behind its key", "[S-22]") {
  f.topic("orders");
  f.group("orders", "billing");
  const auto publish = [&](const std::string& payload, const std::string& kind) {
    f.publish("orders", {.key = "k", .payload = payload, .headers = {{"kind", kind}}});
  };
  publish("1", "a");
  const Delivered first = f.one("orders", "billing");
  publish("2", "a");
  publish("3", "b");
  publish("4", "a");
  f.expect_nothing("orders", "billing");   // looked at, and blocked
  GroupOptions options;
  options.filter = Filter::exact("kind", "b");
  expect_ok(f->alter_group("orders", "billing", options));
  f.ack(first);   // dispatched before
  const Delivered third = f.one("orders", "billing");
  CHECK(text(third) == "3");
  options.filter = Filter::exact("kind", "a");
  expect_ok(f->alter_group("orders", "billing", options));
  f.retry(third, "again", 0ms);
  const Delivered again = f.one("orders", "billing");   // dispatched before, too
  CHECK(text(again) == "3");
  f.ack(again);
  CHECK(text(f.one("orders", "billing")) == "4");
  CHECK(f.stats("orders", "billing").filtered == 1);
}

CONTRACT_TEST_EVERY_TOPIC("a filtered message does not hold its key or its topic", "[S-22][S-10]") {
  TopicOptions discarding;
  discarding.discard_settled = true;
  f.topic("orders", discarding);
  GroupOptions options;
  options.filter = Filter::present("wanted");
  f.group("orders", "billing", options);
  f.publish("orders", {.key = "k", .payload = "no"});
  f.publish("orders", {.key = "k", .payload = "yes", .headers = {{"wanted", ""}}});
  f.ack(f.one("orders", "billing"));
  CHECK(eventually([&] { return f.topic_info("orders").first == Offset{2}; }));
}

CONTRACT_TEST_EVERY_TOPIC("a filter has at most 64 conditions, at most 8 deep", "[S-22][S-33]") {
  f.topic("orders");
  const auto create = [&](const std::string& name, Filter filter) {
    GroupOptions options;
    options.filter = std::move(filter);
    return f->create_group("orders", name, options).status();
  };
  expect_ok(create("wide", Filter::any(std::vector<Filter>(60, Filter::present("h")))));
  expect_one_of(create("wider", Filter::any(std::vector<Filter>(65, Filter::present("h")))), {ErrorCode::limit_exceeded, ErrorCode::invalid_argument},
                "64");
  const auto nested = [](int depth) {
    Filter filter = Filter::present("h");
    for (int i = 1; i < depth; ++i) filter = Filter::negate(std::move(filter));
    return filter;
  };
  expect_ok(create("deep", nested(7)));
  expect_one_of(create("deeper", nested(10)), {ErrorCode::limit_exceeded, ErrorCode::invalid_argument}, "8");
}

// --- Deleting -------------------------------------------------------------------------------------------------------------------

CONTRACT_TEST_EVERY_TOPIC("a deleted group is gone with its progress and dead letters", "[S-22]") {
  orders(f, {"1", "2", "3"});
  f.ack(f.one("orders", "billing"));
  f.reject(f.one("orders", "billing"));
  const Delivered leased = f.one("orders", "billing");
  expect_ok(f->delete_group("orders", "billing"));
  expect_error(f->group("orders", "billing"), ErrorCode::group_not_found);
  CHECK_FALSE(f->ack(leased.token).ok());
  expect_error(f->browse({.topic = "_dlq.orders.billing"}), ErrorCode::topic_not_found);

  f.group("orders", "billing");
  CHECK(f.letters("orders", "billing").empty());
  CHECK(texts(f.fetch_all("orders", "billing", 3)) == Texts{"1", "2", "3"});
}

CONTRACT_TEST("a deleted group stays deleted after reopening", "[S-22]") {
  orders(f, {"1"});
  f.reject(f.one("orders", "billing"));
  expect_ok(f->delete_group("orders", "billing"));
  f.reopen();
  expect_error(f->group("orders", "billing"), ErrorCode::group_not_found);
  f.group("orders", "billing");
  CHECK(f.letters("orders", "billing").empty());
  CHECK(text(f.one("orders", "billing")) == "1");
}

}  // namespace
}  // namespace weir::test
