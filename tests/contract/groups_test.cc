// Groups: where they start, and that they do not know of each other (S-12).
#include <set>

#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

GroupOptions starting(StartPoint start) {
  GroupOptions options;
  options.start = start;
  return options;
}

CONTRACT_TEST_EVERY_TOPIC("a group gets every message from its start point", "[S-12]") {
  f.topic("orders");
  f.publish_texts("orders", {"0", "1"});
  f.advance(1min);
  const Time later = f.now();
  f.publish_texts("orders", {"2"});

  f.group("orders", "default");
  f.group("orders", "earliest", starting(StartPoint::earliest()));
  f.group("orders", "latest", starting(StartPoint::latest()));
  f.group("orders", "offset", starting(StartPoint::at(Offset{1})));
  f.group("orders", "ahead", starting(StartPoint::at(Offset{3})));
  f.group("orders", "time", starting(StartPoint::at(later)));
  f.group("orders", "between", starting(StartPoint::at(later - 30s)));
  f.publish_texts("orders", {"3"});

  const auto gets = [&](const char* group, const Texts& expected) {
    INFO(group);
    CHECK(texts(f.fetch_all("orders", group, expected.size())) == expected);
    f.expect_nothing("orders", group);
  };
  gets("default", {"0", "1", "2", "3"});
  gets("earliest", {"0", "1", "2", "3"});
  gets("latest", {"3"});
  gets("offset", {"1", "2", "3"});
  gets("ahead", {"3"});
  gets("time", {"2", "3"});
  gets("between", {"2", "3"});
}

CONTRACT_TEST("a start point is taken once, when the group is created", "[S-12]") {
  f.topic("orders");
  f.publish_texts("orders", {"0"});
  f.group("orders", "billing", starting(StartPoint::latest()));
  f.publish_texts("orders", {"1"});
  f.reopen();
  f.publish_texts("orders", {"2"});
  CHECK(texts(f.fetch_all("orders", "billing", 2)) == Texts{"1", "2"});
}

CONTRACT_TEST_EVERY_TOPIC("groups never affect each other", "[S-12]") {
  f.topic("orders");
  f.group("orders", "one");
  f.group("orders", "two");
  f.group("orders", "three");
  f.publish_texts("orders", {"a", "b", "c"});
  f.ack(f.fetch_all("orders", "one", 3));
  const std::vector<Delivered> two = f.fetch_all("orders", "two", 3);
  f.reject(two[0]);
  f.retry(two[1], "no", 1h);
  expect_ok(f->pause_group("orders", "two"));
  expect_ok(f->seek_group("orders", "one", StartPoint::earliest()));
  CHECK(texts(f.fetch_all("orders", "three", 3)) == Texts{"a", "b", "c"});
  CHECK(f.letters("orders", "three").empty());
  CHECK(f.stats("orders", "three").retried == 0);
}

CONTRACT_TEST_EVERY_TOPIC("inside a group each message goes to one member at a time", "[S-12]") {
  f.topic("orders");
  f.group("orders", "billing");
  Texts expected;
  for (int i = 0; i < 40; ++i) expected.push_back(std::to_string(i));
  f.publish_texts("orders", expected);
  const MemberId first = f.join("orders", "billing"), second = f.join("orders", "billing");
  Texts got;
  for (int i = 0; i < 4; ++i)
    for (const MemberId member : {first, second})
      for (const std::string& each : texts(f.fetch_all("orders", "billing", 5, {.member = member}))) got.push_back(each);
  CHECK(sorted(got) == sorted(expected));
  f.expect_nothing("orders", "billing");
}

CONTRACT_TEST_EVERY_TOPIC("members come and go without a rebalance", "[S-12]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish_texts("orders", {"1", "2", "3", "4"});
  const MemberId first = f.join("orders", "billing");
  CHECK(f.group_info("orders", "billing").members == 1);
  const Delivered a = f.one("orders", "billing", {.member = first});
  const MemberId second = f.join("orders", "billing");
  CHECK(first != second);
  const Delivered b = f.one("orders", "billing", {.member = second});
  f.ack(a);  // its lease was not touched by the newcomer
  expect_ok(f->leave(second));
  f.ack(b);  // begun by hand-over: leaving did not take it back
  CHECK(texts(f.fetch_all("orders", "billing", 2, {.member = first})) == Texts{"3", "4"});
  CHECK(f.group_info("orders", "billing").members == 1);
}

CONTRACT_TEST_EVERY_TOPIC("a member that left is no member", "[S-12]") {
  f.topic("orders");
  f.group("orders", "billing");
  const MemberId member = f.join("orders", "billing");
  expect_ok(f->leave(member));
  expect_one_of(f->fetch({.source = "orders", .group = "billing", .member = member}),
                {ErrorCode::closed, ErrorCode::invalid_argument, ErrorCode::not_found});
}

CONTRACT_TEST_EVERY_TOPIC("creating a group that exists is fine with the same options only", "[S-12]") {
  f.topic("orders");
  GroupOptions options;
  options.lease = 10s;
  options.max_attempts = 3;
  const GroupInfo first = f.group("orders", "billing", options);
  CHECK(f.group("orders", "billing", options).id == first.id);

  options.lease = 20s;
  options.max_attempts = 4;
  const Status differ = f->create_group("orders", "billing", options).status();
  expect_error(differ, ErrorCode::options_differ, "lease");
  CHECK_THAT(differ.message(), Catch::Contains("max_attempts"));
  CHECK_THAT(differ.message(), !Catch::Contains("backoff"));
  CHECK(f.group_info("orders", "billing").options == first.options);
}

CONTRACT_TEST_EVERY_TOPIC("creating a group that must not exist says that it does", "[S-12]") {
  f.topic("orders");
  f.group("orders", "billing");
  expect_error(answer_of<GroupInfo>([&](auto done) {
                 f->async_create_group({.source = "orders", .group = "billing", .options = {}, .if_missing = false}, {}, std::move(done));
               }),
               ErrorCode::already_exists);
}

CONTRACT_TEST_EVERY_TOPIC("subscribing with options that differ lists the differences", "[S-12]") {
  f.topic("orders");
  GroupOptions options;
  options.order = Order::kNone;
  options.lease = 10s;
  f.group("orders", "billing", options);
  const auto differ = f->subscribe("orders", {.group = "billing", .order = Order::kKey, .lease = 11s, .max_attempts = 5}, [](Delivery&) {});
  expect_error(differ, ErrorCode::options_differ, "order");
  CHECK_THAT(differ.status().message(), Catch::Contains("lease"));
  CHECK_THAT(differ.status().message(), !Catch::Contains("max_attempts"));
  // Those that agree, and those that are not said, are no difference.
  expect_ok(f->subscribe("orders", {.group = "billing", .order = Order::kNone}, [](Delivery&) {}));
}

CONTRACT_TEST_EVERY_TOPIC("a group's options can be altered while it works", "[S-12]") {
  f.topic("orders");
  GroupOptions options = f.group("orders", "billing").options;
  f.publish_texts("orders", {"1", "2"});
  const Delivered leased = f.one("orders", "billing");
  options.lease = 5min;
  options.max_attempts = 1;
  CHECK(f->alter_group("orders", "billing", options).value().options == options);
  f.ack(leased);
  const Delivered next = f.one("orders", "billing");
  CHECK(next.lease_until == f.now() + 5min);
  f.retry(next, "once is enough");
  CHECK(f.letters("orders", "billing").size() == 1);
}

CONTRACT_TEST_EVERY_TOPIC("order and start of a group cannot be altered", "[S-12][S-13]") {
  f.topic("orders");
  const GroupOptions options = f.group("orders", "billing").options;
  GroupOptions changed = options;
  changed.order = Order::kTopic;
  expect_one_of(f->alter_group("orders", "billing", changed),
                {ErrorCode::invalid_argument, ErrorCode::failed_precondition, ErrorCode::options_differ}, "order");
  changed = options;
  changed.start = StartPoint::latest();
  expect_one_of(f->alter_group("orders", "billing", changed),
                {ErrorCode::invalid_argument, ErrorCode::failed_precondition, ErrorCode::options_differ}, "start");
  CHECK(f.group_info("orders", "billing").options == options);
}

CONTRACT_TEST("a group's options survive reopening", "[S-12]") {
  f.topic("orders");
  GroupOptions options;
  options.order = Order::kNone;
  options.lease = 7s;
  options.max_attempts = 3;
  options.max_deliveries = 9;
  options.backoff = fixed_backoff(3s);
  options.in_flight_max = 11;
  options.member_in_flight_max = 12;
  options.filter = Filter::any({Filter::exact("a", "b"), Filter::negate(Filter::prefix("c", "d"))});
  options.dead_letter_expired = true;
  options.expire_idle = 24h;
  const GroupInfo before = f.group("orders", "billing", options);
  f.reopen();
  const GroupInfo after = f.group_info("orders", "billing");
  CHECK(after.options == options);
  CHECK(after.id == before.id);
  CHECK(after.created == before.created);
}

CONTRACT_TEST_EVERY_TOPIC("a group's options have limits", "[S-33]") {
  f.topic("orders");
  const auto refused = [&](auto change) {
    GroupOptions options;
    change(options);
    expect_one_of(f->create_group("orders", "billing", options), {ErrorCode::invalid_argument, ErrorCode::limit_exceeded});
  };
  const auto taken = [&](const char* name, auto change) {
    GroupOptions options;
    change(options);
    expect_ok(f->create_group("orders", name, options));
  };
  refused([](GroupOptions& o) { o.lease = 99ms; });
  refused([](GroupOptions& o) { o.lease = 12h + 1ms; });
  refused([](GroupOptions& o) { o.max_attempts = 0; });
  refused([](GroupOptions& o) { o.max_attempts = 1001; });
  refused([](GroupOptions& o) { o.max_deliveries = 0; });
  refused([](GroupOptions& o) { o.max_deliveries = 10'001; });
  refused([](GroupOptions& o) { o.in_flight_max = 0; });
  refused([](GroupOptions& o) { o.in_flight_max = 100'001; });
  refused([](GroupOptions& o) { o.member_in_flight_max = 0; });
  refused([](GroupOptions& o) { o.member_in_flight_max = 100'001; });
  refused([](GroupOptions& o) { o.backoff.factor = 0.5; });
  refused([](GroupOptions& o) { o.backoff.factor = 101; });
  taken("least", [](GroupOptions& o) {
    o.lease = 100ms;
    o.max_attempts = o.max_deliveries = o.in_flight_max = o.member_in_flight_max = 1;
  });
  taken("most", [](GroupOptions& o) {
    o.lease = 12h;
    o.max_attempts = 1000;
    o.max_deliveries = 10'000;
    o.in_flight_max = o.member_in_flight_max = 100'000;
  });
}

CONTRACT_TEST_EVERY_TOPIC("groups are listed, all of them or of one source", "[S-12]") {
  f.topic("orders");
  f.topic("bills");
  f.group("orders", "one");
  f.group("orders", "two");
  f.group("bills", "one");
  f.group("*", "watch");
  CHECK(f->list_groups().value().groups.size() == 4);
  std::set<std::string> of_orders;
  const ListGroupsResult listed = f->list_groups({.source = "orders"}).value();
  for (const GroupInfo& each : listed.groups) of_orders.insert(each.name);
  CHECK(of_orders == std::set<std::string>{"one", "two"});
}

}  // namespace
}  // namespace weir::test
