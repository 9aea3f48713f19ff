// Dead letters: what a group gave up on, with its whole history, and giving it back.
#pragma once

#include <cstdint>
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
};

/// A letter's state (S-23). Stored and sent: do not renumber.
enum class LetterState : std::uint8_t { kDead = 0, kRedriven = 1, kDiscarded = 2 };
std::string_view to_string(LetterState state) noexcept;

struct DeadLetter {
  Offset offset{};          ///< its place in the dead-letter topic: the letter's id
  LetterState state = LetterState::kDead;
  StoredMessage message{};  ///< key, headers, payload … as published; message.dead_letter is set
};

/// The name of the dead-letter topic of a group on a topic: `_dlq.<topic>.<group>`.
std::string dead_letter_topic(std::string_view topic, std::string_view group);

struct ListDeadLettersRequest {
  std::string topic{};       ///< the origin topic
  std::string group{};
  Offset from{};
  std::uint32_t messages_max = 100;   ///< 1 to 10,000
  bool include_resolved = false;      ///< also redriven and discarded ones
  // Filters of the workbench; an engine without them answers `unsupported` when one is set.
  Filter filter{};
  std::optional<DeathReason> reason{};
  std::optional<std::string> error_contains{};
  std::optional<std::string> key{};
  std::optional<Time> since{};
  std::optional<Time> until{};
};
struct ListDeadLettersResult {
  std::vector<DeadLetter> letters{};
  Offset next{};
  bool end = false;
};

/// Give dead letters back (S-26): to their group only, ahead of their key's undelivered messages, failures reset.
struct RedriveRequest {
  std::string topic{};       ///< the origin topic
  std::string group{};
  std::vector<Offset> letters{};   ///< these, by id (≤ 10,000); empty: all that are dead when this is asked
  bool force = false;            ///< also those that were redriven `redrives_max` times already
  std::uint32_t redrives_max = 3;
  // The workbench; an engine without it answers `unsupported` when one is set.
  Filter filter{};
  std::optional<std::string> to_topic{};
  std::optional<double> rate{};            ///< letters a second
  bool dry_run = false;
  std::optional<Message> edited{};
  std::string request_id{};
};
struct RedriveResult {
  std::uint64_t redriven = 0;
  std::uint64_t skipped = 0;        ///< redriven or discarded before, or gone by retention
  std::uint64_t needs_force = 0;    ///< redriven too often
  std::string job{};                  ///< where the engine runs it as a job
};

/// Discard dead letters, restorable for a while (S-27).
struct DiscardRequest {
  std::string topic{};
  std::string group{};
  std::vector<Offset> letters{};
  Filter filter{};
  std::string reason{};
  bool restore = false;  ///< undo
};
struct DiscardResult {
  std::uint64_t discarded = 0;
};

/// A durable job of the broker: redrive and the like.
struct JobInfo {
  std::string id{};
  std::string kind{};
  std::string state{};  ///< running, paused, done, cancelled, failed
  std::uint64_t done = 0, total = 0, failed = 0;
  Time started{};
};

}  // namespace weir
