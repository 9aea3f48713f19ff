// The blocking form of any asynchronous verb.
#pragma once

#include <optional>
#include <utility>

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

template <class T>
Result<T> call(Broker& broker, void (Broker::*verb)(CallContext, Callback<T>), CallContext context) {
  context.caller_waits = true;
  Waiter<T> waiter;
  (broker.*verb)(std::move(context), waiter.callback());
  return waiter.take();
}

}  // namespace weir::api
