// How a broker is opened, and what every call carries.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/callback.h"
#include "weir/clock.h"
#include "weir/log.h"
#include "weir/topic.h"
#include "weir/types.h"

namespace weir {

/// Runs callbacks. May be called from any thread, must not block and must not run the function inside the call.
using Executor = std::function<void(UniqueFunction<void()>)>;

struct OpenOptions {
  bool create_if_missing = true;
  /// What the program cannot do without, by S-number: open fails early with `unsupported` naming what the engine lacks.
  std::vector<int> require{};
  /// Publishing to or subscribing on an unknown topic creates it with `topic_defaults` (S-2).
  bool auto_create_topics = false;
  TopicOptions topic_defaults{};
  std::shared_ptr<Clock> clock{};   ///< default: system_clock()
  LogSink log{};                    ///< default: silent
  LogLevel log_level = LogLevel::kInfo;
  Executor executor{};              ///< where callbacks run; default: one thread of the broker's own
  std::uint64_t seed = 0;         ///< of all randomness (jitter); 0: from the machine

  // Memory and queues (S-33). All in bytes unless said.
  std::uint64_t tail_bytes_max = 64u << 20;         ///< recent messages kept in memory for groups that keep up
  std::uint64_t read_cache_bytes_max = 32u << 20;   ///< older messages read for groups that are behind
  std::uint64_t queue_bytes_max = 64u << 20;        ///< publishes accepted and not yet committed; past it `busy`
  std::uint32_t queue_requests_max = 65'536;        ///< likewise, in requests
  std::uint64_t ephemeral_bytes_max = 256u << 20;   ///< all ephemeral topics together; past it their publishes get `full`
  std::uint32_t dedup_ids_max = 1'000'000;          ///< ids remembered in the whole store
  std::uint64_t memtable_bytes = 64u << 20;         ///< of the engine's log
  std::uint64_t wal_bytes_max = 128u << 20;         ///< bounds the time of a recovery

  // Disk (S-32).
  std::uint64_t reserve_bytes = 64u << 20;          ///< kept free beside what memory still has to write; past it publishes get `storage_full`

  /// What the broker does is told in the topic `_events` (docs/SEMANTICS.md, "Broker events").
  bool events = true;

  /// How long close() lets running handlers finish (S-35).
  Duration close_grace = std::chrono::seconds{10};
};

/// Whether an engine keeps a promise itself, imitates it, or lacks it.
enum class Support : std::uint8_t { kAbsent = 0, kEmulated = 1, kNative = 2 };

/// What an engine promises, by S-number (1 to 36).
struct Capabilities {
  std::array<Support, 37> by_number{};
  Support operator[](int s) const { return s >= 1 && s <= 36 ? by_number[static_cast<std::size_t>(s)] : Support::kAbsent; }
};

/// Cancels calls. Copies share one state. Thread-safe.
class Cancellation {
 public:
  Cancellation() = default;
  static Cancellation make();
  /// Ends waits at once (`cancelled`); what has already been submitted ends as `outcome_unknown` or as usual.
  void cancel();
  bool cancelled() const noexcept;
  explicit operator bool() const noexcept { return state_ != nullptr; }

  struct State;
  const std::shared_ptr<State>& state() const noexcept { return state_; }

 private:
  std::shared_ptr<State> state_;
};

/// What every call carries beside its request.
struct CallContext {
  std::string principal{};               ///< who asks, as a door established it; empty: the program itself
  std::optional<Time> deadline{};        ///< by the broker's clock
  Cancellation cancellation{};
  std::string traceparent{};             ///< carried, never rewritten
  std::string tracestate{};
  /// Set by the blocking forms only: the caller stands still until the callback was called, so the engine may do the work
  /// on the caller's thread, call back inside the call, and call back on the writer. The callback then only notes the result.
  /// It also waits for room instead of answering `busy`, until the deadline or the cancellation ends the wait.
  bool caller_waits = false;
};

}  // namespace weir
