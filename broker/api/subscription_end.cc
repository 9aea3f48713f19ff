// The keeper of a subscription: settlements that must not wait, and the end.
#include <pthread.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "broker/api/subscription_impl.h"

namespace weir {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::microseconds kTick{500};
constexpr std::chrono::milliseconds kPatience{5};  // how often the outcomes of the last handlers are looked for
constexpr std::chrono::milliseconds kAnswersGrace{1000};  // for the broker's last answers, behind the handlers' grace
constexpr int kQuietTicks = 8;  // the keeper goes back to sleep after so many without work

thread_local const Subscription::Impl* this_threads_impl = nullptr;

}  // namespace

Subscription::Impl::Impl(Broker& broker, Plan plan)
    : broker_(broker), plan_(std::move(plan)), settler_(std::make_shared<api::Settler>(broker, plan_.threads, bell_)), workers_(plan_.threads) {
  for (std::size_t i = 0; i < workers_.size(); ++i) workers_[i].index = i;
}

// Every thread holds the object while it runs, so by now they are at their very end, and one of them may be this one.
Subscription::Impl::~Impl() {
  if (keeper_.joinable()) keeper_.detach();
  for (Worker& worker : workers_)
    if (worker.thread.joinable()) worker.thread.detach();
}

Status Subscription::Impl::start() {
  const std::lock_guard join_lock(join_mutex_);
  const auto run = [self = shared_from_this()](const char* name, auto&& body) {
    pthread_setname_np(pthread_self(), name);
    this_threads_impl = self.get();
    body(*self);
  };
  try {
    keeper_ = std::thread([run] { run("weir-sub-keeper", [](Impl& self) { self.keep(); }); });
    for (Worker& worker : workers_) {
      {
        const std::lock_guard lock(mutex_);
        ++at_work_;
      }
      worker.thread = std::thread([run, &worker] { run("weir-sub", [&worker](Impl& self) { self.work(worker); }); });
    }
    return ok();
  } catch (const std::system_error& e) {
    Status status(ErrorCode::unavailable, std::string("subscribe: cannot start a thread: ") + e.what());
    if (!keeper_.joinable()) {
      static_cast<void>(broker_.leave(member()));
      const std::lock_guard lock(mutex_);
      stopping_.store(true);
      finished_ = true;
      return status;
    }
    for (Worker& worker : workers_)
      if (!worker.thread.joinable()) settler_->close_lane(worker.index);
    {
      const std::lock_guard lock(mutex_);
      --at_work_;
    }
    request_stop(Duration{0}, ok());
    wait_finished();
    return status;
  }
}

void Subscription::Impl::request_stop(Duration grace, Status status) {
  grace = std::clamp(grace, Duration{0}, Duration{std::chrono::hours{24 * 365}});
  {
    const std::lock_guard lock(mutex_);
    deadline_ = std::min(deadline_, std::chrono::steady_clock::now() + grace);
    if (!stopping_.exchange(true)) end_status_ = std::move(status);
    work_.notify_all();
    ended_.notify_all();
  }
  bell_->ring();
}

/// When the grace is over the broker may be unable to answer (a full disk), so what still waits for its answer is given up then (S-35).
void Subscription::Impl::wait_finished() {
  std::unique_lock lock(mutex_);
  while (!finished_ && std::chrono::steady_clock::now() < deadline_ + kAnswersGrace) ended_.wait_until(lock, deadline_ + kAnswersGrace);
  if (finished_) return;
  lock.unlock();
  settler_->give_up();
  lock.lock();
  ended_.wait(lock, [this] { return finished_; });
}

void Subscription::Impl::will_not_return() {
  const std::lock_guard lock(mutex_);
  ++wait_for_end_;
  ended_.notify_all();
}

bool Subscription::Impl::own_thread() const noexcept { return this_threads_impl == this; }

void Subscription::Impl::join() {
  const std::lock_guard join_lock(join_mutex_);
  if (keeper_.joinable()) keeper_.join();
  for (Worker& worker : workers_) {
    if (!worker.thread.joinable()) continue;
    bool exited = false;
    {
      const std::lock_guard lock(mutex_);
      exited = worker.exited;
    }
    if (exited)
      worker.thread.join();
    else
      worker.thread.detach();
  }
}

std::uint64_t Subscription::Impl::handled() const noexcept {
  std::uint64_t sum = 0;
  for (const Worker& worker : workers_) sum += worker.handled.load(std::memory_order_relaxed);
  return sum;
}

// Called by a worker that goes into a handler and leaves settlements behind. A keeper that goes to sleep looks at the lanes once more
// behind its clearing of ticking_, so either it sees them or the worker sees that it sleeps.
void Subscription::Impl::arm_keeper() {
  if (!ticking_.load(std::memory_order_acquire) && !ticking_.exchange(true)) bell_->ring();
}

void Subscription::Impl::keep() {
  for (int quiet = 0; running();) {
    if (!ticking_.load(std::memory_order_acquire)) bell_->wait();
    if (!running()) break;
    bell_->wait_for(kTick);
    tick_.fetch_add(1, std::memory_order_relaxed);
    settler_->resend();
    quiet = settler_->sweep() ? 0 : quiet + 1;
    if (quiet < kQuietTicks) {
      ticking_.store(true, std::memory_order_relaxed);
      continue;
    }
    ticking_.store(false);
    if (settler_->sweep()) ticking_.store(true, std::memory_order_relaxed);
    quiet = 0;
  }
  wind_up();
}

void Subscription::Impl::wind_up() {
  // Here and not where the stop is asked for: an engine's callbacks run inside, and must have ended before the subscription has.
  Cancellation(stop_).cancel();
  release_unclaimed();
  wait_for_workers();
  settler_->finish();
  // The group may be gone already, or the broker closed; then there is nothing to leave.
  static_cast<void>(broker_.leave(member(), settler_->while_wanted()));
  Status why;
  {
    const std::lock_guard lock(mutex_);
    finished_ = true;
    why = end_status_;
    ended_.notify_all();
  }
  if (!why.ok() && plan_.on_end) plan_.on_end(why);
}

void Subscription::Impl::release_unclaimed() {
  std::deque<std::shared_ptr<api::Batch>> batches;
  {
    const std::lock_guard lock(mutex_);
    batches.swap(batches_);
  }
  std::vector<Settlement> releases;
  for (const auto& batch : batches) batch->release_rest(releases);
  settler_->settle_now(std::move(releases));
}

// Until all workers have gone or the grace is over; then until the rest is in handlers and disowned. What a worker does in the broker is never
// left alone: the broker may be destroyed as soon as the subscription has finished.
void Subscription::Impl::wait_for_workers() {
  std::unique_lock lock(mutex_);
  while (at_work_ > wait_for_end_ && std::chrono::steady_clock::now() < deadline_) {
    lock.unlock();
    settler_->sweep(true);  // handlers that go on hold no outcome back
    settler_->resend();
    lock.lock();
    if (at_work_ > wait_for_end_) ended_.wait_until(lock, std::min(deadline_, std::chrono::steady_clock::now() + kPatience));
  }
  if (at_work_ == 0) return;
  lock.unlock();
  while (!settler_->disown_handlers()) {
    lock.lock();
    ended_.wait_for(lock, 1ms);
    lock.unlock();
  }
}

}  // namespace weir
