// Directories that are gone when their owner is.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace bench {

class TempDirectory {
 public:
  /// A new directory below `parent`, with a name that nobody else has.
  explicit TempDirectory(const std::filesystem::path& parent, const std::string& prefix = "weir-bench-") {
    std::string name = (parent / (prefix + "XXXXXX")).string();
    if (!mkdtemp(name.data())) throw std::system_error(errno, std::generic_category(), "cannot make " + name);
    path_ = name;
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  ~TempDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace bench
