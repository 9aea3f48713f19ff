// Broker events: the topic `_events` tells what the broker did, in the commits that did it.
#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "broker/engine/commit.h"
#include "broker/engine/state.h"
#include "weir/message.h"
#include "weir/topic.h"

namespace weir::engine {

class Engine;

/// Operation. Who does something that is worth telling adds an event, under the engine's lock; the commit that is decided then, or else the next one, takes all
/// that were added along: as one batch of `_events`. Without a disk they go to an ephemeral topic, with the same commits. Nothing is told of `_events`
/// itself and of groups on it, and nothing when OpenOptions::events is off.
///
/// Concurrency: the engine's lock guards it.
class Events {
 public:
  static constexpr std::string_view kTopic = "_events";

  /// A member of the event's JSON object. Those named topic, group and source are headers, too.
  struct Field {
    std::string_view name;
    std::variant<std::string_view, std::uint64_t> value;
  };

  explicit Events(Engine& engine) : engine_(engine) {}

  void add(std::string_view event, std::initializer_list<Field> fields);
  /// The disk is full, or not any more. Not under the lock, which its callers must not take: told with the next commit.
  void note_storage(std::string_view event, std::string reason);
  bool has_notes() const noexcept { return has_notes_.load(std::memory_order_relaxed); }
  /// By the leader, when everything else of the commit is decided.
  void join(Commit& commit, After& after);
  /// The topic, made when it is not there; nothing when events are off.
  TopicState* topic(store::WriteSet& set, After& after);

 private:
  static constexpr std::size_t kPendingMax = 10'000;   ///< between two commits; what comes then is counted

  Engine& engine_;
  std::vector<Message> pending_;
  std::uint64_t lost_ = 0;
  std::mutex notes_mutex_;
  std::vector<std::pair<std::string_view, std::string>> notes_;   // guarded by notes_mutex_
  std::atomic<bool> has_notes_{false};
};

}  // namespace weir::engine
