// Power loss and dead letters: held keys, discards and edits stand as the letters do, whatever was lost (S-25 to S-27).
#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "broker/engine/open.h"
#include "tests/crash/rounds.h"
#include "tests/model/dice.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/temp_directory.h"
#include "weir/broker.h"

namespace {

using namespace weir;
using namespace weir::crash;

constexpr std::uint64_t kKeys = 5;

struct Machine {
  test::TempDirectory directory;
  std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>();
  std::shared_ptr<test::FaultFileSystem> files;
  std::unique_ptr<Broker> broker;
  std::uint64_t boots = 0;

  void start() {
    files = std::make_shared<test::FaultFileSystem>();
    OpenOptions options;
    options.clock = clock;
    options.reserve_bytes = 0;
    options.memtable_bytes = 64u << 10;
    broker = engine::open_embedded(directory.file("store"), options, {files, "boot " + std::to_string(boots++)}).value();
  }
  void lose_power(model::Dice& dice) {
    files->cut_power();
    broker.reset();
    const bool some = dice.percent(50);
    files->drop_unsynced([&](std::uint64_t unsynced) { return some ? dice.below(unsynced + 1) : 0; });
  }
  std::vector<Delivered> fetch(std::uint32_t max) {
    FetchRequest request;
    request.source = "t";
    request.group = "g";
    request.messages_max = max;
    request.reports_begun = true;
    return broker->fetch(request).value().deliveries;
  }
  std::vector<DeadLetter> letters() {
    ListDeadLettersRequest request{.topic = "t", .group = "g"};
    request.include_resolved = request.with_history = true;
    request.messages_max = 10'000;
    return broker->dead_letters(request).value().letters;
  }
};

/// One act at `process`: what a power loss may take.
void act(Machine& m, model::Dice& dice) {
  const std::uint64_t how = dice.below(10);
  if (how < 4) {
    Message message{.key = "k" + std::to_string(dice.below(kKeys)), .payload = "as published"};
    REQUIRE(m.broker->publish("t", message, Durability::kProcess).ok());
  } else if (how < 7) {
    for (const Delivered& d : m.fetch(static_cast<std::uint32_t>(dice.between(1, 3)))) {
      const Status answer = m.broker->settle(dice.percent(40) ? Settlement::reject(d.token, "no") : Settlement::ack(d.token));
      REQUIRE((answer.ok() || answer == ErrorCode::lease_lost));   // behind one that was rejected
    }
  } else {
    std::vector<Offset> dead;
    for (const DeadLetter& letter : m.letters())
      if (letter.state == LetterState::kDead) dead.push_back(letter.offset);
    if (dead.empty()) return;
    const Offset letter = dead[dice.below(dead.size())];
    if (how == 7) {
      DiscardRequest request{.topic = "t", .group = "g"};
      request.letters = {letter};
      REQUIRE(m.broker->discard(request).value().discarded == 1);
      return;
    }
    RedriveRequest request{.topic = "t", .group = "g"};
    request.letters = {letter};
    request.force = true;
    if (how == 8) request.edited = Message{.payload = "edited"};
    if (how == 9 && dice.percent(50)) request.to_topic = "mended";
    REQUIRE(m.broker->redrive(request).value().redriven == 1);
  }
}

/// What must hold between letters, holds and messages, whatever was lost.
void check(Machine& m) {
  const std::vector<DeadLetter> letters = m.letters();
  std::set<std::string> held;
  std::uint64_t dead = 0, sent = 0;
  for (const DeadLetter& letter : letters) {
    INFO("letter " << letter.offset << " " << to_string(letter.state));
    const DeadLetterInfo& info = *letter.message.dead_letter;
    if (letter.state == LetterState::kDead) {
      ++dead;
      held.insert(std::string(letter.message.key));
      CHECK(letter.events.empty());
      CHECK_FALSE(info.edited_of);
    } else if (info.edited_of) {
      CHECK(letter.state == LetterState::kRedriven);
      CHECK(letter.message.payload.text() == "edited");
      REQUIRE_FALSE(letter.earlier.empty());
      CHECK(letter.earlier[0].events.at(0).edited_as == letter.offset);
    } else {
      REQUIRE(letter.events.size() == 1);   // its state and the note of it were one commit
      CHECK((letter.state == LetterState::kDiscarded) == (letter.events[0].act == LetterAct::kDiscarded));
      sent += letter.events[0].act == LetterAct::kSentToTopic;
    }
  }
  const GroupTopicStats stats = m.broker->group("t", "g").value().total();
  CHECK(stats.holding == dead);
  CHECK(stats.dead == dead);
  BrowseRequest browse{.topic = "mended"};
  browse.messages_max = 10'000;
  CHECK(m.broker->browse(browse).value().messages.size() == sent);
  for (const Delivered& d : m.fetch(1000)) {
    INFO("offset " << d.message.offset << " of " << d.message.key);
    CHECK((d.token.redrive != 0 || !held.contains(std::string(d.message.key))));
    REQUIRE(m.broker->settle(Settlement::release(d.token)).code() != ErrorCode::corruption);
  }
}

}  // namespace

TEST_CASE("after a power loss dead letters, the keys they hold and what was done to them agree", "[crash][S-4][S-25][S-26][S-27]") {
  const std::uint64_t rounds = rounds_from("WEIR_POWER_ROUNDS", 60), seed = seed_of_run();
  std::uint64_t seen = 0;
  for (std::uint64_t first = 0; first < rounds; first += 10) {
    model::Dice dice(seed + first);
    Machine m;
    m.start();
    m.broker->create_topic("t", {.durability = Durability::kProcess}).value();
    m.broker->create_topic("mended", {.durability = Durability::kProcess}).value();
    GroupOptions options;
    options.hold_key = true;
    m.broker->create_group("t", "g", options).value();
    for (std::uint64_t round = first; round < std::min(rounds, first + 10); ++round) {
      INFO("seed " << seed << ", round " << round);
      if (!m.broker) m.start();
      check(m);
      for (std::uint64_t acts = dice.between(5, 80); acts > 0; --acts) act(m, dice);
      m.lose_power(dice);
    }
    m.start();
    check(m);
    // Nothing is stuck: with every letter discarded all that is left comes.
    seen += m.letters().size();
    m.broker->discard({.topic = "t", .group = "g"}).value();
    CHECK(m.broker->group("t", "g").value().total().holding == 0);
    for (std::vector<Delivered> some = m.fetch(1000); !some.empty(); some = m.fetch(1000))
      for (const Delivered& d : some) REQUIRE(m.broker->ack(d.token).ok());
    CHECK(m.broker->group("t", "g").value().total().depth == 0);
    CHECK(m.broker->close().ok());
  }
  CHECK(seen > rounds / 10);
}
