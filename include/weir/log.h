// Where a broker's log lines go. The library prints nothing by itself: without a sink it is silent.
#pragma once

#include <functional>
#include <string_view>

namespace weir {

enum class LogLevel : int { kDebug = 0, kInfo = 1, kWarning = 2, kError = 3 };

/// Called from any thread of the broker, one call at a time; must not call the broker. One line per event of the
/// broker, none per message.
using LogSink = std::function<void(LogLevel, std::string_view line)>;

}  // namespace weir
