// Backups of a store in use, and what is restored from them.
#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <set>
#include <string>
#include <thread>

#include "broker/engine/open.h"
#include "tests/support/eventually.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/temp_directory.h"
#include "weir/weir.h"

namespace {

namespace fs = std::filesystem;
using namespace weir;

struct Site {
  test::TempDirectory directory;
  std::string store = directory.file("store"), backups = directory.file("backups"), restored = directory.file("restored");
  std::unique_ptr<Broker> broker;

  static OpenOptions options() {
    OpenOptions options;
    options.reserve_bytes = 0;
    options.memtable_bytes = 256u << 10;   // so that there are table files
    return options;
  }
  explicit Site(int messages = 0) {
    broker = open(store, options()).value();
    broker->create_topic("t", {.durability = Durability::kProcess}).value();
    broker->create_group("t", "g").value();
    publish(messages);
  }
  void publish(int messages) {
    for (int i = 0; i < messages; ++i, ++next) broker->publish("t", Message{.payload = text(next), .id = "id" + std::to_string(next)}).value();
  }
  static std::string text(std::uint64_t n) { return std::to_string(n) + std::string(300, 'x'); }
  std::uint64_t next = 0;

  std::vector<Delivered> fetch(Broker& from, std::uint32_t messages_max = 10) const {
    FetchRequest request;
    request.source = "t";
    request.group = "g";
    request.messages_max = messages_max;
    return from.fetch(request).value().deliveries;
  }
};

std::uint64_t count_in_order(Broker& broker) {
  BrowseRequest browse;
  browse.topic = "t";
  browse.messages_max = 10'000;
  std::uint64_t n = 0;
  while (true) {
    const BrowseResult page = broker.browse(browse).value();
    for (const StoredMessage& message : page.messages) {
      CHECK(message.offset.value == n);
      CHECK(message.payload.text() == Site::text(n));
      ++n;
    }
    if (page.end) return n;
    browse.from = StartPoint::at(page.next);
  }
}

}  // namespace

TEST_CASE("a backup has everything that was answered before it, and restores to a store of its own", "[crash][S-14][S-26]") {
  Site site(2000);
  for (const Delivered& delivered : site.fetch(*site.broker)) (void)site.broker->ack(delivered.token);
  const Delivered rejected = site.fetch(*site.broker, 1).at(0), held = site.fetch(*site.broker, 1).at(0);
  (void)site.broker->settle(Settlement::reject(rejected.token, "no"));
  CommitRequest state;
  state.puts = {{"balance", "100"}};
  site.broker->commit(state).value();
  site.broker->publish("t", Message{.payload = "later", .delay = std::chrono::hours{1}}).value();
  const BackupInfo first = site.broker->backup(site.backups).value();
  CHECK(first.number == 1);
  CHECK(first.bytes > 2000 * 300);
  site.publish(500);
  const BackupInfo second = site.broker->backup(site.backups).value();
  CHECK(second.number == 2);
  CHECK(site.broker->ack(held.token).ok());   // not in any backup

  REQUIRE(restore_backup(site.backups, site.restored).ok());
  auto restored = open(site.restored, Site::options()).value();
  CHECK(count_in_order(*restored) == 2500);
  const GroupTopicStats stats = restored->group("t", "g").value().total();
  CHECK(stats.depth == 2500 - 11);
  CHECK(stats.dead == 1);
  CHECK(restored->publish("t", Message{.payload = "again", .id = "id2499"}).value().duplicate);
  CHECK(restored->verify().value().problems.empty());
  CHECK(restored->get_state("balance").value() == "100");
  CHECK(restored->status().value().scheduled == 1);
  // Tokens of before are void there, and epochs are above all that the original gives out.
  CHECK(restored->ack(held.token) == ErrorCode::lease_lost);
  const Delivered there = site.fetch(*restored, 1).at(0), here = site.fetch(*site.broker, 1).at(0);
  CHECK(there.message.offset == held.message.offset);
  CHECK(there.token.epoch > here.token.epoch);
  CHECK(restored->redrive({.topic = "t", .group = "g"}).value().redriven == 1);

  const std::string older = site.directory.file("older");
  REQUIRE(restore_backup(site.backups, older, {.number = 1}).ok());
  CHECK(count_in_order(*open(older, Site::options()).value()) == 2000);
}

TEST_CASE("a further backup costs what is new, and old ones can go", "[crash]") {
  Site site(3000);
  const auto bytes = [&] {
    std::uint64_t sum = 0;
    for (const auto& entry : fs::recursive_directory_iterator(site.backups))
      if (entry.is_regular_file()) sum += entry.file_size();
    return sum;
  };
  site.broker->backup(site.backups).value();
  const std::uint64_t first = bytes();
  site.publish(100);
  site.broker->backup(site.backups).value();
  CHECK(bytes() - first < first / 2);
  const auto all = list_backups(site.backups).value();
  REQUIRE(all.size() == 2);
  CHECK(all[0].number == 1);
  CHECK(all[1].incarnation == 1);
  REQUIRE(prune_backups(site.backups, 1).ok());
  REQUIRE(list_backups(site.backups).value().size() == 1);
  REQUIRE(restore_backup(site.backups, site.restored).ok());
  CHECK(count_in_order(*open(site.restored, Site::options()).value()) == 3100);
}

TEST_CASE("backups made while messages are published and settled have a part of it without gaps", "[crash][S-3][S-9]") {
  Site site;
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> confirmed{0};
  std::thread publisher([&] {
    while (!stop) {
      site.publish(1);
      confirmed = site.next;
    }
  });
  std::thread consumer([&] {
    while (!stop)
      for (const Delivered& delivered : site.fetch(*site.broker, 100)) (void)site.broker->ack(delivered.token);
  });
  std::vector<std::uint64_t> before;
  for (int i = 0; i < 5; ++i) {
    before.push_back(confirmed);
    const auto made = site.broker->backup(site.backups);
    INFO(made.status());
    CHECK(made.ok());
  }
  stop = true;
  publisher.join();
  consumer.join();
  for (std::uint32_t i = 0; i < 5; ++i) {
    const std::string to = site.directory.file("restored" + std::to_string(i));
    REQUIRE(restore_backup(site.backups, to, {.number = i + 1}).ok());
    auto restored = open(to, Site::options()).value();
    const std::uint64_t count = count_in_order(*restored);
    CHECK(count >= before[i]);
    CHECK(count <= site.next);
    const GroupTopicStats stats = restored->group("t", "g").value().total();
    CHECK(stats.depth <= count);
    CHECK(restored->verify().value().problems.empty());
  }
}

TEST_CASE("a restore overwrites nothing, tells what is not there or damaged, and an interrupted one is done again", "[crash][S-32]") {
  Site site(1000);
  CHECK(restore_backup(site.backups, site.restored) == ErrorCode::not_found);
  CHECK(list_backups(site.backups).code() == ErrorCode::not_found);
  CHECK(site.broker->backup("").code() == ErrorCode::invalid_argument);
  site.broker->backup(site.backups).value();
  CHECK(restore_backup(site.backups, site.restored, {.number = 7}) == ErrorCode::not_found);
  CHECK(restore_backup(site.backups, site.store) == ErrorCode::already_exists);
  CHECK(prune_backups(site.backups, 0) == ErrorCode::invalid_argument);

  const std::string full = site.directory.file("full");
  fs::create_directories(full);
  std::ofstream(full + "/letter") << "mine";
  const Status refused = restore_backup(site.backups, full);
  CHECK(refused == ErrorCode::already_exists);
  CHECK_THAT(refused.message(), Catch::Contains("letter"));

  // As an interrupted restore leaves it: there is no store yet.
  fs::create_directories(site.restored + "/restoring/db");
  std::ofstream(site.restored + "/restoring/db/CURRENT") << "MANIFEST-000001\n";
  OpenOptions missing = Site::options();
  missing.create_if_missing = false;
  CHECK(open(site.restored, missing).code() == ErrorCode::not_found);
  REQUIRE(restore_backup(site.backups, site.restored).ok());
  CHECK(count_in_order(*open(site.restored, missing).value()) == 1000);

  fs::path table;
  for (const auto& entry : fs::recursive_directory_iterator(site.backups))
    if (entry.path().extension() == ".sst" && (table.empty() || entry.file_size() > fs::file_size(table))) table = entry.path();
  REQUIRE_FALSE(table.empty());
  {
    std::fstream file(table, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(fs::file_size(table) / 2));
    file << "wrong bytes";
  }
  const std::string third = site.directory.file("third");
  const Status damaged = restore_backup(site.backups, third);
  INFO(damaged);
  CHECK(damaged == ErrorCode::corruption);
  CHECK_FALSE(fs::exists(third + "/db"));
}

TEST_CASE("a damaged backup is told, is not restored, and keeps nobody from the others", "[crash]") {
  for (const bool list_of_files : {true, false}) {
    Site site;
    for (int i = 0; i < 3; ++i) {
      site.publish(100);
      site.broker->backup(site.backups).value();
    }
    if (list_of_files) {
      fs::resize_file(site.backups + "/meta/2", fs::file_size(site.backups + "/meta/2") / 2);
    } else {
      const fs::path lost = fs::directory_iterator(site.backups + "/private/2")->path();
      fs::remove(lost);
    }
    const auto all = list_backups(site.backups).value();
    REQUIRE(all.size() == 3);
    for (const BackupInfo& backup : all) CHECK(backup.damaged == (backup.number == 2));
    const Status refused = restore_backup(site.backups, site.restored, {.number = 2});
    INFO(refused);
    CHECK(refused == ErrorCode::corruption);
    CHECK_THAT(refused.message(), Catch::Contains("backup 2 is damaged: "));
    site.publish(100);
    CHECK(site.broker->backup(site.backups).value().number == 4);
    REQUIRE(restore_backup(site.backups, site.restored, {.number = 1}).ok());
    CHECK(count_in_order(*open(site.restored, Site::options()).value()) == 100);
    REQUIRE(prune_backups(site.backups, 2).ok());
    const auto left = list_backups(site.backups).value();
    REQUIRE(left.size() == 2);
    CHECK(left[0].number == 3);
    CHECK_FALSE(left[0].damaged);
    const std::string newest = site.directory.file("newest");
    REQUIRE(restore_backup(site.backups, newest).ok());
    CHECK(count_in_order(*open(newest, Site::options()).value()) == 400);
  }
}

TEST_CASE("a full disk fails a backup and nothing else, and closing ends one", "[crash][S-32][S-35]") {
  test::TempDirectory directory;
  auto files = std::make_shared<test::FaultFileSystem>();
  auto broker = engine::open_embedded(directory.file("store"), Site::options(), {files, "boot"}).value();
  broker->create_topic("t", {.durability = Durability::kProcess}).value();
  for (int i = 0; i < 3000; ++i) broker->publish("t", Message{.payload = Site::text(static_cast<std::uint64_t>(i))}).value();
  auto answer = std::make_shared<std::promise<ErrorCode>>();
  auto answered = answer->get_future();
  broker->async_backup(directory.file("backups"), {}, [answer](Result<BackupInfo> made) { answer->set_value(made.code()); });
  REQUIRE(broker->close().ok());
  REQUIRE(answered.wait_for(test::kPatience) == std::future_status::ready);
  const ErrorCode code = answered.get();
  INFO(error_info(code).name);
  CHECK((code == ErrorCode::ok || code == ErrorCode::cancelled || code == ErrorCode::closed));
}

TEST_CASE("a directory of backups is of one store, and what is no place for one is said to be none", "[crash][S-33]") {
  Site site(10), other(5);
  REQUIRE(site.broker->backup(site.backups).ok());
  CHECK(other.broker->backup(site.backups).status() == ErrorCode::failed_precondition);
  CHECK(list_backups(site.backups).value().size() == 1);
  REQUIRE(site.broker->backup(site.backups).ok());
  // What was restored is the same store.
  site.broker.reset();
  REQUIRE(restore_backup(site.backups, site.restored).ok());
  site.broker = open(site.restored, Site::options()).value();
  REQUIRE(site.broker->backup(site.backups).ok());

  CHECK(site.broker->backup("/proc/nowhere/backups").status() == ErrorCode::invalid_argument);
  CHECK(restore_backup(site.backups, "").code() == ErrorCode::invalid_argument);
  CHECK(list_backups(site.directory.file("store")).status() == ErrorCode::not_found);
  CHECK_FALSE(std::filesystem::exists(site.directory.file("store") + "/meta"));
}
