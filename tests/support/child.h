// Other processes of a test: this same program, run again for one of its hidden test cases.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace weir::test {

/// Runs the hidden test case `name` in a process of its own, with `environment` added, and answers its exit code: 0 when it passed;
/// 128 + the signal that killed it; -1 when it did not end in time (it is killed then).
int run_child(const std::string& name, const std::vector<std::pair<std::string, std::string>>& environment);

}  // namespace weir::test
