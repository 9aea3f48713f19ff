// The one rule for redelivery delays (S-18).
#pragma once

#include <cstdint>

#include "broker/base/prng.h"
#include "weir/group.h"
#include "weir/status.h"

namespace weir::core {

/// How long a message waits after its failure number `failures` (from 1; 0 counts as 1): evenly from 0 to
/// min(max, first * factor^(failures-1)), both included, or exactly that bound without jitter.
Duration backoff_delay(const Backoff& backoff, std::uint32_t failures, base::Prng& prng);

/// invalid_argument naming the field, unless 0 <= first <= max <= 365 days and 1 <= factor <= 100.
Status validate(const Backoff& backoff);

}  // namespace weir::core
