// The handler pool behind a Subscription.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "broker/api/batch.h"
#include "broker/api/bell.h"
#include "broker/api/settler.h"
#include "broker/base/fork.h"
#include "weir/broker.h"
#include "weir/subscription.h"

namespace weir {

/// Operation. Each worker thread claims a message, begins it (S-17), runs the handler and hands the outcome to the settler. When nothing is left to
/// claim one worker becomes the fetcher: it fetches on its own thread, with a long wait, so that an engine wakes a handler thread directly and a
/// message on its own costs one wake-up. The others sleep. Whoever picks work up wakes one sleeper when there is more work, or
/// nobody left to fetch; that one wakes the next. When half of a large batch is claimed, its claimer fetches more without waiting.
///
/// One more thread, the keeper, sleeps unless settlements wait behind a running handler: then it sends them after a tick or two. It resends what
/// the broker was too busy for, and winds the subscription up.
///
/// Ending. request_stop() marks the end. Workers leave, the keeper releases what is left, waits for the handlers up to the grace, disowns those that
/// still run, settles everything and leaves the group; then `finished_` is set and nothing of this subscription uses the broker any more,
/// except a disowned handler's own settlement, until abandon().
///
/// Lock order: join_mutex_, then mutex_. Neither is held in calls of the broker, the settler or the program.
struct Subscription::Impl : std::enable_shared_from_this<Subscription::Impl> {
 public:
  struct Plan {
    FetchRequest fetch;    // as it is to be asked: source, group, member, leases
    Order order = Order::kKey;
    std::uint32_t threads = 1;
    std::uint32_t prefetch = 256;
    Handler handler;
    std::function<void(const Status&)> on_end;
  };

  Impl(Broker& broker, Plan plan);
  ~Impl();

  /// Starts the threads. When they cannot be started, what was started has ended on return.
  Status start();
  /// Begins to end: handlers have `grace` from now. `status`: why, for on_end; OK: the program asked for it.
  void request_stop(Duration grace, Status status);
  void wait_finished();
  /// Called by a thread of this subscription?
  bool own_thread() const noexcept;
  /// This process is the child of a fork: the threads of the subscription are not in it.
  bool forked() const noexcept { return fork_generation_ != base::fork_generation(); }
  /// The calling thread is in a handler, and waits for the end: nobody needs to wait for it.
  void will_not_return();
  /// Behind wait_finished(): the threads are gone, except those in disowned handlers, which are left alone.
  void join();
  void abandon() { settler_->abandon(); }

  bool running() const noexcept { return !stopping_.load(std::memory_order_acquire); }
  std::uint64_t handled() const noexcept;
  MemberId member() const noexcept { return plan_.fetch.member; }

 private:
  struct alignas(64) Worker {
    std::size_t index = 0;                   // constant: its lane of the settler, too
    std::shared_ptr<api::Batch> batch;       // its own: where it claims from
    std::uint32_t tick = 0;                  // its own: as last seen
    bool disowned = false;                   // its own
    std::optional<Token> ended;              // its own: its last delivery, whose settlement may not have been sent
    std::atomic<std::uint64_t> handled{0};   // written by it
    std::thread thread;                      // guarded by join_mutex_
    bool exited = false;                     // guarded by mutex_
  };

  // subscription_work.cc: what workers do
  void work(Worker& worker);
  std::uint32_t next(Worker& worker);
  void work_chain(Worker& worker, std::uint32_t head);
  bool handle(Worker& worker, Delivered delivered);
  Settlement run_handler(Delivery& delivery) const;
  void wake_one(std::unique_lock<std::mutex> lock);
  bool take_fetching();
  bool fetch(Worker& worker, Duration wait);
  void fetch_failed(const Status& status);
  void pause_fetching(std::chrono::microseconds time);

  // subscription_end.cc: what the keeper does
  void keep();
  void wind_up();
  void release_unclaimed();
  void wait_for_workers();
  void arm_keeper();

  Broker& broker_;
  const Plan plan_;
  const std::uint64_t fork_generation_ = base::fork_generation();
  const Cancellation stop_ = Cancellation::make();
  const std::shared_ptr<api::Bell> bell_ = std::make_shared<api::Bell>();
  const std::shared_ptr<api::Settler> settler_;
  std::vector<Worker> workers_;
  std::thread keeper_;  // guarded by join_mutex_
  std::mutex join_mutex_;

  std::atomic<bool> stopping_{false};    // set under mutex_
  std::atomic<bool> ticking_{false};     // the keeper is awake, or has been rung
  std::atomic<std::uint32_t> tick_{0};   // counted by the keeper while it is awake: a clock that costs nothing to read

  std::mutex mutex_;
  std::condition_variable work_;                       // sleeping workers
  std::condition_variable ended_;                      // the fetcher's pause, the keeper's and the stopper's waits
  std::deque<std::shared_ptr<api::Batch>> batches_;    // guarded by mutex_; exhausted ones go when somebody looks
  bool fetching_ = false;                              // guarded by mutex_: a worker is the fetcher
  std::uint32_t sleepers_ = 0;                         // guarded by mutex_
  bool waking_ = false;                                // guarded by mutex_: a sleeper has been called and is not up yet
  std::uint32_t at_work_ = 0;                          // guarded by mutex_: workers that have not exited
  std::uint32_t wait_for_end_ = 0;                     // guarded by mutex_: of these, whose handler waits for the end itself
  std::chrono::steady_clock::time_point deadline_ = std::chrono::steady_clock::time_point::max();  // guarded by mutex_
  Status end_status_;                                  // guarded by mutex_: why it ended by itself
  bool finished_ = false;                              // guarded by mutex_
  std::chrono::milliseconds pause_{0};                 // the fetcher's own: the last pause after an error
};

}  // namespace weir
