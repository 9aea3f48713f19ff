// Requests and results of the administrative verbs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "weir/group.h"
#include "weir/topic.h"
#include "weir/types.h"

namespace weir {

struct CreateTopicRequest {
  std::string name{};
  TopicOptions options{};
  /// True: a topic that exists with the same options is fine. With other options it is `options_differ`.
  bool if_missing = true;
};
struct AlterTopicRequest {
  std::string name{};
  TopicOptions options{};
};
struct DeleteTopicRequest {
  std::string name{};  ///< its groups' progress and dead letters go too
};
struct ListTopicsRequest {
  std::string pattern = ">";
  bool include_internal = false;  ///< also names that begin with '_': with the pattern ">" all, or the one that `pattern` names
  std::string after{};              ///< names behind this one
  std::uint32_t topics_max = 1000;  ///< 1 to 10,000
};
struct ListTopicsResult {
  std::vector<TopicInfo> topics{};  ///< by name
  bool end = false;
};

struct CreateGroupRequest {
  std::string source{};  ///< a topic, or a pattern
  std::string group{};
  GroupOptions options{};
  bool if_missing = true;  ///< as for topics
};
struct AlterGroupRequest {
  std::string source{};
  std::string group{};
  GroupOptions options{};  ///< `order` and `start` must be as they are
};
struct ListGroupsRequest {
  std::string source{};  ///< only on this topic or pattern; empty: all
};
struct ListGroupsResult {
  std::vector<GroupInfo> groups{};
};
struct PauseGroupRequest {
  std::string source{};
  std::string group{};
  bool paused = true;  ///< a paused group hands nothing out; what is leased may be settled
};
struct SeekGroupRequest {
  std::string source{};
  std::string group{};
  StartPoint to{};
};
struct SeekGroupResult {
  struct Position {
    std::string topic{};
    Offset offset{};  ///< what the group gets next
  };
  std::vector<Position> positions{};
};

/// What an operator does to one message of a group. Sent: do not renumber.
enum class MessageAct : std::uint8_t {
  kAck = 0,         ///< settled, and counted as acked
  kSkip = 1,        ///< settled, and counted as nothing
  kRunNow = 2,      ///< a waiting retry is due now; within the order of its key
  kDeadLetter = 3,  ///< to the dead letters, as `rejected`, with the error; counts as no failure
};
/// The message may be leased (its token is void then), wait for a retry, or not be handed out yet (that cannot be run now). One that was redriven is named
/// by its original offset. What is behind it in the order of its key flows afterwards.
struct SettleMessageRequest {
  std::string topic{};
  std::string group{};
  Offset offset{};
  MessageAct act = MessageAct::kAck;
  std::string error{};      ///< dead-letter: what to record, ≤ 4 KiB; longer is cut. Empty: "dead-lettered by an operator"
  /// Instead of the offset, when not empty: the message's id. Only ids inside the topic's dedup window are known, and of several messages the newest.
  std::string id{};
};

/// A message that waits outside the log for its time (S-7).
struct ScheduleInfo {
  std::string id{};            ///< as Published::schedule
  std::string topic{};
  Time due{};
  std::string key{};
  std::string message_id{};
  std::uint64_t payload_bytes = 0;
  Time published{};            ///< when it was taken
};
struct ListSchedulesRequest {
  std::string topic{};                  ///< in the order of publishing; empty: all topics, by due time (those of ephemeral topics behind the others)
  std::string after{};                  ///< ListSchedulesResult::next of the page before; empty: from the first on
  std::uint32_t schedules_max = 100;    ///< 1 to 10,000
};
struct ListSchedulesResult {
  std::vector<ScheduleInfo> schedules{};
  std::string next{};                   ///< list on from here
  bool end = false;                     ///< there was nothing behind `next` when this was read
};

/// Wait until the broker has nothing to do for these groups: nothing visible that is undelivered, leased, or due. Retries
/// that wait for a later time do not count, unless asked for. For tests and for orderly ends (S-35).
struct DrainRequest {
  std::vector<GroupRef> groups{};    ///< empty: all
  bool include_waiting = false;
};

enum class StoreState : std::uint8_t { kRunning = 0, kStorageFull = 1, kStopped = 2, kClosed = 3 };
std::string_view to_string(StoreState state) noexcept;

/// The broker as a whole.
struct BrokerStatus {
  StoreState state = StoreState::kRunning;
  std::string reason{};                ///< why it is not running
  std::string location{};
  std::uint64_t incarnation = 0;
  Time opened{};
  std::uint64_t topics = 0, groups = 0;
  std::uint64_t commits = 0;         ///< writes to the log, since open
  std::uint64_t syncs = 0;           ///< syncs of the log, since open
  std::uint64_t messages = 0;        ///< published, since open
  std::uint64_t queued_requests = 0; ///< accepted and not yet committed
  std::uint64_t queued_bytes = 0;
  std::uint64_t tail_bytes = 0;
  std::uint64_t ephemeral_bytes = 0;
  std::uint64_t dedup_ids = 0;
  std::uint64_t sessions = 0;
  std::uint64_t disk_bytes = 0;      ///< of the store
  std::uint64_t disk_free_bytes = 0;
  std::uint64_t recovered_crash_charges = 0;  ///< deliveries that the last death of the process was charged to, at open
  std::uint64_t scheduled = 0;       ///< messages that wait for their time
};

}  // namespace weir
