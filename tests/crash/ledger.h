// The ledger: what a program did with a broker, written outside the store, so that the store can be held against it after a crash.
//
// One line a record, one write(2) a line, appended: what was written before a kill -9 is there after it. A record stands before the act
// ("pending") and another after it ("resolved"); an act with the first and without the second may or may not have happened.
//
//   open RUN INCARNATION                                     a child opened the store
//   pub OP SESSION SEQUENCE N (TOPIC KEY ID TAG)×N           a publish begins; "-" stands for an empty field
//   pubok OP OFFSET×N
//   puberr OP CODE                                           refused: nothing was stored
//   got SOURCE GROUP TOPIC OFFSET REDRIVE EPOCH FAILURES DELIVERIES CRASHES TAG
//   begin EPOCH                                              begin() is about to be called
//   set EPOCH KIND / setok EPOCH CODE
//   red OP GROUP TOPIC LETTER… / redok OP COUNT              a redrive of letters that were dead
//   bad TEXT                                                 the child saw what must not be
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace weir::crash {

/// Appends. Thread-safe: the kernel orders the lines.
class Ledger {
 public:
  explicit Ledger(const std::string& path);
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;
  /// Any number of whole lines, as one write.
  void write(std::string_view lines);

 private:
  const int fd_;
};

struct LedgerMessage {
  std::string topic, key, id, tag;
};
struct LedgerPublish {
  std::string session;
  std::uint64_t sequence = 0;
  std::vector<LedgerMessage> messages;
  std::optional<std::vector<std::uint64_t>> offsets;   ///< confirmed
  bool refused = false;
};
struct LedgerDelivery {
  std::string source, group, topic, tag;
  std::uint64_t offset = 0, redrive = 0, epoch = 0, run = 0;
  std::uint32_t failures = 0, deliveries = 0, crashes = 0;
  bool begin = false;
  std::string settle;                  ///< kind of the settlement that was sent; empty: none
  std::optional<std::string> code;     ///< what was answered
  bool confirmed(std::string_view kind) const { return code == "ok" && settle == kind; }
};
struct LedgerRedrive {
  std::string group, topic;
  std::vector<std::uint64_t> letters;
  bool confirmed = false;
};

/// The whole ledger, read. A last line that was cut by the kill does not count.
struct LedgerBook {
  std::uint64_t runs = 0;
  std::vector<std::uint64_t> incarnations;
  std::map<std::string, LedgerPublish> publishes;             ///< by OP
  std::map<std::uint64_t, LedgerDelivery> deliveries;         ///< by epoch
  std::vector<LedgerRedrive> redrives;
  std::vector<std::string> bad;

  static LedgerBook read(const std::string& path);
};

/// What a tag's payload is: the tag and bytes that follow from it, so that wrong bytes are seen.
std::string payload_of(std::string_view tag);
std::string_view tag_of(std::string_view payload);

}  // namespace weir::crash
