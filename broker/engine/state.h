// What the engine knows of topics, groups and their meeting points. All of it is guarded by the engine's lock, but for what is constant.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "broker/core/cursor.h"
#include "broker/core/letter_set.h"
#include "broker/engine/chunk.h"
#include "broker/engine/spill.h"
#include "broker/format/letter_records.h"
#include "weir/admin.h"
#include "weir/broker.h"

namespace weir::engine {

struct GroupState;
struct TopicState;

/// A group on one topic.
struct CursorState {
  CursorState(std::shared_ptr<GroupState> g, std::shared_ptr<TopicState> t) : group(std::move(g)), topic(std::move(t)) {}
  const std::shared_ptr<GroupState> group;   ///< a circle, opened when the cursor is dropped or the engine ends
  const std::shared_ptr<TopicState> topic;
  GroupOptions options;              ///< the group's, or what they mean on a dead-letter topic (S-23)
  std::unique_ptr<Spill> spill;
  std::unique_ptr<core::Cursor> cursor;
  bool active = false;               ///< stands in GroupState::active
  bool dirty_listed = false;         ///< stands in the engine's list of what the next commit writes
  bool log_first = false;            ///< which lane the next fetch looks at first
  bool deleted = false;
  std::int64_t timer_ms = INT64_MAX; ///< its place in the engine's timers
};
using CursorPtr = std::shared_ptr<CursorState>;

/// Messages that are committed and not visible yet.
struct Unseen {
  Offset end;
  std::uint64_t commit = 0;          ///< visible once this commit is synced; 0: as soon as those before are
};

/// The states of the letters of a dead-letter topic; a letter in neither set is dead.
struct Letters {
  core::SettledSet redriven;         ///< given back, sent to a topic, or gone by retention: it only ever grows
  core::LetterSet discarded;
  std::map<std::uint64_t, std::vector<format::LetterEventRecord>> events;   ///< of an ephemeral topic: what was done to each letter
  bool dirty_listed = false;

  /// No letter before it is dead or discarded; `first` is the oldest that is there.
  Offset first_open(Offset first) const { return std::max(first, redriven.floor()); }
  LetterState state_of(Offset letter) const {
    return discarded.contains(letter) ? LetterState::kDiscarded : redriven.contains(letter) ? LetterState::kRedriven : LetterState::kDead;
  }
};

struct Build;

struct TopicState {
  TopicId id;
  std::shared_ptr<const std::string> name;
  TopicOptions options;
  Time created;
  bool internal = false;
  GroupId letters_of_group;          ///< of a dead-letter topic
  TopicId letters_of_topic;
  std::unique_ptr<Letters> letters;  ///< of a dead-letter topic
  bool deleted = false;

  Offset first;                      ///< the oldest message that is still there
  Offset next;                       ///< given out so far
  Offset visible;
  std::deque<Unseen> unseen;
  Time last_time{};                  ///< commit times never go back
  std::uint64_t bytes_ever = 0;      ///< of all batches so far
  std::uint64_t bytes_gone = 0;      ///< of those that retention removed
  std::uint64_t bytes_building = 0;  ///< estimated, of batches being committed
  std::uint64_t cumulative = 0;      ///< as bytes_ever, but the leader's alone, and ahead while it writes
  Time first_time{};                 ///< commit time of the oldest batch, where known
  bool unseen_listed = false;        ///< stands in the engine's list of topics that wait for a sync
  std::deque<ChunkPtr> tail;         ///< the newest messages; of an ephemeral topic: all
  std::map<std::uint64_t, ChunkPtr> read;   ///< older ones that were read, by first offset
  bool compacted = false;            ///< was ever compacted
  Offset clean;                      ///< compaction has been through everything before it, since open
  std::int64_t tombstone_due_ms = INT64_MAX;   ///< when compaction may take the next tombstone
  std::uint64_t compacted_messages = 0;
  std::atomic<std::uint64_t> rewrites{0};      ///< raised when batches were written anew: what was read before is not to be kept
  Build* build = nullptr;            ///< its batch in the commit that is being decided
  std::vector<CursorPtr> cursors;
  std::uint64_t duplicates = 0;
  std::uint64_t dropped_unsettled = 0;
  std::uint64_t scheduled = 0;       ///< messages that wait for their time
  std::uint64_t scheduled_bytes = 0; ///< of these, estimated: `reject` keeps this room for them
  bool scheduled_listed = false;     ///< stands in the engine's list of topics whose count the next commit writes

  std::uint64_t bytes() const noexcept { return bytes_ever - bytes_gone; }
  std::uint64_t dead() const noexcept { return letters ? next.value - letters->redriven.floor().value - letters->redriven.count_above_floor() - letters->discarded.size() : 0; }
};
using TopicPtr = std::shared_ptr<TopicState>;

/// A fetch that waits for messages.
struct FetchWaiter {
  std::condition_variable changed;   ///< blocking fetches: their thread waits here
  std::atomic<bool> woken{false};    ///< set under the lock, read without it by a waiter that spins
  bool cancelled = false;
  MemberId member;
  // Asynchronous fetches:
  bool async = false;
  FetchRequest request;
  CallContext context;
  Callback<FetchResult> done;
  std::chrono::steady_clock::time_point until;
  Cancellation::State* cancellation = nullptr;
  std::uint64_t subscription = 0;
};
using FetchWaiterPtr = std::shared_ptr<FetchWaiter>;

/// What a function under the engine's lock leaves to be done once the lock is given up.
struct After {
  std::vector<FetchWaiterPtr> wake;
  std::vector<UniqueFunction<void()>> call;
  std::vector<ChunkPtr> garbage;   ///< freed without the lock
  bool commit = false;   ///< something is dirty: the writer should look
};

struct MemberState {
  GroupState* group = nullptr;
  std::string name;
};

struct GroupState {
  GroupId id;
  std::string source;
  std::string name;
  GroupOptions options;
  Time created;
  bool pattern = false;
  bool ephemeral = false;            ///< not on disk: it stands on an ephemeral topic
  bool paused = false;
  bool deleted = false;
  std::shared_ptr<const Filter> new_filter;   ///< set when the filter was changed since open: what waited behind its key was looked at with another
  core::Flight flight;
  std::map<TopicId, CursorPtr> cursors;
  std::deque<CursorState*> active;   ///< may have something to hand out
  std::deque<FetchWaiterPtr> waiters;
  std::set<MemberId> members;
  bool had_member = false;
  std::int64_t last_used_ms = 0;
};
using GroupPtr = std::shared_ptr<GroupState>;

}  // namespace weir::engine
