// What RocksDB's errors are in weir's table (S-32, S-36).
#pragma once

#include <rocksdb/status.h>

#include <string_view>

#include "weir/status.h"

namespace weir::store {

/// `what` says what was tried. No room is `storage_full`; wrong bytes and files that are gone are `corruption`; all else is `stopped`.
/// RocksDB's text names the file and the place in it.
Status error_of(const rocksdb::Status& status, std::string_view what);
/// The same for opening: the lock that another process holds is `already_open`.
Status open_error_of(const rocksdb::Status& status, std::string_view directory);

}  // namespace weir::store
