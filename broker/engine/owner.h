// One process has a store (S-34): a locked file that names who.
#pragma once

#include <memory>
#include <string>

#include "weir/status.h"

namespace weir::engine {

/// Holds the lock as long as it lives. Not for use after fork.
class Owner {
 public:
  /// already_open names the owner's pid and what it says about how to connect.
  static Result<std::unique_ptr<Owner>> take(const std::string& path);
  ~Owner();
  Owner(const Owner&) = delete;
  Owner& operator=(const Owner&) = delete;

 private:
  explicit Owner(int fd, std::string identity) : fd_(fd), identity_(std::move(identity)) {}
  const int fd_;
  const std::string identity_;  // device and inode
};

}  // namespace weir::engine
