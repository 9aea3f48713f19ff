// Transactions of several threads at random: there is an order in which they could have happened one after another (S-28).
#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/model/dice.h"
#include "tests/support/temp_directory.h"
#include "weir/broker.h"

namespace {

using namespace weir;
using weir::model::Dice;

using State = std::map<std::string, std::string>;

/// What a transaction saw and did.
struct Record {
  std::uint64_t version = 0;
  std::map<std::string, std::optional<std::string>> reads;
  std::vector<std::pair<StateRange, std::vector<StatePut>>> scans;
  std::map<std::string, std::optional<std::string>> writes;   ///< nothing: erased
};

constexpr int kThreads = 4, kKeys = 12;

std::string key_of(std::uint64_t n) { return "k/" + std::to_string(10 + n); }

/// Whether `record` could happen on `state`.
bool fits(const Record& record, const State& state) {
  for (const auto& [key, value] : record.reads) {
    const auto at = state.find(key);
    if (value != (at == state.end() ? std::nullopt : std::optional(at->second))) return false;
  }
  for (const auto& [range, entries] : record.scans) {
    auto at = state.lower_bound(range.begin);
    for (const StatePut& entry : entries) {
      if (at == state.end() || at->first != entry.key || at->second != entry.value) return false;
      ++at;
    }
    if (at != state.end() && at->first < range.end) return false;
  }
  return true;
}

/// All of one commit in some order; false: there is none. Whatever order fits leads to the same state, since each key that is written was read.
bool apply(std::vector<const Record*> group, State& state) {
  std::sort(group.begin(), group.end());
  do {
    State next = state;
    bool all = true;
    for (const Record* record : group) {
      all = all && fits(*record, next);
      for (const auto& [key, value] : record->writes)
        if (value)
          next[key] = *value;
        else
          next.erase(key);
    }
    if (!all) continue;
    state = std::move(next);
    return true;
  } while (std::next_permutation(group.begin(), group.end()));
  return false;
}

class Run {
 public:
  Run(Broker& broker, std::uint64_t seed, int transactions) : broker_(broker), seed_(seed), transactions_(transactions) {}

  std::string problem;
  std::uint64_t conflicts = 0, phantoms = 0;   ///< phantoms: conflicts of those that only scanned
  std::vector<Record> committed;

  void go() {
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) threads.emplace_back([this, i] { work(i); });
    for (std::thread& each : threads) each.join();
  }

 private:
  void work(int thread) {
    Dice dice(seed_ * 100 + static_cast<std::uint64_t>(thread));
    for (int n = 0; n < transactions_; ++n) one(dice, "t" + std::to_string(thread) + "." + std::to_string(n));
  }

  void one(Dice& dice, const std::string& name) {
    Record record;
    const bool scans_only = dice.percent(30);
    Transaction tx = broker_.begin_transaction({.durability = durability_});
    Status status = scans_only ? by_scan(dice, tx, record, name) : by_keys(dice, tx, record, name);
    if (dice.percent(20)) std::this_thread::yield();
    if (status.ok()) {
      const Result<CommitResult> answer = tx.commit();
      status = answer.status();
      if (answer.ok()) record.version = answer->version;
    }
    const std::lock_guard lock(mutex_);
    if (status.ok())
      committed.push_back(std::move(record));
    else if (status == ErrorCode::conflict)
      ++conflicts, phantoms += scans_only;
    else
      problem = name + ": " + status.to_string();
  }

  static Status read(Transaction& tx, Record& record, const std::string& key) {
    if (record.reads.contains(key)) return {};
    const auto value = tx.get(key);
    if (value.ok()) record.reads[key] = *value;
    return value.status();
  }

  static void write(Dice& dice, Transaction& tx, Record& record, const std::string& key, const std::string& value) {
    if (record.writes.contains(key)) return;
    if (dice.percent(30))
      tx.erase(key), record.writes[key] = std::nullopt;
    else
      tx.put(key, value), record.writes[key] = value;
  }

  static Status by_keys(Dice& dice, Transaction& tx, Record& record, const std::string& name) {
    std::vector<std::string> keys;
    for (std::uint64_t i = dice.between(1, 4); i > 0; --i) {
      keys.push_back(key_of(dice.below(kKeys)));
      if (Status status = read(tx, record, keys.back()); !status.ok()) return status;
    }
    for (const std::string& key : keys)
      if (dice.percent(50)) write(dice, tx, record, key, name);
    return {};
  }

  /// What is written depends on a range alone: a key in it that was not there, or one that was.
  static Status by_scan(Dice& dice, Transaction& tx, Record& record, const std::string& name) {
    const std::uint64_t from = dice.below(kKeys);
    const StateRange range{key_of(from), key_of(from + dice.between(1, 6))};
    const auto entries = tx.scan(range);
    if (!entries.ok()) return entries.status();
    record.scans.emplace_back(range, *entries);
    std::vector<std::string> inside;
    for (std::uint64_t n = 0; n < kKeys; ++n)
      if (key_of(n) >= range.begin && key_of(n) < range.end) inside.push_back(key_of(n));
    if (!inside.empty()) write(dice, tx, record, dice.pick(inside), name);
    return {};
  }

  Broker& broker_;
  const std::uint64_t seed_;
  const int transactions_;
  const std::optional<Durability> durability_ = broker_.status().value().location == "memory:" ? std::nullopt : std::optional(Durability::kProcess);
  std::mutex mutex_;   // guards what is public
};

void check(Broker& broker, std::uint64_t seed) {
  const char* text = std::getenv("WEIR_MODEL_OPERATIONS");
  Run run(broker, seed, text ? std::atoi(text) / 2 : 1500);
  INFO("seed " << seed);
  run.go();
  REQUIRE(run.problem == "");
  std::map<std::uint64_t, std::vector<const Record*>> commits;
  for (const Record& record : run.committed) commits[record.version].push_back(&record);
  State state;
  for (const auto& [version, group] : commits) {
    INFO("version " << version << " of " << group.size() << " transactions");
    REQUIRE(group.size() <= kThreads);
    REQUIRE(apply(group, state));
  }
  // Those that were refused have left nothing.
  State actual;
  const ReadStateResult left = broker.scan_state({}).value();
  for (const StatePut& entry : left.entries) actual.emplace(entry.key, entry.value);
  CHECK(actual == state);
  CHECK(run.committed.size() > 100);
  CHECK(run.conflicts > 0);
  CHECK(run.phantoms > 0);
}

std::vector<std::uint64_t> seeds() {
  if (const char* one = std::getenv("WEIR_SEED")) return {std::strtoull(one, nullptr, 10)};
  return {1, 2, 3, std::random_device{}()};
}

}  // namespace

TEST_CASE("transactions at random, scans included, are serializable", "[model][S-28]") {
  for (const std::uint64_t seed : seeds()) {
    test::TempDirectory directory;
    const auto broker = weir::open(directory.file("store")).value();
    check(*broker, seed);
  }
}

TEST_CASE("transactions at random without a disk are serializable", "[model][S-28]") {
  for (const std::uint64_t seed : seeds()) {
    const auto broker = weir::open("memory:").value();
    check(*broker, seed);
  }
}
