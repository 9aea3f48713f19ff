// Order under retry, with many keys, many members, and a key that never gets on.
#include <catch2/catch.hpp>

#include <atomic>
#include <chrono>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

#include "tests/crash/rounds.h"
#include "tests/model/dice.h"
#include "tests/support/temp_directory.h"
#include "weir/broker.h"

namespace {

using namespace weir;
using namespace weir::crash;
using std::chrono::steady_clock;

OpenOptions plain() {
  OpenOptions options;
  options.reserve_bytes = 0;
  return options;
}

std::uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t pages = 0;
  file >> pages >> pages;
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

void publish_all(Broker& broker, const std::string& topic, std::uint64_t count, const std::function<std::string(std::uint64_t)>& key) {
  for (std::uint64_t n = 0; n < count;) {
    std::vector<Message> batch;
    for (int i = 0; i < 1000 && n < count; ++i, ++n) {
      Message m;
      m.key = key(n);
      m.payload = std::to_string(n);
      batch.push_back(std::move(m));
    }
    broker.publish_all(topic, std::move(batch), Durability::kProcess).value();
  }
}

/// One key's history, as the members see it. One thread at a time may be in it; that is what is tested.
struct KeyWork {
  std::atomic<int> at_work = 0;
  std::atomic<std::uint64_t> done = 0;   // 1 + the offset of the last that was acknowledged
};

}  // namespace

TEST_CASE("with 1,000 keys, 8 members, failures and delays no key is out of order or worked twice at once", "[crash][S-13][S-18]") {
  constexpr std::uint64_t kKeys = 1000;
  const std::uint64_t messages = rounds_from("WEIR_ORDER_MESSAGES", 20'000), seed = seed_of_run();
  test::TempDirectory directory;
  auto broker = open(directory.file("store"), plain()).value();
  broker->create_topic("t").value();
  GroupOptions options;
  options.max_attempts = 1000;
  options.max_deliveries = 10'000;
  options.backoff = {Duration{1}, 2.0, Duration{20}, true};
  broker->create_group("t", "g", options).value();
  model::Dice keys(seed);
  publish_all(*broker, "t", messages, [&](std::uint64_t) { return "key" + std::to_string(keys.below(kKeys)); });

  std::vector<KeyWork> work(kKeys);
  std::atomic<std::uint64_t> settled = 0, twice = 0, disordered = 0, refused = 0, failed = 0;
  std::vector<std::thread> members;
  for (int m = 0; m < 8; ++m)
    members.emplace_back([&, m] {
      model::Dice dice(seed + 1 + static_cast<std::uint64_t>(m));
      const MemberId member = broker->join({"t", "g", "member" + std::to_string(m)}).value();
      while (settled.load() < messages) {
        FetchRequest request;
        request.source = "t";
        request.group = "g";
        request.member = member;
        request.messages_max = static_cast<std::uint32_t>(dice.between(1, 50));
        request.wait = Duration{20};
        request.reports_begun = dice.percent(50);
        const auto fetched = broker->fetch(request);
        if (!fetched.ok()) break;
        std::map<std::string, bool, std::less<>> stopped;
        for (const Delivered& d : fetched->deliveries) {
          if (stopped[std::string(d.message.key)]) continue;   // given back behind the one that failed
          if (request.reports_begun && !broker->begin(d.token).ok()) refused.fetch_add(1);
          KeyWork& key = work[std::stoull(std::string(d.message.key.substr(3)))];
          if (key.at_work.fetch_add(1) != 0) twice.fetch_add(1);
          if (d.message.offset.value < key.done.load()) disordered.fetch_add(1);
          const bool fails = dice.percent(20);
          if (!fails) key.done.store(d.message.offset.value + 1);
          key.at_work.fetch_sub(1);
          const Status answer = broker->settle(
              !fails ? Settlement::ack(d.token)
                     : Settlement::retry(d.token, "at random", dice.percent(50) ? std::optional<Duration>{} : Duration{dice.below(15)}));
          if (!answer.ok()) refused.fetch_add(1);
          if (fails) {
            stopped[std::string(d.message.key)] = true;
            failed.fetch_add(1);
          } else {
            settled.fetch_add(1);
          }
        }
      }
    });
  for (std::thread& t : members) t.join();
  INFO("seed " << seed);
  CHECK(twice.load() == 0);
  CHECK(disordered.load() == 0);
  CHECK(refused.load() == 0);
  CHECK(settled.load() == messages);
  CHECK(failed.load() > messages / 10);
  CHECK(broker->group("t", "g").value().total().depth == 0);
}

TEST_CASE("a key that fails for ever with a long backlog neither stops the others nor fills memory", "[crash][S-13][S-33]") {
  const std::uint64_t behind = rounds_from("WEIR_STUCK_MESSAGES", 100'000);
  constexpr std::uint64_t kOthers = 20'000;
  test::TempDirectory directory;
  auto broker = open(directory.file("store"), plain()).value();
  broker->create_topic("stuck").value();
  broker->create_topic("free").value();
  GroupOptions options;
  options.max_attempts = 1000;
  broker->create_group("stuck", "g", options).value();
  broker->create_group("free", "g", options).value();
  // The same work once behind a stuck key and once without: every other key's messages come last.
  publish_all(*broker, "stuck", behind, [](std::uint64_t) { return "stuck"; });
  for (const char* topic : {"stuck", "free"}) publish_all(*broker, topic, kOthers, [](std::uint64_t n) { return "key" + std::to_string(n % 100); });

  FetchRequest request;
  request.group = "g";
  request.source = "stuck";
  request.messages_max = 1;
  const auto first = broker->fetch(request).value();
  REQUIRE(first.deliveries.size() == 1);
  REQUIRE(first.deliveries[0].message.key == "stuck");
  REQUIRE(broker->settle(Settlement::retry(first.deliveries[0].token, "for ever", std::chrono::hours{24})).ok());

  request.messages_max = 100;
  const std::uint64_t memory_before = resident_bytes();
  std::map<std::string, double> seconds;
  std::uint64_t in_memory_max = 0;
  for (const char* topic : {"stuck", "free"}) {
    request.source = topic;
    request.wait = std::chrono::seconds{10};
    const auto begin = steady_clock::now();
    for (std::uint64_t done = 0, round = 0; done < kOthers; ++round) {
      const auto fetched = broker->fetch(request).value();
      REQUIRE_FALSE(fetched.deliveries.empty());
      SettleRequest acks;
      for (const Delivered& d : fetched.deliveries) {
        if (d.message.key == "stuck") FAIL("a message behind the stuck one was handed out");
        acks.settlements.push_back(Settlement::ack(d.token));
      }
      REQUIRE(broker->settle(acks).value().results.empty());
      done += fetched.deliveries.size();
      if (round % 50 == 0) {
        const GroupTopicStats stats = broker->group(topic, "g").value().total();
        in_memory_max = std::max(in_memory_max, stats.blocked - stats.spilled);
      }
    }
    seconds[topic] = std::chrono::duration<double>(steady_clock::now() - begin).count();
  }
  const GroupTopicStats stats = broker->group("stuck", "g").value().total();
  WARN(behind << " messages behind a stuck key: the other keys' " << kOthers << " took " << seconds["stuck"] << " s (with passing over the backlog), "
              << seconds["free"] << " s without it; resident memory " << (resident_bytes() - std::min(memory_before, resident_bytes())) / 1024
              << " KiB more; blocked " << stats.blocked << ", of these on disk " << stats.spilled << ", in memory at most " << in_memory_max);
  CHECK(stats.blocked == behind - 1);
  CHECK(stats.waiting_retries == 1);
  CHECK(stats.depth == behind);
  CHECK(in_memory_max <= 16'384);   // the bound on what is kept in memory of blocked messages, whatever the backlog

  // Once the key gets on, all of it comes, in order.
  REQUIRE(broker->settle(Settlement::ack(first.deliveries[0].token)).code() != ErrorCode::ok);
  request.source = "stuck";
  request.messages_max = 1000;
  REQUIRE(broker->seek_group("stuck", "g", StartPoint::at(Offset{0})).ok());
  for (std::uint64_t next = 0; next < behind;) {
    const auto fetched = broker->fetch(request).value();
    REQUIRE_FALSE(fetched.deliveries.empty());
    SettleRequest acks;
    for (const Delivered& d : fetched.deliveries) {
      if (d.message.key == "stuck" && d.message.offset.value != next++) FAIL("out of order at " << d.message.offset);
      acks.settlements.push_back(Settlement::ack(d.token));
    }
    REQUIRE(broker->settle(acks).value().results.empty());
  }
}
