// Scheduled messages under kill -9, power loss, failing writes and a full disk (S-7).
#include <catch2/catch.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "broker/engine/open.h"
#include "tests/crash/process.h"
#include "tests/crash/rounds.h"
#include "tests/model/dice.h"
#include "tests/support/eventually.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/temp_directory.h"

namespace {

using namespace weir;
using namespace weir::crash;
namespace fs = std::filesystem;

std::vector<std::string> all_of(Broker& broker, const std::string& topic) {
  std::vector<std::string> out;
  BrowseRequest request;
  request.topic = topic;
  request.messages_max = 10'000;
  while (true) {
    const BrowseResult page = broker.browse(request).value();
    for (const StoredMessage& message : page.messages) out.push_back(message.payload.str());
    if (page.end) return out;
    request.from = StartPoint::at(page.next);
  }
}

/// How often each message is in the logs, once everything that waits has entered them.
std::map<std::string, int> come_out(Broker& broker, ManualClock& clock, const std::vector<std::string>& topics) {
  clock.advance(std::chrono::hours{24});
  const bool all_in = test::eventually([&] {
    if (broker.status().value().scheduled != 0) return false;
    for (const std::string& topic : topics)
      if (const TopicInfo info = broker.topic(topic).value(); info.visible != info.next) return false;
    return true;
  });
  if (!all_in) FAIL("scheduled messages stay where they are");
  std::map<std::string, int> out;
  for (const std::string& topic : topics)
    for (const std::string& payload : all_of(broker, topic)) ++out[payload];
  return out;
}

// --- kill -9 -------------------------------------------------------------------------------------------------------------------------

/// What the child wrote down.
struct Book {
  struct Act {
    int count = 0;
    bool confirmed = false;
  };
  std::map<std::string, Act> acts;
  std::set<std::string> cancelling, cancelled, came;

  static Book read(const std::string& path) {
    Book book;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
      std::istringstream words(line);
      std::string what, name;
      words >> what >> name;
      if (what == "publish") words >> book.acts[name].count;
      if (what == "published") book.acts[name].confirmed = true;
      if (what == "cancel") book.cancelling.insert(name);
      if (what == "cancelled") book.cancelled.insert(name);
      if (what == "came") book.came.insert(name);
    }
    return book;
  }
};

/// Every message that was confirmed comes once, unless it was cancelled; of an act that was not, all or nothing.
std::string problems_of(const Book& book, std::map<std::string, int> found) {
  std::string out;
  const auto problem = [&](const std::string& text) { out += text + "\n"; };
  for (const auto& [name, act] : book.acts) {
    int present = 0;
    for (int i = 0; i < act.count; ++i) {
      const std::string message = name + "-" + std::to_string(i);
      const int times = found.contains(message) ? found.at(message) : 0;
      found.erase(message);
      if (times > 1) problem(message + " came " + std::to_string(times) + " times");
      if (book.cancelled.contains(message)) {
        if (times != 0) problem(message + " was cancelled, and came");
        ++present;   // it was there before
      } else if (book.cancelling.contains(message) && !book.came.contains(message)) {
        ++present;   // killed while it was cancelled: either way
      } else {
        present += times > 0;
        if (act.confirmed && times == 0) problem(message + " was confirmed, and is lost");
      }
    }
    if (present != 0 && present != act.count) problem(name + ": " + std::to_string(present) + " of " + std::to_string(act.count) + " messages of one request are there");
  }
  for (const auto& [message, times] : found) problem(message + " was never published");
  return out;
}

}  // namespace

TEST_CASE("scheduled messages are neither lost nor doubled over many deaths by kill -9", "[crash][S-7][S-9]") {
  const std::uint64_t rounds = rounds_from("WEIR_CRASH_ROUNDS", 20), seed = seed_of_run();
  test::TempDirectory directory;
  const std::string store = directory.file("store"), notes = directory.file("notes"), copy = directory.file("copy");
  model::Dice dice(seed);
  std::size_t confirmed = 0, cancelled = 0;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    INFO("seed " << seed << ", round " << round);
    Process child({"schedules", store, notes, std::to_string(seed * 1000 + round)});
    const bool early = round > 0 && dice.percent(20);   // while it opens
    if (!early) REQUIRE(child.read_line() == "open");
    REQUIRE_FALSE(child.ends_within(std::chrono::milliseconds(early ? dice.between(1, 60) : dice.between(20, 200))));
    child.kill_hard();
    fs::remove_all(copy);
    fs::copy(store, copy, fs::copy_options::recursive);
    const Book book = Book::read(notes);
    OpenOptions options;
    options.reserve_bytes = 0;
    const auto clock = std::make_shared<ManualClock>(std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()));
    options.clock = clock;
    auto opened = open(copy, options);
    INFO(opened.status());
    REQUIRE(opened.ok());
    const VerifyReport report = (*opened)->verify().value();
    CHECK(report.problems.empty());
    REQUIRE(problems_of(book, come_out(**opened, *clock, {"a", "b"})) == "");
    confirmed = static_cast<std::size_t>(std::count_if(book.acts.begin(), book.acts.end(), [](const auto& act) { return act.second.confirmed; }));
    cancelled = book.cancelled.size();
  }
  WARN(rounds << " deaths, seed " << seed << ": " << confirmed << " requests confirmed, " << cancelled << " messages cancelled");
  CHECK(confirmed > rounds);
  CHECK(cancelled > 0);
}

// --- Power loss and failing writes -----------------------------------------------------------------------------------------------------

namespace {

struct Machine {
  test::TempDirectory directory;
  std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>();
  std::shared_ptr<test::FaultFileSystem> files;
  std::unique_ptr<Broker> broker;
  int boots = 0;
  std::uint64_t memtable_bytes = 64u << 10;   // so that flushes happen, too

  void boot(std::uint64_t reserve = 0) {
    files = std::make_shared<test::FaultFileSystem>();
    OpenOptions options;
    options.clock = clock;
    options.reserve_bytes = reserve;
    options.memtable_bytes = memtable_bytes;
    auto opened = engine::open_embedded(directory.file("store"), options, {files, "boot " + std::to_string(++boots)});
    INFO(opened.status());
    REQUIRE(opened.ok());
    broker = std::move(*opened);
  }
  void lose_power(model::Dice& dice) {
    files->cut_power();
    broker.reset();
    const bool some = dice.percent(50);
    files->drop_unsynced([&](std::uint64_t unsynced) { return some ? dice.below(unsynced + 1) : 0; });
  }
};

}  // namespace

TEST_CASE("a power loss takes no schedule that was answered at power, and doubles none", "[crash][S-7][S-4]") {
  const std::uint64_t rounds = rounds_from("WEIR_POWER_ROUNDS", 30), seed = seed_of_run();
  INFO("seed " << seed);
  model::Dice dice(seed);
  Machine machine;
  machine.boot();
  machine.broker->create_topic("t").value();
  machine.broker->create_group("t", "g").value();
  std::set<std::string> at_power, at_process, gone;   // by payload
  std::map<std::string, Offset> seen;                 // what was handed out at `power`, and where it stood
  std::uint64_t entered = 0;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    INFO("round " << round);
    std::vector<std::pair<std::string, std::string>> ids;
    for (std::uint64_t act = dice.between(1, 40); act > 0; --act) {
      const std::string payload = std::to_string(round) + "." + std::to_string(act);
      if (dice.percent(70)) {
        const bool power = dice.percent(60);
        const Published published =
            machine.broker->publish("t", {.payload = payload, .delay = Duration{static_cast<std::int64_t>(dice.between(1, 50))}}, power ? Durability::kPower : Durability::kProcess).value();
        (power ? at_power : at_process).insert(payload);
        ids.emplace_back(payload, published.schedule);
      } else if (!ids.empty() && dice.percent(40)) {
        const auto [name, id] = ids[dice.below(ids.size())];
        if (machine.broker->cancel_schedule(id).ok()) at_power.erase(name), at_process.erase(name), gone.insert(name);
      } else {
        machine.clock->advance(Duration{static_cast<std::int64_t>(dice.between(1, 20))});
        FetchRequest request;
        request.source = "t";
        request.group = "g";
        if (entered == 0) request.wait = Duration{1000};   // what is due enters on a thread of its own
        const FetchResult fetched = machine.broker->fetch(request).value();
        for (const Delivered& delivered : fetched.deliveries)
          if (at_power.contains(delivered.message.payload.str())) seen[delivered.message.payload.str()] = delivered.message.offset;
        entered += fetched.deliveries.size();
      }
    }
    machine.lose_power(dice);
    machine.boot();
    // What was handed out at `power` stands where it stood.
    for (const auto& [payload, offset] : seen) {
      const BrowseResult at = machine.broker->browse({.topic = "t", .from = StartPoint::at(offset), .messages_max = 1}).value();
      REQUIRE(at.messages.size() == 1);
      REQUIRE(at.messages[0].payload.text() == payload);
    }
  }
  const std::map<std::string, int> found = come_out(*machine.broker, *machine.clock, {"t"});
  for (const std::string& payload : at_power) {
    INFO(payload);
    CHECK(found.contains(payload));
  }
  for (const auto& [payload, times] : found) {
    INFO(payload);
    CHECK(times == 1);
    CHECK_FALSE(gone.contains(payload));
    CHECK((at_power.contains(payload) || at_process.contains(payload)));
  }
  CHECK(entered > 0);
}

TEST_CASE("when the write fails that puts due messages into the log, each comes once after the reopen", "[crash][S-7][S-32]") {
  for (std::uint64_t nth = 1; nth <= 6; ++nth)
    for (const auto passed : {test::FaultFileSystem::Passed::kNothing, test::FaultFileSystem::Passed::kHalf, test::FaultFileSystem::Passed::kWhole}) {
      INFO("operation " << nth << ", passed " << static_cast<int>(passed));
      Machine machine;
      machine.memtable_bytes = 64u << 20;   // what is counted are the operations of the commits
      machine.boot();
      machine.broker->create_topic("t").value();
      std::vector<Message> messages;
      for (int i = 0; i < 2500; ++i) messages.push_back({.payload = std::to_string(i), .delay = Duration{10}});
      machine.broker->publish_all("t", std::move(messages)).value();
      machine.files->fail_wal_operation(nth, test::FaultFileSystem::Error::kInputOutput, passed);
      machine.clock->advance(Duration{10});
      const bool stopped = test::eventually([&] {
        return machine.broker->status().value().state == StoreState::kStopped || machine.broker->topic("t").value().visible == Offset{2500};
      });
      CHECK(stopped);
      machine.broker.reset();
      machine.boot();
      const std::map<std::string, int> found = come_out(*machine.broker, *machine.clock, {"t"});
      CHECK(found.size() == 2500);
      for (const auto& [payload, times] : found)
        if (times != 1) FAIL(payload << " came " << times << " times");
    }
}

TEST_CASE("on a full disk what is due waits, and comes when there is room", "[crash][S-7][S-32]") {
  constexpr std::uint64_t kReserve = 64u << 20, kRoom = std::uint64_t{1} << 40;
  Machine machine;
  machine.boot(kReserve);
  machine.files->set_free_space(kRoom);
  machine.broker->create_topic("t").value();
  const std::string cancelled = machine.broker->publish("t", {.payload = "1", .delay = std::chrono::hours{1}}).value().schedule;
  const std::string other = machine.broker->publish("t", {.payload = "2", .delay = std::chrono::hours{1}}).value().schedule;
  machine.broker->publish("t", {.payload = "3", .delay = std::chrono::hours{1}}).value();
  machine.files->set_free_space(kReserve / 2);
  machine.broker->create_topic("u").value();
  REQUIRE(test::eventually([&] {
    machine.clock->advance(Duration{1000});
    return machine.broker->publish("u", {.payload = "x", .delay = std::chrono::hours{1}}).code() == ErrorCode::storage_full;
  }));
  machine.clock->advance(std::chrono::hours{2});
  // Cancelling frees room, so it goes on; running now needs some.
  CHECK(machine.broker->run_schedule(other) == ErrorCode::storage_full);
  CHECK(machine.broker->cancel_schedule(cancelled).ok());
  CHECK(machine.broker->topic("t").value().next == Offset{0});
  machine.files->set_free_space(kRoom);
  REQUIRE(test::eventually([&] {
    machine.clock->advance(Duration{1000});
    return machine.broker->topic("t").value().visible == Offset{2};
  }));
  CHECK(all_of(*machine.broker, "t") == std::vector<std::string>{"2", "3"});
}

TEST_CASE("of a deleted topic's schedules nothing is left on disk, also where the process died meanwhile", "[crash][S-7]") {
  Machine machine;
  machine.boot();
  machine.broker->create_topic("t").value();
  machine.broker->create_topic("stays").value();
  for (int i = 0; i < 3; ++i) {
    std::vector<Message> messages;
    for (int j = 0; j < 1000; ++j) messages.push_back({.payload = "x", .delay = std::chrono::hours{24 * 30}});
    machine.broker->publish_all("t", std::move(messages)).value();
  }
  machine.broker->publish("stays", {.payload = "y", .delay = std::chrono::hours{1}}).value();
  REQUIRE(machine.broker->delete_topic("t").ok());
  CHECK(machine.broker->status().value().scheduled == 1);
  model::Dice dice(1);
  machine.lose_power(dice);   // the deletion was answered, what follows in the background was not
  machine.boot();
  CHECK(machine.broker->status().value().scheduled == 1);
  // Two keys of the message that stays, and nothing else of the schedule.
  const auto schedule_records = [&] {
    const VerifyReport report = machine.broker->verify().value();
    CHECK(report.problems.empty());
    return report.records;
  };
  REQUIRE(test::eventually([&] { return schedule_records() < 50; }));
  CHECK(come_out(*machine.broker, *machine.clock, {"stays"}).size() == 1);
}
