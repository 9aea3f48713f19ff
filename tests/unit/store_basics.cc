// The store: what is written is there, also after opening again; the index finds batches; scratch is empty at open.
#include <catch2/catch.hpp>

#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "broker/base/prng.h"
#include "broker/store/store.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/store_batches.h"

namespace weir::store {
namespace {

using test::batch_of;

std::unique_ptr<Store> open(const test::TempDirectory& directory) {
  auto opened = Store::open(directory.file("store"), {});
  INFO(opened.status());
  REQUIRE(opened.ok());
  return std::move(*opened);
}

std::vector<std::string> keys_of(const Store& store, std::string_view prefix, std::string_view from = {}) {
  std::vector<std::string> keys;
  REQUIRE(store.scan(prefix, from, [&](std::string_view key, std::string_view) {
    keys.emplace_back(key);
    return true;
  }).ok());
  return keys;
}

TEST_CASE("records are there after opening again", "[store][S-4]") {
  test::TempDirectory directory;
  {
    const auto store = open(directory);
    WriteSet set;
    CHECK(set.empty());
    set.put("a", "1");
    set.put("b", "2");
    set.put("c", std::string("\0\xff", 2));
    CHECK_FALSE(set.empty());
    CHECK(set.bytes() >= 7);
    REQUIRE(store->write(set).ok());
    set.clear();
    CHECK(set.empty());
    set.erase("b");
    REQUIRE(store->write(set).ok());
  }
  const auto store = open(directory);
  CHECK(*store->get("a") == "1");
  CHECK(*store->get("b") == std::nullopt);
  CHECK(*store->get("c") == std::string("\0\xff", 2));
  CHECK(keys_of(*store, "") == std::vector<std::string>{"a", "c"});
}

TEST_CASE("a write set is written in its order and as a whole", "[store][S-9]") {
  test::TempDirectory directory;
  const auto store = open(directory);
  WriteSet set;
  set.put("p1", "x");
  set.put("p2", "x");
  set.put("q", "x");
  set.erase_prefix("p");
  set.put("p3", "x");
  REQUIRE(store->write(set).ok());
  CHECK(keys_of(*store, "") == std::vector<std::string>{"p3", "q"});
}

TEST_CASE("a scan is bounded by its prefix and stops when told", "[store]") {
  test::TempDirectory directory;
  const auto store = open(directory);
  WriteSet set;
  for (const char* key : {"a", "b", "b1", "b2", "b\xff", "b\xff\xff", "c"}) set.put(key, key);
  REQUIRE(store->write(set).ok());
  CHECK(keys_of(*store, "b") == std::vector<std::string>{"b", "b1", "b2", "b\xff", "b\xff\xff"});
  CHECK(keys_of(*store, "b", "b11") == std::vector<std::string>{"b2", "b\xff", "b\xff\xff"});
  CHECK(keys_of(*store, "\xff").empty());
  int seen = 0;
  REQUIRE(store->scan("b", {}, [&](std::string_view, std::string_view) { return ++seen < 2; }).ok());
  CHECK(seen == 2);
}

TEST_CASE("the index finds the batch that holds an offset, or the first one behind it", "[store][S-11]") {
  test::TempDirectory directory;
  const auto store = open(directory);
  const TopicId topic{7};
  CHECK(*store->find(topic, Offset{0}) == std::nullopt);
  CHECK(*store->last(topic) == std::nullopt);
  WriteSet set;
  for (const TopicId other : {TopicId{6}, TopicId{8}}) put(set, other, batch_of(Offset{0}, 500, {other.value, 9}));
  // Offsets 10 to 14, 15 to 19, and after a hole 30 to 34.
  for (const std::uint64_t first : {10, 15, 30}) put(set, topic, batch_of(Offset{first}, 5, {first, 0}));
  REQUIRE(store->write(set).ok());
  const auto first_of = [&](std::uint64_t offset) { return (*store->find(topic, Offset{offset})).value().first.value; };
  CHECK(first_of(0) == 10);
  CHECK(first_of(10) == 10);
  CHECK(first_of(14) == 10);
  CHECK(first_of(15) == 15);
  CHECK(first_of(20) == 30);
  CHECK(first_of(34) == 30);
  CHECK(*store->find(topic, Offset{35}) == std::nullopt);
  CHECK((*store->last(topic))->first == Offset{30});
  std::vector<std::uint64_t> firsts;
  REQUIRE(store->scan_index(topic, Offset{17}, [&](const format::IndexEntry& entry) {
    firsts.push_back(entry.first.value);
    return true;
  }).ok());
  CHECK(firsts == std::vector<std::uint64_t>{15, 30});
}

TEST_CASE("batches come back after opening again, until they are erased", "[store][S-4]") {
  test::TempDirectory directory;
  const TopicId topic{1};
  const auto one = batch_of(Offset{0}, 3, {1, 0}), two = batch_of(Offset{3}, 2, {2, 5});
  {
    const auto store = open(directory);
    WriteSet set;
    put(set, topic, one);
    put(set, topic, two);
    REQUIRE(store->write(set).ok());
    REQUIRE(store->sync().ok());
  }
  const auto store = open(directory);
  const auto read = store->read(topic, *(*store->find(topic, Offset{4})));
  REQUIRE(read.ok());
  CHECK((*read)->first() == Offset{3});
  CHECK((*read)->record(1).payload == "payload 4");
  CHECK(*store->first_live_commit(0) == 1u);
  WriteSet set;
  set.erase_batch(topic, one.entry);
  REQUIRE(store->write(set).ok());
  CHECK((*store->find(topic, Offset{0}))->first == Offset{3});
  CHECK(*store->first_live_commit(0) == 2u);
  CHECK(store->read(topic, one.entry).code() == ErrorCode::not_found);   // the index entry that a reader still held
  CHECK(store->verify().value().problems.empty());
  CHECK(*store->first_live_commit(3) == std::nullopt);
}

TEST_CASE("a batch that disagrees with its index entry is corruption", "[store][S-32]") {
  test::TempDirectory directory;
  const auto store = open(directory);
  const auto good = batch_of(Offset{10}, 3, {1, 0});
  WriteSet set;
  put(set, TopicId{1}, good);
  REQUIRE(store->write(set).ok());
  CHECK(store->read(TopicId{1}, good.entry).ok());
  const auto check = [&](auto change, const std::string& text) {
    format::IndexEntry entry = good.entry;
    change(entry);
    const auto read = store->read(TopicId{1}, entry);
    CHECK(read.code() == ErrorCode::corruption);
    INFO(read.status());
    CHECK(read.status().message().find(text) != std::string::npos);
  };
  check([](auto& entry) { entry.first = Offset{11}; }, "offsets 11 to 14");
  check([](auto& entry) { entry.count = 2; }, "offsets 10 to 12");
  check([](auto& entry) { entry.time += Duration{1}; }, "topic 1");
  check([](auto& entry) { ++entry.bytes; }, "bytes");
  // The log has none at that place, and the index does not say so any more.
  format::IndexEntry gone = good.entry;
  ++gone.position.sub;
  const auto read = store->read(TopicId{1}, gone);
  CHECK(read.code() == ErrorCode::not_found);
  CHECK(read.status().message().find("commit 1.1") != std::string::npos);
}

TEST_CASE("many batches of many topics stay apart", "[store][S-3]") {
  test::TempDirectory directory;
  base::Prng random(3);
  std::vector<std::uint64_t> next(20, 0);
  {
    const auto store = open(directory);
    for (std::uint64_t commit = 1; commit <= 400; ++commit) {
      WriteSet set;
      for (std::uint32_t sub = 0; sub < 3; ++sub) {
        const std::size_t topic = random.next() % next.size();
        const auto batch = batch_of(Offset{next[topic]}, 1 + static_cast<std::uint32_t>(random.next() % 5), {commit, sub});
        next[topic] += batch.entry.count;
        put(set, TopicId{topic}, batch);
      }
      REQUIRE(store->write(set).ok());
    }
  }
  const auto store = open(directory);
  for (std::size_t topic = 0; topic < next.size(); ++topic) {
    std::uint64_t expected = 0;
    REQUIRE(store->scan_index(TopicId{topic}, Offset{0}, [&](const format::IndexEntry& entry) {
      const auto batch = store->read(TopicId{topic}, entry);
      if (!batch.ok() || entry.first != Offset{expected}) return false;
      for (std::uint32_t i = 0; i < (*batch)->count(); ++i)
        if ((*batch)->record(i).payload != "payload " + std::to_string(expected++)) return false;
      return true;
    }).ok());
    CHECK(expected == next[topic]);
  }
  CHECK(store->verify().value().problems.empty());
}

TEST_CASE("scratch keeps its order, and nothing of it is left at the next open", "[store]") {
  test::TempDirectory directory;
  {
    const auto store = open(directory);
    for (const char* key : {"q2", "q1", "r1", "q3"}) REQUIRE(store->scratch_put(key, key).ok());
    CHECK((*store->scratch_first("q"))->first == "q1");
    REQUIRE(store->scratch_erase("q1").ok());
    CHECK((*store->scratch_first("q"))->second == "q2");
    REQUIRE(store->scratch_erase_prefix("q").ok());
    CHECK(*store->scratch_first("q") == std::nullopt);
    CHECK((*store->scratch_first("r"))->first == "r1");
    // More than its memtable holds, so that some of it lies in table files.
    const std::string value(1 << 20, 'v');
    for (int i = 0; i < 40; ++i) REQUIRE(store->scratch_put("s" + std::to_string(i), value).ok());
  }
  {
    const auto store = open(directory);
    CHECK(*store->scratch_first("") == std::nullopt);
    REQUIRE(store->scratch_put("t", "t").ok());
  }
  CHECK(*open(directory)->scratch_first("") == std::nullopt);
}

TEST_CASE("a queue in scratch is emptied in its order", "[store][S-13]") {
  test::TempDirectory directory;
  const auto store = open(directory);
  std::string key = "k";
  for (std::uint64_t i = 0; i < 3000; ++i) {
    std::string at = key;
    format::append_u64(at, i);
    REQUIRE(store->scratch_put(at, std::to_string(i)).ok());
  }
  for (std::uint64_t i = 0; i < 3000; ++i) {
    const auto first = store->scratch_first(key);
    REQUIRE((*first)->second == std::to_string(i));
    REQUIRE(store->scratch_erase((*first)->first).ok());
  }
  CHECK(*store->scratch_first(key) == std::nullopt);
}

TEST_CASE("a queue in scratch is found to begin where it does, whatever is put and erased", "[store][S-13]") {
  test::TempDirectory directory;
  const auto store = open(directory);
  base::Prng random(41);
  std::set<std::string> model;
  for (int step = 0; step < 20'000; ++step) {
    const std::string prefix(1, static_cast<char>('a' + random.next() % 20));   // more than are remembered
    const std::string key = prefix + static_cast<char>('a' + random.next() % 26);
    switch (random.next() % 8) {
      case 0:
      case 1:
        REQUIRE(store->scratch_put(key, "v").ok());
        model.insert(key);
        break;
      case 2:
        REQUIRE(store->scratch_erase(key).ok());
        model.erase(key);
        break;
      case 3:
        if (random.next() % 50 > 0) break;
        REQUIRE(store->scratch_erase_prefix(prefix).ok());
        std::erase_if(model, [&](const std::string& other) { return other.starts_with(prefix); });
        break;
      default: {
        const auto first = store->scratch_first(prefix);
        const auto expected = model.lower_bound(prefix);
        const bool any = expected != model.end() && expected->starts_with(prefix);
        REQUIRE(first->has_value() == any);
        if (!any) break;
        REQUIRE((*first)->first == *expected);
        REQUIRE(store->scratch_erase(*expected).ok());
        model.erase(expected);
      }
    }
  }
}

TEST_CASE("a store that is missing and not to be created is not found", "[store]") {
  test::TempDirectory directory;
  StoreOptions options;
  options.create_if_missing = false;
  CHECK(Store::open(directory.file("store"), options).code() == ErrorCode::not_found);
  { const auto store = open(directory); }
  CHECK(Store::open(directory.file("store"), options).ok());
}

TEST_CASE("a store is opened once at a time", "[store][S-34]") {
  test::TempDirectory directory;
  const auto store = open(directory);
  CHECK(Store::open(directory.file("store"), {}).code() == ErrorCode::already_open);
}

TEST_CASE("figures of the store grow with it", "[store]") {
  test::TempDirectory directory;
  const auto store = open(directory);
  const StoreStatistics before = store->statistics();
  WriteSet set;
  set.put("k", std::string(1 << 20, 'v'));
  REQUIRE(store->write(set).ok());
  const StoreStatistics after = store->statistics();
  CHECK(after.disk_bytes >= before.disk_bytes + (1 << 20));
  CHECK(after.memory_bytes >= before.memory_bytes + (1 << 20));
  CHECK(after.wal_bytes_written >= before.wal_bytes_written + (1 << 20));
  CHECK(*store->disk_free_bytes() > 0);
}

TEST_CASE("RocksDB's warnings reach the log sink", "[store]") {
  test::TempDirectory directory;
  StoreOptions options;
  std::vector<std::string> lines;
  options.log = [&](LogLevel level, std::string_view line) {
    if (level >= LogLevel::kWarning) lines.emplace_back(line);
  };
  REQUIRE(Store::open(directory.file("store"), options).ok());
  std::ofstream(directory.file("store") + "/db/CURRENT") << "MANIFEST-000099\n";
  CHECK_FALSE(Store::open(directory.file("store"), options).ok());
  for (const std::string& line : lines) CHECK(line.starts_with("rocksdb: "));
}

}  // namespace
}  // namespace weir::store
