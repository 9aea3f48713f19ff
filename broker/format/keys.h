// Keys of the store (docs/FORMAT.md). All numbers are big-endian, so that keys sort as their numbers do.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "weir/types.h"

namespace weir::format {

/// First bytes of the keys in the column family "default".
enum class KeyKind : char {
  kStore = 'a',       ///< a                                → StoreRecord
  kCommit = 'c',      ///< c                                → the last commit's number, and the newest batch's topic and first offset: 3 × 8 bytes
  kDedup = 'd',       ///< d commit(8) sub(4)               → DedupRecord
  kGroup = 'g',       ///< g group(8)                       → GroupRecord
  kHold = 'f',        ///< f group(8) topic(8) letter(8)    → hash of the key that a dead letter holds, 8 bytes
  kTopicHead = 'h',   ///< h topic(8)                       → next offset, cumulative bytes, time: 3 × 8 bytes; counts when no batch is left
  kJob = 'j',         ///< j job(8) part(1)                 → part 0: JobRecord; 1: JobProgress
  kKeyLast = 'i',     ///< i topic(8) key                   → the last offset of that key, 8 bytes; of topics with track_keys
  kCursor = 'k',      ///< k group(8) topic(8)              → floor, 8 bytes
  kLetterPage = 'l',  ///< l topic(8) state(1) page(8)      → bitmap of letters in that state
  kLetterEvent = 'n', ///< n topic(8) letter(8) commit(8) number(4) → LetterEvent
  kScheduled = 'o',   ///< o topic(8)                       → how many of its messages wait for their time, and their bytes: 2 × 8 bytes
  kPage = 'p',        ///< p group(8) topic(8) page(8)      → bitmap of settled offsets
  kRequest = 'q',     ///< q request id                     → RequestRecord
  kSession = 's',     ///< s name                           → SessionRecord
  kTopic = 't',       ///< t topic(8)                       → TopicRecord
  kState = 'u',       ///< u key                            → the application's value
  kRedriven = 'v',    ///< v group(8) topic(8) letter(8) offset(8) → RetryRecord
  kRetry = 'w',       ///< w group(8) topic(8) offset(8)    → RetryRecord
  kDeletedTopic = 'x' ///< x topic(8)                       → empty: its batches are being removed
};

void append_u64(std::string& out, std::uint64_t number);
std::uint64_t read_u64(std::string_view bytes);  ///< bytes.size() >= 8

std::string store_key();
std::string commit_key();
std::string dedup_key(std::uint64_t commit, std::uint32_t sub);
std::string group_key(GroupId);
std::string cursor_key(GroupId, TopicId);
std::string hold_key(GroupId, TopicId, std::uint64_t letter);
std::string hold_prefix(GroupId, TopicId);
std::string job_key(std::uint64_t job, std::uint8_t part);
std::string letter_event_key(TopicId, Offset letter, std::uint64_t commit, std::uint32_t number);
std::string letter_event_prefix(TopicId);
std::string letter_event_prefix(TopicId, Offset letter);
std::string key_last_key(TopicId, std::string_view key);
std::string key_last_prefix(TopicId);
std::string letter_page_key(TopicId, std::uint8_t state, std::uint64_t page);
std::string letter_page_prefix(TopicId, std::uint8_t state);
std::string page_key(GroupId, TopicId, std::uint64_t page);
std::string page_prefix(GroupId, TopicId);
std::string request_key(std::string_view id);
std::string session_key(std::string_view name);
std::string state_key(std::string_view key);
std::string topic_key(TopicId);
std::string topic_head_key(TopicId);
std::string redriven_key(GroupId, TopicId, std::uint64_t letter, Offset offset);
std::string redriven_prefix(GroupId, TopicId);
std::string retry_key(GroupId, TopicId, Offset);
std::string retry_prefix(GroupId, TopicId);
std::string deleted_topic_key(TopicId);
std::string kind_prefix(KeyKind);
/// The smallest key that is greater than all keys with that prefix; empty: none.
std::string prefix_end(std::string prefix);

/// The column family "schedule" has two keys for each message that waits for its time (S-7). Numbers rise in the order of publishing.
enum class ScheduleKind : char {
  kMessage = 'm',  ///< m topic(8) number(8)         → ScheduledRecord
  kDue = 'q',      ///< q due(8) number(8) topic(8)  → empty
};
struct DueKey {
  std::int64_t due_ms = 0;
  std::uint64_t number = 0;
  TopicId topic;
};
std::string scheduled_key(TopicId, std::uint64_t number);
std::string scheduled_prefix(TopicId);
std::string due_key(const DueKey&);
/// Answer false for anything else.
bool decode_due_key(std::string_view key, DueKey& out);
bool decode_scheduled_key(std::string_view key, TopicId& topic, std::uint64_t& number);
std::string scheduled_count_key(TopicId);

/// A batch's place in the log: commit number, and its place within the commit.
struct LogPosition {
  std::uint64_t commit = 0;
  std::uint32_t sub = 0;
  friend auto operator<=>(const LogPosition&, const LogPosition&) = default;
};
std::string log_key(LogPosition);

/// What the index (column family "index", key: topic(8) first offset(8)) knows of a batch.
struct IndexEntry {
  Offset first;
  std::uint32_t count = 0;
  LogPosition position;
  Time time;                      ///< commit time
  std::uint32_t bytes = 0;        ///< of the batch
  std::uint64_t cumulative = 0;   ///< bytes of the topic's batches so far, this one included
  Offset end() const noexcept { return first + count; }
};
std::string index_key(TopicId, Offset first);
std::string encode(const IndexEntry&);                                    ///< fixed size
/// `key` gives `first`. Answers false for wrong sizes.
bool decode_index(std::string_view key, std::string_view value, IndexEntry& out);

}  // namespace weir::format
