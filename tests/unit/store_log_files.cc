// The files of the write-ahead log: zeros ahead of it are never taken for records, nor stepped over.
#include <catch2/catch.hpp>

#include <filesystem>
#include <string>
#include <vector>

#include "broker/base/prng.h"
#include "broker/store/log_end.h"
#include "broker/store/store.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/temp_directory.h"

namespace weir::store {
namespace {

namespace fs = std::filesystem;
using test::FaultFileSystem;

/// A log of records of these lengths, framed as RocksDB does; checksums are not looked at here.
std::string log_of(const std::vector<std::size_t>& lengths) {
  constexpr std::size_t kBlock = 32768, kHeader = 7;
  std::string log;
  for (std::size_t left : lengths) {
    bool first = true;
    do {
      if (kBlock - log.size() % kBlock < kHeader) log.append(kBlock - log.size() % kBlock, '\0');
      const std::size_t room = kBlock - log.size() % kBlock - kHeader, part = std::min(left, room);
      const bool last = part == left;
      log.append("crc!").push_back(static_cast<char>(part & 0xff));
      log.push_back(static_cast<char>(part >> 8));
      log.push_back(first ? (last ? 1 : 2) : (last ? 4 : 3));
      log.append(part, '\0');   // the bytes of a record may be zeros
      left -= part;
      first = false;
    } while (left > 0);
  }
  return log;
}

std::size_t end_of(std::string_view log, std::size_t step) {
  LogEnd end;
  std::size_t taken = 0;
  for (std::size_t at = 0; at < log.size(); at += step) {
    const std::size_t more = std::min(step, log.size() - at), took = end.take(log.substr(at, more));
    taken += took;
    if (took < more) break;
  }
  return taken;
}

TEST_CASE("a log ends before its first header of zeros", "[store][S-4]") {
  base::Prng random(23);
  for (int round = 0; round < 60; ++round) {
    std::vector<std::size_t> lengths(random.next() % 30);
    for (std::size_t& length : lengths) length = random.next() % (round % 2 == 0 ? 300 : 70'000);
    const std::string log = log_of(lengths);
    const std::string ahead(100'000, '\0');
    // A block's last bytes may be too few for a header; then those, too, are passed on.
    const std::size_t padding = 32768 - log.size() % 32768 < 7 ? 32768 - log.size() % 32768 : 0;
    CHECK(end_of(log, 32768) == log.size());
    CHECK(end_of(log + ahead, 32768) == log.size() + padding);
    CHECK(end_of(log + ahead + log, 32768) == log.size() + padding);
    // Read in odd pieces, up to six bytes of the header may be out already.
    const std::size_t odd = end_of(log + ahead, 1 + random.next() % 40'000);
    CHECK(odd >= log.size() + padding);
    CHECK(odd < log.size() + padding + 7);
  }
}

TEST_CASE("a log that makes no sense is passed on as it is", "[store][S-32]") {
  base::Prng random(29);
  std::string noise(100'000, '\0');
  for (char& byte : noise) byte = static_cast<char>(random.next() | 0x80);
  CHECK(end_of(noise, 32768) == noise.size());
  LogEnd end;
  end.lost();
  CHECK(end.take(std::string(100, '\0')) == 100);
}

Result<std::unique_ptr<Store>> open(const test::TempDirectory& directory, std::shared_ptr<FaultFileSystem> files) {
  StoreOptions options;
  options.file_system = std::move(files);
  return Store::open(directory.file("store"), options);
}

Status put(Store& store, std::uint64_t number, std::size_t bytes) {
  WriteSet set;
  set.put(std::to_string(number), std::string(bytes, 'x'));
  return store.write(set);
}

std::uint64_t log_bytes(const test::TempDirectory& directory) {
  std::uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(directory.path() / "store" / "db"))
    if (entry.path().extension() == ".log") bytes += entry.file_size();
  return bytes;
}

TEST_CASE("small synced commits are written into room that is there, large ones are not", "[store]") {
  test::TempDirectory directory;
  auto files = std::make_shared<FaultFileSystem>();
  {
    auto store = std::move(*open(directory, files));
    REQUIRE(put(*store, 0, 100).ok());
    REQUIRE(store->sync().ok());
    CHECK(log_bytes(directory) > 200'000);
    const std::uint64_t before = store->statistics().wal_bytes_written;
    for (std::uint64_t i = 1; i < 20; ++i) REQUIRE(put(*store, i, 200'000).ok());
    const std::uint64_t written = store->statistics().wal_bytes_written - before;
    CHECK(log_bytes(directory) < written + 600'000);
  }
  CHECK(log_bytes(directory) < 4'100'000);   // closed in order: nothing is ahead any more
}

TEST_CASE("writes that a power loss reorders leave no hole", "[store][S-3][S-4]") {
  test::TempDirectory directory;
  base::Prng random(31);
  // With a key of four digits this fills one block of the log exactly, so that the block behind a lost one begins with a whole record.
  constexpr std::size_t kOneBlock = 32740;
  std::uint64_t written = 1000, synced = 1000, lost = 0;
  for (int round = 0; round < 40; ++round) {
    INFO("round " << round);
    auto files = std::make_shared<FaultFileSystem>();
    {
      auto opened = open(directory, files);
      INFO(opened.status());
      REQUIRE(opened.ok());
      Store& store = **opened;
      std::uint64_t there = 1000, keys = 1000;
      while (store.get(std::to_string(there)).value()) ++there;
      REQUIRE(store.scan({}, {}, [&](std::string_view, std::string_view) { return ++keys, true; }).ok());
      CHECK(keys == there);
      CHECK(there >= synced);
      lost += written - there;
      written = there;
      // The first sync brings the room ahead to the device as well.
      REQUIRE(put(store, written++, kOneBlock).ok());
      REQUIRE(store.sync().ok());
      synced = written;
      for (int i = 0; i < 6; ++i) REQUIRE(put(store, written++, round % 2 == 0 ? kOneBlock : random.next() % 40'000).ok());
      files->cut_power();
    }
    files->drop_some_unsynced([&] { return random.next() % 2 == 0; });
  }
  CHECK(lost > 0);
  CHECK(written > 1060);
}

TEST_CASE("a store that was never closed is read up to its last record", "[store][S-4]") {
  test::TempDirectory directory;
  {
    auto files = std::make_shared<FaultFileSystem>();
    auto store = std::move(*open(directory, files));
    for (std::uint64_t i = 0; i < 100; ++i) {
      REQUIRE(put(*store, i, 500).ok());
      REQUIRE(store->sync().ok());
    }
    // As after kill -9: what the system had stays, zeros ahead included.
    files->cut_power();
    fs::copy(directory.path() / "store", directory.path() / "copy", fs::copy_options::recursive);
  }
  fs::remove_all(directory.path() / "store");
  fs::rename(directory.path() / "copy", directory.path() / "store");
  CHECK(log_bytes(directory) > 200'000);
  auto store = std::move(*open(directory, std::make_shared<FaultFileSystem>()));
  for (std::uint64_t i = 0; i < 100; ++i) CHECK(store->get(std::to_string(i)).value().has_value());
  REQUIRE(put(*store, 100, 1).ok());
}

}  // namespace
}  // namespace weir::store
