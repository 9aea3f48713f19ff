// The small records of the dead-letter workbench, as values (docs/FORMAT.md): what was done to a letter, and the jobs that do it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/dead_letter.h"
#include "weir/status.h"
#include "weir/types.h"

namespace weir::format {

/// One act on a letter. The name of the job is made from its number.
struct LetterEventRecord {
  LetterAct act = LetterAct::kRedriven;
  Time time;
  std::string who;
  std::string why;
  std::uint64_t job = 0;   ///< 0: none
  std::string to_topic;
  std::optional<Offset> to_offset;
  std::optional<Offset> edited_as;
};

/// Stored: do not renumber.
enum class JobKind : std::uint8_t { kRedrive = 0, kDiscard = 1, kRestore = 2 };
enum class JobState : std::uint8_t { kRunning = 0, kPaused = 1, kDone = 2, kCancelled = 3, kFailed = 4 };

/// What a redriven letter has instead of its own.
struct EditedMessage {
  std::string payload;
  std::string headers;        ///< encoded as HeadersView reads them
  std::string content_type;
  friend bool operator==(const EditedMessage&, const EditedMessage&) = default;
};

/// What a job is to do. Written once.
struct JobRecord {
  JobKind kind = JobKind::kRedrive;
  GroupId group;
  TopicId topic;                      ///< the origin topic
  TopicId letters;                    ///< its dead-letter topic
  std::string topic_name;
  std::string group_name;
  std::vector<std::uint64_t> chosen;  ///< ascending; empty: all
  Offset end;                         ///< letters before it
  Filter filter;
  LetterConditions where;
  double rate = 0;                    ///< letters a second; 0: no limit
  bool force = false;
  std::uint32_t redrives_max = 0;
  TopicId to_topic;                   ///< 0: to the group
  std::string to_topic_name;
  std::optional<EditedMessage> edited;
  std::string why;
  std::string who;
  std::string request_id;
  std::uint64_t request_high = 0;     ///< hash of what was asked for, so that a request id is not taken for another request
  std::uint64_t request_low = 0;
  Time started;
  std::uint64_t total = 0;
};

/// How far it has come. Written with every chunk of its work.
struct JobProgress {
  JobState state = JobState::kRunning;
  std::uint64_t position = 0;         ///< offset of the next letter to look at; of chosen ones, how many were looked at
  std::uint64_t done = 0, failed = 0, skipped = 0, unmatched = 0, needs_force = 0;
  Duration active{0};
  std::optional<Time> ended;
  std::string error;
};

std::string encode(const LetterEventRecord&);
std::string encode(const JobRecord&);
std::string encode(const JobProgress&);
Result<LetterEventRecord> decode_letter_event(std::string_view bytes, std::string_view where);
Result<JobRecord> decode_job(std::string_view bytes, std::string_view where);
Result<JobProgress> decode_job_progress(std::string_view bytes, std::string_view where);

}  // namespace weir::format
