// Push: a pool of handler threads that works a group's messages off.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "weir/delivery.h"
#include "weir/group.h"

namespace weir {

class Broker;

/// What a handler gets: one message, and how to end it early. Not thread-safe; valid while the handler runs. A handler that is still running when
/// its broker is destroyed must not use it (nor the broker) any more.
class Delivery {
 public:
  Delivery(Broker& broker, Delivered delivered) : broker_(&broker), delivered_(std::move(delivered)) {}
  Delivery(Delivery&&) noexcept = default;
  Delivery& operator=(Delivery&&) noexcept = default;

  const StoredMessage& message() const noexcept { return delivered_.message; }
  const std::string& topic() const noexcept { return delivered_.message.topic(); }
  Offset offset() const noexcept { return delivered_.message.offset; }
  std::string_view key() const noexcept { return delivered_.message.key; }
  std::string_view id() const noexcept { return delivered_.message.id; }
  const Payload& payload() const noexcept { return delivered_.message.payload; }
  const HeadersView& headers() const noexcept { return delivered_.message.headers; }
  const Token& token() const noexcept { return delivered_.token; }
  /// Which try this is: 1 for the first.
  std::uint32_t attempt() const noexcept { return delivered_.failures + 1; }
  std::uint32_t failures() const noexcept { return delivered_.failures; }
  std::uint32_t deliveries() const noexcept { return delivered_.deliveries; }
  std::uint32_t crashes() const noexcept { return delivered_.crashes; }
  std::uint32_t redrives() const noexcept { return delivered_.redrives; }

  // How this delivery shall end when the handler returns; the last word counts. Without one, returning is ack.
  void ack() { decide(Settle::kAck); }
  void retry(std::string error = {}, std::optional<Duration> delay = {}) { decide(Settle::kRetry, std::move(error), delay); }
  void reject(std::string error = {}) { decide(Settle::kReject, std::move(error)); }
  void release() { decide(Settle::kRelease); }

  /// Starts a fresh lease from now, the group's own length or this one. Blocks for the engine's answer.
  Status extend(std::optional<Duration> lease = {});

  /// The handler will not settle it by returning: whoever holds the token settles it. Its lease still prolongs itself up to the limit.
  Token detach() { detached_ = true; return delivered_.token; }
  bool detached() const noexcept { return detached_; }

  /// A transaction that settled it was committed (transaction.h): nothing is left to settle, however the handler ends. Says how it was settled.
  std::optional<Settle> settled() const noexcept {
    return joined_ && joined_->state == Joined::State::kCommitted ? std::optional(joined_->kind) : std::nullopt;
  }

  /// What the handler's return asks for.
  Settlement settlement() const {
    // A transaction was to settle it and did not: an ack would lose what belongs to it.
    if (joined_ && !decided_) return Settlement::retry(delivered_.token, "the transaction that was to settle it was not committed: " + joined_->status.to_string());
    return {delivered_.token, outcome_, delay_, error_};
  }
  Broker& broker() const noexcept { return *broker_; }

 private:
  friend class Transaction;
  /// What a transaction does about it, shared with that transaction.
  struct Joined {
    enum class State : std::uint8_t { kOpen, kCommitted, kNotCommitted };
    State state = State::kOpen;
    Settle kind = Settle::kAck;
    Status status{ErrorCode::failed_precondition, "it was still open when the handler ended"};   ///< why it was not committed
  };

  void decide(Settle outcome, std::string error = {}, std::optional<Duration> delay = {}) {
    outcome_ = outcome, error_ = std::move(error), delay_ = delay, decided_ = true;
  }
  /// A transaction is to settle it. One that has committed before it stays the one that did.
  std::shared_ptr<Joined> join(Settle kind) {
    auto joined = std::make_shared<Joined>();
    joined->kind = kind;
    if (!settled()) joined_ = joined, decided_ = false;
    return joined;
  }

  Broker* broker_;
  Delivered delivered_;
  Settle outcome_ = Settle::kAck;
  std::string error_;
  std::optional<Duration> delay_;
  bool detached_ = false;
  bool decided_ = false;             ///< the handler said how it shall end, behind any transaction
  std::shared_ptr<Joined> joined_;
};

/// Returning is ack; throwing is retry with the exception's text; throwing Reject is reject, RetryAfter a retry with that delay (S-16).
/// Called on the subscription's threads, several at once when there are several.
using Handler = std::function<void(Delivery&)>;

/// How to subscribe. The group's options are the first fields, as designated initializers need: they are used to create the group when it is
/// missing; against an existing group, those that are set must agree (`options_differ` lists the differences; S-12).
struct SubscribeOptions {
  std::string group{};
  std::optional<StartPoint> start{};
  std::optional<Order> order{};
  std::optional<Duration> lease{};
  std::optional<std::uint32_t> max_attempts{};
  std::optional<std::uint32_t> max_deliveries{};
  std::optional<Backoff> backoff{};
  std::optional<std::uint32_t> in_flight_max{};
  std::optional<Filter> filter{};
  std::optional<bool> dead_letter_expired{};
  std::optional<bool> is_volatile{};

  std::uint32_t threads = 1;            ///< handler threads, 1 to 256
  std::uint32_t prefetch = 256;         ///< messages held ready for the handlers, 1 to 10,000
  std::string member{};                   ///< a name for people; default: host and thread
  Duration extend_until = std::chrono::minutes{30};  ///< leases prolong themselves so long while a message is held (S-15)
  /// Called when the subscription ends by itself (the group was deleted, the broker stopped or was closed), when it is over: on a thread
  /// of the subscription, never inside subscribe(). Must not throw.
  std::function<void(const Status&)> on_end{};
};

/// A running subscription. Moves; destroying it stops it. Thread-safe. It should go before its broker does; closing the broker stops it as well.
class Subscription {
 public:
  struct Impl;
  Subscription() noexcept;
  explicit Subscription(std::shared_ptr<Impl> impl) noexcept;
  Subscription(Subscription&&) noexcept;
  Subscription& operator=(Subscription&&) noexcept;
  ~Subscription();

  /// Takes no new messages, waits up to `grace` for running handlers, gives the rest back uncounted and leaves the group.
  /// Handlers that are still running then keep their leases until they end, and are settled as they end. Idempotent. Called by its own handler (or
  /// on_end) it only begins to stop and returns.
  void stop(Duration grace = std::chrono::seconds{10});
  bool running() const noexcept;
  /// Messages handed to the handler so far.
  std::uint64_t handled() const noexcept;
  MemberId member() const noexcept;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace weir
