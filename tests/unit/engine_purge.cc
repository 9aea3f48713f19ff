// What is left on disk of a topic that was deleted.
#include <catch2/catch.hpp>

#include "broker/format/keys.h"
#include "broker/store/store.h"
#include "tests/support/collector.h"
#include "tests/support/eventually.h"
#include "tests/support/temp_directory.h"
#include "weir/broker.h"

namespace weir::test {
namespace {

TEST_CASE("of a deleted topic, and of the dead letters of the patterns on it, no batch is left", "[engine][S-10][S-12]") {
  TempDirectory directory;
  OpenOptions options;
  options.reserve_bytes = 0;
  options.events = false;   // their batches are no business of this test
  {
    auto broker = open(directory.file("store"), options).value();
    broker->create_topic("orders.eu").value();
    broker->create_topic("orders.us").value();
    broker->create_group("orders.*", "billing").value();
    for (const char* topic : {"orders.eu", "orders.us"}) broker->publish(topic, Message{.payload = "1"}).value();
    FetchRequest request;
    request.source = "orders.*";
    request.group = "billing";
    const FetchResult fetched = broker->fetch(request).value();
    REQUIRE(fetched.deliveries.size() == 2);
    for (const Delivered& delivered : fetched.deliveries) REQUIRE(broker->settle(Settlement::reject(delivered.token, "no")).ok());
    REQUIRE(broker->delete_topic("orders.eu").ok());
    CHECK(broker->topic("_dlq.orders.eu.billing").code() == ErrorCode::topic_not_found);
    CHECK(eventually([&] { return broker->verify().value().batches == 2; }));
    REQUIRE(broker->close().ok());
  }
  const auto store = store::Store::open(directory.file("store"), {}).value();
  std::size_t batches = 0;
  for (std::uint64_t topic = 1; topic < 20; ++topic) {
    REQUIRE(store->scan_index(TopicId{topic}, Offset{}, [&](const format::IndexEntry&) { return ++batches, true; }).ok());
    CHECK_FALSE(store->get(format::deleted_topic_key(TopicId{topic})).value().has_value());
  }
  CHECK(batches == 2);   // orders.us and its dead letter
}

TEST_CASE("of a topic that was deleted in the commit of its last messages no batch is left", "[engine][S-10]") {
  TempDirectory directory;
  OpenOptions options;
  options.reserve_bytes = 0;
  options.events = false;
  auto broker = open(directory.file("store"), options).value();
  Collector<ErrorCode> answers;
  constexpr int kTopics = 300;
  for (int i = 0; i < kTopics; ++i) {
    const std::string name = "t" + std::to_string(i);
    broker->create_topic(name, {.durability = Durability::kProcess}).value();
    for (int n = 0; n < 2; ++n) {
      PublishRequest request;
      request.topic = name;
      request.messages.push_back({.payload = "1"});
      broker->async_publish(std::move(request), {}, [&](Result<PublishResult> result) { answers.add(result.code()); });
    }
    broker->async_delete_topic({.name = name}, {}, [&](Result<Done> result) { answers.add(result.code()); });
  }
  REQUIRE(answers.wait_for(3 * kTopics));
  CHECK(eventually([&] { return broker->verify().value().batches == 0; }));
}

TEST_CASE("the room of a deleted topic is given back although older messages stay", "[engine][S-10]") {
  TempDirectory directory;
  OpenOptions options;
  options.reserve_bytes = 0;
  auto broker = open(directory.file("store"), options).value();
  for (const char* topic : {"small", "large"}) broker->create_topic(topic, {.durability = Durability::kProcess}).value();
  broker->publish("small", Message{.payload = "old"}).value();
  const std::string megabyte(1'000'000, 'x');
  for (int i = 0; i < 200; ++i) broker->publish("large", Message{.payload = megabyte}).value();
  CHECK(broker->status().value().disk_bytes > 100'000'000);
  REQUIRE(broker->delete_topic("large").ok());
  CHECK(eventually([&] { return broker->status().value().disk_bytes < 100'000'000; }));
  CHECK(broker->browse({.topic = "small"}).value().messages.size() == 1);
}

}  // namespace
}  // namespace weir::test
