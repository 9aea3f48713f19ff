// A disk that is nearly full, or full (S-32).
#include <catch2/catch.hpp>

#include <atomic>
#include <future>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "broker/engine/open.h"
#include "tests/crash/rounds.h"
#include "tests/model/dice.h"
#include "tests/support/collector.h"
#include "tests/support/eventually.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/temp_directory.h"

namespace {

using namespace weir;

constexpr std::uint64_t kReserve = 64u << 20, kRoom = std::uint64_t{1} << 40;

struct Disk {
  test::TempDirectory directory;
  std::shared_ptr<test::FaultFileSystem> files = std::make_shared<test::FaultFileSystem>();
  std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>();
  std::unique_ptr<Broker> broker;

  Disk() { files->set_free_space(kRoom); }
  OpenOptions options;
  Status open() {
    options.clock = clock;
    if (options.reserve_bytes != 0) options.reserve_bytes = kReserve;
    auto opened = engine::open_embedded(directory.file("store"), options, {files, "boot"});
    if (opened.ok()) broker = std::move(*opened);
    return opened.status();
  }
  void fill(int count) {
    broker->create_topic("t").value();
    broker->create_group("t", "g").value();
    for (int i = 0; i < count; ++i) broker->publish("t", Message{.payload = "m" + std::to_string(i)}).value();
  }
  Token fetch() {
    FetchRequest request;
    request.source = "t";
    request.group = "g";
    request.messages_max = 1;
    return broker->fetch(request).value().deliveries.at(0).token;
  }
  ErrorCode publish() { return broker->publish("t", Message{.payload = "more"}).code(); }
  /// Time moves on with each try, because the broker looks at the disk now and then by its clock.
  bool publishes_as(ErrorCode code) {
    return test::eventually([&] {
      clock->advance(Duration{1000});
      return publish() == code;
    });
  }
};

}  // namespace

TEST_CASE("a disk that is nearly full refuses publishes while everything that ends work goes on, and takes them again when there is room", "[crash][S-32]") {
  Disk disk;
  REQUIRE(disk.open().ok());
  disk.fill(10);
  disk.files->set_free_space(kReserve / 2);
  REQUIRE(disk.publishes_as(ErrorCode::storage_full));
  CHECK(disk.broker->status()->state == StoreState::kStorageFull);

  CHECK(disk.broker->ack(disk.fetch()).ok());
  CHECK(disk.broker->settle(Settlement::retry(disk.fetch(), "not now")).ok());
  CHECK(disk.broker->settle(Settlement::reject(disk.fetch(), "never")).ok());
  ListDeadLettersRequest letters;
  letters.topic = "t";
  letters.group = "g";
  CHECK(disk.broker->dead_letters(letters).value().letters.size() == 1);
  CHECK(disk.broker->delete_group("t", "g").ok());

  disk.files->set_free_space(kRoom);
  CHECK(disk.publishes_as(ErrorCode::ok));
  CHECK(disk.broker->status()->state == StoreState::kRunning);
  CHECK(disk.broker->delete_topic("t").ok());
}

TEST_CASE("a file system that has no space left refuses, loses nothing, and goes on by itself when it has", "[crash][S-32]") {
  Disk disk;
  REQUIRE(disk.open().ok());
  disk.fill(10);
  disk.files->set_no_space(true);
  disk.files->set_free_space(0);   // RocksDB waits for room by this figure before it tries again
  for (int i = 0; i < 5; ++i) {
    const ErrorCode code = disk.publish();
    INFO(error_info(code).name);
    CHECK((code == ErrorCode::storage_full || code == ErrorCode::outcome_unknown));
  }
  BrowseRequest browse;
  browse.topic = "t";
  CHECK(disk.broker->browse(browse).value().messages.size() == 10);
  CHECK(disk.broker->status()->state == StoreState::kStorageFull);

  disk.files->set_no_space(false);
  disk.files->set_free_space(kRoom);
  CHECK(disk.publishes_as(ErrorCode::ok));
  CHECK(disk.broker->ack(disk.fetch()).ok());
  const auto next = disk.broker->topic("t").value().next;
  REQUIRE(disk.broker->close().ok());
  disk.broker.reset();
  REQUIRE(disk.open().ok());
  CHECK(disk.broker->topic("t").value().next == next);
  // Each message once, in order.
  browse.messages_max = 1000;
  const auto page = disk.broker->browse(browse).value();
  CHECK(page.messages.size() == next.value);
  for (std::size_t i = 0; i < 10; ++i) CHECK(page.messages[i].payload.text() == "m" + std::to_string(i));
}

TEST_CASE("a disk that is full again and again costs nobody at power an answer, and no answer is false", "[crash][S-5][S-32]") {
  Disk disk;
  REQUIRE(disk.open().ok());
  disk.fill(1);
  constexpr int kThreads = 4, kRounds = 8;
  std::atomic<bool> ends{false};
  std::mutex mutex;
  std::set<std::string> confirmed;   // guarded by mutex
  std::set<std::string> wrong;       // answers; guarded by mutex
  std::vector<std::thread> publishers;
  for (int t = 0; t < kThreads; ++t)
    publishers.emplace_back([&, t] {
      for (int i = 0; !ends; ++i) {
        const std::string text = std::to_string(t) + "-" + std::to_string(i);
        const Status status = disk.broker->publish("t", Message{.payload = text, .id = text}, Durability::kPower).status();
        const std::lock_guard lock(mutex);
        if (status.ok())
          confirmed.insert(text);
        else if (status != ErrorCode::storage_full && status != ErrorCode::outcome_unknown)
          wrong.insert(status.to_string());
      }
    });
  const auto count = [&] {
    const std::lock_guard lock(mutex);
    return confirmed.size();
  };
  bool went_on = true;
  for (int round = 0; round < kRounds && went_on; ++round) {
    const std::size_t before = count();
    went_on = test::eventually([&] { return count() > before + 20; });
    disk.files->set_no_space(true);
    disk.files->set_free_space(0);
    (void)test::eventually([&] { return disk.broker->status()->state == StoreState::kStorageFull; });
    disk.files->set_no_space(false);
    disk.files->set_free_space(kRoom);
    went_on = went_on && disk.publishes_as(ErrorCode::ok);
  }
  ends = true;
  for (std::thread& thread : publishers) thread.join();
  CHECK(went_on);
  CHECK(wrong == std::set<std::string>{});
  disk.files->cut_power();
  disk.broker.reset();
  disk.files->drop_unsynced();
  disk.files = std::make_shared<test::FaultFileSystem>();
  disk.files->set_free_space(kRoom);
  REQUIRE(disk.open().ok());
  std::map<std::string, int> found;
  BrowseRequest browse;
  browse.topic = "t";
  browse.messages_max = 10'000;
  for (bool end = false; !end;) {
    const auto page = disk.broker->browse(browse).value();
    for (const StoredMessage& message : page.messages) ++found[message.payload.str()];
    browse.from = StartPoint::at(page.next);
    end = page.end;
  }
  for (const std::string& text : confirmed) CHECK(found[text] == 1);
}

TEST_CASE("a store opens on a full disk, so that what fills it can be worked off", "[crash][S-32]") {
  Disk disk;
  REQUIRE(disk.open().ok());
  disk.fill(10);
  REQUIRE(disk.broker->close().ok());
  disk.broker.reset();
  disk.files->set_free_space(kReserve / 4);
  const Status opened = disk.open();
  INFO(opened);
  REQUIRE(opened.ok());
  CHECK(disk.publish() == ErrorCode::storage_full);
  CHECK(disk.broker->ack(disk.fetch()).ok());
  disk.files->set_free_space(kRoom);
  CHECK(disk.publishes_as(ErrorCode::ok));
}

TEST_CASE("a topic that is deleted while the disk is full is erased at once", "[crash][S-32]") {
  Disk disk;
  disk.options.events = false;
  REQUIRE(disk.open().ok());
  disk.fill(100);
  disk.broker->create_topic("kept").value();
  disk.broker->publish("kept", Message{.payload = "1"}).value();
  disk.files->set_free_space(kReserve / 4);
  REQUIRE(disk.publishes_as(ErrorCode::storage_full));
  REQUIRE(disk.broker->delete_topic("t").ok());
  CHECK(test::eventually([&] {
    disk.clock->advance(Duration{1000});
    return disk.broker->verify().value().batches == 1;
  }));
  CHECK(disk.broker->status()->state == StoreState::kStorageFull);
}

TEST_CASE("a transaction that was committed is answered so again on a full disk", "[crash][S-6][S-32]") {
  Disk disk;
  REQUIRE(disk.open().ok());
  disk.fill(1);
  CommitRequest request;
  request.request_id = "once";
  request.publishes = {{"t", Message{.payload = "x"}}};
  request.puts = {{"state", "1"}};
  REQUIRE(disk.broker->commit(request).ok());
  disk.files->set_free_space(kReserve / 4);
  REQUIRE(disk.publishes_as(ErrorCode::storage_full));
  const auto next = disk.broker->topic("t").value().next;
  CHECK(disk.broker->commit(request).code() == ErrorCode::ok);
  request.request_id = "another";
  CHECK(disk.broker->commit(request).code() == ErrorCode::storage_full);
  CHECK(disk.broker->topic("t").value().next == next);
}

TEST_CASE("a store that cannot even be opened for want of space says so, and is whole once there is room", "[crash][S-32]") {
  Disk disk;
  REQUIRE(disk.open().ok());
  disk.fill(10);
  REQUIRE(disk.broker->close().ok());
  disk.broker.reset();
  disk.files->set_no_space(true);
  disk.files->set_free_space(0);   // RocksDB waits for room by this figure before it tries again
  const Status opened = disk.open();
  INFO(opened);
  CHECK((opened.ok() || opened == ErrorCode::storage_full));
  disk.broker.reset();
  disk.files->set_no_space(false);
  disk.files->set_free_space(kRoom);
  REQUIRE(disk.open().ok());
  CHECK(disk.broker->topic("t").value().next.value == 10);
  CHECK(disk.publish() == ErrorCode::ok);
}

namespace {

/// Nothing more can be written, and something that must be is on its way.
void stick(Disk& disk, const Token& token) {
  disk.files->set_no_space(true);
  disk.files->set_free_space(0);
  CallContext soon;
  soon.deadline = disk.clock->now() + Duration{1000};
  auto settled = std::async(std::launch::async, [&] { return disk.broker->settle(Settlement::ack(token), soon); });
  REQUIRE(test::eventually([&] { return disk.broker->status()->state == StoreState::kStorageFull; }));
  disk.clock->advance(Duration{2000});
  REQUIRE(settled.wait_for(test::kPatience) == std::future_status::ready);
  CHECK(settled.get() == ErrorCode::outcome_unknown);
}

/// Whether it ends, rather than when.
bool ends(const std::function<void()>& act) {
  std::promise<void> done;
  auto future = done.get_future();
  std::thread([&act, done = std::move(done)]() mutable {
    act();
    done.set_value();
  }).detach();
  return future.wait_for(test::kPatience) == std::future_status::ready;
}

}  // namespace

TEST_CASE("a caller that a full disk holds up is let go by its deadline and by cancelling, and the outcome is unknown", "[crash][S-5][S-32]") {
  Disk disk;
  REQUIRE(disk.open().ok());
  disk.fill(10);
  const Token first = disk.fetch(), second = disk.fetch();
  stick(disk, first);
  CallContext context;
  context.cancellation = Cancellation::make();
  auto settled = std::async(std::launch::async, [&] { return disk.broker->settle(Settlement::ack(second), context); });
  context.cancellation.cancel();
  REQUIRE(settled.wait_for(test::kPatience) == std::future_status::ready);
  const Status answer = settled.get();
  CHECK((answer == ErrorCode::outcome_unknown || answer == ErrorCode::cancelled));

  // They happened after all once there is room.
  disk.files->set_no_space(false);
  disk.files->set_free_space(kRoom);
  CHECK(disk.broker->settle(Settlement::ack(first)).ok());
  CHECK(disk.broker->settle(Settlement::ack(second)).ok());
  CHECK(disk.publishes_as(ErrorCode::ok));
}

TEST_CASE("settlements and admin acts that a full disk holds up are bounded", "[crash][S-33]") {
  Disk disk;
  disk.options.queue_requests_max = 3;
  REQUIRE(disk.open().ok());
  disk.fill(20);
  std::vector<Token> tokens;
  for (int i = 0; i < 10; ++i) tokens.push_back(disk.fetch());
  stick(disk, tokens[0]);
  test::Collector<ErrorCode> answers;
  for (int i = 1; i < 10; ++i) {
    SettleRequest request;
    request.settlements.push_back(Settlement::ack(tokens[static_cast<std::size_t>(i)]));
    disk.broker->async_settle(std::move(request), {}, [&](Result<SettleResult> result) { answers.add(result.code()); });
  }
  disk.broker->async_delete_group({"t", "g"}, {}, [&](Result<Done> result) { answers.add(result.code()); });
  REQUIRE(answers.wait_for(7));
  for (const ErrorCode code : answers.items()) CHECK(code == ErrorCode::busy);
  disk.files->set_no_space(false);
  disk.files->set_free_space(kRoom);
  REQUIRE(answers.wait_for(10));
  std::size_t settled = 0;
  for (const ErrorCode code : answers.items()) settled += code == ErrorCode::ok;
  CHECK(settled == 3);
  for (const Token& token : tokens) CHECK(disk.broker->settle(Settlement::ack(token)).ok());   // again, or now
}

TEST_CASE("stop and close end after their grace also while the disk is full, and what was settled meanwhile may come again", "[crash][S-35][S-32]") {
  Disk disk;
  disk.options.close_grace = Duration{50};
  REQUIRE(disk.open().ok());
  disk.fill(200);
  const Token token = disk.fetch();
  std::atomic<int> handled{0};
  SubscribeOptions options{.group = "g"};
  options.threads = 3;
  test::Gate go;
  Subscription subscription = disk.broker->subscribe("t", options, [&](Delivery&) {
    ++handled;
    go.wait();
  }).value();
  REQUIRE(test::eventually([&] { return handled >= 1; }));
  stick(disk, token);
  go.open();
  REQUIRE(test::eventually([&] { return handled >= 3; }));   // workers wait for their settlements
  const bool stop_first = GENERATE(true, false);
  if (stop_first) REQUIRE(ends([&] { subscription.stop(Duration{20}); }));
  REQUIRE(ends([&] { (void)disk.broker->close(); }));
  subscription = {};
  disk.broker.reset();

  disk.files->set_no_space(false);
  disk.files->set_free_space(kRoom);
  REQUIRE(disk.open().ok());
  CHECK(disk.broker->status()->recovered_crash_charges == 0);
  CHECK(disk.broker->topic("t").value().next.value == 200);
}

TEST_CASE("without a reserve, too, everything goes on by itself when there is room", "[crash][S-32]") {
  Disk disk;
  disk.options.reserve_bytes = 0;
  disk.options.memtable_bytes = 256u << 10;
  REQUIRE(disk.open().ok());
  disk.fill(10);
  disk.files->set_no_space(true);
  disk.files->set_free_space(0);
  for (int i = 0; i < 5; ++i) {
    const ErrorCode code = disk.publish();
    INFO(error_info(code).name);
    CHECK((code == ErrorCode::storage_full || code == ErrorCode::outcome_unknown));
  }
  disk.files->set_no_space(false);
  disk.files->set_free_space(kRoom);
  CHECK(disk.publishes_as(ErrorCode::ok));
  CHECK(disk.broker->ack(disk.fetch()).ok());
}

TEST_CASE("on a disk that was really filled everything that ends work has its room, whatever stands in memory still", "[crash][S-32]") {
  Disk disk;
  const std::uint64_t capacity = 64u << 20;
  disk.files->set_free_space(std::nullopt);
  disk.files->set_capacity(disk.directory.file(""), capacity);
  const auto open = [&] {
    OpenOptions options;
    options.clock = disk.clock;
    options.memtable_bytes = 8u << 20;
    options.wal_bytes_max = 32u << 20;
    options.reserve_bytes = 4u << 20;   // less than what stands in memory
    disk.broker = engine::open_embedded(disk.directory.file("store"), options, {disk.files, "boot"}).value();
  };
  open();
  disk.broker->create_topic("t", {.durability = Durability::kProcess}).value();
  disk.broker->create_group("t", "g").value();
  model::Dice dice(crash::seed_of_run());
  Status answer;
  std::uint64_t stored = 0;
  for (; answer.ok() && stored < 100'000; ++stored) {
    std::string payload(dice.between(1000, 20'000), ' ');
    for (std::size_t i = 0; i < payload.size(); i += 8) payload[i] = static_cast<char>(dice.below(256));
    answer = disk.broker->publish("t", Message{.payload = payload}).status();
  }
  --stored;
  CHECK(answer == ErrorCode::storage_full);
  CHECK(stored > 500);
  // All of it is worked off, some into the dead letters, and one topic is given up.
  disk.broker->create_topic("u", {.durability = Durability::kProcess}).value();
  FetchRequest request;
  request.source = "t";
  request.group = "g";
  std::uint64_t settled = 0;
  for (Status status; settled < stored && status.ok();) {
    const FetchResult page = disk.broker->fetch(request).value();
    REQUIRE(!page.deliveries.empty());
    for (const Delivered& delivered : page.deliveries) {
      const bool reject = settled % 50 == 0;
      status = disk.broker->settle(reject ? Settlement::reject(delivered.token, "full") : Settlement::ack(delivered.token));
      INFO(settled << " of " << stored << " settled; " << status);
      REQUIRE(status.ok());
      ++settled;
    }
  }
  CHECK(disk.broker->delete_topic("u").ok());
  CHECK(disk.broker->redrive({.topic = "t", .group = "g"}).value().redriven == (stored + 49) / 50);
  REQUIRE(disk.broker->close().ok());
  disk.broker.reset();
  open();
  CHECK(disk.broker->group("t", "g").value().total().dead == 0);
  // Room comes, and publishes go on by themselves.
  disk.files->set_capacity(disk.directory.file(""), capacity * 4);
  CHECK(disk.publishes_as(ErrorCode::ok));
}
