// One act after another on a store, each with the state that it gives its message, so that after any loss it can be told up to
// which act the store remembers: everything before, and nothing behind.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/model/dice.h"
#include "weir/broker.h"

namespace weir::crash {

/// Works the topics "a" and "b" with one unordered group each, and the key "last" of the application's state. Not thread-safe.
///
/// A message's states: "absent", "open FAILURES DEATHS", "acked", "dead DEATHS"; the key's: "absent", "put NUMBER". No message has a state twice, so what is seen of it says between
/// which two acts the store stands; all messages together must leave room for one place.
class Script {
 public:
  explicit Script(std::uint64_t seed) : dice_(seed) {}

  /// Creates topics and groups. The first failure is answered.
  Status set_up(Broker& broker);
  /// One random act. Answers what the broker answered; the reads that go before it must be OK.
  Status act(Broker& broker);
  /// Moves time on, so that what waits is due. The broker under test must go by this clock.
  const std::shared_ptr<ManualClock>& clock() const { return clock_; }

  /// What is wrong with a reopened store; empty: nothing. The store must remember at least the acts up to `at_least`, of those that were answered
  /// OK. What it forgot is forgotten here too, and all leases are.
  std::string recovered(Broker& broker, std::int64_t at_least);

  std::int64_t last_act() const { return last_act_; }              ///< the last one, whatever its answer
  std::int64_t last_ok() const { return last_ok_; }
  std::int64_t last_power() const { return last_power_; }          ///< the last that was answered OK at `power`
  std::uint64_t messages() const { return history_.size(); }
  std::uint64_t forgotten() const { return forgotten_; }           ///< states that a loss took back, in all

 private:
  struct Settling {
    std::vector<Settlement> settlements;
    std::vector<std::pair<std::string, std::string>> next;   ///< of each: tag, and the state it leads to
  };
  struct Change {
    std::int64_t act;
    std::string state;
  };
  struct Message {
    std::string topic;
    std::uint64_t offset = 0;
    std::uint32_t failures = 0, deaths = 0;
    std::vector<Change> changes;   ///< the first is the publish
  };
  using Seen = std::map<std::string, std::pair<std::string, std::uint64_t>>;   ///< tag → state and offset

  Status publish(Broker& broker);
  Status settle(Broker& broker);
  Status redrive(Broker& broker);
  Status transact(Broker& broker);
  /// Settlements of up to `most` leases.
  Settling choose(std::uint64_t most);
  /// They are part of the act that is counted last.
  void note_settled(const Settling& settling);
  Status note(Status answer, bool power);
  std::string refill(Broker& broker);
  std::string look(Broker& broker, Seen& seen);

  model::Dice dice_;
  std::shared_ptr<ManualClock> clock_ = std::make_shared<ManualClock>();
  std::map<std::string, Message> history_;                                        // by tag
  std::vector<std::pair<std::string, Token>> held_;                               // leases: tag and token
  std::int64_t last_act_ = -1, last_ok_ = -1, last_power_ = -1;
  std::uint64_t next_tag_ = 0, last_epoch_ = 0, forgotten_ = 0;
};

}  // namespace weir::crash
