// Waiting for an effect: a condition with a deadline in real time, never a time alone.
#pragma once

#include <chrono>
#include <functional>

namespace weir::test {

/// What a test waits at most for something that must happen. Long, because a loaded machine is no defect.
inline constexpr std::chrono::seconds kPatience{10};

/// Asks `condition` again and again until it is true, or until `patience` is over. Answers the last answer.
bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds patience = kPatience);

}  // namespace weir::test
