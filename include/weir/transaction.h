// Transactions: publishes, settlements and application state in one commit (S-28).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/delivery.h"
#include "weir/message.h"
#include "weir/options.h"

namespace weir {

class Broker;
class Delivery;

// Limits of application state and of transactions. Past them: `limit_exceeded`, and nothing has changed.
inline constexpr std::size_t kStateKeyBytesMax = 1024;                    ///< of a key; at least 1
inline constexpr std::size_t kStateValueBytesMax = 16u << 20;             ///< of a value; it may be empty
inline constexpr std::size_t kTransactionOperationsMax = 10'000;          ///< publishes; settlements; puts and erases; keys read; of each so many
inline constexpr std::size_t kTransactionRangesMax = 1000;                ///< ranges scanned
inline constexpr std::size_t kTransactionBytesMax = 65u << 20;            ///< of everything it writes, and of the keys it read
inline constexpr Duration kTransactionAgeMax = std::chrono::minutes{5};   ///< of a Transaction; past it: `conflict`

/// One entry of the application's state. Keys are any bytes and sort as such; values are any bytes.
struct StatePut {
  std::string key{};
  std::string value{};
  friend bool operator==(const StatePut&, const StatePut&) = default;
};
struct StateRange {
  std::string begin{};
  std::string end{};  ///< exclusive; empty: to the end

  /// All keys that begin with `text`; an empty one is everything.
  static StateRange prefix(std::string_view text);
};

/// One atomic commit. It happens wholly or not at all, also across a crash. Each key may be put or erased once, each delivery settled once.
struct CommitRequest {
  /// For retries after outcome_unknown; ≤ 128 bytes of text; empty: none. The store remembers, in the same commit, that it happened and what was
  /// answered, for an hour and of the newest 100,000 transactions with an id: the same request again gets the same answer and
  /// changes nothing; the same id with other publishes, settlements, puts or erases is `invalid_argument`.
  std::string request_id{};
  /// Default: the highest level of the topics it publishes to; kPower when it changes state; else kProcess.
  std::optional<Durability> durability{};
  std::uint64_t read_version = 0;        ///< the state's version that `reads` and `scanned` were read at
  std::vector<std::string> reads{};      ///< keys that must not have been overwritten since, or `conflict`
  std::vector<StateRange> scanned{};     ///< likewise, and nothing may have come into them or gone from them
  std::vector<StatePut> puts{};
  std::vector<std::string> erases{};
  std::vector<TopicMessage> publishes{};
  /// kAck, kRetry, kReject, kRelease. Each must be the first of its delivery: a token that was settled before is `already_settled` here even if
  /// that was the same settlement, since what goes with it must not happen twice.
  std::vector<Settlement> settlements{};
  std::string idempotency_key{};           ///< with the reply, kept in the same commit (S-31)
  std::string idempotency_reply{};
  std::vector<ExpectedLast> expected{};    ///< what must be so, or `conflict`
};
struct CommitResult {
  std::vector<Published> publishes{};      ///< in the order of the request
  std::uint64_t version = 0;               ///< of the state behind this commit
};

/// Read the application's state: one key, or a range. What is read was committed, whole transactions only: every one that was answered before the
/// call is seen. (At `power` an answer waits for the sync of the log; a read does not.)
struct ReadStateRequest {
  std::optional<std::string> key{};        ///< one key, or
  std::optional<StateRange> range{};       ///< a range
  std::uint32_t entries_max = 1000;        ///< of a range: 1 to 10,000
  /// As of this version of an earlier read. `conflict`: what is asked for was overwritten since, or that is too long ago to tell.
  std::optional<std::uint64_t> at_version{};
  std::uint64_t bytes_max = 16u << 20;     ///< of a range: keys and values; the first entry always comes
};
struct ReadStateResult {
  std::vector<StatePut> entries{};         ///< in the order of their keys; none: the key is not there
  std::uint64_t version = 0;               ///< what was read is as of this version
  bool end = true;                         ///< the range has nothing behind the last entry
};

/// How a Transaction commits.
struct TransactionOptions {
  std::optional<Durability> durability{};  ///< as CommitRequest::durability
  /// As CommitRequest::request_id. A body that runs again must write the same again to be answered as before: one that writes what it computes of what
  /// it reads had best look whether its work is done, with a put of its own beside it.
  std::string request_id{};
  std::uint32_t attempts_max = 32;         ///< of transact(): how often it begins anew after a conflict, the first time included
};

/// A transaction being put together.
///
/// Operation. Made by Broker::begin_transaction or Broker::transact. What is to be written gathers here and happens with commit(), wholly or not
/// at all. get() and scan() see the transaction's own puts and erases, and beside them the state as of one moment, that of the first
/// read; when that cannot be had any more they answer `conflict`. What they read is checked by commit(): if it was overwritten since, by
/// whomever, the answer is `conflict` and nothing has happened. The verbs that answer nothing keep the first thing that was wrong, and commit()
/// answers it.
///
/// Deliveries. A delivery that was given to ack(), retry(), reject() or release() of a transaction is settled by it: when it has committed, the
/// handler may return or throw, neither settles again. When it was not committed the delivery is not settled, and a handler that returns
/// without another word asks for a retry (not for an ack: what belongs to it has not happened).
///
/// Concurrency. None: one thread at a time. It must not outlive its broker.
///
/// Limitations. The sizes above; older than kTransactionAgeMax it ends with `conflict`. Durable and ephemeral topics do not mix, and the
/// state of a broker with a disk is durable (S-4): `invalid_argument`.
class Transaction {
 public:
  Transaction(Broker& broker, TransactionOptions options);
  Transaction(Transaction&&) noexcept;
  Transaction& operator=(Transaction&&) noexcept;
  ~Transaction();   ///< one that was not committed is rolled back

  // State.
  void put(std::string key, std::string value);
  void erase(std::string key);
  /// The value of a key; nothing: it is not there.
  Result<std::optional<std::string>> get(std::string_view key, CallContext = {});
  /// The first entries of a range, at most `entries_max`, in the order of their keys. Only as much of the range as the answer
  /// covers counts as scanned. limit_exceeded: they hold more than kTransactionBytesMax.
  Result<std::vector<StatePut>> scan(StateRange range, std::uint32_t entries_max = 10'000, CallContext = {});
  Result<std::vector<StatePut>> scan_prefix(std::string_view prefix, std::uint32_t entries_max = 10'000, CallContext = {});

  // Messages. What is published gets its offset with the commit: CommitResult::publishes has one for each, in this order.
  void publish(std::string topic, Message message);
  /// `conflict` unless the topic's last message has this offset (kNoOffset: it never had one), apart from what this transaction publishes.
  void expect_last(std::string topic, Offset last);
  /// Likewise, of the messages with that key; the topic must have TopicOptions::track_keys.
  void expect_last_of_key(std::string topic, std::string key, Offset last);

  // Deliveries: by the handler's own object, or by token.
  void ack(Delivery& delivery);
  void retry(Delivery& delivery, std::string error = {}, std::optional<Duration> delay = {});
  void reject(Delivery& delivery, std::string error = {});
  void release(Delivery& delivery);
  void ack(const Token& token);
  /// Any settlement but kExtend.
  void settle(Settlement settlement);

  /// Ends the transaction, whatever the answer. OK: all of it has happened, and the level holds. conflict, lease_lost, already_settled,
  /// limit_exceeded, invalid_argument, topic_not_found, full, storage_full, stopped, deadline_exceeded, cancelled: nothing has. outcome_unknown: use a
  /// request_id to ask again. failed_precondition: it was ended before.
  Result<CommitResult> commit(CallContext = {});
  /// Ends it; nothing has happened.
  void rollback();
  /// What commit() would answer at once; OK: nothing is wrong so far.
  const Status& status() const noexcept;

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir
