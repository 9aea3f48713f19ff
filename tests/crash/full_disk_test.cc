// A disk that is nearly full, or full (S-32).
#include <catch2/catch.hpp>

#include <memory>
#include <string>

#include "broker/engine/open.h"
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
  Status open() {
    OpenOptions options;
    options.clock = clock;
    options.reserve_bytes = kReserve;
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
