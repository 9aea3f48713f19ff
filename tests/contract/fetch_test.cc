// Fetching: limits in flight, long poll, members (S-20, S-21).
#include <algorithm>
#include <future>
#include <thread>

#include "tests/contract/fixture.h"
#include "tests/support/collector.h"

namespace weir::test {
namespace {

void orders(Fixture& f, const Texts& payloads, GroupOptions options = {}) {
  f.topic("orders");
  f.group("orders", "billing", std::move(options));
  f.publish_texts("orders", payloads);
}

// A fetch that waits, and its answer.
class Waiting {
 public:
  Waiting(Fixture& f, Duration wait, CallContext context = {}) {
    FetchRequest request{.source = "orders", .group = "billing"};
    request.wait = wait;
    auto promise = std::make_shared<std::promise<Result<FetchResult>>>();
    answer_ = promise->get_future();
    f->async_fetch(std::move(request), std::move(context), [promise](Result<FetchResult> r) { promise->set_value(std::move(r)); });
  }
  bool answered() { return answer_.wait_for(0s) == std::future_status::ready; }
  Result<FetchResult> get() {
    if (answer_.wait_for(kPatience) != std::future_status::ready) return Status(ErrorCode::deadline_exceeded, "the test waited in vain");
    return answer_.get();
  }

 private:
  std::future<Result<FetchResult>> answer_;
};

CONTRACT_TEST_EVERY_TOPIC("a group has at most so many messages in flight", "[S-20]") {
  GroupOptions options;
  options.in_flight_max = 3;
  orders(f, {"1", "2", "3", "4", "5"}, options);
  const std::vector<Delivered> got = f.fetch_all("orders", "billing", 3);
  f.expect_nothing("orders", "billing");
  CHECK(f.stats("orders", "billing").in_flight == 3);
  f.ack(got[1]);
  CHECK(text(f.one("orders", "billing")) == "4");
  f.expect_nothing("orders", "billing");
  f.release(got[0]);
  CHECK(text(f.one("orders", "billing")) == "1");
}

CONTRACT_TEST_EVERY_TOPIC("a group has 1000 messages in flight by default", "[S-20]") {
  f.topic("orders");
  f.group("orders", "billing");
  expect_ok(f->publish_all("orders", std::vector<Message>(1100)));
  CHECK(f.fetch_all("orders", "billing", 1000, {.max = 10'000}).size() == 1000);
  f.expect_nothing("orders", "billing");
}

CONTRACT_TEST_EVERY_TOPIC("a member has at most so many messages in flight", "[S-20]") {
  GroupOptions options;
  options.member_in_flight_max = 2;
  orders(f, {"1", "2", "3", "4", "5"}, options);
  const MemberId first = f.join("orders", "billing"), second = f.join("orders", "billing");
  const std::vector<Delivered> got = f.fetch_all("orders", "billing", 2, {.member = first});
  CHECK(f.fetch_now("orders", "billing", {.member = first}).empty());
  CHECK(f.fetch_all("orders", "billing", 2, {.member = second}).size() == 2);
  CHECK(f.fetch_now("orders", "billing", {.member = second}).empty());
  f.ack(got[0]);
  CHECK(text(f.one("orders", "billing", {.member = first})) == "5");
}

CONTRACT_TEST_EVERY_TOPIC("an in-flight limit holds over all topics of a pattern", "[S-20]") {
  f.topic("orders.a");
  f.topic("orders.b");
  GroupOptions options;
  options.in_flight_max = 3;
  f.group("orders.*", "audit", options);
  for (const char* topic : {"orders.a", "orders.b"}) f.publish_texts(topic, {"1", "2", "3"});
  f.fetch_all("orders.*", "audit", 3);
  f.expect_nothing("orders.*", "audit");
}

CONTRACT_TEST_EVERY_TOPIC("a fetch takes its number of messages and not one more", "[S-20]") {
  orders(f, {"1", "2", "3", "4", "5"});
  CHECK(f.fetch("orders", "billing", {.max = 1}).size() == 1);
  CHECK(f.fetch("orders", "billing", {.max = 3}).size() <= 3);
}

CONTRACT_TEST_EVERY_TOPIC("a fetch takes its bytes of payload, but one message at least", "[S-20]") {
  orders(f, Texts(5, std::string(1000, 'x')));
  CHECK(f.fetch("orders", "billing", {.bytes_max = 1}).size() == 1);
  CHECK(f.fetch("orders", "billing", {.bytes_max = 2500}).size() == 2);
  CHECK(f.fetch_all("orders", "billing", 2).size() == 2);
}

CONTRACT_TEST_EVERY_TOPIC("a fetch takes 1 to 10,000 messages", "[S-20][S-33]") {
  orders(f, {"1"});
  const auto with = [&](std::uint32_t max) {
    FetchRequest request{.source = "orders", .group = "billing"};
    request.messages_max = max;
    return f->fetch(request).status();
  };
  expect_one_of(with(0), {ErrorCode::invalid_argument, ErrorCode::limit_exceeded}, "messages_max");
  expect_one_of(with(10'001), {ErrorCode::invalid_argument, ErrorCode::limit_exceeded}, "messages_max");
  expect_ok(with(10'000));
}

CONTRACT_TEST_EVERY_TOPIC("a fetch without a wait answers at once, with nothing when there is nothing", "[S-20]") {
  orders(f, {});
  f.expect_nothing("orders", "billing");
}

CONTRACT_TEST_EVERY_TOPIC("a waiting fetch is woken by a publish", "[S-20]") {
  orders(f, {});
  Waiting fetch(f, 1h);
  CHECK_FALSE(fetch.answered());
  f.publish("orders", {.payload = "1"});
  CHECK(texts(fetch.get().value().deliveries) == Texts{"1"});
}

CONTRACT_TEST_EVERY_TOPIC("a waiting fetch is woken by a retry that comes due", "[S-20]") {
  orders(f, {"1"});
  f.retry(f.one("orders", "billing"), "later", 1min);
  Waiting fetch(f, 1h);
  CHECK_FALSE(fetch.answered());
  f.advance(1min);
  CHECK(texts(fetch.get().value().deliveries) == Texts{"1"});
}

CONTRACT_TEST_EVERY_TOPIC("a waiting fetch is woken by a lease that expires", "[S-20]") {
  orders(f, {"1"});
  f.one("orders", "billing", {.reports_begun = true});
  Waiting fetch(f, 1h);
  f.advance(30s);
  CHECK(texts(fetch.get().value().deliveries) == Texts{"1"});
}

CONTRACT_TEST_EVERY_TOPIC("a waiting fetch is woken when a settlement makes room", "[S-20]") {
  GroupOptions options;
  options.in_flight_max = 1;
  orders(f, {"1", "2"}, options);
  const Delivered held = f.one("orders", "billing");
  Waiting fetch(f, 1h);
  CHECK_FALSE(fetch.answered());
  f.ack(held);
  CHECK(texts(fetch.get().value().deliveries) == Texts{"2"});
}

CONTRACT_TEST_EVERY_TOPIC("a waiting fetch is woken when its key becomes free", "[S-20][S-13]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish("orders", {.key = "k", .payload = "1"});
  const Delivered held = f.one("orders", "billing");
  f.publish("orders", {.key = "k", .payload = "2"});
  Waiting fetch(f, 1h);
  CHECK_FALSE(fetch.answered());
  f.ack(held);
  CHECK(texts(fetch.get().value().deliveries) == Texts{"2"});
}

CONTRACT_TEST_EVERY_TOPIC("of two waiting fetches, one gets the one message", "[S-20][S-12]") {
  orders(f, {});
  Waiting first(f, 1h), second(f, 1h);
  f.publish("orders", {.payload = "1"});
  REQUIRE(eventually([&] { return first.answered() || second.answered(); }));
  CHECK(first.answered() != second.answered());
  f.publish("orders", {.payload = "2"});
  Texts all = texts(first.get().value().deliveries);
  for (const std::string& each : texts(second.get().value().deliveries)) all.push_back(each);
  CHECK(sorted(all) == Texts{"1", "2"});
}

CONTRACT_TEST_EVERY_TOPIC("a fetch whose wait is over answers with nothing", "[S-20]") {
  orders(f, {});
  Waiting fetch(f, 100ms);
  f.advance(100ms);
  CHECK(fetch.get().value().deliveries.empty());
}

CONTRACT_TEST_EVERY_TOPIC("a waiting fetch can be cancelled, and takes nothing with it", "[S-20][S-33]") {
  orders(f, {});
  CallContext context;
  context.cancellation = Cancellation::make();
  Waiting fetch(f, 1h, context);
  CHECK_FALSE(fetch.answered());
  context.cancellation.cancel();
  expect_error(fetch.get(), ErrorCode::cancelled);
  f.publish("orders", {.payload = "1"});
  CHECK(text(f.one("orders", "billing")) == "1");
}

CONTRACT_TEST_EVERY_TOPIC("a waiting fetch ends when its group is deleted", "[S-20][S-22]") {
  orders(f, {});
  Waiting fetch(f, 1h);
  expect_ok(f->delete_group("orders", "billing"));
  expect_error(fetch.get(), ErrorCode::group_not_found);
}

CONTRACT_TEST_EVERY_TOPIC("a waiting fetch ends when the broker closes", "[S-20][S-35]") {
  orders(f, {});
  Waiting fetch(f, 1h);
  expect_ok(f->close());
  expect_error(fetch.get(), ErrorCode::closed);
}

// --- Members ------------------------------------------------------------------------------------------------------------------

CONTRACT_TEST_EVERY_TOPIC("leaving gives unbegun leases back at once, uncounted", "[S-21]") {
  orders(f, {"1", "2"});
  const MemberId member = f.join("orders", "billing");
  const std::vector<Delivered> got = f.fetch_all("orders", "billing", 2, {.member = member, .reports_begun = true});
  expect_ok(f->begin(got[0].token));
  expect_ok(f->leave(member));
  const Delivered back = f.one("orders", "billing");
  CHECK(text(back) == "2");
  CHECK(back.failures == 0);
  CHECK(back.deliveries == 0);
  expect_error(f->ack(got[1].token), ErrorCode::lease_lost);
}

CONTRACT_TEST_EVERY_TOPIC("a begun lease keeps its deadline when its member leaves, and is charged when it passes", "[S-21]") {
  GroupOptions options;
  options.backoff = fixed_backoff(1s);
  orders(f, {"1", "2"}, options);
  const MemberId member = f.join("orders", "billing");
  const std::vector<Delivered> got = f.fetch_all("orders", "billing", 2, {.member = member});
  expect_ok(f->leave(member));
  f.expect_nothing("orders", "billing");
  f.advance(29s);
  f.ack(got[0]);
  f.advance(1s);
  REQUIRE(eventually([&] { return f.stats("orders", "billing").expired_leases == 1; }));
  f.advance(1s);
  const Delivered back = f.one("orders", "billing");
  CHECK(text(back) == "2");
  CHECK(back.failures == 1);
}

CONTRACT_TEST_EVERY_TOPIC("a member's name stands in the attempts of dead letters", "[S-21][S-24]") {
  orders(f, {"1"});
  const MemberId member = f.join("orders", "billing", "worker-7");
  f.reject(f.one("orders", "billing", {.member = member}), "no");
  const std::vector<DeadLetter> letters = f.letters("orders", "billing");
  REQUIRE(letters.size() == 1);
  REQUIRE(letters[0].message.dead_letter->attempts.size() == 1);
  CHECK(letters[0].message.dead_letter->attempts[0].member == "worker-7");
}

CONTRACT_TEST("many threads work one group off, each message once", "[S-12][S-20]") {
  constexpr int kMessages = 2000, kThreads = 4;
  f.topic("orders");
  f.group("orders", "billing");
  std::vector<Message> messages(kMessages);
  for (int i = 0; i < kMessages; ++i) messages[static_cast<std::size_t>(i)].payload = std::to_string(i);
  expect_ok(f->publish_all("orders", std::move(messages)));
  Collector<std::string> worked;
  Collector<std::string> errors;
  Broker& broker = f.broker();
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&] {
      const auto give_up = std::chrono::steady_clock::now() + kPatience;
      while (worked.size() < kMessages && std::chrono::steady_clock::now() < give_up) {
        FetchRequest request{.source = "orders", .group = "billing"};
        request.messages_max = 50;
        auto got = broker.fetch(request);
        if (!got.ok()) return errors.add(got.status().to_string());
        SettleRequest settle;
        for (const Delivered& d : got->deliveries) settle.settlements.push_back(Settlement::ack(d.token));
        if (settle.settlements.empty()) continue;
        auto settled = broker.settle(settle);
        if (!settled.ok() || !settled->results.empty()) return errors.add("a settlement failed");
        for (const Delivered& d : got->deliveries) worked.add(text(d));
      }
    });
  for (std::thread& each : threads) each.join();
  CHECK(errors.items() == Texts{});
  Texts all = worked.items();
  CHECK(all.size() == kMessages);
  std::sort(all.begin(), all.end());
  CHECK(std::unique(all.begin(), all.end()) == all.end());
  CHECK(f.stats("orders", "billing").depth == 0);
}

CONTRACT_TEST_EVERY_TOPIC("a group that comes when others have gone is given what was published without any group", "[S-12]") {
  f.topic("orders");
  f.group("orders", "first");
  f.publish_texts("orders", {"1"});
  expect_ok(f->delete_group("orders", "first"));
  f.publish_texts("orders", {"2", "3"});
  f.group("orders", "second");
  CHECK(texts(f.fetch_all("orders", "second", 3)) == Texts{"1", "2", "3"});
}

CONTRACT_TEST_EVERY_TOPIC("room that one topic of a pattern gives back is used by another", "[S-2][S-20]") {
  f.topic("orders.new");
  f.topic("orders.paid");
  GroupOptions options;
  options.in_flight_max = 1;
  f.group("orders.*", "billing", options);
  for (int round = 0; round < 50; ++round) {   // in most of them the fetch waits by the time of the ack
    f.publish_texts("orders.new", {"1"});
    const Delivered first = f.one("orders.*", "billing");
    f.publish_texts("orders.paid", {"2"});
    std::promise<void> begun;
    std::future<Result<FetchResult>> waiting = std::async(std::launch::async, [&] {
      FetchRequest request;
      request.source = "orders.*";
      request.group = "billing";
      request.wait = kPatience;
      begun.set_value();
      return f->fetch(std::move(request));
    });
    begun.get_future().wait();
    CHECK(f.fetch_now("orders.*", "billing").empty());
    f.ack(first);
    const Result<FetchResult> second = waiting.get();
    REQUIRE(second.ok());
    REQUIRE(second->deliveries.size() == 1);
    REQUIRE(text(second->deliveries[0]) == "2");
    f.ack(second->deliveries[0]);
  }
}

CONTRACT_TEST("more deliveries than can be begun at once wait until others are settled", "[S-17][S-33]") {
  constexpr std::size_t kMessages = 66'000;
  f.topic("orders");
  GroupOptions options;
  options.in_flight_max = 100'000;
  f.group("orders", "billing", options);
  for (std::size_t i = 0; i < kMessages; i += 1000) {
    PublishRequest request{.topic = "orders"};
    request.messages.resize(1000);
    expect_ok(f->publish(std::move(request)));
  }
  std::size_t handed_out = 0, most = 0;
  while (handed_out < kMessages) {
    std::vector<Delivered> held;
    while (true) {
      std::vector<Delivered> more = f.fetch_now("orders", "billing", {.max = 10'000});
      if (more.empty()) break;
      std::move(more.begin(), more.end(), std::back_inserter(held));
    }
    REQUIRE_FALSE(held.empty());
    handed_out += held.size();
    most = std::max(most, held.size());
    for (std::size_t i = 0; i < held.size(); i += 10'000) f.ack({held.begin() + static_cast<std::ptrdiff_t>(i), held.begin() + static_cast<std::ptrdiff_t>(std::min(held.size(), i + 10'000))});
  }
  CHECK(handed_out == kMessages);
  CHECK(most >= 65'536);
  CHECK(f.stats("orders", "billing").depth == 0);
}

CONTRACT_TEST("a message larger than what is kept of the log is delivered after reopening", "[S-12][S-33]") {
  f.options.read_cache_bytes_max = 256u << 10;
  f.reopen();
  f.topic("orders");
  f.group("orders", "billing");
  for (int i = 0; i < 30; ++i) f.publish("orders", {.payload = std::string(30'000, 'x')});
  f.publish("orders", {.payload = std::string(900'000, 'y')});
  f.reopen();
  CHECK(f.fetch_all("orders", "billing", 31).size() == 31);
}

CONTRACT_TEST_EVERY_TOPIC("a member at its limit does not sleep on the wake-up of another", "[S-20]") {
  f.topic("orders");
  GroupOptions options;
  options.member_in_flight_max = 1;
  f.group("orders", "billing", options);
  const MemberId full = f.join("orders", "billing"), idle = f.join("orders", "billing");
  f.publish_texts("orders", {"1"});
  (void)f.one("orders", "billing", {.member = full});
  const auto fetch = [&](MemberId member) {
    return std::async(std::launch::async, [&f, member] {
      FetchRequest request{.source = "orders", .group = "billing"};
      request.member = member;
      request.wait = 3s;
      return f->fetch(std::move(request)).value().deliveries.size();
    });
  };
  auto a = fetch(full), b = fetch(idle);
  f.publish_texts("orders", {"2"});
  CHECK(b.get() == 1);
  CHECK(a.get() == 0);
}

}  // namespace
}  // namespace weir::test
