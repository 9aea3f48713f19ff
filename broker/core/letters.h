// Which dead letters a request means (S-26, S-27), and what such a request may ask for.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

#include "weir/dead_letter.h"
#include "weir/status.h"

namespace weir::core {

inline constexpr std::size_t kChosenLettersMax = 10'000;    ///< named by id in one request
inline constexpr std::size_t kEditedLettersMax = 100;       ///< redriven with an edited payload by one request
inline constexpr std::size_t kReasonBytesMax = 1024;        ///< why a letter was redriven or discarded
inline constexpr std::size_t kRequestIdBytesMax = 128;
inline constexpr std::size_t kRestoresMax = 50;             ///< of one letter
inline constexpr Duration kRestorable = std::chrono::hours{24 * 7};   ///< how long after it was discarded
inline constexpr std::size_t kJobsMax = 1000;               ///< that have not ended, and as many that have
inline constexpr Duration kJobsKept = std::chrono::hours{24 * 7};     ///< after their end

/// Whether a letter is meant. `time` is its death.
bool matches(const Filter& filter, const LetterConditions& where, const StoredMessage& letter);

/// limit_exceeded or invalid_argument with a sentence that names the field.
Status validate(const LetterConditions& where);
/// What requests about letters have in common. `reason` is why.
Status validate_letters_request(std::size_t chosen, const Filter& filter, const LetterConditions& where, const std::optional<double>& rate, const std::string& reason,
                                const std::string& request_id);
/// An edited message; the topic's own payload limit is checked when it is known.
Status validate_edited(const Message& edited, std::size_t chosen);

}  // namespace weir::core
