#include "broker/api/cancellation.h"

#include <algorithm>

namespace weir {

Cancellation::State::Id Cancellation::State::subscribe(UniqueFunction<void()> callback) {
  const std::lock_guard lock(mutex_);
  if (cancelled()) return 0;
  waiting_.emplace_back(++last_, std::move(callback));
  return last_;
}

bool Cancellation::State::unsubscribe(Id id) {
  UniqueFunction<void()> dropped;  // destroyed outside the lock: it may own anything
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(waiting_, id, &std::pair<Id, UniqueFunction<void()>>::first);
  if (found == waiting_.end()) return false;
  dropped = std::move(found->second);
  waiting_.erase(found);
  return true;
}

void Cancellation::State::cancel() {
  std::vector<std::pair<Id, UniqueFunction<void()>>> callbacks;
  {
    const std::lock_guard lock(mutex_);
    if (cancelled_.exchange(true)) return;
    callbacks.swap(waiting_);
  }
  for (auto& [id, callback] : callbacks) callback();
}

Cancellation Cancellation::make() {
  Cancellation made;
  made.state_ = std::make_shared<State>();
  return made;
}

void Cancellation::cancel() {
  if (state_) state_->cancel();
}

bool Cancellation::cancelled() const noexcept { return state_ && state_->cancelled(); }

}  // namespace weir
