// The small records of a store, as values: what is encoded under which key is written in docs/FORMAT.md.
// encode_* make FlatBuffers (schema: store.fbs); decode_* verify before they read and answer `corruption` naming `where`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/dead_letter.h"
#include "weir/group.h"
#include "weir/message.h"
#include "weir/status.h"
#include "weir/topic.h"
#include "weir/types.h"

namespace weir::format {

/// The version this code writes. A store with another major version is refused with `format_version`.
inline constexpr std::uint32_t kFormatVersion = 2;

struct StoreRecord {
  std::uint32_t version = kFormatVersion;
  std::uint64_t incarnation = 0;
  std::uint64_t hash_seed = 0;   ///< secret seed of the dedup hash
  std::uint64_t next_id = 1;     ///< of topics and groups
  std::string created_by;        ///< the version of weir, for people
};

struct TopicRecord {
  std::string name;
  TopicOptions options;
  Time created;
  std::uint64_t dead_letters_of_group = 0;  ///< for `_dlq.` topics: the group and topic they belong to; 0: none
  std::uint64_t dead_letters_of_topic = 0;
  bool compacted = false;                   ///< was ever compacted, so that its size is the sum of its index entries
};

struct GroupRecord {
  std::string source;
  std::string name;
  GroupOptions options;
  Time created;
  bool paused = false;
};

/// What is known of a message whose delivery failed or was begun and not settled (core: Item).
struct RetryRecord {
  Time due;
  std::uint32_t deliveries = 0;
  std::uint32_t failures = 0;
  std::uint32_t crashes = 0;       ///< ambiguous crashes, see S-17 in docs/SEMANTICS.md
  std::uint32_t crash_failures = 0;
  std::uint32_t redrives = 0;
  std::uint64_t last_epoch = 0;
  std::uint64_t letter = 0;        ///< redriven ones: 1 + offset of the dead letter whose body it has; 0: the log's
  Time published;                  ///< redriven ones: commit time of the original
  std::uint64_t key_hash = 0;      ///< redriven ones: 0 none
  std::optional<Time> first_failure;
  std::optional<Time> last_failure;
  std::string error;
  std::vector<Attempt> attempts;
};

struct SessionRecord {
  std::uint64_t last_sequence = 0;
  Time last_used;
  /// Of the last request: its first sequence number and where its messages went.
  std::uint64_t request_sequence = 0;
  std::vector<std::uint64_t> request_offsets;
  Time request_time;
};

/// The ids of one commit's messages on one topic.
struct DedupEntry {
  std::uint64_t hash_high = 0;
  std::uint64_t hash_low = 0;
  std::uint64_t offset = 0;
};
struct DedupRecord {
  std::uint64_t topic = 0;
  Time time;
  std::vector<DedupEntry> entries;
};

/// A transaction with a request id that has happened.
struct RequestRecord {
  std::uint64_t content_high = 0;  ///< hash of what it was
  std::uint64_t content_low = 0;
  Time time;
  std::uint64_t version = 0;       ///< what was answered
  std::vector<Published> publishes;
};

std::string encode(const StoreRecord&);
std::string encode(const TopicRecord&);
std::string encode(const GroupRecord&);
std::string encode(const RetryRecord&);
std::string encode(const SessionRecord&);
std::string encode(const DedupRecord&);
std::string encode(const RequestRecord&);
Result<StoreRecord> decode_store(std::string_view bytes, std::string_view where);
Result<TopicRecord> decode_topic(std::string_view bytes, std::string_view where);
Result<GroupRecord> decode_group(std::string_view bytes, std::string_view where);
Result<RetryRecord> decode_retry(std::string_view bytes, std::string_view where);
Result<SessionRecord> decode_session(std::string_view bytes, std::string_view where);
Result<DedupRecord> decode_dedup(std::string_view bytes, std::string_view where);
Result<RequestRecord> decode_request(std::string_view bytes, std::string_view where);

}  // namespace weir::format
