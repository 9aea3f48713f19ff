#include "broker/base/check.h"

#include <atomic>
#include <cstdlib>

#include <unistd.h>

namespace weir::base {
namespace {

std::atomic<CheckHandler> current{nullptr};

void write_line(const CheckFailure& failure) {
  std::ostringstream line;
  line << "weir: check failed at " << failure.file << ":" << failure.line << ": " << failure.condition;
  if (!failure.message.empty()) line << ": " << failure.message;
  line << "\n";
  const std::string text = line.str();
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t n = ::write(STDERR_FILENO, text.data() + written, text.size() - written);
    if (n <= 0) return;
    written += static_cast<std::size_t>(n);
  }
}

}  // namespace

CheckHandler set_check_handler(CheckHandler handler) noexcept { return current.exchange(handler); }

void check_failed(const char* file, int line, const char* condition, const std::string& message) {
  const CheckFailure failure{file, line, condition, message};
  if (const CheckHandler handler = current.load())
    handler(failure);
  else
    write_line(failure);
  std::abort();
}

}  // namespace weir::base
