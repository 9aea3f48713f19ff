// What the worker threads of a subscription do.
#include <pthread.h>

#include <algorithm>
#include <utility>

#include "broker/api/subscription_impl.h"

namespace weir {
namespace {

using namespace std::chrono_literals;
using api::Batch;

// A fetch ends by itself after this, so that it is renewed when something was missed; nothing depends on it.
constexpr Duration kLongWait = 10s;
constexpr Duration kRetryDelayMax = std::chrono::hours{24 * 365};
constexpr std::chrono::milliseconds kPauseFirst = 10ms, kPauseMax = 1s;
// How long handlers may go on when the subscription ends by itself.
constexpr Duration kGraceOfEnd = 10s;

}  // namespace

void Subscription::Impl::work(Worker& worker) {
  for (std::uint32_t head = next(worker); head != Batch::kNone; head = next(worker)) work_chain(worker, head);
  worker.batch.reset();
  if (!worker.disowned) settler_->send_and_wait(worker.index);
  settler_->close_lane(worker.index);
  const std::lock_guard lock(mutex_);
  worker.exited = true;
  --at_work_;
  ended_.notify_all();
}

// The next message for this worker, or kNone at the end. Claims, fetches or sleeps, whatever is called for.
std::uint32_t Subscription::Impl::next(Worker& worker) {
  while (!stopping_.load(std::memory_order_acquire) && !worker.disowned) {
    if (worker.batch) {
      if (worker.batch->refill_due() && take_fetching() && !fetch(worker, Duration{0})) worker.batch->refill_later();
      if (const std::uint32_t head = worker.batch->claim(); head != Batch::kNone) return head;
      worker.batch.reset();
    }
    std::unique_lock lock(mutex_);
    while (!batches_.empty() && batches_.front()->left() == 0) batches_.pop_front();
    if (!batches_.empty()) {
      worker.batch = batches_.front();
      wake_one(std::move(lock));
    } else if (settler_->unsent(worker.index) > 0) {
      lock.unlock();
      settler_->send_and_wait(worker.index);   // without more work they go out before the worker waits
    } else if (!fetching_) {
      fetching_ = true;
      lock.unlock();
      fetch(worker, kLongWait);
    } else {
      ++sleepers_;
      if (!stopping_.load(std::memory_order_relaxed)) work_.wait(lock);
      --sleepers_;
      waking_ = false;
    }
  }
  return Batch::kNone;
}

// Called by a worker that is about to claim. One call at a time is enough: who comes up calls the next.
void Subscription::Impl::wake_one(std::unique_lock<std::mutex> lock) {
  if (sleepers_ == 0 || waking_) return;
  std::uint32_t left = 0;
  for (const auto& batch : batches_) left += batch->left();
  if (left <= 1 && fetching_) return;
  waking_ = true;
  lock.unlock();
  work_.notify_one();
}

bool Subscription::Impl::take_fetching() {
  const std::lock_guard lock(mutex_);
  return !std::exchange(fetching_, true);
}

// Called by the fetcher, and gives that part back. True when there is something new to claim.
bool Subscription::Impl::fetch(Worker& worker, Duration wait) {
  FetchRequest request = plan_.fetch;
  request.wait = wait;
  if (worker.batch) request.messages_max = std::max(1u, plan_.prefetch - std::min(plan_.prefetch, worker.batch->left()));
  CallContext context;
  context.cancellation = stop_;
  const auto asked = std::chrono::steady_clock::now();
  Result<FetchResult> result = broker_.fetch(std::move(request), std::move(context));

  std::shared_ptr<Batch> batch;
  if (!result.ok()) {
    // A refill that fails is not worth a pause: there is work. The next long fetch meets the same error, if it lasts.
    if (wait > Duration{0}) fetch_failed(result.status());
  } else if (!result->deliveries.empty()) {
    const std::uint32_t refill_from = plan_.threads > 1 ? 16 : 0;  // a single worker gains nothing by fetching early
    batch = std::make_shared<Batch>(std::move(result->deliveries), plan_.order, refill_from);
    pause_ = 0ms;
  } else if (wait > Duration{0} && std::chrono::steady_clock::now() - asked < 1ms) {
    pause_fetching(1ms);  // an engine that does not wait, or a clock that jumped
  }

  std::unique_lock lock(mutex_);
  fetching_ = false;
  if (!stopping_.load(std::memory_order_relaxed)) {
    const bool found = batch != nullptr;
    if (found) batches_.push_back(std::move(batch));
    if (worker.batch) wake_one(std::move(lock));  // it goes on to a handler now; otherwise it comes by here again
    return found;
  }
  lock.unlock();
  if (!batch) return false;
  std::vector<Settlement> releases;
  batch->release_rest(releases);
  for (Settlement& release : releases) settler_->add(worker.index, std::move(release));
  return false;
}

void Subscription::Impl::fetch_failed(const Status& status) {
  if (stopping_.load(std::memory_order_acquire)) return;
  if (!status.retryable() && !(status == ErrorCode::cancelled)) return request_stop(kGraceOfEnd, status);
  pause_ = std::clamp(pause_ * 2, kPauseFirst, kPauseMax);
  pause_fetching(pause_);
}

void Subscription::Impl::pause_fetching(std::chrono::microseconds time) {
  std::unique_lock lock(mutex_);
  const auto until = std::chrono::steady_clock::now() + time;
  while (!stopping_.load(std::memory_order_relaxed) && ended_.wait_until(lock, until) == std::cv_status::no_timeout) {
  }
}

// Works a claimed message off, and those that must follow it. When one is not acked the rest goes back: the broker gives them
// out again behind it (S-13).
void Subscription::Impl::work_chain(Worker& worker, std::uint32_t head) {
  Batch& batch = *worker.batch;
  bool in_order = true;
  for (std::uint32_t i = head; i != Batch::kNone && !worker.disowned; i = batch.follower(i)) {
    if (in_order && !stopping_.load(std::memory_order_relaxed))
      in_order = handle(worker, std::move(batch.item(i)));
    else
      settler_->add(worker.index, Settlement::release(batch.item(i).token));
    // A full lane is settled on this very thread: the broker does that work on the callers' threads, and waking others costs more.
    // When a tick has passed the handlers are so slow that a request for each is nothing beside them, and nobody waits for it.
    const std::uint32_t tick = tick_.load(std::memory_order_relaxed);
    const std::size_t unsent = settler_->unsent(worker.index);
    if (!worker.disowned && unsent >= api::Settler::kFull)
      settler_->send_and_wait(worker.index);
    else if (!worker.disowned && unsent > 0 && tick != worker.tick)
      settler_->send(worker.index);
    worker.tick = tick;
  }
}

// True when the message is acked.
bool Subscription::Impl::handle(Worker& worker, Delivered delivered) {
  const Status begun = worker.ended ? broker_.begin_after(*worker.ended, delivered.token) : broker_.begin(delivered.token);
  worker.ended.reset();
  if (!begun.ok()) {
    if (!(begun == ErrorCode::lease_lost)) settler_->add(worker.index, Settlement::release(delivered.token));
    return false;
  }
  if (settler_->unsent(worker.index) > 0) arm_keeper();
  settler_->enter_handler(worker.index);
  worker.handled.store(worker.handled.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  const Token token = delivered.token;
  Delivery delivery(broker_, std::move(delivered));
  Settlement settlement = run_handler(delivery);
  // A delay that no broker takes must not cost the settlement: it becomes the nearest that is taken (S-18).
  if (settlement.kind == Settle::kRetry && settlement.delay) settlement.delay = std::clamp(*settlement.delay, Duration{0}, kRetryDelayMax);
  // What a transaction has settled is over, however the handler ended.
  const bool ours = !delivery.detached() && !delivery.settled();
  const bool acked = ours ? settlement.kind == Settle::kAck : delivery.settled() == Settle::kAck;
  if (settler_->leave_handler(worker.index, ours ? &settlement : nullptr)) {
    if (ours) worker.ended = token;
    return acked;
  }
  worker.disowned = true;
  if (ours) settler_->settle_late(std::move(settlement));
  return false;
}

Settlement Subscription::Impl::run_handler(Delivery& delivery) const {
  try {
    plan_.handler(delivery);
    return delivery.settlement();
  } catch (const RetryAfter& e) {
    return Settlement::retry(delivery.token(), e.what(), e.delay());
  } catch (const Reject& e) {
    return Settlement::reject(delivery.token(), e.what());
  } catch (const std::exception& e) {
    return Settlement::retry(delivery.token(), e.what());
  } catch (...) {
    return Settlement::retry(delivery.token(), "unknown exception");
  }
}

}  // namespace weir
