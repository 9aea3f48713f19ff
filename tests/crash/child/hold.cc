#include <unistd.h>

#include <cstdio>

#include "tests/crash/child/child.h"

namespace weir::crash {

int run_hold(const std::string& store) {
  OpenOptions options;
  options.reserve_bytes = 0;
  auto broker = open(store, options);
  if (!broker.ok()) {
    std::printf("%s\n", broker.status().to_string().c_str());
    std::fflush(stdout);
    return 3;
  }
  std::printf("open\n");
  std::fflush(stdout);
  char byte;
  while (::read(STDIN_FILENO, &byte, 1) > 0) {
  }
  return 0;
}

}  // namespace weir::crash
