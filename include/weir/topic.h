// Topics: named, append-only logs of messages.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "weir/types.h"

namespace weir {

/// What happens to a publish when a topic is at its hard cap of bytes (S-10).
enum class CapPolicy : std::uint8_t {
  kReject = 0,      ///< it gets `full`
  kDropOldest = 1,  ///< the oldest messages go, read or not, a batch (what one commit wrote) at a time; leases on them are void, and the losses are counted
};

/// The options of a topic. `alter_topic` may change all of them but `ephemeral` and `track_keys`.
struct TopicOptions {
  /// In memory only (S-4): messages, progress and dead letters are gone with the process. Payloads are shared with
  /// all subscribers, never copied.
  bool ephemeral = false;
  /// The level of publishes that do not choose one. Ephemeral topics always have `kMemory`.
  Durability durability = Durability::kPower;
  /// Messages that every group has settled go once they are older than this (S-10).
  Duration retention_age = std::chrono::hours{24 * 7};
  /// Messages that every group has settled go, oldest first, while the topic is larger than this. 0: no bound.
  std::uint64_t retention_bytes = 0;
  /// Each message goes as soon as all groups settled it; with no group, nothing goes by this rule.
  bool discard_settled = false;
  /// The hard cap (S-10), in bytes as stored. 0: none.
  std::uint64_t bytes_max = 0;
  CapPolicy cap_policy = CapPolicy::kReject;
  /// 1 B to 64 MiB.
  std::uint32_t payload_bytes_max = 1u << 20;
  /// How long ids are remembered (S-6), within OpenOptions::dedup_ids_max ids of the whole store. 0: not at all.
  Duration dedup_window = std::chrono::minutes{10};
  /// Keep the last message of each key (S-10): earlier ones go, in the background, once every group has settled them, and age, bytes and
  /// discard_settled remove nothing. Every message must have a key. A tombstone (Message::tombstone) is the end of its key.
  /// Not for ephemeral topics, nor with `drop_oldest`. The newest batch of a topic stays as it is until there is another.
  bool compact = false;
  /// How long a tombstone of a compacted topic stays after its commit, so that readers learn of it. Up to 100 years.
  Duration tombstone_retention = std::chrono::hours{24};
  /// Keep the last offset of each key, so that a publish can be made to depend on it (ExpectedLast::key). Costs a record on disk for each key
  /// that the topic ever had, until the topic is deleted. Not for ephemeral topics.
  bool track_keys = false;

  friend bool operator==(const TopicOptions&, const TopicOptions&) = default;
};

/// A topic as it stands.
struct TopicInfo {
  std::string name{};
  TopicId id{};
  TopicOptions options{};
  Time created{};
  Offset first{};                ///< the oldest message that is still there
  Offset next{};                 ///< the offset that the next message will get
  Offset visible{};              ///< messages before it may be delivered: their durability level holds
  std::uint64_t bytes = 0;     ///< as stored
  std::uint64_t duplicates = 0;        ///< publishes answered as duplicates, since open
  std::uint64_t compacted = 0;         ///< messages that compaction removed, since open
  std::uint64_t dropped_unsettled = 0; ///< messages lost by `drop_oldest` before every group settled them, since open
  std::uint64_t scheduled = 0;         ///< messages that wait for their time (S-7)
  std::uint64_t scheduled_bytes = 0;   ///< of these, about; part of what bytes_max bounds under `reject`
};

}  // namespace weir
