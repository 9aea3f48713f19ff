// Opening the embedded engine with the hooks that tests need; programs call weir::open().
#pragma once

#include <memory>
#include <string>

#include "weir/broker.h"

namespace rocksdb {
class FileSystem;
}

namespace weir::engine {

struct Hooks {
  std::shared_ptr<rocksdb::FileSystem> file_system;  ///< instead of the real one, for the store's own files
  std::string boot_id;                               ///< instead of the machine's: a changed one means that power was lost
};

Result<std::unique_ptr<Broker>> open_embedded(const std::string& location, OpenOptions options, Hooks hooks = {});

}  // namespace weir::engine
