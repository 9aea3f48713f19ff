// A redrive of many letters at a rate, killed again and again in the middle (S-26).
#include <catch2/catch.hpp>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/crash/process.h"
#include "tests/crash/rounds.h"
#include "tests/model/dice.h"
#include "tests/support/temp_directory.h"
#include "weir/broker.h"

namespace {

using namespace weir;
using namespace weir::crash;

constexpr std::uint32_t kBatch = 10'000;

OpenOptions plain() {
  OpenOptions options;
  options.reserve_bytes = 0;
  return options;
}

std::int64_t wall_ms() { return std::chrono::duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch()).count(); }

/// `wanted` letters that the filter lets through, and a tenth as many that it does not; the group "audit" is through with all messages.
void make_letters(Broker& broker, std::uint64_t wanted) {
  broker.create_topic("t", {.durability = Durability::kProcess}).value();
  GroupOptions options;
  options.in_flight_max = 100'000;
  broker.create_group("t", "g", options).value();
  broker.create_group("t", "audit", options).value();
  const std::uint64_t all = wanted + wanted / 10;
  for (std::uint64_t n = 0; n < all;) {
    std::vector<Message> batch;
    for (; batch.size() < kBatch && n < all; ++n) {
      const bool other = n % 11 == 10;
      batch.push_back({.key = "k" + std::to_string(n), .payload = std::to_string(n), .headers = {{"kind", other ? "other" : "wanted"}}});
    }
    broker.publish_all("t", std::move(batch)).value();
  }
  for (const char* group : {"g", "audit"}) {
    FetchRequest request;
    request.source = "t";
    request.group = group;
    request.messages_max = kBatch;
    request.reports_begun = true;
    for (std::uint64_t done = 0; done < all;) {
      SettleRequest settle;
      const FetchResult fetched = broker.fetch(request).value();
      for (const Delivered& d : fetched.deliveries)
        settle.settlements.push_back(std::string(group) == "g" ? Settlement::reject(d.token, "no") : Settlement::ack(d.token));
      REQUIRE_FALSE(settle.settlements.empty());
      REQUIRE(broker.settle(settle).value().results.empty());
      done += settle.settlements.size();
    }
  }
  REQUIRE(broker.group("t", "g").value().total().dead == all);
}

struct Life {
  std::int64_t begin, end;   // by the wall clock
};

}  // namespace

TEST_CASE("a redrive at a rate, killed in the middle again and again, moves every letter once, at its rate", "[crash][S-26]") {
  const std::uint64_t wanted = rounds_from("WEIR_REDRIVE_LETTERS", 100'000), kills = rounds_from("WEIR_REDRIVE_KILLS", 20), seed = seed_of_run();
  const double rate = std::clamp(static_cast<double>(wanted) / 10, 100.0, 4000.0);
  test::TempDirectory directory;
  const std::string store = directory.file("store"), ledger = directory.file("ledger");
  RedriveRequest request{.topic = "t", .group = "g"};
  request.filter = Filter::exact("kind", "wanted");
  request.rate = rate;
  request.request_id = "the one";
  std::string job;
  {
    auto broker = open(store, plain()).value();
    make_letters(*broker, wanted);
    job = broker->redrive(request).value().job;
    REQUIRE(broker->redrive(request).value().job == job);
    REQUIRE(broker->close().ok());
  }
  model::Dice dice(seed);
  std::vector<Life> lives;
  const double all_ms = static_cast<double>(wanted) / rate * 1000;
  const auto most = static_cast<std::uint64_t>(all_ms / static_cast<double>(kills + 1));
  for (std::uint64_t i = 0; i <= kills; ++i) {
    INFO("seed " << seed << ", life " << i);
    Process child({"redrive", store, ledger});
    const std::int64_t begin = wall_ms();
    REQUIRE(child.read_line() == "open");
    if (i < kills)
      REQUIRE_FALSE(child.ends_within(std::chrono::milliseconds(dice.between(most / 2, most))));
    else
      REQUIRE(child.read_line(std::chrono::minutes{5}) == "done");
    child.kill_hard();
    lives.push_back({begin, wall_ms()});
  }

  auto broker = open(store, plain()).value();
  const JobInfo info = broker->job(job).value();
  CHECK(info.state == "done");
  CHECK(info.total == wanted + wanted / 10);
  CHECK(info.done == wanted);
  CHECK(info.unmatched == wanted / 10);
  CHECK(info.skipped == 0);
  CHECK(info.failed == 0);
  CHECK(broker->redrive(request).value().job == job);

  // The letters: each that was wanted was moved once, by this job; when, is written with it.
  std::vector<std::int64_t> times;
  std::map<std::uint64_t, std::uint64_t> origin_of;   // of redriven letters, by 1 + offset
  ListDeadLettersRequest list{.topic = "t", .group = "g"};
  list.include_resolved = list.with_history = true;
  list.messages_max = kBatch;
  std::uint64_t dead = 0, wrong = 0;
  for (bool end = false; !end;) {
    const auto page = broker->dead_letters(list).value();
    for (const DeadLetter& letter : page.letters) {
      const bool mine = letter.message.headers.find("kind") == "wanted";
      dead += letter.state == LetterState::kDead;
      wrong += letter.state != (mine ? LetterState::kRedriven : LetterState::kDead) || letter.events.size() != (mine ? 1u : 0u);
      if (letter.events.empty()) continue;
      wrong += letter.events[0].job != job;
      times.push_back(letter.events[0].time.time_since_epoch().count());
      origin_of[letter.offset.value + 1] = letter.message.dead_letter->origin_offset.value;
    }
    end = page.end;
    list.from = page.next;
  }
  CHECK(wrong == 0);
  CHECK(dead == wanted / 10);
  CHECK(times.size() == wanted);

  // What the group saw: every letter, none acked twice, and nothing else.
  std::set<std::uint64_t> delivered;
  std::set<std::uint64_t> acked;
  std::uint64_t twice = 0, strange = 0, again = 0;
  std::ifstream lines(ledger);
  char what = 0;
  for (std::uint64_t letter = 0, offset = 0; lines >> what >> letter >> offset;) {
    const auto known = origin_of.find(letter);
    strange += known == origin_of.end() || known->second != offset;
    if (what == 'd') again += !delivered.insert(letter).second;
    if (what == 'a') twice += !acked.insert(letter).second;
  }
  CHECK(strange == 0);
  CHECK(twice == 0);
  CHECK(delivered.size() == wanted);
  CHECK(broker->group("t", "g").value().total().depth == 0);
  const GroupTopicStats audit = broker->group("t", "audit").value().total();
  CHECK(audit.depth == 0);
  CHECK(audit.redriven == 0);

  // The rate, by the moves' own times, without the times between a death and the next life's first move.
  std::sort(times.begin(), times.end());
  std::int64_t span = 0;
  std::uint64_t moved = 0, working_lives = 0;
  for (const Life& life : lives) {
    const auto first = std::lower_bound(times.begin(), times.end(), life.begin), last = std::upper_bound(first, times.end(), life.end);
    if (last - first < 2 || *first == *(last - 1)) continue;
    ++working_lives;
    span += *(last - 1) - *first;
    moved += static_cast<std::uint64_t>(last - std::upper_bound(first, last, *first));
  }
  const double measured = static_cast<double>(moved) * 1000 / static_cast<double>(std::max<std::int64_t>(1, span));
  const double by_job = static_cast<double>(info.done) * 1000 / static_cast<double>(std::max<std::int64_t>(1, info.active.count()));
  WARN(wanted << " letters, " << kills << " kills (" << working_lives << " lives with moves), seed " << seed << ": asked for " << rate << " letters/s, " << measured
              << " by the times of the moves, " << by_job << " by the job's own time; " << again << " deliveries were repeated after a death");
  CHECK(measured > 0.9 * rate);
  CHECK(measured < 1.1 * rate);
  CHECK(by_job > 0.9 * rate);
  CHECK(by_job < 1.1 * rate);
}

TEST_CASE("a redrive to a topic, killed again and again, publishes every letter once", "[crash][S-26]") {
  const std::uint64_t wanted = std::min<std::uint64_t>(rounds_from("WEIR_REDRIVE_LETTERS", 100'000), 4000), kills = rounds_from("WEIR_REDRIVE_KILLS", 20), seed = seed_of_run();
  test::TempDirectory directory;
  const std::string store = directory.file("store");
  std::string job;
  {
    auto broker = open(store, plain()).value();
    make_letters(*broker, wanted);
    broker->create_topic("mended").value();   // at `power`: each chunk is synced
    RedriveRequest request{.topic = "t", .group = "g"};
    request.filter = Filter::exact("kind", "wanted");
    request.to_topic = "mended";
    request.rate = 1000;
    job = broker->redrive(request).value().job;
    REQUIRE(broker->close().ok());
  }
  model::Dice dice(seed);
  for (std::uint64_t i = 0; i < kills; ++i) {
    INFO("seed " << seed << ", life " << i);
    Process child({"hold", store});
    REQUIRE(child.read_line() == "open");
    REQUIRE_FALSE(child.ends_within(std::chrono::milliseconds(dice.between(1, wanted / kills))));
    child.kill_hard();
  }
  auto broker = open(store, plain()).value();
  const auto until = std::chrono::steady_clock::now() + std::chrono::minutes{2};
  while (broker->job(job).value().state == "running" && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  CHECK(broker->job(job).value().state == "done");
  CHECK(broker->job(job).value().done == wanted);
  REQUIRE(broker->publish("mended", Message{.payload = "last"}).ok());   // what stands before it is seen, too
  std::map<std::string, int> from;
  BrowseRequest browse{.topic = "mended"};
  browse.messages_max = kBatch;
  for (const StoredMessage& message : std::vector(broker->browse(browse).value().messages)) ++from[std::string(message.headers.find("weir-dead-letter").value_or(""))];
  CHECK(from.size() == wanted + 1);
  CHECK(std::all_of(from.begin(), from.end(), [](const auto& each) { return each.second == 1; }));
  CHECK(broker->group("t", "g").value().total().dead == wanted / 10);
  CHECK(broker->group("t", "g").value().total().depth == 0);
}
