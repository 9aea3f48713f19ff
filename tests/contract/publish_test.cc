// Publishing: offsets, order, what OK means, and batches (S-3, S-5, S-9).
#include <algorithm>
#include <future>
#include <thread>

#include "tests/contract/fixture.h"
#include "tests/support/collector.h"

namespace weir::test {
namespace {

PublishRequest request(const std::string& topic, const Texts& payloads, std::optional<Durability> level = {}) {
  PublishRequest r{.topic = topic};
  for (const std::string& each : payloads) r.messages.push_back({.payload = each});
  r.durability = level;
  return r;
}

CONTRACT_TEST_EVERY_TOPIC("offsets are given in commit order, from 0, without gaps", "[S-3]") {
  f.topic("orders");
  CHECK(f.topic_info("orders").next == Offset{0});
  for (std::uint64_t i = 0; i < 20; ++i) CHECK(f.publish("orders", {.payload = std::to_string(i)}) == Offset{i});
  CHECK(f.topic_info("orders").first == Offset{0});
  CHECK(f.topic_info("orders").next == Offset{20});
  CHECK(f.topic_info("orders").visible == Offset{20});
}

CONTRACT_TEST_EVERY_TOPIC("a refused publish leaves no gap", "[S-3]") {
  f.topic("orders");
  f.publish_texts("orders", {"0"});
  CHECK_FALSE(f->publish("orders", {.key = std::string(2000, 'k')}).ok());
  CHECK(f.publish("orders", {.payload = "1"}) == Offset{1});
}

CONTRACT_TEST("offsets go on behind the last one after reopening", "[S-3]") {
  f.topic("orders");
  f.publish_texts("orders", {"0", "1", "2"});
  f.reopen();
  CHECK(f.publish("orders", {.payload = "3"}) == Offset{3});
  CHECK(texts(f.browse("orders")) == Texts{"0", "1", "2", "3"});
}

CONTRACT_TEST_EVERY_TOPIC("what one thread publishes in order is committed in that order", "[S-3]") {
  f.topic("orders");
  Collector<std::uint64_t> offsets;
  constexpr std::uint64_t kCount = 500;
  for (std::uint64_t i = 0; i < kCount; ++i)
    f->async_publish(request("orders", {std::to_string(i)}, f.kind() == TopicKind::kEphemeral ? std::nullopt : std::optional(Durability::kProcess)), {},
                     [&](Result<PublishResult> r) { offsets.add(r.ok() ? r->messages.at(0).offset.value : ~0ull); });
  REQUIRE(offsets.wait_for(kCount));
  std::vector<std::uint64_t> expected(kCount);
  for (std::uint64_t i = 0; i < kCount; ++i) expected[i] = i;
  std::vector<std::uint64_t> got = offsets.items();
  std::sort(got.begin(), got.end());
  CHECK(got == expected);
  const std::vector<StoredMessage> all = f->browse({.topic = "orders", .messages_max = 1000}).value().messages;
  REQUIRE(all.size() == kCount);
  for (std::uint64_t i = 0; i < kCount; ++i) CHECK(all[i].payload.text() == std::to_string(i));
}

CONTRACT_TEST("a process publish that follows a power publish keeps its place", "[S-3][S-5]") {
  f.topic("orders");
  f.group("orders", "billing");
  Collector<int> done;
  for (int i = 0; i < 100; ++i)
    f->async_publish(request("orders", {std::to_string(i)}, i % 2 == 0 ? Durability::kPower : Durability::kProcess), {},
                     [&](Result<PublishResult> r) { done.add(r.ok() ? 1 : 0); });
  // They become visible in offset order, each once its own level holds: no group ever sees a gap.
  const std::vector<Delivered> all = f.fetch_all("orders", "billing", 100);
  for (std::size_t i = 0; i < all.size(); ++i) CHECK(all[i].message.offset == Offset{i});
  REQUIRE(done.wait_for(100));
  for (const int ok : done.items()) CHECK(ok == 1);
}

CONTRACT_TEST_EVERY_TOPIC("what many threads publish at once is all there, in each thread's order", "[S-3]") {
  f.topic("orders");
  constexpr int kThreads = 4, kEach = 100;
  std::vector<int> failures(kThreads, 0);
  std::vector<std::thread> threads;
  Broker& broker = f.broker();
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i)
        if (!broker.publish("orders", {.key = std::to_string(t), .payload = std::to_string(i)}).ok()) ++failures[t];
    });
  for (std::thread& each : threads) each.join();
  CHECK(failures == std::vector<int>(kThreads, 0));

  const std::vector<StoredMessage> all = f->browse({.topic = "orders", .messages_max = 1000}).value().messages;
  REQUIRE(all.size() == kThreads * kEach);
  std::vector<int> next(kThreads, 0);
  for (const StoredMessage& m : all) {
    int& expected = next.at(static_cast<std::size_t>(std::stoi(std::string(m.key))));
    CHECK(m.payload.text() == std::to_string(expected++));
  }
}

CONTRACT_TEST_EVERY_TOPIC("publish answers for every message, and with the time of the commit", "[S-5]") {
  f.topic("orders");
  const PublishResult r = f->publish(request("orders", {"a", "b", "c"})).value();
  REQUIRE(r.messages.size() == 3);
  for (std::uint64_t i = 0; i < 3; ++i) {
    CHECK(r.messages[i].offset == Offset{i});
    CHECK_FALSE(r.messages[i].duplicate);
  }
  CHECK(r.time == f.now());
  CHECK(f.browse("orders")[2].time == r.time);
}

CONTRACT_TEST_EVERY_TOPIC("what was answered OK can be read and delivered at once", "[S-5]") {
  f.topic("orders");
  f.group("orders", "billing");
  for (int i = 0; i < 20; ++i) {
    f.publish("orders", {.payload = std::to_string(i)});
    CHECK(texts(f.fetch_now("orders", "billing")) == Texts{std::to_string(i)});
    CHECK(f.browse("orders").size() == static_cast<std::size_t>(i) + 1);
  }
}

CONTRACT_TEST_EVERY_TOPIC("publishing with a future answers like the blocking form", "[S-5]") {
  f.topic("orders");
  auto first = f->publish_future(request("orders", {"1"}));
  auto wrong = f->publish_future(request("nowhere", {"1"}));
  REQUIRE(first.wait_for(kPatience) == std::future_status::ready);
  CHECK(first.get().value().messages.at(0).offset == Offset{0});
  REQUIRE(wrong.wait_for(kPatience) == std::future_status::ready);
  expect_error(wrong.get(), ErrorCode::topic_not_found);
}

CONTRACT_TEST("a publish that is cancelled before it was taken did not happen", "[S-5]") {
  f.topic("orders");
  CallContext context;
  context.cancellation = Cancellation::make();
  context.cancellation.cancel();
  expect_error(f->publish("orders", {.payload = "1"}, {}, context), ErrorCode::cancelled);
  CHECK(f.topic_info("orders").next == Offset{0});
}

CONTRACT_TEST("a publish whose deadline has passed did not happen", "[S-5]") {
  f.topic("orders");
  CallContext context;
  context.deadline = f.now() - 1ms;
  expect_error(f->publish("orders", {.payload = "1"}, {}, context), ErrorCode::deadline_exceeded);
  CHECK(f.topic_info("orders").next == Offset{0});
}

CONTRACT_TEST("a publish cancelled while it runs is done, cancelled or unknown, and never wrongly OK", "[S-5]") {
  f.topic("orders");
  Collector<std::pair<std::string, ErrorCode>> answers;
  constexpr int kCount = 200;
  for (int i = 0; i < kCount; ++i) {
    CallContext context;
    context.cancellation = Cancellation::make();
    const std::string id = "id" + std::to_string(i);
    PublishRequest r{.topic = "orders", .messages = {}};
    r.messages.push_back({.id = id});
    f->async_publish(std::move(r), context, [&answers, id](Result<PublishResult> result) { answers.add({id, result.code()}); });
    context.cancellation.cancel();
  }
  REQUIRE(answers.wait_for(kCount));
  expect_ok(f->drain());
  f.publish("orders", {.id = "last"});  // behind all of them
  std::vector<std::string> stored;
  const BrowseResult browsed = f->browse({.topic = "orders", .messages_max = 1000}).value();
  for (const StoredMessage& m : browsed.messages) stored.emplace_back(m.id);
  for (const auto& [id, code] : answers.items()) {
    CAPTURE(id, code);
    const bool there = std::find(stored.begin(), stored.end(), id) != stored.end();
    if (code == ErrorCode::ok) CHECK(there);
    else if (code == ErrorCode::cancelled) CHECK_FALSE(there);
    else CHECK(code == ErrorCode::outcome_unknown);
  }
}

// --- Batches (S-9) --------------------------------------------------------------------------------------------------------

PublishRequest batch(std::vector<TopicMessage> messages) {
  PublishRequest r;
  r.batch = std::move(messages);
  return r;
}

CONTRACT_TEST_EVERY_TOPIC("a batch on one topic gets consecutive offsets", "[S-9]") {
  f.topic("orders");
  f.publish_texts("orders", {"0"});
  const PublishResult r = f->publish_all("orders", {{.payload = "1"}, {.payload = "2"}, {.payload = "3"}}).value();
  REQUIRE(r.messages.size() == 3);
  CHECK(r.messages[0].offset == Offset{1});
  CHECK(r.messages[2].offset == Offset{3});
  CHECK(texts(f.browse("orders")) == Texts{"0", "1", "2", "3"});
}

CONTRACT_TEST_EVERY_TOPIC("a batch may go to several topics", "[S-9]") {
  f.topic("orders");
  f.topic("bills");
  const PublishResult r =
      f->publish(batch({{"orders", {.payload = "o1"}}, {"bills", {.payload = "b1"}}, {"orders", {.payload = "o2"}}})).value();
  REQUIRE(r.messages.size() == 3);
  CHECK(r.messages[0].offset == Offset{0});
  CHECK(r.messages[1].offset == Offset{0});
  CHECK(r.messages[2].offset == Offset{1});
  CHECK(texts(f.browse("orders")) == Texts{"o1", "o2"});
  CHECK(texts(f.browse("bills")) == Texts{"b1"});
}

CONTRACT_TEST_EVERY_TOPIC("one request may hold messages of its topic and a batch", "[S-9]") {
  f.topic("orders");
  f.topic("bills");
  PublishRequest r = request("orders", {"o1"});
  r.batch = {{"bills", {.payload = "b1"}}, {"orders", {.payload = "o2"}}};
  const PublishResult answer = f->publish(std::move(r)).value();
  REQUIRE(answer.messages.size() == 3);
  CHECK(texts(f.browse("orders")) == Texts{"o1", "o2"});
  CHECK(texts(f.browse("bills")) == Texts{"b1"});
}

CONTRACT_TEST_EVERY_TOPIC("a batch of which one topic is unknown is refused as a whole", "[S-9]") {
  f.topic("orders");
  expect_error(f->publish(batch({{"orders", {.payload = "1"}}, {"nowhere", {.payload = "2"}}})), ErrorCode::topic_not_found, "nowhere");
  CHECK(f.browse("orders").empty());
}

CONTRACT_TEST_EVERY_TOPIC("a batch of which one message is too large is refused as a whole", "[S-9]") {
  f.topic("orders");
  TopicOptions small;
  small.payload_bytes_max = 5;
  f.topic("bills", small);
  expect_error(f->publish(batch({{"orders", {.payload = "1"}}, {"bills", {.payload = "too large"}}})), ErrorCode::limit_exceeded, "payload");
  CHECK(f.browse("orders").empty());
  CHECK(f.browse("bills").empty());
}

CONTRACT_TEST_EVERY_TOPIC("a batch of which one topic is full is refused as a whole", "[S-9][S-10]") {
  f.topic("orders");
  TopicOptions small;
  small.bytes_max = 2000;
  f.topic("bills", small);
  bool full = false;
  for (int i = 0; i < 20 && !full; ++i) {
    const std::uint64_t before = f.topic_info("orders").next.value;
    const auto r = f->publish(batch({{"orders", {.payload = "1"}}, {"bills", {.payload = std::string(500, 'x')}}}));
    full = !r.ok();
    if (full) expect_error(r, ErrorCode::full, "bills");
    CHECK(f.topic_info("orders").next.value == before + (full ? 0 : 1));
  }
  CHECK(full);
}

CONTRACT_TEST("a batch over topics is there as a whole after reopening", "[S-9]") {
  for (const char* name : {"a", "b", "c"}) f.topic(name);
  for (int i = 0; i < 10; ++i) {
    std::vector<TopicMessage> all;
    for (const char* name : {"a", "b", "c"}) all.push_back({name, {.payload = std::to_string(i)}});
    expect_ok(f->publish(batch(std::move(all))));
  }
  f.reopen();
  for (const char* name : {"a", "b", "c"}) CHECK(f.browse(name).size() == 10);
}

CONTRACT_TEST_EVERY_TOPIC("a request holds at least one message and at most 10,000", "[S-9][S-33]") {
  f.topic("orders");
  expect_error(f->publish(request("orders", {})), ErrorCode::invalid_argument);
  expect_ok(f->publish(request("orders", Texts(10'000, "x"))));
  CHECK(f.topic_info("orders").next == Offset{10'000});
  expect_error(f->publish(request("orders", Texts(10'001, "x"))), ErrorCode::limit_exceeded, "10000");
  CHECK(f.topic_info("orders").next == Offset{10'000});
}

CONTRACT_TEST("a request has at most 65 MiB, so that the largest message fits", "[S-9][S-33]") {
  f.topic("orders");
  const Payload mebibyte(std::string(1u << 20, 'x'));
  PublishRequest r{.topic = "orders"};
  for (int i = 0; i < 66; ++i) r.messages.push_back({.payload = mebibyte});
  expect_error(f->publish(std::move(r)), ErrorCode::limit_exceeded, "68157440");
  CHECK(f.topic_info("orders").next == Offset{0});
  f.topic("pictures", {.payload_bytes_max = 64u << 20});
  expect_ok(f->publish("pictures", {.payload = std::string(64u << 20, 'x')}));
}

CONTRACT_TEST_EVERY_TOPIC("a cap holds for a topic's messages wherever they stand in a batch, and for no other topic's", "[S-9][S-10]") {
  TopicOptions capped;
  capped.bytes_max = 10'000;
  f.topic("a", capped);
  f.topic("b");
  PublishRequest alternating;
  for (int i = 0; i < 40; ++i) alternating.batch.push_back({i % 2 == 0 ? "a" : "b", {.payload = std::string(1000, 'x')}});
  expect_error(f->publish(std::move(alternating)), ErrorCode::full, "a");
  PublishRequest mostly_b;
  for (int i = 0; i < 40; ++i) mostly_b.batch.push_back({"b", {.payload = std::string(1000, 'x')}});
  mostly_b.batch.push_back({"a", {.payload = "1"}});
  expect_ok(f->publish(std::move(mostly_b)));
}

CONTRACT_TEST("a publish to an ephemeral topic finds it although it is only being made", "[S-2][S-4]") {
  for (int i = 0; i < 50; ++i) {
    const std::string name = "bus" + std::to_string(i);
    f->async_create_topic({name, {.ephemeral = true}, true}, {}, [](Result<TopicInfo>) {});
    const auto published = answer_of<PublishResult>([&](Callback<PublishResult> done) {
      PublishRequest request{.topic = name};
      request.messages.push_back({.payload = "1"});
      f->async_publish(std::move(request), {}, std::move(done));
    });
    expect_ok(published);
  }
}

}  // namespace
}  // namespace weir::test
