// An interrupted run leaves nothing behind.
#pragma once

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace bench {

/// Nobody reads the figures any more.
class OutputClosed : public std::runtime_error {
 public:
  OutputClosed() : std::runtime_error("the output was closed") {}
};

/// From here on, a signal that would end the program removes `directory` first. Call once, before other threads are started:
/// they inherit that the signals are for the one thread that waits for them.
inline void remove_when_interrupted(std::filesystem::path directory) {
  signal(SIGPIPE, SIG_IGN);  // a failed write says the same where it can be handled
  sigset_t ends;
  sigemptyset(&ends);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&ends, number);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  std::thread([ends, directory = std::move(directory)] {
    int number = 0;
    sigwait(&ends, &number);
    // Stores are still writing; what they add while the directory is emptied goes with the next try.
    std::error_code error;
    for (int tries = 0; tries < 100 && std::filesystem::exists(directory); ++tries) std::filesystem::remove_all(directory, error);
    _exit(128 + number);
  }).detach();
}

}  // namespace bench
