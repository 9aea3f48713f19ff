#include "tests/support/temp_directory.h"

#include <stdlib.h>

#include <cerrno>
#include <system_error>

namespace weir::test {

TempDirectory::TempDirectory() {
  const char* base = std::getenv("WEIR_TEST_DIRECTORY");
  const std::filesystem::path parent = base != nullptr ? std::filesystem::path(base) : std::filesystem::temp_directory_path();
  std::string name = (parent / "weir-test-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::system_error(errno, std::generic_category(), "mkdtemp " + name);
  path_ = name;
}

TempDirectory::~TempDirectory() {
  std::error_code ignored;  // a directory left behind is no reason to fail a test that passed
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace weir::test
