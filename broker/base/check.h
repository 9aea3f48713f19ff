// WEIR_CHECK: what must hold if weir has no bug. It is on in every build; what users, disks and networks send never
// reaches a check, it is answered with a Status.
#pragma once

#include <sstream>
#include <string>
#include <string_view>

namespace weir::base {

/// A check that did not hold.
struct CheckFailure {
  std::string_view file;
  int line = 0;
  std::string_view condition;  ///< as it stands in the source
  std::string_view message;    ///< the values that explain it; may be empty
};

/// Told of a failed check, on the thread that found it. It may throw (tests do); when it returns the process aborts,
/// because nothing behind a failed check can be trusted.
using CheckHandler = void (*)(const CheckFailure&);

/// Sets the handler and answers the one before it; nullptr is the default: one line to standard error, then abort. Thread-safe.
CheckHandler set_check_handler(CheckHandler handler) noexcept;

/// Calls the handler; never returns, but lets what the handler throws pass.
[[noreturn]] void check_failed(const char* file, int line, const char* condition, const std::string& message);

}  // namespace weir::base

/// WEIR_CHECK(floor <= end) or WEIR_CHECK(floor <= end, "floor " << floor << " behind " << end). The message is made only on failure.
#define WEIR_CHECK(condition, ...)                                                                            \
  do {                                                                                                        \
    if (!(condition)) [[unlikely]] {                                                                          \
      std::ostringstream weir_check_message;                                                                  \
      __VA_OPT__(weir_check_message << __VA_ARGS__;)                                                          \
      ::weir::base::check_failed(__FILE__, __LINE__, #condition, weir_check_message.str());                   \
    }                                                                                                         \
  } while (false)
