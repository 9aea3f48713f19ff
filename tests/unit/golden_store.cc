// Stores written by earlier versions of weir, as they lie in tests/golden: what is in them is found by this version.
//
// A new format gets a new file and keeps the old ones: WEIR_GOLDEN_DIR=DIR weir-tests-unit "writes a golden store", then
// tar -C DIR --sort=name --owner=0 --group=0 --mtime=@0 --exclude='OPTIONS-*' -czf tests/golden/store-N.tar.gz store
#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "broker/format/records.h"
#include "broker/store/store.h"
#include "broker/format/keys.h"
#include "tests/support/temp_directory.h"
#include "weir/broker.h"
#include "weir/producer.h"

namespace weir::test {
namespace {

const Time kWritten{std::chrono::hours{24 * 365 * 50}};
constexpr std::size_t kScattered = 5000;

OpenOptions options_at(Time time) {
  OpenOptions options;
  options.reserve_bytes = 0;
  options.clock = std::make_shared<ManualClock>(time);
  options.memtable_bytes = 64u << 10;   // so that there are table files, too
  return options;
}

FetchRequest from(const std::string& source, const std::string& group, std::uint32_t messages_max = 1) {
  FetchRequest request;
  request.source = source;
  request.group = group;
  request.messages_max = messages_max;
  request.lease = std::chrono::hours{12};
  request.reports_begun = true;
  return request;
}

std::vector<Delivered> fetch(Broker& broker, const FetchRequest& request) { return broker.fetch(request).value().deliveries; }

std::vector<std::string> texts_of(Broker& broker, const FetchRequest& request) {
  std::vector<std::string> out;
  for (const Delivered& delivered : fetch(broker, request)) out.push_back(delivered.message.payload.str());
  return out;
}

void write(const std::string& directory) {
  auto broker = open(directory, options_at(kWritten)).value();
  TopicOptions orders;
  orders.durability = Durability::kProcess;
  orders.retention_age = std::chrono::hours{24 * 30};
  orders.bytes_max = 1u << 30;
  orders.dedup_window = std::chrono::hours{1};
  broker->create_topic("orders", orders).value();
  broker->create_topic("orders.eu", {.discard_settled = true}).value();
  broker->create_topic("gone", {.durability = Durability::kProcess}).value();
  GroupOptions billing;
  billing.max_attempts = 3;
  billing.backoff = {std::chrono::minutes{10}, 2.0, std::chrono::hours{1}, false};
  broker->create_group("orders", "billing", billing).value();
  GroupOptions filtered;
  filtered.filter = Filter::all({Filter::exact("kind", "first"), Filter::negate(Filter::present("test"))});
  filtered.order = Order::kNone;
  broker->create_group("orders", "filtered", filtered).value();
  broker->create_group("orders.*", "pattern").value();
  broker->create_group("orders", "paused", {.order = Order::kTopic}).value();
  (void)broker->pause_group("orders", "paused");
  broker->publish("gone", Message{.payload = "x"}).value();
  (void)broker->delete_topic("gone");

  Message first{.key = "customer-1", .payload = "two teapots", .id = "order-1", .headers = {{"kind", "first"}, {"traceparent", "00-1"}}, .content_type = "text/plain"};
  broker->publish("orders", first).value();
  broker->publish("orders", Message{.key = "customer-1", .payload = "a third", .ttl = std::chrono::hours{24 * 3650}}).value();
  broker->publish("orders", Message{.key = "customer-2", .payload = std::string(2000, 'b')}).value();
  broker->publish("orders", Message{.key = "customer-3", .payload = "poison"}).value();
  Producer producer(*broker, "session-1");
  PublishRequest in_session{.topic = "orders.eu"};
  in_session.messages.push_back({.payload = "s1"});
  in_session.messages.push_back({.payload = "s2"});
  producer.publish(in_session).value();

  // The first is waiting to be retried, the third is settled, the poison is dead, was given back, and is dead again.
  const auto deliveries = fetch(*broker, from("orders", "billing", 3));
  (void)broker->settle(Settlement::retry(deliveries[0].token, "no answer from the bank"));
  const auto rest = fetch(*broker, from("orders", "billing", 10));
  for (const Delivered& delivered : rest)
    if (delivered.message.payload.text() == "poison")
      (void)broker->settle(Settlement::reject(delivered.token, "not an order"));
    else
      (void)broker->ack(delivered.token);
  for (const Delivered& delivered : deliveries)
    if (delivered.message.key == "customer-2") (void)broker->ack(delivered.token);
  broker->redrive({.topic = "orders", .group = "billing"}).value();
  (void)broker->settle(Settlement::reject(fetch(*broker, from("orders", "billing")).at(0).token, "still not an order"));

  // Opening makes table files of the log.
  (void)broker->close();
  broker.reset();
  broker = open(directory, options_at(kWritten)).value();
  // Scattered acks, in pages.
  broker->create_topic("many", {.durability = Durability::kProcess}).value();
  broker->create_group("many", "scattered", {.order = Order::kNone, .in_flight_max = 100'000, .member_in_flight_max = 100'000}).value();
  for (std::size_t i = 0; i < kScattered; i += 100) {
    std::vector<Message> batch;
    for (std::size_t j = i; j < i + 100; ++j) batch.push_back({.payload = std::to_string(j)});
    broker->publish_all("many", std::move(batch)).value();
  }
  SettleRequest acks;
  for (auto page = fetch(*broker, from("many", "scattered", kScattered)); !page.empty(); page = fetch(*broker, from("many", "scattered", kScattered)))
    for (const Delivered& delivered : page)
      if (delivered.message.offset.value % 3 != 0) acks.settlements.push_back(Settlement::ack(delivered.token));
  acks.durability = Durability::kPower;
  broker->settle(acks).value();
  // The process dies while a handler runs.
  if (!broker->begin(fetch(*broker, from("orders.*", "pattern")).at(0).token).ok()) ::_exit(1);
  ::_exit(0);
}

struct Golden {
  TempDirectory directory;
  std::string store = directory.file("store");

  explicit Golden(const std::string& name) {
    const std::string archive = std::string(WEIR_SOURCE_DIR) + "/tests/golden/" + name + ".tar.gz";
    REQUIRE(std::system(("tar -xzf '" + archive + "' -C '" + directory.path().string() + "'").c_str()) == 0);
  }
};

}  // namespace

TEST_CASE("writes a golden store", "[.golden]") {
  const char* directory = std::getenv("WEIR_GOLDEN_DIR");
  REQUIRE(directory != nullptr);
  const pid_t child = ::fork();
  if (child == 0) write(std::string(directory) + "/store");
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("a store of format 1 is read with everything that is in it", "[store][S-3][S-6][S-17][S-22][S-24]") {
  Golden golden("store-1");
  auto opened = open(golden.store, options_at(kWritten + std::chrono::minutes{1}));
  INFO(opened.status());
  REQUIRE(opened.ok());
  Broker& broker = **opened;

  const TopicInfo orders = broker.topic("orders").value();
  CHECK(orders.next == Offset{4});
  CHECK(orders.options.retention_age == std::chrono::hours{24 * 30});
  CHECK(orders.options.bytes_max == 1u << 30);
  CHECK(broker.topic("orders.eu").value().options.discard_settled);
  CHECK(broker.topic("gone").code() == ErrorCode::topic_not_found);
  const auto messages = broker.browse({.topic = "orders"}).value().messages;
  REQUIRE(messages.size() == 4);
  CHECK(messages[0].key == "customer-1");
  CHECK(messages[0].id == "order-1");
  CHECK(messages[0].content_type == "text/plain");
  CHECK(messages[0].headers.copy() == Headers{{"kind", "first"}, {"traceparent", "00-1"}});
  CHECK(messages[0].payload.text() == "two teapots");
  CHECK(messages[0].time == kWritten);
  CHECK(messages[1].expires_at.has_value());
  CHECK(messages[2].payload.size() == 2000);

  // Ids and sessions.
  CHECK(broker.publish("orders", Message{.payload = "again", .id = "order-1"}).value().duplicate);
  PublishRequest again{.topic = "orders.eu", .session = SessionPosition{"session-1", 2}};
  again.messages.push_back({.payload = "s2"});
  CHECK(broker.publish(again).value().messages.at(0).duplicate);

  // Groups, and where they are.
  const GroupInfo billing = broker.group("orders", "billing").value();
  CHECK(billing.options.max_attempts == 3);
  CHECK(billing.options.backoff.first == std::chrono::minutes{10});
  const GroupTopicStats stats = billing.total();
  CHECK(stats.depth == 2);   // customer-1's
  CHECK(stats.waiting_retries == 1);
  CHECK(stats.dead == 1);
  CHECK(broker.group("orders", "paused").value().paused);
  CHECK(broker.group("orders", "paused").value().options.order == Order::kTopic);
  CHECK(broker.group("orders", "filtered").value().options.filter == Filter::all({Filter::exact("kind", "first"), Filter::negate(Filter::present("test"))}));
  CHECK(texts_of(broker, from("orders", "filtered", 10)) == std::vector<std::string>{"two teapots"});
  CHECK(broker.status().value().recovered_crash_charges == 1);
  CHECK(broker.group("orders.*", "pattern").value().total().depth == 2);

  const auto letters = broker.dead_letters({.topic = "orders", .group = "billing", .include_resolved = true}).value().letters;
  REQUIRE(letters.size() == 2);
  CHECK(letters[0].state == LetterState::kRedriven);
  CHECK(letters[1].state == LetterState::kDead);
  const DeadLetterInfo& info = *letters[1].message.dead_letter;
  CHECK(info.reason == DeathReason::kRejected);
  CHECK(info.error == "still not an order");
  CHECK(info.redrives == 1);
  CHECK(info.origin_offset == Offset{3});
  CHECK(info.attempts.size() == 1);

  // What is left of many.
  std::size_t left = 0, others = 0;
  for (auto page = fetch(broker, from("many", "scattered", 10'000)); !page.empty(); page = fetch(broker, from("many", "scattered", 10'000)))
    for (const Delivered& delivered : page) ++(delivered.message.offset.value % 3 == 0 ? left : others);
  CHECK(left == (kScattered + 2) / 3);
  CHECK(others == 0);
}

TEST_CASE("a store of a later format is refused, and nothing of it is changed", "[store][S-32]") {
  TempDirectory directory;
  const std::string location = directory.file("store");
  { REQUIRE(open(location, options_at(kWritten)).ok()); }
  {
    const auto store = store::Store::open(location, {}).value();
    format::StoreRecord record = format::decode_store(*store->get(format::store_key()).value(), "").value();
    record.version = format::kFormatVersion + 1;
    store::WriteSet set;
    set.put(format::store_key(), format::encode(record));
    REQUIRE(store->write(set).ok());
  }
  for (int i = 0; i < 2; ++i) {
    const Status refused = open(location, options_at(kWritten)).status();
    CHECK(refused == ErrorCode::format_version);
    CHECK_THAT(refused.message(), Catch::Contains(std::to_string(format::kFormatVersion + 1)) && Catch::Contains(location));
  }
}

}  // namespace weir::test
