// The blocking form of any asynchronous verb.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "broker/api/cancellation.h"
#include "broker/api/one_shot.h"
#include "weir/broker.h"

namespace weir::api {

/// Stands on the caller's stack and waits for one callback.
template <class T>
class Waiter {
 public:
  Waiter() = default;
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  Callback<T> callback() noexcept {
    return [this](Result<T> result) {
      result_.emplace(std::move(result));
      gate_.open();
    };
  }
  Result<T> take() {
    gate_.wait();
    return std::move(*result_);
  }

 private:
  OneShot gate_;
  std::optional<Result<T>> result_;  // written before the gate opens, read behind it
};

/// Calls `verb` and waits for its answer. The engine itself waits for room and keeps the deadline (CallContext::caller_waits), so that nothing has
/// to be tried again here and the request need not be kept.
template <class Request, class T>
Result<T> call(Broker& broker, void (Broker::*verb)(Request, CallContext, Callback<T>), Request request, CallContext context) {
  context.caller_waits = true;
  Waiter<T> waiter;
  (broker.*verb)(std::move(request), std::move(context), waiter.callback());
  return waiter.take();
}

/// As Waiter, but may be left by its waiter before the answer comes: both hold it.
template <class T>
class Leavable {
 public:
  static Callback<T> callback(const std::shared_ptr<Leavable>& self) {
    return [self](Result<T> result) {
      const std::lock_guard lock(self->mutex_);
      self->result_.emplace(std::move(result));
      self->changed_.notify_all();
    };
  }
  void leave() {
    const std::lock_guard lock(mutex_);
    left_ = true;
    changed_.notify_all();
  }
  /// Nothing: the caller left, or its deadline passed.
  std::optional<Result<T>> take(const Clock& clock, const std::optional<Time>& deadline) {
    std::unique_lock lock(mutex_);
    while (!result_ && !left_) {
      if (!deadline) {
        changed_.wait(lock);
        continue;
      }
      if (clock.now() >= *deadline) break;
      // A clock that is driven by hand is looked at now and then.
      const std::optional<Duration> left = clock.real_time_until(*deadline);
      changed_.wait_for(lock, std::clamp<Duration>(left.value_or(kLook), Duration{1}, left ? std::chrono::hours{24} : kLook));
    }
    return std::move(result_);
  }

 private:
  static constexpr Duration kLook{20};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Result<T>> result_;   // guarded by mutex_
  bool left_ = false;                 // guarded by mutex_
};

/// As call, for verbs that change something and whose answer may take as long as the disk: a caller whose deadline passes, or who cancels, is told
/// `outcome_unknown` when the engine has not answered by itself (S-5).
template <class Request, class T>
Result<T> change(Broker& broker, void (Broker::*verb)(Request, CallContext, Callback<T>), Request request, CallContext context) {
  if (!context.deadline && !context.cancellation) return call(broker, verb, std::move(request), std::move(context));
  context.caller_waits = true;
  const auto waiter = std::make_shared<Leavable<T>>();
  Cancellation::State::Id subscription = 0;
  const Cancellation cancellation = context.cancellation;
  if (cancellation) subscription = cancellation.state()->subscribe([waiter] { waiter->leave(); });
  const std::optional<Time> deadline = context.deadline;
  (broker.*verb)(std::move(request), std::move(context), Leavable<T>::callback(waiter));
  if (cancellation && subscription == 0) waiter->leave();   // it was cancelled before; most likely the engine has said so
  std::optional<Result<T>> result = waiter->take(broker.clock(), deadline);
  if (subscription != 0) cancellation.state()->unsubscribe(subscription);
  if (result) return std::move(*result);
  return Status{ErrorCode::outcome_unknown, cancellation.cancelled() ? "cancelled while it was under way; it may still happen"
                                                                     : "the deadline passed while it was under way; it may still happen"};
}

template <class T>
Result<T> call(Broker& broker, void (Broker::*verb)(CallContext, Callback<T>), CallContext context) {
  context.caller_waits = true;
  Waiter<T> waiter;
  (broker.*verb)(std::move(context), waiter.callback());
  return waiter.take();
}

}  // namespace weir::api
