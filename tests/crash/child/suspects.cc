#include <cstdlib>

#include "tests/crash/child/child.h"

namespace weir::crash {

int run_suspects(const std::string& store) {
  OpenOptions options;
  options.reserve_bytes = 0;
  auto broker = open(store, options).value();
  broker->create_topic("t").value();
  GroupOptions group;
  group.backoff = {Duration{1}, 1.0, Duration{1}, false};
  for (const char* name : {"a", "b"}) broker->create_group("t", name, group).value();
  broker->publish("t", Message{.payload = "1"}).value();
  for (const char* name : {"a", "b"}) {
    FetchRequest request;
    request.source = "t";
    request.group = name;
    if (broker->fetch(request).value().deliveries.size() != 1) return 5;
  }
  std::abort();
}

}  // namespace weir::crash
