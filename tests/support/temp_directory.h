// A directory that is gone with the object.
#pragma once

#include <filesystem>
#include <string>

namespace weir::test {

class TempDirectory {
 public:
  /// Below $WEIR_TEST_DIRECTORY, or else the system's place for temporary files.
  TempDirectory();
  ~TempDirectory();
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;

  const std::filesystem::path& path() const noexcept { return path_; }
  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace weir::test
