// Consume, change state, publish, under kill -9: each input has its effect exactly once (S-28, S-29).
#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <sys/wait.h>

#include "tests/crash/bank.h"
#include "tests/crash/process.h"
#include "tests/crash/rounds.h"
#include "tests/model/dice.h"
#include "tests/support/temp_directory.h"
#include "weir/broker.h"

namespace {

using namespace weir;
using namespace weir::crash;

std::vector<std::string> all_of(Broker& broker, const char* topic) {
  std::vector<std::string> out;
  BrowseRequest browse;
  browse.topic = topic;
  browse.messages_max = 10'000;
  while (true) {
    const BrowseResult page = broker.browse(browse).value();
    for (const StoredMessage& message : page.messages) out.push_back(message.payload.str());
    if (page.end) return out;
    browse.from = StartPoint::at(page.next);
  }
}

std::map<std::string, std::string> state_of(Broker& broker, const char* prefix) {
  std::map<std::string, std::string> out;
  ReadStateRequest request;
  request.range = StateRange::prefix(prefix);
  request.entries_max = 10'000;
  while (true) {
    const ReadStateResult page = broker.read_state(request).value();
    for (const StatePut& entry : page.entries) out.emplace(entry.key, entry.value);
    if (page.end) return out;
    request.range->begin = page.entries.back().key + '\0';
  }
}

/// What is wrong with the bank's books; empty: nothing. Sets how many transfers are applied.
std::string audit(const std::string& store, bool all_applied, std::uint64_t& applied) {
  OpenOptions options;
  options.reserve_bytes = 0;
  const auto opened = open(store, options);
  if (!opened.ok()) return "open: " + opened.status().to_string();
  Broker& broker = **opened;
  if (broker.group(bank::kTransfers, bank::kGroup).code() == ErrorCode::topic_not_found) return {};   // killed before it was set up
  const std::map<std::string, std::string> marks = state_of(broker, bank::kAppliedPrefix);
  applied = marks.size();
  std::map<std::string, std::int64_t> expected;
  for (int i = 0; i < bank::kAccounts; ++i) expected[bank::account(i)] = bank::kOpening;
  std::set<std::string> known;
  for (const std::string& text : all_of(broker, bank::kTransfers)) {
    const bank::Transfer transfer = bank::Transfer::parse(text);
    const std::string mark = bank::applied(transfer.id);
    if (!known.insert(mark).second) return "transfer " + text + " is there twice";
    const auto at = marks.find(mark);
    if (at == marks.end()) {
      if (all_applied) return "transfer " + text + " was not applied";
      continue;
    }
    if (at->second != "once") return "transfer " + text + " was applied " + at->second;
    expected[bank::account(transfer.from)] -= transfer.amount;
    expected[bank::account(transfer.to)] += transfer.amount;
  }
  for (const auto& [mark, how] : marks)
    if (!known.contains(mark)) return mark + " is of no transfer";
  std::set<std::string> results;
  for (const std::string& id : all_of(broker, bank::kResults))
    if (!results.insert(bank::kAppliedPrefix + id).second) return "the result of " + id + " is there twice";
  for (const auto& [mark, how] : marks)
    if (!results.contains(mark)) return "the result of " + mark + " is missing";
  if (results.size() != marks.size()) return std::to_string(results.size()) + " results of " + std::to_string(marks.size()) + " transfers";
  std::int64_t sum = 0;
  const std::map<std::string, std::string> accounts = state_of(broker, bank::kAccountPrefix);
  for (const auto& [name, balance] : accounts) {
    sum += std::stoll(balance);
    if (std::stoll(balance) != expected[name]) return name + " has " + balance + " instead of " + std::to_string(expected[name]);
  }
  if (!accounts.empty() && sum != bank::kAccounts * bank::kOpening) return "all accounts together have " + std::to_string(sum);
  // Settled is what was applied, and nothing else.
  const GroupTopicStats stats = broker.group(bank::kTransfers, bank::kGroup).value().total();
  if (known.size() - stats.depth != marks.size()) return std::to_string(known.size() - stats.depth) + " transfers are settled, " + std::to_string(marks.size()) + " applied";
  if (stats.dead != 0) return std::to_string(stats.dead) + " dead letters";
  return {};
}

}  // namespace

TEST_CASE("a bank under kill -9: the sum stays, each transfer is applied once, each result is there once", "[crash][S-28][S-29]") {
  const std::uint64_t rounds = rounds_from("WEIR_BANK_ROUNDS", 200), seed = seed_of_run();
  constexpr std::uint64_t kGeneration = 20;
  std::uint64_t transfers = 0;
  for (std::uint64_t done = 0; done < rounds; done += kGeneration) {
    test::TempDirectory directory;
    const std::string store = directory.file("store");
    model::Dice dice(seed + done);
    std::uint64_t applied = 0;
    for (std::uint64_t round = done; round < std::min(rounds, done + kGeneration); ++round) {
      INFO("seed " << seed << ", round " << round);
      {
        Process child({"bank", store, std::to_string(seed % 1'000'000 + round), "go-on"});
        const bool early = round > done && dice.percent(10);   // while it opens
        if (!early) REQUIRE(child.read_line() == "open");
        REQUIRE_FALSE(child.ends_within(std::chrono::milliseconds(early ? dice.between(1, 40) : dice.between(10, 150))));
        child.kill_hard();
      }
      REQUIRE(audit(store, false, applied) == "");
      std::ifstream bad(store + ".bad");
      REQUIRE(std::string(std::istreambuf_iterator<char>(bad), {}) == "");
    }
    // The rest is worked off in peace.
    Process child({"bank", store, "0", "finish"});
    REQUIRE(child.read_line() == "open");
    child.close_input();
    const int status = child.wait();
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    REQUIRE(audit(store, true, applied) == "");
    transfers += applied;
  }
  WARN(rounds << " deaths, seed " << seed << ": " << transfers << " transfers applied");
  CHECK(transfers > rounds);
}
