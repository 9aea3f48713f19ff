#include "tests/support/eventually.h"

#include <algorithm>
#include <thread>

namespace weir::test {

bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  auto pause = std::chrono::microseconds{50};
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= deadline) return condition();
    std::this_thread::sleep_for(pause);  // between two looks; grows so that a long wait costs little
    pause = std::min(pause * 2, std::chrono::microseconds{5000});
  }
  return true;
}

}  // namespace weir::test
