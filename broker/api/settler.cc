#include "broker/api/settler.h"

#include <utility>

namespace weir::api {
namespace {

// How long the end of a subscription waits for answers that are under way before it asks again, and how long it goes on asking.
constexpr std::chrono::milliseconds kAnswersWait{50};
constexpr std::chrono::milliseconds kAgainWait{5};
constexpr int kAgainMax = 400;

bool may_succeed_later(ErrorCode code) { return error_info(code).retryable; }

}  // namespace

Settler::Settler(Broker& broker, std::size_t lanes, std::shared_ptr<Bell> keeper) : broker_(broker), keeper_(std::move(keeper)), lanes_(lanes) {
  for (Lane& lane : lanes_) lane.settlements.reserve(kFull);
}

bool Settler::leave_handler(std::size_t index, Settlement* settlement) {
  Lane& lane = lanes_[index];
  const std::lock_guard lock(lane.mutex);
  if (lane.disowned) return false;
  lane.in_handler.store(false, std::memory_order_relaxed);
  if (settlement) lane.settlements.push_back(std::move(*settlement));
  lane.unsent_known = lane.settlements.size();
  return true;
}

void Settler::add(std::size_t index, Settlement settlement) {
  Lane& lane = lanes_[index];
  const std::lock_guard lock(lane.mutex);
  lane.settlements.push_back(std::move(settlement));
  lane.unsent_known = lane.settlements.size();
}

Settler::Settlements Settler::take(Lane& lane) {
  Settlements taken;
  const std::lock_guard lock(lane.mutex);
  if (lane.settlements.empty()) return taken;
  taken.reserve(lane.settlements.capacity());
  taken.swap(lane.settlements);
  ++lane.sends;
  return taken;
}

void Settler::send(std::size_t index) {
  lanes_[index].unsent_known = 0;
  submit(take(lanes_[index]));
}

void Settler::send_and_wait(std::size_t index) {
  lanes_[index].unsent_known = 0;
  Settlements settlements = take(lanes_[index]);
  if (settlements.empty()) return;
  SettleRequest request;
  request.settlements = settlements;
  settlements = not_taken(std::move(settlements), lanes_[index].call->settle(broker_, std::move(request)));
  if (settlements.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    again_.push_back(std::move(settlements));
  }
  keeper_->ring();
}

void Settler::close_lane(std::size_t index) {
  const std::lock_guard lock(lanes_[index].mutex);
  lanes_[index].closed = true;
}

void Settler::settle_late(Settlement settlement) {
  const std::shared_lock gate(gate_);
  if (abandoned_) return;
  const auto call = std::make_shared<SettleCall>();
  {
    const std::lock_guard lock(mutex_);
    if (no_more_late_) return;
    late_.push_back(call);
  }
  SettleRequest request;
  request.settlements.push_back(std::move(settlement));
  // When even this fails the lease runs out, and the message is delivered again.
  static_cast<void>(call->settle(broker_, std::move(request)));
  const std::lock_guard lock(mutex_);
  std::erase(late_, call);
}

void Settler::submit(Settlements settlements) {
  if (settlements.empty()) return;
  SettleRequest request;
  request.settlements = settlements;
  std::uint64_t id = 0;
  {
    const std::lock_guard lock(mutex_);
    id = ++last_id_;
    unanswered_.emplace(id, std::move(settlements));
  }
  broker_.async_settle(std::move(request), {},
                       [self = shared_from_this(), id](Result<SettleResult> result) { self->answered(id, std::move(result)); });
}

void Settler::answered(std::uint64_t id, Result<SettleResult> result) {
  bool ring = false;
  {
    const std::lock_guard lock(mutex_);
    auto asked = unanswered_.extract(id);
    if (asked.empty()) return;
    Settlements rest = not_taken(std::move(asked.mapped()), result);
    ring = !rest.empty();
    if (ring) again_.push_back(std::move(rest));
    if (unanswered_.empty()) answered_.notify_all();
  }
  if (ring) keeper_->ring();
}

// What must be sent again. A settlement refused for good (`lease_lost` above all) is over: the message is somebody else's now.
Settler::Settlements Settler::not_taken(Settlements asked, const Result<SettleResult>& result) const {
  if (!result.ok()) return may_succeed_later(result.code()) ? std::move(asked) : Settlements{};
  Settlements rest;
  for (std::size_t i = 0; i < result->results.size() && i < asked.size(); ++i)
    if (may_succeed_later(result->results[i].code())) rest.push_back(std::move(asked[i]));
  return rest;
}

bool Settler::sweep(bool all) {
  bool waiting = false;
  for (Lane& lane : lanes_) {
    {
      const std::lock_guard lock(lane.mutex);
      if (!all && lane.sends != lane.sends_seen) {
        lane.sends_seen = lane.sends;
        waiting |= !lane.settlements.empty();
        continue;
      }
    }
    Settlements due = take(lane);
    if (due.empty()) continue;
    ++lane.sends_seen;
    waiting = true;
    submit(std::move(due));
  }
  const std::lock_guard lock(mutex_);
  return waiting || !again_.empty();
}

void Settler::resend() {
  std::vector<Settlements> again;
  {
    const std::lock_guard lock(mutex_);
    again.swap(again_);
  }
  for (Settlements& settlements : again) {
    SettleRequest request;
    request.settlements = settlements;
    Settlements rest = not_taken(std::move(settlements), keepers_call_->settle(broker_, std::move(request)));
    if (rest.empty()) continue;
    const std::lock_guard lock(mutex_);
    again_.push_back(std::move(rest));
  }
}

bool Settler::disown_handlers() {
  bool over = true;
  for (Lane& lane : lanes_) {
    const std::lock_guard lock(lane.mutex);
    if (lane.closed || lane.disowned) continue;
    if (lane.in_handler.load(std::memory_order_acquire))
      lane.disowned = true;
    else
      over = false;
  }
  return over;
}

void Settler::settle_now(Settlements settlements) {
  for (int i = 0; i < kAgainMax && !settlements.empty() && !given_up_.cancelled(); ++i) {
    if (i > 0) keeper_->wait_for(kAgainWait);
    SettleRequest request;
    request.settlements = settlements;
    settlements = not_taken(std::move(settlements), keepers_call_->settle(broker_, std::move(request)));
  }
}

void Settler::finish() {
  for (Lane& lane : lanes_) settle_now(take(lane));
  std::vector<Settlements> rest;
  {
    std::unique_lock lock(mutex_);
    // Whoever runs callbacks may be waiting for us, so that answers that are under way do not come. To settle once more is harmless (S-14), and
    // its answer says that the one before is through as well.
    answered_.wait_for(lock, kAnswersWait, [this] { return unanswered_.empty(); });
    rest.swap(again_);
    for (auto& [id, settlements] : unanswered_) rest.push_back(std::move(settlements));
    unanswered_.clear();
  }
  for (Settlements& settlements : rest) settle_now(std::move(settlements));
}

void Settler::give_up() {
  Cancellation(given_up_).cancel();
  for (Lane& lane : lanes_) lane.call->give_up();
  keepers_call_->give_up();
}

CallContext Settler::while_wanted() const {
  CallContext context;
  context.cancellation = given_up_;
  return context;
}

void Settler::abandon() {
  {
    const std::lock_guard lock(mutex_);
    no_more_late_ = true;
    for (const auto& call : late_) call->give_up();
  }
  const std::lock_guard gate(gate_);
  abandoned_ = true;
}

}  // namespace weir::api
