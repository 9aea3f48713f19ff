#include <condition_variable>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "bench/payload_pool.h"
#include "bench/raw_limits.h"

namespace bench {
namespace {

struct Item {
  std::unique_ptr<char[]> bytes;  // none: the producer is done
  std::size_t size = 0;
};

class MutexQueue {
 public:
  explicit MutexQueue(std::size_t depth) : depth_(depth) {}

  void push(Item item) {
    std::unique_lock lock(mutex_);
    not_full_.wait(lock, [&] { return items_.size() < depth_; });
    const bool was_empty = items_.empty();
    items_.push_back(std::move(item));
    lock.unlock();
    if (was_empty) not_empty_.notify_one();
  }
  Item pop() {
    std::unique_lock lock(mutex_);
    not_empty_.wait(lock, [&] { return !items_.empty(); });
    const bool was_full = items_.size() == depth_;
    Item item = std::move(items_.front());
    items_.pop_front();
    lock.unlock();
    if (was_full) not_full_.notify_one();
    return item;
  }

 private:
  const std::size_t depth_;
  std::mutex mutex_;
  std::condition_variable not_empty_, not_full_;
  std::deque<Item> items_;  // guarded by mutex_
};

}  // namespace

Tally queue_for(double seconds, std::size_t payload_bytes, std::size_t depth) {
  MutexQueue queue(depth);
  PayloadPool pool(payload_bytes);
  Tally tally;
  const Stopwatch watch;
  std::thread consumer([&] {
    std::uint64_t popped = 0;
    while (queue.pop().bytes) ++popped;
    tally.messages = popped;
  });
  // The clock is read now and then only: a reading costs as much as a fifth of a push.
  while (watch.seconds() < seconds)
    for (int i = 0; i < 64; ++i) {
      Item item{std::make_unique_for_overwrite<char[]>(payload_bytes), payload_bytes};
      std::memcpy(item.bytes.get(), pool.next(), payload_bytes);
      queue.push(std::move(item));
    }
  queue.push({});
  consumer.join();
  tally.seconds = watch.seconds();
  return tally;
}

}  // namespace bench
