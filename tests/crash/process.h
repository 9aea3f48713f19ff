// A child process of a test: started, listened to, killed.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

namespace weir::crash {

/// Not thread-safe. The destructor kills a child that is still there.
class Process {
 public:
  /// Runs weir-crash-child with these arguments; its standard input and output are pipes, its standard error is the test's.
  explicit Process(const std::vector<std::string>& arguments);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const noexcept { return pid_; }
  /// The next line of its output; empty when it ended or the time is over.
  std::string read_line(std::chrono::milliseconds patience = std::chrono::seconds{30});
  /// True when it ended by itself within that time. The time is the random input of a kill, not something that is waited for.
  bool ends_within(std::chrono::milliseconds time);
  void kill_hard();                ///< SIGKILL, and waits for the end
  int wait();                      ///< waits for the end; the raw status of waitpid
  void close_input();

 private:
  pid_t pid_ = -1;
  int in_ = -1, out_ = -1;
  int status_ = 0;
  bool ended_ = false;
  std::string buffer_;
};

}  // namespace weir::crash
