#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

#include "tests/crash/child/child.h"

namespace weir::crash {
namespace {

void say(const char* what) {
  std::printf("%s\n", what);
  std::fflush(stdout);
}

}  // namespace

int run_redrive(const std::string& store, const std::string& ledger) {
  OpenOptions options;
  options.reserve_bytes = 0;
  auto broker = open(store, options).value();
  const int file = ::open(ledger.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file < 0) return 6;
  const auto write_down = [&](char what, const Delivered& d) {
    const std::string line = std::string(1, what) + " " + std::to_string(d.token.redrive) + " " + std::to_string(d.message.offset.value) + "\n";
    return ::write(file, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  };
  say("open");
  FetchRequest request;
  request.source = "t";
  request.messages_max = 50;
  request.wait = Duration{50};
  bool done = false;
  while (true) {
    request.group = "audit";
    FetchRequest look = request;
    look.wait = Duration{0};
    if (!broker->fetch(look).value().deliveries.empty()) return 7;   // not its business
    request.group = "g";
    const FetchResult fetched = broker->fetch(request).value();
    for (const Delivered& d : fetched.deliveries)
      if (!write_down('d', d) || !broker->ack(d.token).ok() || !write_down('a', d)) return 8;
    if (done) continue;
    const std::vector<JobInfo> jobs = broker->jobs().value();
    if (jobs.size() != 1 || (jobs[0].state != "running" && jobs[0].state != "done")) return 9;
    done = jobs[0].state == "done" && broker->group("t", "g").value().total().depth == 0;
    if (done) say("done");
  }
}

}  // namespace weir::crash
