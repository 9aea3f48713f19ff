// Which runs of a test case were left out because the engine lacks what they test.
#pragma once

#include <string>

namespace weir::test {

/// Notes that the running test case was left out once. A case of which nothing else ran is not counted as passed.
void note_skip(std::string what);
/// Notes that the running test case ran once.
void note_run();

}  // namespace weir::test
