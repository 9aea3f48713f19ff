#include "bench/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace bench {

void run_task(const Json& order, const Answer& answer) {
  static const std::map<std::string, void (*)(const Json&, const Answer&)> tasks = {
      {"fill-store", fill_store_task},
      {"footprint", footprint_task},
      {"raw-footprint", raw_footprint_task},
      {"stuck-key", stuck_key_task},
      {"fill-schedule", fill_schedule_task},
      {"open-schedule", open_schedule_task},
      {"beside-schedule", beside_schedule_task},
      {"enter-schedule", enter_schedule_task},
  };
  tasks.at(order.at("task").get<std::string>())(order, answer);
}

Child::Child(const Json& order) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  const std::string text = order.dump();
  pid_ = fork();
  if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(ends[1], STDOUT_FILENO);
    execl("/proc/self/exe", "weir-bench", "--child", text.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  close(ends[1]);
  from_child_ = ends[0];
}

Child::~Child() {
  kill_hard();
  close(from_child_);
}

Json Child::answer() {
  std::string line;
  char c = 0;
  while (read(from_child_, &c, 1) == 1 && c != '\n') line += c;
  if (c != '\n') throw std::runtime_error("a child process ended without an answer");
  return Json::parse(line);
}

void Child::kill_hard() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(std::exchange(pid_, -1), nullptr, 0);
}

}  // namespace bench
