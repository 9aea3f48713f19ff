// Dead letters: what a group gave up on, with its whole history, and giving it back.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/filter.h"
#include "weir/message.h"
#include "weir/types.h"

namespace weir {

/// Why a message died (S-24). Stored and sent: do not renumber.
enum class DeathReason : std::uint8_t { kMaxAttempts = 0, kCrashLoop = 1, kRejected = 2, kExpired = 3 };
std::string_view to_string(DeathReason reason) noexcept;

/// How one attempt ended. Stored and sent: do not renumber.
enum class Outcome : std::uint8_t { kRetry = 0, kReject = 1, kLeaseExpired = 2, kCrash = 3, kExpired = 4 };
std::string_view to_string(Outcome outcome) noexcept;

struct Attempt {
  Time time{};            ///< when it ended
  std::string member{};
  Outcome outcome = Outcome::kRetry;
  std::string error{};    ///< at most 256 bytes here; the last one is whole in DeadLetterInfo::error
};

/// What a dead letter holds beside the whole message (S-24).
struct DeadLetterInfo {
  std::string origin_topic{};
  Offset origin_offset{};
  std::string group{};            ///< the group's name
  std::string source{};           ///< the topic or pattern the group stands on
  Time published{};               ///< commit time of the original
  DeathReason reason = DeathReason::kMaxAttempts;
  std::string error{};            ///< the consumer's last error, ≤ 4 KiB
  std::uint32_t deliveries = 0;
  std::uint32_t failures = 0;
  std::optional<Time> first_failure{};
  std::optional<Time> last_failure{};
  std::vector<Attempt> attempts{};  ///< the last five
  std::uint32_t redrives = 0;     ///< times it had been given back before this death
  std::optional<Offset> previous{};   ///< the letter whose redrive it died of again: its history goes on there
  std::optional<Offset> edited_of{};  ///< no death of its own, but what that letter became by an edited redrive; it is in the state kRedriven
};

/// A letter's state (S-23). Stored and sent: do not renumber.
enum class LetterState : std::uint8_t { kDead = 0, kRedriven = 1, kDiscarded = 2 };
std::string_view to_string(LetterState state) noexcept;

/// What was done to a letter. Stored and sent: do not renumber.
enum class LetterAct : std::uint8_t {
  kRedriven = 0,     ///< given back to its group
  kSentToTopic = 1,  ///< published to a topic
  kDiscarded = 2,
  kRestored = 3,     ///< a discard was undone
};
std::string_view to_string(LetterAct act) noexcept;

/// One act on a letter: who, when and why.
struct LetterEvent {
  LetterAct act = LetterAct::kRedriven;
  Time time{};
  std::string who{};                  ///< CallContext::principal of the request; empty: the program itself
  std::string why{};                  ///< RedriveRequest::reason, DiscardRequest::reason
  std::string job{};                  ///< the job that did it; empty: none
  std::string to_topic{};             ///< kSentToTopic
  std::optional<Offset> to_offset{};  ///< kSentToTopic, when its id was there before: the offset of that message
  std::optional<Offset> edited_as{};  ///< kRedriven with an edited payload: the entry of the dead-letter topic that has it
};

struct DeadLetter {
  Offset offset{};          ///< its place in the dead-letter topic: the letter's id
  LetterState state = LetterState::kDead;
  StoredMessage message{};  ///< key, headers, payload … as published; message.dead_letter is set
  // With ListDeadLettersRequest::with_history only:
  std::vector<LetterEvent> events{};  ///< what was done to it, the oldest first
  std::vector<DeadLetter> earlier{};  ///< the letters it was before (previous, edited_of), the newest first, at most 16, as far as they are there
};

/// Which letters are meant, beside the filter by headers. All that is set must hold.
struct LetterConditions {
  std::optional<DeathReason> reason{};
  std::optional<std::string> error_contains{};  ///< the last error has this text in it, as it is written; at most 4 KiB
  std::optional<std::string> key{};             ///< the ordering key; empty: letters without one
  std::optional<Time> since{};                  ///< died at or after
  std::optional<Time> until{};                  ///< died before
  std::optional<std::uint32_t> redrives_min{};  ///< given back so often, at least
  std::optional<std::uint32_t> redrives_max{};  ///< or at most
  friend bool operator==(const LetterConditions&, const LetterConditions&) = default;
};

/// The name of the dead-letter topic of a group on a topic: `_dlq.<topic>.<group>`.
std::string dead_letter_topic(std::string_view topic, std::string_view group);

/// List dead letters, or group them by their errors. The work of one call is bounded: it looks at no more than 20,000 letters, so a page may be
/// short, or empty, though more follow; go on at `next` until `end`. Limits: 10,000 letters a page or named.
struct ListDeadLettersRequest {
  std::string topic{};       ///< the origin topic
  std::string group{};
  Offset from{};
  std::uint32_t messages_max = 100;   ///< letters, or groups, of a page: 1 to 10,000
  bool include_resolved = false;      ///< also redriven and discarded ones
  Filter filter{};                    ///< by headers
  // As in LetterConditions:
  std::optional<DeathReason> reason{};
  std::optional<std::string> error_contains{};
  std::optional<std::string> key{};
  std::optional<Time> since{};
  std::optional<Time> until{};
  std::optional<std::uint32_t> redrives_min{};
  std::optional<std::uint32_t> redrives_max{};
  std::vector<Offset> letters{};          ///< these, by id; empty: all
  std::uint64_t bytes_max = 16u << 20;    ///< of payload in a page; the first letter always comes
  bool with_history = false;              ///< DeadLetter::events and earlier
  bool group_by_error = false;            ///< `groups` instead of `letters`
};
/// Letters that died of the same error: the consumer's last error, compared byte for byte as it is stored (texts that differ in a number are two).
struct DeadLetterGroup {
  std::string error{};
  std::uint64_t count = 0;
  Time first{};                ///< when the first of them died
  Time last{};
  DeadLetter sample{};         ///< the newest of them; without its payload where bytes_max is used up
};
struct ListDeadLettersResult {
  std::vector<DeadLetter> letters{};
  Offset next{};
  bool end = false;
  std::vector<DeadLetterGroup> groups{};  ///< of this page, the largest first; Broker::dead_letter_groups adds up the pages
  std::uint64_t ungrouped = 0;            ///< letters whose error found no place in messages_max groups
};

/// Give dead letters back (S-26): to their group only, ahead of their key's undelivered messages, failures reset; id, origin offset and publish time
/// are kept. Or publish them to a topic. Each letter's move is atomic; letters that die after this is asked are not meant.
///
/// Without `rate`, `background` and `request_id` it is done when it is answered, in commits of up to 100 letters; if it fails in the
/// middle, what was given back stays given back, and asking again does the rest. With one of them it is a durable job (JobInfo): the answer comes at once
/// and names the job.
struct RedriveRequest {
  std::string topic{};       ///< the origin topic
  std::string group{};
  std::vector<Offset> letters{};   ///< these, by id (≤ 10,000); empty: all that are dead when this is asked and that filter and conditions let through
  bool force = false;            ///< also those that were redriven `redrives_max` times already
  std::uint32_t redrives_max = 3;
  Filter filter{};                         ///< by headers
  /// Instead of the group: published there, with key, id, headers and content type, and a header `weir-dead-letter` that says
  /// "<dead-letter topic>/<offset>". An id that the topic saw in its dedup window is not stored again (S-6), and the letter counts as redriven.
  std::optional<std::string> to_topic{};
  std::optional<double> rate{};            ///< letters a second by the broker's clock, 0.001 to 1,000,000; kept within 10 %
  bool dry_run = false;                    ///< counts what would be done, and changes nothing
  /// Payload, headers and content type instead of the letter's own; only for letters by id, at most 100. Key and id stay, and must be empty here; a tombstone becomes a message. The original
  /// stays in the dead-letter topic and is shown with the letter's history.
  std::optional<Message> edited{};
  std::string request_id{};                ///< ≤ 128 bytes: the same id again is answered with the same job, as long as that is kept
  LetterConditions where{};
  bool background = false;                 ///< as a job
  std::string reason{};                    ///< why: kept with each letter, ≤ 1 KiB
};
struct RedriveResult {
  std::uint64_t redriven = 0;
  std::uint64_t skipped = 0;        ///< redriven or discarded before, or gone by retention
  std::uint64_t needs_force = 0;    ///< redriven too often
  std::string job{};                  ///< where it is a job; the counts are then those of the job so far
  std::uint64_t failed = 0;         ///< refused by the topic they were to be published to; they stay dead
  std::uint64_t unmatched = 0;      ///< dead, and not let through by filter and conditions
  std::string error{};              ///< why the last of `failed` was refused
};

/// Discard dead letters, or undo that (S-27). A discarded letter is no longer listed as dead, and goes by the retention of its topic like
/// all others. It can be restored for 7 days, as long as retention has not taken it. As RedriveRequest: done when answered, or a job.
struct DiscardRequest {
  std::string topic{};
  std::string group{};
  std::vector<Offset> letters{};   ///< these, by id (≤ 10,000); empty: all that filter and conditions let through
  Filter filter{};
  std::string reason{};            ///< why: kept with each letter, ≤ 1 KiB
  bool restore = false;  ///< undo: discarded letters are dead again. They do not hold their key a second time (GroupOptions::hold_key)
  LetterConditions where{};
  std::optional<double> rate{};
  bool dry_run = false;
  bool background = false;
  std::string request_id{};
};
struct DiscardResult {
  std::uint64_t discarded = 0;   ///< or restored
  std::uint64_t skipped = 0;     ///< not dead (restore: not discarded), or gone
  std::uint64_t unmatched = 0;
  std::uint64_t failed = 0;      ///< restore: discarded more than 7 days ago, or restored 50 times already
  std::string job{};
  std::string error{};
};

/// A durable job of the broker. It survives the death of the process: each chunk of work is one commit, with the job's progress in it, so that nothing is
/// done twice and nothing left out. Of ephemeral topics it is in memory, as they are. Limit: 1,000 jobs that have not ended. One that has ended is kept for 7
/// days, and while there are no more than 1,000 of them. A group, origin topic or target topic that is deleted ends its jobs as `failed`.
struct JobInfo {
  std::string id{};
  std::string kind{};   ///< redrive, discard, restore
  std::string state{};  ///< running, paused, done, cancelled, failed
  std::uint64_t done = 0;
  std::uint64_t total = 0;   ///< letters to look at: those named, or all that were dead (restore: discarded) when it was asked for
  std::uint64_t failed = 0;
  Time started{};
  std::uint64_t skipped = 0;      ///< redriven or discarded by somebody else meanwhile, or gone by retention
  std::uint64_t unmatched = 0;    ///< not let through by filter and conditions
  std::uint64_t needs_force = 0;
  std::string topic{};
  std::string group{};
  std::string to_topic{};
  std::optional<double> rate{};
  std::string who{};
  std::string reason{};
  std::string request_id{};
  std::optional<Time> ended{};
  Duration active{0};             ///< how long it ran up to its last move: without pauses, and without times when the store was closed
  std::string error{};            ///< why it failed, why the last letter did, or what it waits for
};

/// What Broker::export_dead_letters writes.
struct ExportDeadLettersRequest {
  std::string topic{};             ///< the origin topic
  std::string group{};
  std::vector<Offset> letters{};   ///< these, by id (≤ 10,000); empty: all
  bool include_resolved = false;
  Filter filter{};
  LetterConditions where{};
  bool with_history = false;
};
/// Takes one line of an export, with its line feed; false stops it.
using LineSink = std::function<bool(std::string_view line)>;

}  // namespace weir
