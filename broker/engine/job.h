// A request about dead letters on its way: a durable job, or one whose caller waits for its end.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "broker/engine/workbench.h"

namespace weir::engine {

inline std::string_view to_text(format::JobState state) {
  switch (state) {
    case format::JobState::kRunning: return "running";
    case format::JobState::kPaused: return "paused";
    case format::JobState::kDone: return "done";
    case format::JobState::kCancelled: return "cancelled";
    case format::JobState::kFailed: return "failed";
  }
  return "unknown";
}

inline std::string_view to_text(format::JobKind kind) { return kind == format::JobKind::kRedrive ? "redrive" : kind == format::JobKind::kDiscard ? "discard" : "restore"; }

/// Letters that a step does not move.
struct LeftAlone {
  std::uint64_t skipped = 0, unmatched = 0, needs_force = 0, failed = 0;
};

struct Workbench::Job {
  std::uint64_t number = 0;             ///< 0: not a job
  bool dry_run = false;
  format::JobRecord record;             ///< constant once it has begun
  CursorPtr cursor;                     ///< likewise; null when the job has ended
  TopicPtr letters;
  TopicPtr to;                          ///< null: to the group
  bool durable = false;
  Order order = Order::kKey;            ///< the group's

  // Of a job guarded by core_, else its caller's.
  format::JobProgress progress;
  format::JobProgress shown;            ///< as it is written
  core::Pace pace;
  std::int64_t mark_ms = 0;             ///< its time at work was counted up to then
  std::int64_t due_ms = INT64_MAX;      ///< its place in Workbench::due_
  bool posted = false;
  bool refused = false;                 ///< the last step found no room: it is tried again later

  void add(const LeftAlone& left) noexcept {
    progress.skipped += left.skipped;
    progress.unmatched += left.unmatched;
    progress.needs_force += left.needs_force;
    progress.failed += left.failed;
  }
  bool all() const noexcept { return record.chosen.empty(); }
  bool ended() const noexcept { return progress.state != format::JobState::kRunning && progress.state != format::JobState::kPaused; }
  std::uint64_t end() const noexcept { return all() ? record.end.value : record.chosen.size(); }
  LetterState takes() const noexcept { return record.kind == format::JobKind::kRestore ? LetterState::kDiscarded : LetterState::kDead; }
  std::string name() const { return number == 0 ? std::string() : "job-" + std::to_string(number); }
};

/// A letter that is to be moved.
struct Workbench::Move {
  Offset letter;
  std::uint64_t position = 0;            ///< of the job, when it stops before this one,
  LeftAlone before;                      ///< and what the step left alone up to there
  std::uint64_t key_hash = 0;
  std::shared_ptr<const DeadLetterInfo> info;
  std::unique_ptr<Op> publish;           ///< to a topic
  std::shared_ptr<const Message> edited; ///< to the group
};

/// What a step has found.
struct Workbench::Found {
  std::vector<Move> moves;
  std::uint64_t position = 0;            ///< behind all of it
  std::uint64_t bytes = 0;
  LeftAlone left;
  std::string error;
};

}  // namespace weir::engine
