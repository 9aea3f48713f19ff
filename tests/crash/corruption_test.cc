// Wrong bytes on disk: reported with their place, and never served (S-32).
#include <catch2/catch.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/crash/ledger.h"
#include "tests/crash/process.h"
#include "tests/crash/rounds.h"
#include "tests/model/dice.h"
#include "tests/support/temp_directory.h"
#include "weir/broker.h"

namespace {

namespace fs = std::filesystem;
using namespace weir;
using namespace weir::crash;

constexpr std::uint64_t kMessages = 3000;

OpenOptions small() {
  OpenOptions options;
  options.memtable_bytes = 64u << 10;   // so that there are table files too
  options.wal_bytes_max = 1u << 20;
  options.reserve_bytes = 0;
  return options;
}

/// Payloads of a few hundred bytes that follow from their number.
std::string payload(std::uint64_t n) {
  std::string text;
  while (text.size() < 400) text += payload_of("m" + std::to_string(n) + "." + std::to_string(text.size()));
  return text;
}

void fill(const std::string& store) {
  auto broker = open(store, small()).value();
  TopicOptions topic;
  topic.durability = Durability::kProcess;
  broker->create_topic("t", topic).value();
  broker->create_group("t", "g").value();
  for (std::uint64_t n = 0; n < kMessages;) {
    std::vector<Message> batch;
    for (int i = 0; i < 10; ++i, ++n) {
      Message m;
      m.payload = payload(n);
      m.key = "k" + std::to_string(n % 7);
      batch.push_back(std::move(m));
    }
    broker->publish_all("t", std::move(batch)).value();
  }
  REQUIRE(broker->close().ok());
}

std::vector<fs::path> files(const fs::path& store, const std::string& ending) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::recursive_directory_iterator(store))
    if (entry.is_regular_file() && entry.path().extension() == ending && entry.file_size() > 0) found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

struct Look {
  Status opened, read;
  std::uint64_t served = 0;
  bool wrong = false;
  bool whole() const { return opened.ok() && read.ok() && !wrong && served == kMessages; }
};

Look look(const std::string& store) {
  Look look;
  auto broker = open(store, small());
  look.opened = broker.status();
  if (!broker.ok()) return look;
  BrowseRequest request;
  request.topic = "t";
  request.messages_max = 100;
  for (bool end = false; !end;) {
    const auto page = (*broker)->browse(request);
    look.read = page.status();
    if (!page.ok()) break;
    for (const StoredMessage& m : page->messages) look.wrong |= m.payload.text() != payload(m.offset.value) || m.offset.value != look.served++;
    end = page->end;
    request.from = StartPoint::at(page->next);
  }
  return look;
}

/// Either everything is there, or it is said that it is not.
void check_honest(const Look& look, const std::string& what) {
  INFO(what << "; open: " << look.opened << "; read: " << look.read << "; served " << look.served);
  CHECK_FALSE(look.wrong);
  const Status& said = look.opened.ok() ? look.read : look.opened;
  CHECK((look.whole() || said == ErrorCode::corruption));
  if (said == ErrorCode::corruption) CHECK(said.message().size() > 10);   // names the place
}

/// Bytes of a file before the zeros at its end: a log that was not closed has zeros ahead of it.
std::uintmax_t written_bytes(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::uintmax_t size = 0;
  char byte;
  for (std::uintmax_t at = 1; in.get(byte); ++at)
    if (byte != 0) size = at;
  return size;
}

void flip(const fs::path& file, std::uint64_t at) {
  std::fstream io(file, std::ios::in | std::ios::out | std::ios::binary);
  io.seekg(static_cast<std::streamoff>(at));
  const char old = static_cast<char>(io.get());
  io.seekp(static_cast<std::streamoff>(at));
  io.put(static_cast<char>(old ^ 0x40));
}

void flip_here_and_there(const std::string& ending, std::uint64_t rounds) {
  test::TempDirectory directory;
  const fs::path good = directory.file("good"), bad = directory.file("bad");
  fill(good.string());
  const std::uint64_t seed = seed_of_run();
  model::Dice dice(seed);
  const auto names = files(good, ending);
  REQUIRE_FALSE(names.empty());
  int reported = 0;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    fs::remove_all(bad);
    fs::copy(good, bad, fs::copy_options::recursive);
    const fs::path file = bad / fs::relative(dice.pick(names), good);
    const std::uint64_t at = dice.below(fs::file_size(file));
    flip(file, at);
    const Look seen = look(bad.string());
    reported += !seen.whole();
    check_honest(seen, "seed " + std::to_string(seed) + ", byte " + std::to_string(at) + " of " + file.filename().string());
  }
  CHECK(reported > 0);
}

}  // namespace

TEST_CASE("a flipped byte in the write-ahead log is reported or harmless, never served", "[crash][S-32]") {
  flip_here_and_there(".log", rounds_from("WEIR_CORRUPTION_ROUNDS", 15));
}

TEST_CASE("a flipped byte in a table file is reported or harmless, never served", "[crash][S-32]") {
  flip_here_and_there(".sst", rounds_from("WEIR_CORRUPTION_ROUNDS", 15));
}

TEST_CASE("a write-ahead log that lost acknowledged commits is corruption, though the machine never went down", "[crash][S-32]") {
  test::TempDirectory directory;
  const std::string store = directory.file("store"), ledger = directory.file("ledger");
  // Killed, not closed: what a process publish answered must still be there, since the operating system had it.
  Process child({"load", store, ledger, "7"});
  REQUIRE(child.read_line() == "open");
  REQUIRE_FALSE(child.ends_within(std::chrono::milliseconds{300}));
  child.kill_hard();
  auto logs = files(store, ".log");
  REQUIRE_FALSE(logs.empty());
  const fs::path last = *std::max_element(logs.begin(), logs.end(), [](const fs::path& a, const fs::path& b) { return a.filename() < b.filename(); });
  const auto size = written_bytes(last);
  REQUIRE(size > 64);
  fs::resize_file(last, size / 2);
  const auto opened = open(store, small());
  INFO(last << " cut from " << size << " bytes to half: " << opened.status());
  CHECK(opened.code() == ErrorCode::corruption);
}

TEST_CASE("a store whose files are gone or empty is corruption, not an empty store", "[crash][S-32]") {
  test::TempDirectory directory;
  const fs::path good = directory.file("good"), bad = directory.file("bad");
  fill(good.string());
  for (const std::string ending : {".sst", ".log"}) {
    for (const bool empty : {false, true}) {
      fs::remove_all(bad);
      fs::copy(good, bad, fs::copy_options::recursive);
      const auto names = files(bad, ending);
      if (empty)
        fs::resize_file(names.front(), 0);
      else
        fs::remove(names.front());
      check_honest(look(bad.string()), ending + (empty ? " emptied" : " removed"));
    }
  }
}

TEST_CASE("a marks file of other bytes is corruption, and one that was not finished is a new one", "[crash][S-32][S-17]") {
  test::TempDirectory directory;
  const std::string store = directory.file("store");
  fill(store);
  const auto overwrite = [&](const std::string& bytes) {
    std::fstream file(store + "/marks", std::ios::in | std::ios::out | std::ios::binary);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  };
  overwrite("not marks");
  const auto opened = open(store, small());
  REQUIRE(opened.code() == ErrorCode::corruption);
  CHECK_THAT(opened.status().message(), Catch::Contains("/marks: at byte 0"));
  overwrite(std::string(8, '\0'));
  CHECK(look(store).whole());
}
