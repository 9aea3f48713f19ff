#include "tests/support/child.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "tests/support/eventually.h"

namespace weir::test {

int run_child(const std::string& name, const std::vector<std::pair<std::string, std::string>>& environment) {
  std::vector<std::string> variables;
  for (char** each = environ; *each != nullptr; ++each)
    if (std::string(*each).rfind("WEIR_GUARANTEES_OUT=", 0) != 0) variables.emplace_back(*each);
  for (const auto& [variable, value] : environment) variables.push_back(variable + "=" + value);
  std::vector<std::string> arguments = {"/proc/self/exe", name};

  const auto pointers = [](std::vector<std::string>& texts) {
    std::vector<char*> all;
    for (std::string& each : texts) all.push_back(each.data());
    all.push_back(nullptr);
    return all;
  };
  pid_t child = 0;
  const int error = posix_spawn(&child, "/proc/self/exe", nullptr, nullptr, pointers(arguments).data(), pointers(variables).data());
  if (error != 0) throw std::system_error(error, std::generic_category(), "posix_spawn");

  int status = 0;
  const bool ended = eventually([&] { return waitpid(child, &status, WNOHANG) == child; }, 3 * kPatience);
  if (!ended) {
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return -1;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace weir::test
