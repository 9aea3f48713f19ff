// The store when the disk fails, is full, loses power or lies.
#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "broker/base/prng.h"
#include "broker/store/store.h"
#include "tests/support/eventually.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/store_batches.h"

namespace weir::store {
namespace {

namespace fs = std::filesystem;
using test::FaultFileSystem;

std::unique_ptr<Store> open(const test::TempDirectory& directory, std::shared_ptr<FaultFileSystem> files = nullptr, std::uint64_t memtable = 64u << 20) {
  StoreOptions options;
  options.file_system = std::move(files);
  options.memtable_bytes = memtable;
  auto opened = Store::open(directory.file("store"), options);
  INFO(opened.status());
  REQUIRE(opened.ok());
  return std::move(*opened);
}

Status put(Store& store, const std::string& key, const std::string& value = "v") {
  WriteSet set;
  set.put(key, value);
  return store.write(set);
}

bool has(const Store& store, const std::string& key) { return store.get(key).value().has_value(); }

TEST_CASE("after a failed write all writes answer stopped, and reads go on", "[store][S-32]") {
  for (const auto passed : {FaultFileSystem::Passed::kNothing, FaultFileSystem::Passed::kHalf, FaultFileSystem::Passed::kWhole}) {
    test::TempDirectory directory;
    auto files = std::make_shared<FaultFileSystem>();
    {
      const auto store = open(directory, files);
      REQUIRE(put(*store, "before").ok());
      files->fail_wal_operation(1, FaultFileSystem::Error::kInputOutput, passed);
      const Status status = put(*store, "failed", std::string(100, 'x'));
      CHECK(files->failed());
      CHECK(status == ErrorCode::stopped);
      CHECK(status.message().find("injected") != std::string::npos);
      CHECK(put(*store, "after") == ErrorCode::stopped);
      CHECK(store->sync() == ErrorCode::stopped);
      CHECK(store->resume() == ErrorCode::stopped);
      CHECK(has(*store, "before"));
      CHECK_FALSE(has(*store, "after"));
    }
    const auto store = open(directory);
    CHECK(has(*store, "before"));
    CHECK_FALSE(has(*store, "after"));
    CHECK(put(*store, "again").ok());
  }
}

TEST_CASE("after a failed sync all writes answer stopped", "[store][S-32]") {
  for (const auto error : {FaultFileSystem::Error::kInputOutput, FaultFileSystem::Error::kNoSpace}) {
    test::TempDirectory directory;
    auto files = std::make_shared<FaultFileSystem>();
    const auto store = open(directory, files);
    REQUIRE(put(*store, "before").ok());
    files->fail_wal_operation(1, error);
    CHECK(store->sync() == ErrorCode::stopped);
    CHECK(put(*store, "after") == ErrorCode::stopped);
    CHECK(has(*store, "before"));
  }
}

TEST_CASE("whichever operation on the log fails, what was answered OK is there", "[store][S-5][S-32]") {
  for (const auto passed : {FaultFileSystem::Passed::kNothing, FaultFileSystem::Passed::kHalf, FaultFileSystem::Passed::kWhole}) {
    bool failed = true;
    for (std::uint64_t n = 1; failed; ++n) {
      INFO("operation " << n);
      test::TempDirectory directory;
      auto files = std::make_shared<FaultFileSystem>();
      files->fail_wal_operation(n, FaultFileSystem::Error::kInputOutput, passed);
      std::vector<std::string> written;
      StoreOptions options;
      options.file_system = files;
      {
        auto opened = Store::open(directory.file("store"), options);
        for (int i = 0; opened.ok() && i < 8; ++i) {
          const std::string key = "k" + std::to_string(i);
          if (put(**opened, key, std::string(50, 'x')).ok()) written.push_back(key);
          if (!(*opened)->sync().ok()) break;
        }
      }
      failed = files->failed();
      const auto store = open(directory);
      for (const std::string& key : written) CHECK(has(*store, key));
    }
  }
}

TEST_CASE("a full disk is storage_full, and the same write set is written when there is room", "[store][S-32]") {
  for (const bool whole_disk : {true, false}) {
    test::TempDirectory directory;
    auto files = std::make_shared<FaultFileSystem>();
    {
      const auto store = open(directory, files);
      REQUIRE(put(*store, "before").ok());
      if (whole_disk) {
        files->set_no_space(true);
        files->set_free_space(0);   // RocksDB waits for room by this figure before it tries again
      } else {
        files->fail_wal_operation(1, FaultFileSystem::Error::kNoSpace, FaultFileSystem::Passed::kHalf);
      }
      WriteSet set;
      set.put("during", std::string(1000, 'x'));
      CHECK(store->write(set) == ErrorCode::storage_full);
      CHECK(has(*store, "before"));
      if (whole_disk) CHECK(store->write(set) == ErrorCode::storage_full);
      files->set_no_space(false);
      files->set_free_space(std::nullopt);
      Status resumed, status;
      test::eventually([&] {
        resumed = store->resume();
        status = store->write(set);
        return status.ok();
      });
      INFO("resuming: " << resumed << "; writing: " << status);
      REQUIRE(status.ok());
      REQUIRE(put(*store, "after").ok());
      REQUIRE(store->sync().ok());
    }
    const auto store = open(directory);
    for (const char* key : {"before", "during", "after"}) CHECK(has(*store, key));
  }
}

TEST_CASE("whichever operation on the log fails while flushes and syncs meet, it is an answer, and what was synced is there", "[store][S-5][S-32]") {
  for (const auto error : {FaultFileSystem::Error::kInputOutput, FaultFileSystem::Error::kNoSpace}) {
    bool failed = true;
    for (std::uint64_t n = 1; failed; n += 11) {
      INFO("operation " << n);
      test::TempDirectory directory;
      auto files = std::make_shared<FaultFileSystem>();
      std::uint64_t synced = 0;
      {
        const auto store = open(directory, files, 64u << 10);   // small: flushes, each of which syncs the log before, come often
        files->fail_wal_operation(n, error, FaultFileSystem::Passed::kHalf);
        std::atomic<std::uint64_t> written{0};
        std::atomic<bool> done{false};
        std::thread syncer([&] {
          for (bool going = true; going && !done;) {
            const std::uint64_t before = written;
            going = store->sync().ok();
            if (going) synced = before;
          }
        });
        for (int i = 0; i < 60; ++i) {
          Status status = put(*store, std::to_string(i), std::string(8000, 'x'));
          if (status == ErrorCode::storage_full)
            test::eventually([&] {
              (void)store->resume();
              return (status = put(*store, std::to_string(i), std::string(8000, 'x'))) != ErrorCode::storage_full;
            });
          if (!status.ok()) break;
          ++written;
        }
        done = true;
        syncer.join();
        failed = files->failed();
        files->cut_power();
      }
      files->drop_unsynced();
      const auto store = open(directory);
      for (std::uint64_t i = 0; i < synced; ++i) REQUIRE(has(*store, std::to_string(i)));
    }
  }
}

TEST_CASE("a sync that failed once is never taken back", "[store][S-5][S-32]") {
  test::TempDirectory directory;
  auto files = std::make_shared<FaultFileSystem>();
  const auto store = open(directory, files);
  REQUIRE(put(*store, "before").ok());
  files->fail_wal_operation(1, FaultFileSystem::Error::kNoSpace);
  CHECK(store->sync() == ErrorCode::stopped);
  CHECK(store->sync() == ErrorCode::stopped);
  CHECK(store->resume() == ErrorCode::stopped);
}

TEST_CASE("no room for the very first bytes of a log file: writes stop, and go on at the next open", "[store][S-32]") {
  test::TempDirectory directory;
  auto files = std::make_shared<FaultFileSystem>();
  {
    const auto store = open(directory, files);
    files->set_no_space(true);
    files->set_free_space(0);
    CHECK(put(*store, "first") == ErrorCode::storage_full);
    CHECK(put(*store, "second") == ErrorCode::storage_full);
    CHECK(store->resume() == ErrorCode::storage_full);
    files->set_no_space(false);
    files->set_free_space(std::nullopt);
    Status status;
    test::eventually([&] {
      (void)store->resume();
      return (status = put(*store, "third")) != ErrorCode::storage_full;
    });
    // RocksDB has nothing to flush, and so stays with the file that failed.
    CHECK(status == ErrorCode::stopped);
    CHECK(status.message().find("log file") != std::string::npos);
  }
  const auto store = open(directory);
  CHECK_FALSE(has(*store, "first"));
  CHECK(put(*store, "fourth").ok());
}

TEST_CASE("a power loss takes only what was not synced, from the end", "[store][S-4]") {
  test::TempDirectory directory;
  base::Prng random(17);
  std::uint64_t synced = 0, lost = 0, written = 0;   // keys before these are there, by promise
  for (int round = 0; round < 40; ++round) {
    INFO("round " << round);
    auto files = std::make_shared<FaultFileSystem>();
    {
      const auto store = open(directory, files, 64u << 10);   // small: logs and tables change often
      // Whatever is there is a beginning of what was written, and all that was synced.
      std::uint64_t there = 0;
      while (has(*store, std::to_string(there))) ++there;
      CHECK(there >= synced);
      CHECK(there <= written);
      CHECK_FALSE(has(*store, std::to_string(there + 1)));
      lost += written - there;
      written = there;
      synced = 0;   // what was there was not necessarily on the device; the next power loss may take it
      for (std::uint64_t i = random.next() % 60; i > 0; --i) {
        REQUIRE(put(*store, std::to_string(written), std::string(random.next() % 3000, 'x')).ok());
        ++written;
        if (random.next() % 4 == 0) {
          REQUIRE(store->sync().ok());
          synced = written;
        }
      }
      files->cut_power();
    }
    // Sometimes a part of the unsynced end got to the device all the same.
    if (round % 2 == 0)
      files->drop_unsynced();
    else
      files->drop_unsynced([&](std::uint64_t unsynced) { return random.next() % (unsynced + 1); });
  }
  CHECK(lost > 0);
  CHECK(written > 0);
}

TEST_CASE("syncs run beside writes", "[store][S-5]") {
  test::TempDirectory directory;
  auto files = std::make_shared<FaultFileSystem>();
  std::atomic<std::uint64_t> written{0}, synced{0};
  {
    const auto store = open(directory, files);
    std::atomic<bool> done{false};
    bool failed = false;
    std::thread syncer([&] {
      while (!done) {
        const std::uint64_t before = written;
        if (!store->sync().ok()) failed = true;
        synced = before;
      }
    });
    for (int i = 0; i < 3000; ++i) {
      if (!put(*store, std::to_string(i), std::string(300, 'x')).ok()) failed = true;
      ++written;
    }
    done = true;
    syncer.join();
    CHECK_FALSE(failed);
    files->cut_power();
  }
  files->drop_unsynced();
  const auto store = open(directory);
  for (std::uint64_t i = 0; i < synced; ++i) REQUIRE(has(*store, std::to_string(i)));
}

TEST_CASE("the file system says how much room there is", "[store][S-32]") {
  test::TempDirectory directory;
  auto files = std::make_shared<FaultFileSystem>();
  const auto store = open(directory, files);
  files->set_free_space(12345);
  CHECK(*store->disk_free_bytes() == 12345);
}

/// The paths of files that end so, in a store.
std::vector<fs::path> files_of(const test::TempDirectory& directory, const std::string& ending) {
  std::vector<fs::path> out;
  for (const auto& entry : fs::directory_iterator(directory.path() / "store" / "db"))
    if (entry.path().string().ends_with(ending)) out.push_back(entry.path());
  return out;
}

void damage(const fs::path& path, std::uint64_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(at));
  const char byte = static_cast<char>(file.get() ^ 0x55);
  file.seekp(static_cast<std::streamoff>(at));
  file.put(byte);
}

TEST_CASE("a damaged table file is reported with its name, and nothing is served from it", "[store][S-32]") {
  test::TempDirectory directory;
  const TopicId topic{1};
  {
    const auto store = open(directory);
    WriteSet set;
    for (std::uint64_t i = 0; i < 50; ++i) put(set, topic, test::batch_of(Offset{i}, 1, {i + 1, 0}, 4000));
    REQUIRE(store->write(set).ok());
  }
  { const auto store = open(directory); }   // recovery makes table files of the log
  // The largest is the log family's.
  auto tables = files_of(directory, ".sst");
  REQUIRE_FALSE(tables.empty());
  const fs::path table = *std::max_element(tables.begin(), tables.end(), [](const auto& a, const auto& b) { return fs::file_size(a) < fs::file_size(b); });
  damage(table, 50'000);
  const auto store = open(directory);
  std::size_t served = 0;
  Status status;
  REQUIRE(store->scan_index(topic, Offset{0}, [&](const format::IndexEntry& entry) {
    const auto batch = store->read(topic, entry);
    if (batch.ok()) {
      ++served;
      CHECK((*batch)->record(0).payload.starts_with("payload " + std::to_string(entry.first.value) + "."));
    } else {
      status = batch.status();
    }
    return true;
  }).ok());
  INFO(status);
  CHECK(served < 50);
  CHECK(served > 0);
  CHECK(status == ErrorCode::corruption);
  CHECK(status.message().find(table.filename().string()) != std::string::npos);
  CHECK(status.message().find("offset") != std::string::npos);
  const VerifyReport report = store->verify().value();
  REQUIRE(report.problems.size() >= 2);   // the file, and what is in it
  CHECK(report.problems[0].place.find(table.filename().string()) != std::string::npos);
  CHECK_FALSE(report.problems[0].advice.empty());
  CHECK(report.problems[1].place.find("topic 1, offset") != std::string::npos);
}

TEST_CASE("a store without its CURRENT file is corruption, not a new store", "[store][S-32]") {
  test::TempDirectory directory;
  {
    const auto store = open(directory);
    REQUIRE(put(*store, "k").ok());
  }
  const fs::path current = directory.path() / "store" / "db" / "CURRENT";
  fs::rename(current, directory.path() / "CURRENT");
  CHECK(Store::open(directory.file("store"), {}).code() == ErrorCode::corruption);
  fs::rename(directory.path() / "CURRENT", current);
  CHECK(has(*open(directory), "k"));
}

TEST_CASE("a table file that is gone or empty is corruption", "[store][S-32]") {
  for (const bool gone : {true, false}) {
    test::TempDirectory directory;
    {
      const auto store = open(directory);
      REQUIRE(put(*store, "k").ok());
    }
    { const auto store = open(directory); }
    const fs::path table = files_of(directory, ".sst").front();
    if (gone)
      fs::remove(table);
    else
      fs::resize_file(table, 0);
    const auto opened = Store::open(directory.file("store"), {});
    INFO(opened.status());
    CHECK(opened.code() == ErrorCode::corruption);
    CHECK(opened.status().message().find(table.stem().string()) != std::string::npos);
  }
}

TEST_CASE("a synced log file that is gone or empty is corruption, whether or not others follow it", "[store][S-32]") {
  for (const bool gone : {true, false}) {
    test::TempDirectory directory;
    {
      // Small memtables make a new log file now and then; the records of the index hold the old ones back.
      const auto store = open(directory, nullptr, 64u << 10);
      WriteSet set;
      for (std::uint64_t i = 1; i < 8; ++i) {
        set.clear();
        put(set, TopicId{1}, test::batch_of(Offset{i}, 1, {i, 0}, 30'000));
        REQUIRE(store->write(set).ok());
        REQUIRE(store->sync().ok());
      }
    }
    auto logs = files_of(directory, ".log");
    std::sort(logs.begin(), logs.end());
    REQUIRE(logs.size() > 1);
    if (gone)
      fs::remove(logs.front());
    else
      fs::resize_file(logs.front(), 0);
    const auto opened = Store::open(directory.file("store"), {});
    INFO(opened.status());
    CHECK(opened.code() == ErrorCode::corruption);
  }
}

TEST_CASE("a damaged manifest is corruption", "[store][S-32]") {
  test::TempDirectory directory;
  { const auto store = open(directory); }
  for (const fs::path& path : files_of(directory, "")) {
    if (path.filename().string().starts_with("MANIFEST-")) damage(path, 20);
  }
  const auto opened = Store::open(directory.file("store"), {});
  INFO(opened.status());
  CHECK(opened.code() == ErrorCode::corruption);
}

TEST_CASE("erased batches give their space back", "[store][S-10]") {
  test::TempDirectory directory;
  StoreOptions options;
  options.memtable_bytes = 1u << 20;
  options.wal_bytes_max = 4u << 20;
  const auto store = std::move(*Store::open(directory.file("store"), options));
  const TopicId topic{1};
  std::vector<format::IndexEntry> entries;
  for (std::uint64_t commit = 1; commit <= 600; ++commit) {
    WriteSet set;
    const auto batch = test::batch_of(Offset{commit}, 1, {commit, 0}, 50'000);
    put(set, topic, batch);
    entries.push_back(batch.entry);
    REQUIRE(store->write(set).ok());
  }
  const std::uint64_t full = store->statistics().disk_bytes;
  CHECK(full > 25'000'000);
  for (const auto& entry : entries) {
    WriteSet set;
    set.erase_batch(topic, entry);
    REQUIRE(store->write(set).ok());
  }
  CHECK(*store->first_live_commit(0) == std::nullopt);
  // What is being flushed or merged meanwhile goes a little later.
  const bool given_back = test::eventually([&] { return store->trim_log(601).ok() && store->statistics().disk_bytes < full / 2; });
  INFO(store->statistics().disk_bytes << " of " << full);
  CHECK(given_back);
  CHECK(store->verify().value().problems.empty());
}

}  // namespace
}  // namespace weir::store
