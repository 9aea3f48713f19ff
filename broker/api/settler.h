// How a subscription's deliveries ended, on the way to the broker: many in one request, and none is lost.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>
#include <vector>

#include "broker/api/bell.h"
#include "broker/api/settle_call.h"
#include "weir/broker.h"

namespace weir::api {

/// Operation. Every worker has a lane of its own where settlements gather, so that workers do not meet. A lane is sent when it is full, when its
/// worker finds no more work, and by the keeper's sweep when neither happens soon: a slow handler holds back nothing. What was sent is kept
/// until the broker has answered; what the broker could not take now (`busy` and everything else that is retryable) is sent again.
/// A broker that cannot answer (its disk is full) holds nobody for longer than give_up().
///
/// Concurrency. A lane's functions are called by its worker, the keeper's by the keeper (subscription_impl.h); answers come on any thread.
/// Lock order: a lane's mutex, then mutex_. No lock is held in a call of the broker but gate_, which nothing else is locked under.
class Settler : public std::enable_shared_from_this<Settler> {
 public:
  static constexpr std::size_t kFull = 128;

  /// `keeper` is rung when there is something to resend.
  Settler(Broker& broker, std::size_t lanes, std::shared_ptr<Bell> keeper);

  // --- For a lane's worker -------------------------------------------------------------------------------------------

  /// From here to leave_handler() the worker is in code that may take any time.
  void enter_handler(std::size_t lane) noexcept { lanes_[lane].in_handler.store(true, std::memory_order_release); }
  /// The handler has ended, like this (null: somebody else settles it). False: it has been disowned in the meantime; nothing was taken, and the
  /// worker must not use the broker any more, except through settle_late().
  bool leave_handler(std::size_t lane, Settlement* settlement);
  void add(std::size_t lane, Settlement settlement);
  /// How much waits in the lane, as far as its worker knows: the keeper may have sent it already.
  std::size_t unsent(std::size_t lane) const noexcept { return lanes_[lane].unsent_known; }
  void send(std::size_t lane);
  /// As send, and the broker has taken it on return. The worker itself does the broker's work then, and no other thread need wake up for it.
  void send_and_wait(std::size_t lane);
  /// The worker will not use its lane any more.
  void close_lane(std::size_t lane);
  /// Settles the delivery of a handler that was disowned, if the broker is still there.
  void settle_late(Settlement settlement);

  // --- For the keeper ------------------------------------------------------------------------------------------------

  /// Sends the lanes that nobody sent since the last sweep, or `all`. True while anything waits in a lane or to be resent.
  bool sweep(bool all = false);
  /// Sends again what was not taken, waiting for room. What is still not taken waits for the next call.
  void resend();
  /// Disowns the workers that are in a handler. True when no other worker is at work any more.
  bool disown_handlers();
  /// Settles these, waiting for the answer.
  void settle_now(std::vector<Settlement> settlements);
  /// Everything that is unsent or unanswered is settled; later answers are ignored. Does not wait for callbacks, so it may be waited for by one.
  void finish();

  // --- For whoever ends the subscription -----------------------------------------------------------------------------

  /// The time is up: what waits for the broker's answer, and all that would, goes on without it. The broker may settle it still.
  void give_up();
  /// A context for other calls that shall not wait for longer than that.
  CallContext while_wanted() const;
  /// For the broker's close: settle_late() does nothing any more, and none is under way.
  void abandon();

 private:
  struct alignas(64) Lane {
    std::mutex mutex;
    std::vector<Settlement> settlements;   // guarded by mutex
    std::uint64_t sends = 0;               // guarded by mutex
    bool disowned = false, closed = false; // guarded by mutex
    std::atomic<bool> in_handler{false};   // set by the worker, cleared under mutex
    const std::shared_ptr<SettleCall> call = std::make_shared<SettleCall>();   // the worker's, but for giving up
    std::size_t unsent_known = 0;          // the worker's own
    std::uint64_t sends_seen = 0;          // the keeper's own
  };
  using Settlements = std::vector<Settlement>;

  static Settlements take(Lane& lane);
  void submit(Settlements settlements);
  void answered(std::uint64_t id, Result<SettleResult> result);
  Settlements not_taken(Settlements asked, const Result<SettleResult>& result) const;

  Broker& broker_;
  const std::shared_ptr<Bell> keeper_;
  const std::shared_ptr<SettleCall> keepers_call_ = std::make_shared<SettleCall>();   // the keeper's, but for giving up
  const Cancellation given_up_ = Cancellation::make();
  std::vector<Lane> lanes_;

  std::mutex mutex_;
  std::condition_variable answered_;
  std::uint64_t last_id_ = 0;                                  // guarded by mutex_
  std::unordered_map<std::uint64_t, Settlements> unanswered_;  // guarded by mutex_
  std::vector<Settlements> again_;                             // guarded by mutex_

  std::shared_mutex gate_;  // shared: a late settlement uses the broker
  bool abandoned_ = false;  // guarded by gate_
  std::vector<std::shared_ptr<SettleCall>> late_;              // guarded by mutex_
  bool no_more_late_ = false;                                  // guarded by mutex_
};

}  // namespace weir::api
