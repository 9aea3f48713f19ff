// Publishing on a condition: the last offset of the topic, or of a key, must be what the producer thinks it is.
#include <thread>

#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

Result<PublishResult> publish_if(Fixture& f, Message message, std::vector<ExpectedLast> expected) {
  PublishRequest request{.topic = "orders"};
  request.messages.push_back(std::move(message));
  request.expected = std::move(expected);
  return f->publish(std::move(request));
}

CONTRACT_TEST_EVERY_TOPIC("a publish that expects another last offset of its topic is a conflict, and nothing is stored", "[S-3]") {
  f.topic("orders");
  expect_error(publish_if(f, {.payload = "x"}, {{"orders", {}, Offset{0}}}), ErrorCode::conflict, "is none, not 0");
  CHECK(publish_if(f, {.payload = "0"}, {{"orders", {}, kNoOffset}}).value().messages[0].offset == Offset{0});
  expect_error(publish_if(f, {.payload = "x"}, {{"orders", {}, kNoOffset}}), ErrorCode::conflict, "is 0, not none");
  CHECK(publish_if(f, {.payload = "1"}, {{"orders", {}, Offset{0}}}).value().messages[0].offset == Offset{1});
  expect_error(publish_if(f, {.payload = "x"}, {{"orders", {}, Offset{0}}}), ErrorCode::conflict, "is 1, not 0");
  expect_error(publish_if(f, {.payload = "x"}, {{"orderz", {}, Offset{0}}}), ErrorCode::topic_not_found, "orders");
  CHECK(texts(f.browse("orders")) == Texts{"0", "1"});
  CHECK(f.topic_info("orders").next == Offset{2});
}

CONTRACT_TEST("the last offset counts also when the message is gone, and after reopening", "[S-3][S-10]") {
  f.topic("orders", {.retention_age = 1s});
  f.publish_texts("orders", {"0"});
  REQUIRE(f.eventually_as_time_passes(1min, [&] { return f.browse("orders").empty(); }));
  f.reopen();
  expect_error(publish_if(f, {.payload = "x"}, {{"orders", {}, kNoOffset}}), ErrorCode::conflict);
  expect_ok(publish_if(f, {.payload = "1"}, {{"orders", {}, Offset{0}}}));
}

CONTRACT_TEST_EVERY_TOPIC("a repetition of what is stored is a duplicate, whatever it expects", "[S-6]") {
  f.topic("orders");
  expect_ok(publish_if(f, {.payload = "0", .id = "a"}, {{"orders", {}, kNoOffset}}));
  const PublishResult again = publish_if(f, {.payload = "0", .id = "a"}, {{"orders", {}, kNoOffset}}).value();
  CHECK(again.messages[0].duplicate);
  CHECK(again.messages[0].offset == Offset{0});
  expect_error(publish_if(f, {.payload = "1", .id = "b"}, {{"orders", {}, kNoOffset}}), ErrorCode::conflict);
}

CONTRACT_TEST("of many that expect the same only one is stored", "[S-3]") {
  f.topic("orders");
  constexpr int kThreads = 4, kEach = 50;
  std::atomic<int> stored{0};
  std::vector<std::thread> threads;
  f.broker();
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) stored += publish_if(f, {.payload = "x"}, {{"orders", {}, i == 0 ? kNoOffset : Offset{std::uint64_t(i - 1)}}}).ok();
    });
  for (std::thread& each : threads) each.join();
  CHECK(f.topic_info("orders").next.value == static_cast<std::uint64_t>(stored));
  CHECK(stored >= 1);
  CHECK(stored <= kEach);
}

CONTRACT_TEST("a publish can expect the last offset of a key", "[S-3]") {
  f.topic("orders", {.track_keys = true});
  const auto put = [&](const std::string& key, Offset last) { return publish_if(f, {.key = key, .payload = "x"}, {{"orders", key, last}}); };
  CHECK(put("a", kNoOffset).value().messages[0].offset == Offset{0});
  CHECK(put("b", kNoOffset).value().messages[0].offset == Offset{1});
  expect_error(put("a", kNoOffset), ErrorCode::conflict, "is 0, not none");
  expect_error(put("a", Offset{1}), ErrorCode::conflict, "is 0, not 1");
  CHECK(put("a", Offset{0}).value().messages[0].offset == Offset{2});
  f.publish("orders", {.key = "b", .payload = "by somebody"});
  f.publish("orders", {.payload = "no key"});
  for (int opening = 0; opening < 2; ++opening) {
    expect_error(put("a", Offset{0}), ErrorCode::conflict, "is 2, not 0");
    expect_error(put("b", Offset{1}), ErrorCode::conflict, "is 3, not 1");
    expect_error(put("c", Offset{1}), ErrorCode::conflict, "is none, not 1");
    if (opening == 0) f.reopen();
  }
  CHECK(put("b", Offset{3}).value().messages[0].offset == Offset{5});
  CHECK(f->verify().value().problems.empty());
  // Of several conditions each must hold.
  expect_error(publish_if(f, {.key = "c"}, {{"orders", "b", Offset{5}}, {"orders", "a", Offset{5}}}), ErrorCode::conflict, "\"a\"");
  expect_ok(publish_if(f, {.key = "c"}, {{"orders", "b", Offset{5}}, {"orders", "a", Offset{2}}, {"orders", {}, Offset{5}}}));
}

CONTRACT_TEST("of many that expect the same of a key only one is stored", "[S-3]") {
  f.topic("orders", {.durability = Durability::kProcess, .track_keys = true});
  std::atomic<int> stored{0};
  std::vector<std::thread> threads;
  f.broker();
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        const std::string key = "k" + std::to_string(i);
        stored += publish_if(f, {.key = key, .payload = "x"}, {{"orders", key, kNoOffset}}).ok();
      }
    });
  for (std::thread& each : threads) each.join();
  CHECK(stored == 50);
  CHECK(f.topic_info("orders").next == Offset{50});
}

CONTRACT_TEST("a topic that is deleted and made again has other keys", "[S-3]") {
  f.topic("orders", {.track_keys = true});
  expect_ok(publish_if(f, {.key = "a"}, {{"orders", "a", kNoOffset}}));
  expect_ok(f->delete_topic("orders"));
  f.topic("orders", {.track_keys = true});
  expect_error(publish_if(f, {.key = "a"}, {{"orders", "a", Offset{0}}}), ErrorCode::conflict, "none");
  expect_ok(publish_if(f, {.key = "a"}, {{"orders", "a", kNoOffset}}));
}

CONTRACT_TEST("the last offsets of keys are kept only where that was asked for, from the beginning", "[S-33]") {
  f.topic("orders");
  expect_error(publish_if(f, {.key = "a"}, {{"orders", "a", kNoOffset}}), ErrorCode::failed_precondition, "track_keys");
  TopicOptions options = f.topic_info("orders").options;
  options.track_keys = true;
  expect_error(f->alter_topic("orders", options), ErrorCode::invalid_argument, "track_keys");
  expect_error(f->create_topic("orders", options), ErrorCode::options_differ, "track_keys");
  expect_error(f->create_topic("fleeting", {.ephemeral = true, .track_keys = true}), ErrorCode::invalid_argument, "track_keys");
  expect_error(publish_if(f, {.key = "a"}, {{"orders", "", kNoOffset}}), ErrorCode::invalid_argument, "key");
  expect_error(publish_if(f, {.key = "a"}, std::vector<ExpectedLast>(1001, {"orders", {}, kNoOffset})), ErrorCode::limit_exceeded, "1000");
  CHECK(f.browse("orders").empty());
  f.topic("tracked", {.track_keys = true});
  f.reopen();
  CHECK(f.topic_info("tracked").options.track_keys);
}

CONTRACT_TEST("a transaction can expect the last offset of a topic and of a key", "[S-28]") {
  f.topic("orders", {.track_keys = true});
  const auto commit = [&](Offset of_topic, Offset of_key) {
    Transaction tx = f->begin_transaction();
    tx.expect_last("orders", of_topic);
    tx.expect_last_of_key("orders", "a", of_key);
    tx.publish("orders", {.key = "a"});
    tx.publish("orders", {.key = "b"});
    tx.put("n", "x");
    return tx.commit().status();
  };
  expect_error(commit(kNoOffset, Offset{0}), ErrorCode::conflict);
  CHECK_FALSE(f->get_state("n").value());
  expect_ok(commit(kNoOffset, kNoOffset));
  expect_error(commit(Offset{1}, Offset{1}), ErrorCode::conflict);
  expect_error(commit(Offset{0}, Offset{0}), ErrorCode::conflict);
  expect_ok(commit(Offset{1}, Offset{0}));
}

}  // namespace
}  // namespace weir::test
