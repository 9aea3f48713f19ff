// Holds a store against the ledger of those who worked with it.
#pragma once

#include <string>
#include <vector>

#include "tests/crash/ledger.h"

namespace weir::crash {

/// What the ledger alone tells: epochs, what was delivered after its ack was confirmed, the order of keys, the counters. Answers what is wrong, the first few.
std::vector<std::string> check_ledger(const LedgerBook& book);

/// Opens the store (a copy: it is changed), reads everything, and takes out whatever is left in it: each message of each group must be in
/// exactly one state, nothing confirmed may be missing, nothing may be there twice.
std::vector<std::string> check_store(const std::string& directory, const LedgerBook& book);

}  // namespace weir::crash
