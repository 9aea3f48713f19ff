// RocksDB's log lines, for the broker's log sink instead of files of its own.
#pragma once

#include <rocksdb/env.h>

#include <memory>

#include "weir/log.h"

namespace weir::store {

/// Passes on warnings and errors; without a sink, nothing.
std::shared_ptr<rocksdb::Logger> log_lines(LogSink sink);

}  // namespace weir::store
