// Notices that this process is the child of a fork (S-34), without a system call per verb.
#pragma once

#include <cstdint>

namespace weir::base {

/// A number that is different in a child that was forked after it was first asked for.
std::uint64_t fork_generation() noexcept;

}  // namespace weir::base
