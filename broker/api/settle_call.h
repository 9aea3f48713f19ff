// A blocking settle that somebody else can end.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "broker/api/one_shot.h"
#include "weir/broker.h"

namespace weir::api {

/// One thread settles at a time, any other may give up. A call that was given up answers `outcome_unknown` at once, as do all later ones; the
/// broker's answer may come later and is ignored. Owned by a shared_ptr, which the answer holds, too.
class SettleCall : public std::enable_shared_from_this<SettleCall> {
 public:
  Result<SettleResult> settle(Broker& broker, SettleRequest request);
  void give_up();

 private:
  enum State : std::uint32_t { kIdle, kAsking, kAnswered, kGivenUp };
  OneShot gate_;
  std::atomic<std::uint32_t> state_{kIdle};
  std::atomic<bool> given_up_{false};
  Result<SettleResult> result_ = SettleResult{};   // written by whoever ends kAsking with kAnswered, before the gate opens
};

}  // namespace weir::api
