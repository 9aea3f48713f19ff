#include "broker/engine/runner.h"

#include <pthread.h>

namespace weir::engine {

Runner::Runner(std::string name) : name_(std::move(name)), thread_([this] { run(); }) {}

Runner::~Runner() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Runner::post(UniqueFunction<void()> function) {
  bool wake;
  {
    std::lock_guard lock(mutex_);
    posted_.push_back(std::move(function));
    waiting_.store(posted_.size(), std::memory_order_relaxed);
    wake = std::exchange(asleep_, false);
  }
  if (wake) changed_.notify_one();
}

bool Runner::wait_until_idle(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  return idle_.wait_for(lock, time, [this] { return posted_.empty() && !busy_; });
}

void Runner::wait_until_idle() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return posted_.empty() && !busy_; });
}

void Runner::run() {
  ::pthread_setname_np(::pthread_self(), name_.c_str());
  std::vector<UniqueFunction<void()>> batch;
  std::unique_lock lock(mutex_);
  while (true) {
    busy_ = false;
    if (posted_.empty()) idle_.notify_all();
    while (posted_.empty() && !ending_) {
      asleep_ = true;
      changed_.wait(lock);
    }
    if (posted_.empty()) return;
    batch.swap(posted_);
    waiting_.store(0, std::memory_order_relaxed);
    busy_ = true;
    lock.unlock();
    for (auto& function : batch) {
      function();
      function.reset();
    }
    batch.clear();
    lock.lock();
  }
}

}  // namespace weir::engine
