// What threads bring together, for the test's own thread to look at: Catch2's assertions are not thread-safe.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

#include "tests/support/eventually.h"

namespace weir::test {

/// Thread-safe.
template <class T>
class Collector {
 public:
  void add(T item) {
    // Told under the lock: who waits may destroy this as soon as it sees the item.
    std::lock_guard lock(mutex_);
    items_.push_back(std::move(item));
    changed_.notify_all();
  }

  /// Waits until there are `count` items. Answers whether there were in time.
  bool wait_for(std::size_t count, std::chrono::milliseconds patience = kPatience) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, [&] { return items_.size() >= count; });
  }

  std::vector<T> items() const {
    std::lock_guard lock(mutex_);
    return items_;
  }
  std::size_t size() const {
    std::lock_guard lock(mutex_);
    return items_.size();
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<T> items_;  // guarded by mutex_
};

/// A gate that opens once. Thread-safe.
class Gate {
 public:
  void open() {
    std::lock_guard lock(mutex_);  // as above
    open_ = true;
    changed_.notify_all();
  }
  /// Answers whether it opened in time.
  bool wait(std::chrono::milliseconds patience = kPatience) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, [&] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;  // guarded by mutex_
};

}  // namespace weir::test
