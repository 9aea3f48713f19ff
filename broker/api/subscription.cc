#include "weir/subscription.h"

#include <utility>

#include "broker/api/subscription_impl.h"

namespace weir {

Subscription::Subscription() noexcept = default;
Subscription::Subscription(std::shared_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Subscription::Subscription(Subscription&&) noexcept = default;

Subscription& Subscription::operator=(Subscription&& other) noexcept {
  if (this != &other) {
    stop();
    impl_ = std::move(other.impl_);
  }
  return *this;
}

Subscription::~Subscription() { stop(); }

void Subscription::stop(Duration grace) {
  if (!impl_) return;
  if (impl_->forked()) {
    // Nothing of it may be touched in the child, and nobody is there to end it.
    new auto(std::move(impl_));
    return;
  }
  impl_->request_stop(grace, ok());
  if (impl_->own_thread()) return;  // the keeper does the rest
  impl_->wait_finished();
  impl_->join();
}

bool Subscription::running() const noexcept { return impl_ && impl_->running(); }
std::uint64_t Subscription::handled() const noexcept { return impl_ ? impl_->handled() : 0; }
MemberId Subscription::member() const noexcept { return impl_ ? impl_->member() : MemberId{}; }

}  // namespace weir
