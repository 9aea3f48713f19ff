#include "broker/core/letters.h"

#include "broker/core/limits.h"
#include "broker/core/pace.h"

namespace weir::core {
namespace {

Status text_within(const char* field, std::string_view text, std::size_t bytes_max) {
  if (text.size() > bytes_max) return {ErrorCode::limit_exceeded, std::string(field) + ": " + std::to_string(text.size()) + " bytes are over the limit of " + std::to_string(bytes_max)};
  if (!valid_utf8_text(text)) return {ErrorCode::invalid_argument, std::string(field) + ": must be UTF-8 without control characters"};
  return {};
}

}  // namespace

bool matches(const Filter& filter, const LetterConditions& where, const StoredMessage& letter) {
  if (where.since && letter.time < *where.since) return false;
  if (where.until && letter.time >= *where.until) return false;
  if (where.key && letter.key != *where.key) return false;
  if (!filter.empty() && !filter.matches(letter.headers)) return false;
  const DeadLetterInfo* info = letter.dead_letter.get();
  if (info == nullptr) return false;
  if (where.reason && info->reason != *where.reason) return false;
  if (where.redrives_min && info->redrives < *where.redrives_min) return false;
  if (where.redrives_max && info->redrives > *where.redrives_max) return false;
  return !where.error_contains || info->error.find(*where.error_contains) != std::string::npos;
}

Status validate(const LetterConditions& where) {
  if (where.reason && *where.reason > DeathReason::kExpired) return {ErrorCode::invalid_argument, "reason: is unknown"};
  if (where.error_contains && where.error_contains->size() > kErrorBytesMax)
    return {ErrorCode::limit_exceeded, "error_contains: " + std::to_string(where.error_contains->size()) + " bytes are over the limit of " + std::to_string(kErrorBytesMax)};
  if (where.key && where.key->size() > kKeyBytesMax)
    return {ErrorCode::limit_exceeded, "key: " + std::to_string(where.key->size()) + " bytes are over the limit of " + std::to_string(kKeyBytesMax)};
  if (where.since && where.until && *where.since > *where.until) return {ErrorCode::invalid_argument, "since, until: until is before since"};
  if (where.redrives_min && where.redrives_max && *where.redrives_min > *where.redrives_max)
    return {ErrorCode::invalid_argument, "redrives_min, redrives_max: the range is empty"};
  return {};
}

Status validate_letters_request(std::size_t chosen, const Filter& filter, const LetterConditions& where, const std::optional<double>& rate, const std::string& reason,
                                const std::string& request_id) {
  if (chosen > kChosenLettersMax)
    return {ErrorCode::limit_exceeded, "letters: " + std::to_string(chosen) + " in one request; the limit is " + std::to_string(kChosenLettersMax)};
  if (Status valid = validate(filter); !valid.ok()) return valid;
  if (Status valid = validate(where); !valid.ok()) return valid;
  // Written so that what is no number is refused.
  if (rate && !(*rate >= Pace::kRateMin && *rate <= Pace::kRateMax)) return {ErrorCode::invalid_argument, "rate: " + std::to_string(*rate) + " is not from 0.001 to 1000000 letters a second"};
  if (Status valid = text_within("reason", reason, kReasonBytesMax); !valid.ok()) return valid;
  return text_within("request_id", request_id, kRequestIdBytesMax);
}

Status validate_edited(const Message& edited, std::size_t chosen) {
  if (chosen == 0) return {ErrorCode::invalid_argument, "edited: only for letters that are named by id"};
  if (chosen > kEditedLettersMax)
    return {ErrorCode::limit_exceeded, "letters: " + std::to_string(chosen) + " are to be edited; the limit is " + std::to_string(kEditedLettersMax)};
  if (!edited.key.empty() || !edited.id.empty()) return {ErrorCode::invalid_argument, "edited: key and id are kept, and must be empty"};
  if (edited.ttl || edited.deliver_at || edited.delay) return {ErrorCode::invalid_argument, "edited: ttl, deliver_at and delay have no meaning for what was published long ago"};
  static const TopicOptions widest{.payload_bytes_max = static_cast<std::uint32_t>(kPayloadBytesMax)};
  Status valid = validate_message(edited, widest);
  return valid.ok() ? valid : Status{valid.code(), "edited: " + valid.message()};
}

}  // namespace weir::core
