// What goes through the commit pipeline: operations, and the commit that gathers them.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "broker/core/dedup.h"
#include "broker/engine/chunk.h"
#include "broker/engine/state.h"
#include "broker/format/keys.h"
#include "broker/format/records.h"
#include <absl/container/inlined_vector.h>

#include "broker/base/hash.h"
#include "broker/store/store.h"
#include "weir/message.h"
#include "weir/options.h"
#include "weir/transaction.h"

namespace weir::engine {

/// Most requests have one message.
using IdHashes = absl::InlinedVector<base::Hash128, 1>;

/// A transaction (transaction.cc).
struct TransactionOp {
  CommitRequest request;
  CommitResult result;
  Callback<CommitResult> done;
  IdHashes ids;            ///< as Op::ids
  base::Hash128 content;   ///< of what it writes, when it has a request id
};

/// The last offsets of keys that a request depends on, as of a commit: looked up before it is decided, since the writer reads nothing from the disk.
struct KeyLasts {
  struct Last {
    TopicId topic;
    Offset offset;         ///< kNoOffset: none
  };
  std::uint64_t commit = 0;
  std::vector<Last> lasts;   ///< one for each condition that has a key
};

/// One request on its way through the pipeline: a publish, a transaction, or a change that is decided under the engine's lock.
struct Op {
  // A publish:
  bool is_publish = false;
  PublishRequest request;
  PublishResult result;
  Callback<PublishResult> published;
  IdHashes ids;   ///< hashes, when any message has an id: one for each message
  // A transaction:
  std::unique_ptr<TransactionOp> transaction;
  std::unique_ptr<KeyLasts> key_lasts;   ///< of a publish or transaction that expects something of keys
  // Anything else:
  UniqueFunction<Status(store::WriteSet&, After&)> decide;   ///< on the leader, under the engine's lock; may be empty
  UniqueFunction<void(Status)> done;

  Durability level = Durability::kProcess;
  std::size_t bytes = 0;
  bool caller_waits = false;
  bool decided = false;
  std::uint64_t commit = 0;
  Status status;

  /// Calls back.
  void complete() {
    if (transaction) return transaction->done(status.ok() ? Result<CommitResult>(std::move(transaction->result)) : Result<CommitResult>(std::move(status)));
    if (!is_publish) return done(std::move(status));
    if (status.ok())
      published(std::move(result));
    else
      published(std::move(status));
  }
};

/// A dead letter on its way into its topic.
struct Letter {
  ChunkPtr chunk;                      ///< holds the message; nullptr: must be read
  std::shared_ptr<TopicState> source;  ///< where to read it: the origin topic, or the dead-letter topic it came back from
  Offset place;
  DeadLetterInfo info;
};

/// The messages of one commit for one topic, until they are a batch.
struct Build {
  std::shared_ptr<TopicState> topic;
  std::uint32_t sub = 0;               ///< its place in the commit
  Offset first;
  std::uint32_t count = 0;
  Time time;
  bool power = false;                  ///< some of it becomes visible only when synced
  std::size_t bytes = 0;               ///< estimated
  std::vector<const Message*> messages;
  std::vector<Letter> letters;         ///< of a dead-letter topic, instead
  std::optional<core::Dedup::Record> dedup;
  format::DedupRecord ids;
  std::shared_ptr<const std::string> encoded;
  format::IndexEntry entry;
};

/// A message on its way into the schedule (S-7).
struct Scheduled {
  format::DueKey due;
  const Message* message = nullptr;    ///< lives until it is encoded
  std::uint64_t bytes = 0;             ///< what it counts for in its topic
  Time published;
  Durability level = Durability::kPower;
};

/// The ids of one commit's scheduled messages of one topic.
struct ScheduledIds {
  core::Dedup::Record record = 0;
  std::uint32_t sub = 0;
  format::DedupRecord ids;
};

/// What one write holds.
struct Commit {
  std::uint64_t number = 0;
  std::vector<std::unique_ptr<Op>> ops;
  std::vector<std::unique_ptr<Build>> builds;
  std::vector<Scheduled> scheduled;
  absl::flat_hash_map<std::uint64_t, ScheduledIds> scheduled_ids;   ///< by topic id
  std::deque<Message> events;          ///< of this commit; batches refer to them
  store::WriteSet set;
  std::vector<std::uint32_t> marks;    ///< free once this is written
  std::vector<UniqueFunction<void(After&)>> applied;   ///< called under the engine's lock once this is written and its batches can be read
  std::uint64_t bytes = 0;             ///< of the publishes that are asked for
  bool encoded = false;
  bool power = false;                  ///< something of it waits for a sync
};

}  // namespace weir::engine
