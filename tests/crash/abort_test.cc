// A handler that takes the whole process down with it: who is charged, and who is not.
#include <catch2/catch.hpp>

#include <csignal>
#include <map>
#include <set>

#include <sys/wait.h>

#include "tests/crash/ledger.h"
#include "tests/crash/process.h"
#include "tests/support/temp_directory.h"
#include "weir/broker.h"

namespace {

using namespace weir;
using namespace weir::crash;

struct Story {
  int deaths = 0;
  LedgerBook book;
  std::vector<DeadLetter> letters;
  std::uint64_t depth = 0;
  std::uint64_t suspects = 0;   ///< after the first death
};

std::uint64_t charges_at_open(const std::string& store) {
  OpenOptions options;
  options.reserve_bytes = 0;
  return open(store, options).value()->status().value().recovered_crash_charges;
}

/// Starts the handlers again and again, until they end by themselves.
Story work_until_done(const std::string& max_attempts, const std::string& max_deliveries, int messages) {
  test::TempDirectory directory;
  const std::string store = directory.file("store"), ledger = directory.file("ledger");
  Story story;
  for (;;) {
    Process child({"handlers", store, ledger, max_attempts, max_deliveries, "8", "100", std::to_string(messages)});
    REQUIRE(child.ends_within(std::chrono::minutes{2}));
    const int status = child.wait();
    if (WIFEXITED(status)) {
      REQUIRE(WEXITSTATUS(status) == 0);
      break;
    }
    REQUIRE(WTERMSIG(status) == SIGABRT);
    if (++story.deaths == 1) story.suspects = charges_at_open(store);
    REQUIRE(story.deaths < 30);
  }
  story.book = LedgerBook::read(ledger);
  OpenOptions options;
  options.reserve_bytes = 0;
  auto broker = open(store, options).value();
  ListDeadLettersRequest request;
  request.topic = "work";
  request.group = "workers";
  story.letters = broker->dead_letters(request).value().letters;
  story.depth = broker->group("work", "workers").value().total().depth;
  return story;
}

/// Nobody but the guilty one has a failure to its name, and everybody else was handled to the end.
void check_neighbours(const Story& story, int messages) {
  std::map<std::uint64_t, int> handled;
  for (const auto& [epoch, d] : story.book.deliveries) {
    if (d.tag == "poison") continue;
    if (d.failures != 0) FAIL("offset " << d.offset << " has " << d.failures << " failures to its name");
    if (d.settle == "ack") ++handled[d.offset];
  }
  CHECK(story.book.bad.empty());
  CHECK(handled.size() == static_cast<std::size_t>(messages) - 1);
  CHECK(story.depth == 0);
}

}  // namespace

TEST_CASE("a message whose handler aborts the process is among the dead letters after max_attempts, and its neighbours are not charged", "[crash][S-17][S-19][S-24]") {
  constexpr int kMessages = 3000;
  const Story story = work_until_done("5", "20", kMessages);
  REQUIRE(story.letters.size() == 1);
  const DeadLetterInfo& info = *story.letters[0].message.dead_letter;
  CHECK(story.letters[0].message.payload.text() == "poison");
  CHECK(info.reason == DeathReason::kMaxAttempts);
  CHECK(info.deliveries == 5);
  CHECK(story.deaths == 5);
  // Settlements are sent many at a time: what waits for that is not among the suspects, only what one of the 8 handlers was at.
  CHECK(story.suspects >= 1);
  CHECK(story.suspects <= 8);
  CHECK_FALSE(info.attempts.empty());
  for (const Attempt& attempt : info.attempts) CHECK(attempt.outcome == Outcome::kCrash);
  check_neighbours(story, kMessages);
}

TEST_CASE("a suspect that is deleted with its group or its topic lets the next one go", "[crash][S-19][S-22]") {
  test::TempDirectory directory;
  const std::string store = directory.file("store");
  Process child({"suspects", store});
  REQUIRE(child.ends_within(std::chrono::minutes{2}));
  REQUIRE(WIFSIGNALED(child.wait()));
  OpenOptions options;
  options.reserve_bytes = 0;
  auto broker = open(store, options).value();
  const auto fetch = [&](const std::string& group, Duration wait) {
    FetchRequest request;
    request.source = "t";
    request.group = group;
    request.wait = wait;
    return broker->fetch(request).value().deliveries;
  };
  const auto first = fetch("a", std::chrono::seconds{20});
  REQUIRE(first.size() == 1);
  CHECK(first[0].crashes == 1);
  CHECK(fetch("b", Duration{0}).empty());   // one suspect at a time
  REQUIRE(broker->delete_group("t", "a").ok());
  const auto second = fetch("b", std::chrono::seconds{20});
  REQUIRE(second.size() == 1);
  CHECK(second[0].crashes == 1);
  CHECK(broker->ack(second[0].token).ok());
  CHECK(broker->ack(first[0].token) == ErrorCode::lease_lost);
}

TEST_CASE("a message that was handed out max_deliveries times and never ended is a crash loop", "[crash][S-17][S-24]") {
  constexpr int kMessages = 300;
  const Story story = work_until_done("1000", "4", kMessages);
  REQUIRE(story.letters.size() == 1);
  CHECK(story.letters[0].message.payload.text() == "poison");
  CHECK(story.letters[0].message.dead_letter->reason == DeathReason::kCrashLoop);
  CHECK(story.letters[0].message.dead_letter->deliveries == 4);
  CHECK(story.deaths == 4);
  check_neighbours(story, kMessages);
}
