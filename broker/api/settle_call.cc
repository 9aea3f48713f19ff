#include "broker/api/settle_call.h"

namespace weir::api {
namespace {
Status unknown() { return {ErrorCode::outcome_unknown, "given up while the broker had not answered; it may still happen"}; }
}  // namespace

Result<SettleResult> SettleCall::settle(Broker& broker, SettleRequest request) {
  if (given_up_.load()) return unknown();
  gate_.shut();
  state_.store(kAsking);
  if (given_up_.load()) return unknown();   // whoever gave up may have seen the state before
  CallContext context;
  context.caller_waits = true;
  broker.async_settle(std::move(request), std::move(context), [self = shared_from_this()](Result<SettleResult> result) {
    std::uint32_t asking = kAsking;
    if (!self->state_.compare_exchange_strong(asking, kAnswered)) return;
    self->result_ = std::move(result);
    self->gate_.open();
  });
  gate_.wait();
  if (state_.load() != kAnswered) return unknown();
  return std::move(result_);
}

void SettleCall::give_up() {
  given_up_.store(true);
  std::uint32_t asking = kAsking;
  if (state_.compare_exchange_strong(asking, kGivenUp)) gate_.open();
}

}  // namespace weir::api
