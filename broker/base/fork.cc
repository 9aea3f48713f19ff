#include "broker/base/fork.h"

#include <pthread.h>

#include <atomic>

namespace weir::base {
namespace {
std::atomic<std::uint64_t> generation{1};
const int registered = ::pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1, std::memory_order_relaxed); });
}  // namespace

std::uint64_t fork_generation() noexcept {
  (void)registered;
  return generation.load(std::memory_order_relaxed);
}

}  // namespace weir::base
