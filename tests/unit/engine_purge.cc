// What is left on disk of a topic that was deleted.
#include <catch2/catch.hpp>

#include "broker/format/keys.h"
#include "broker/store/store.h"
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

}  // namespace
}  // namespace weir::test
