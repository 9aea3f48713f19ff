// Syncing the log: a step of its own, shared by all who asked for `power` (S-4, S-5); and what happens when the disk fails (S-32).
#include <pthread.h>

#include "broker/engine/answer.h"

namespace weir::engine {
namespace {
constexpr std::uint64_t kUncheckedMax = 2u << 20;   // bytes written between two looks at the disk
}

void Engine::syncer_loop() {
  ::pthread_setname_np(::pthread_self(), "weir-syncer");
  Lock lock(sync_mutex_);
  while (true) {
    syncer_wake_.wait(lock, [this] { return syncer_ends_ || (!syncing_ && (!unsynced_.empty() || sync_wanted_ > synced_commit_)); });
    if (syncing_ || (unsynced_.empty() && sync_wanted_ <= synced_commit_)) {
      if (syncer_ends_) return;
    } else {
      sync_round(lock);
    }
  }
}

/// A leader that waits for `power` itself saves the two changes of threads that the syncer would cost.
void Engine::sync_here_if_idle() {
  Lock lock(sync_mutex_);
  if (syncing_ || (unsynced_.empty() && sync_wanted_ <= synced_commit_)) return;
  sync_round(lock);
  if (!unsynced_.empty() || sync_wanted_ > synced_commit_) syncer_wake_.notify_one();
}

/// One sync of everything written so far; answers who waited for it and makes it visible.
void Engine::sync_round(Lock& lock) {
  syncing_ = true;
  std::vector<std::unique_ptr<Op>> ops = std::exchange(unsynced_, {});
  const std::uint64_t commit = written_commit_;
  lock.unlock();
  const Status status = state_ == StoreState::kStopped ? stopped_status() : store_->sync();
  if (status.ok()) {
    syncs_.fetch_add(1, std::memory_order_relaxed);
    marks_->synced(commit);
    After after;
    {
      Lock core(core_);
      visible_commit_ = std::max(visible_commit_, commit);
      std::erase_if(unseen_topics_, [&](const TopicPtr& topic) {
        make_visible(*topic, after);
        topic->unseen_listed = !topic->unseen.empty();
        return topic->unseen.empty();
      });
      if (!drains_.empty()) check_drains(after);
    }
    finish(std::move(after));
  } else {
    if (state_ != StoreState::kStopped) stop_writes(status);
    for (auto& op : ops) op->status = {ErrorCode::outcome_unknown, "written, but the sync failed: " + status.message()};
  }
  complete(std::move(ops));
  lock.lock();
  syncing_ = false;
  synced_commit_ = std::max(synced_commit_, commit);
  if (syncer_ends_) syncer_wake_.notify_all();
}

Status Engine::stopped_status() const {
  std::lock_guard lock(reason_mutex_);
  return {ErrorCode::stopped, "writes are stopped until the store is reopened: " + reason_};
}

/// Whether publishes are taken at all.
Status Engine::publishable() const {
  switch (state_.load(std::memory_order_relaxed)) {
    case StoreState::kRunning: return {};
    case StoreState::kStorageFull:
      return {ErrorCode::storage_full, "the disk is nearly full: less is free than reserve_bytes (" + std::to_string(options_.reserve_bytes) +
                                           ") beside the room that is needed for what stands in memory"};
    case StoreState::kStopped: return stopped_status();
    case StoreState::kClosed: break;
  }
  return {ErrorCode::closed, "the broker is closed"};
}

void Engine::stop_writes(const Status& status) {
  {
    std::lock_guard lock(reason_mutex_);
    if (state_ == StoreState::kStopped) return;
    reason_ = status.message();
    state_ = StoreState::kStopped;
  }
  log(LogLevel::kError, "writes are stopped: " + status.to_string());
  After after;
  {
    Lock lock(core_);
    for (const auto& [name, group] : groups_) answer_waiters(*group, after);
  }
  finish(std::move(after));
}

void Engine::enter_storage_full(const std::string& reason) {
  StoreState running = StoreState::kRunning;
  if (!state_.compare_exchange_strong(running, StoreState::kStorageFull)) return;
  {
    std::lock_guard lock(reason_mutex_);
    reason_ = reason;
  }
  events_.note_storage("storage_full", reason);
  log(LogLevel::kWarning, "the disk is nearly full, publishes are refused: " + reason);
}

/// Looks at the room on the disk now and then; publishes stop while settlements still have the reserve, and go on when there is room again (S-32).
/// What stands in memory will need room a second time, beside the log, when it is flushed: without it RocksDB would stop all writes.
/// `bytes`: so many are about to be written.
void Engine::check_disk_space(bool force, std::uint64_t bytes) {
  if (!store_) return;
  const auto now = std::chrono::steady_clock::now();
  {
    std::lock_guard lock(reason_mutex_);
    if (!force && now - space_checked_ < std::chrono::milliseconds(100) && written_unchecked_.load(std::memory_order_relaxed) + bytes < kUncheckedMax) return;
    space_checked_ = now;
    written_unchecked_ = 0;
  }
  const Result<std::uint64_t> room = store_->disk_free_bytes();
  if (!room.ok()) return;
  const std::uint64_t unflushed = store_->unflushed_bytes() + 2 * bytes;   // in the log, and then in a table file
  if (*room < options_.reserve_bytes + unflushed) {
    enter_storage_full(std::to_string(*room) + " bytes are free, and " + std::to_string(unflushed) + " stand in memory");
    return;
  }
  StoreState full = StoreState::kStorageFull;
  if (!has_stuck_commit_ && state_.compare_exchange_strong(full, StoreState::kRunning)) {
    {
      std::lock_guard lock(reason_mutex_);
      reason_.clear();
    }
    events_.note_storage("storage_recovered", "there is room on the disk again");
    log(LogLevel::kInfo, "there is room on the disk again, publishes go on");
  }
}

}  // namespace weir::engine
