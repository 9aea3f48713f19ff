// Deliveries: one hand-over of one message to one member, and the ways to end it.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "weir/group.h"
#include "weir/message.h"
#include "weir/types.h"

namespace weir {

/// Names one delivery of one message to one group (S-14). Opaque: keep it, send it, give it back.
struct Token {
  GroupId group{};
  TopicId topic{};
  Offset offset{};
  std::uint64_t redrive = 0;   ///< 0, or 1 + the offset of the dead letter that was given back
  Epoch epoch{};                 ///< rises with every delivery of the store: an application may fence with it
  std::uint32_t slot = 0;      ///< a hint for the engine

  /// URL-safe text; parse() reads it back and answers invalid_argument for anything else.
  std::string to_string() const;
  static Result<Token> parse(std::string_view text);
  friend bool operator==(const Token&, const Token&) = default;
};

/// A hand-over. `deliveries` counts this one once it is begun.
struct Delivered {
  StoredMessage message{};
  Token token{};
  Time lease_until{};
  std::uint32_t deliveries = 0;  ///< hand-overs begun before this one
  std::uint32_t failures = 0;    ///< failures charged so far (S-17)
  std::uint32_t crashes = 0;     ///< deaths of the process while this message's handler ran beside others (S-17)
  std::uint32_t redrives = 0;    ///< times it was given back from the dead letters
};

/// The ways to end a delivery (S-16), and the one that prolongs it (S-15). Sent: do not renumber.
enum class Settle : std::uint8_t { kAck = 0, kRetry = 1, kReject = 2, kRelease = 3, kExtend = 4 };
std::string_view to_string(Settle kind) noexcept;

struct Settlement {
  Token token{};
  Settle kind = Settle::kAck;
  std::optional<Duration> delay{};  ///< retry: instead of the backoff rule (≤ 365 days); extend: the new lease, instead of the group's
  std::string error{};              ///< retry and reject: what went wrong; longer than 4 KiB is cut

  static Settlement ack(Token t) { return {t, Settle::kAck, {}, {}}; }
  static Settlement retry(Token t, std::string error = {}, std::optional<Duration> delay = {}) {
    return {t, Settle::kRetry, delay, std::move(error)};
  }
  static Settlement reject(Token t, std::string error = {}) { return {t, Settle::kReject, {}, std::move(error)}; }
  static Settlement release(Token t) { return {t, Settle::kRelease, {}, {}}; }
  static Settlement extend(Token t, std::optional<Duration> lease = {}) { return {t, Settle::kExtend, lease, {}}; }
};

/// Thrown by a handler: this message will never succeed; straight to the dead letters (S-16).
class Reject : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Thrown by a handler: try again after this delay instead of the group's backoff rule. Counts as a failure.
class RetryAfter : public std::runtime_error {
 public:
  RetryAfter(Duration delay, const std::string& error) : std::runtime_error(error), delay_(delay) {}
  Duration delay() const noexcept { return delay_; }

 private:
  Duration delay_;
};

/// Ask for messages of a group (S-20).
struct FetchRequest {
  std::string source{};            ///< the topic or pattern the group stands on
  std::string group{};
  std::uint32_t messages_max = 100;         ///< 1 to 10,000
  std::uint64_t bytes_max = 16u << 20;      ///< of payload; the first message always comes, whatever its size
  Duration wait{0};                         ///< how long to wait for the first message (long poll)
  std::optional<Duration> lease{};            ///< default: the group's
  MemberId member{};                          ///< as joined; 0: anonymous
  /// True: the caller will call `begin` before it works on a message, and only begun deliveries are charged with a
  /// crash or an expired lease. False: the hand-over is the beginning (S-21).
  bool reports_begun = false;
  /// Leases of this fetch prolong themselves until they are this old (S-15); 0: they do not. In-process callers only.
  Duration extend_until{0};
};
struct FetchResult {
  std::vector<Delivered> deliveries{};  ///< empty when the wait was over
};

/// Settle any number of deliveries, of any groups. Each stands for itself. Limit: 10,000 a request.
struct SettleRequest {
  std::vector<Settlement> settlements{};
  std::optional<Durability> durability{};  ///< default: kProcess (S-4)
};
struct SettleResult {
  /// One for each settlement: ok, lease_lost, already_settled, or what else was wrong with it. Empty when all are ok.
  std::vector<Status> results{};
};

/// Join a group as a member: the unit of per-member limits, and the life of a volatile group.
struct JoinRequest {
  std::string source{};
  std::string group{};
  std::string name{};  ///< for people: appears in the attempts of dead letters; default: "pid:thread"
};

/// Browse a topic without changing any state (S-11).
struct BrowseRequest {
  std::string topic{};
  StartPoint from{};
  std::uint32_t messages_max = 100;      ///< 1 to 10,000
  std::uint64_t bytes_max = 16u << 20;   ///< the first message always comes
  Filter filter{};
};
struct BrowseResult {
  std::vector<StoredMessage> messages{};
  Offset next{};   ///< browse on from here
  bool end = false;  ///< there was nothing behind `next` when this was read
};

}  // namespace weir
