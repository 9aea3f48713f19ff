// What a message, a topic and a group may be (S-1, S-12): every limit has one name here, and errors name it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "broker/core/backoff.h"
#include "weir/group.h"
#include "weir/message.h"
#include "weir/status.h"
#include "weir/topic.h"
#include "weir/transaction.h"

namespace weir::core {

inline constexpr std::size_t kPayloadBytesMax = 64u << 20;  ///< the most that TopicOptions::payload_bytes_max can be
inline constexpr std::size_t kKeyBytesMax = 1024;
inline constexpr std::size_t kIdBytesMax = 128;
inline constexpr std::size_t kContentTypeBytesMax = 255;
inline constexpr std::size_t kHeadersMax = 64;
inline constexpr std::size_t kHeaderNameBytesMax = 255;
inline constexpr std::size_t kHeadersBytesMax = 16u << 10;  ///< names and values together
inline constexpr std::size_t kRequestMessagesMax = 10'000;
inline constexpr std::size_t kRequestBytesMax = 65u << 20;   // the largest message, whatever else it has
inline constexpr std::size_t kExpectedMax = 1000;           ///< conditions of a publish or a transaction
inline constexpr std::size_t kStateEntriesMax = 10'000;     ///< of one read of application state
inline constexpr std::size_t kFilterConditionsMax = 64;
inline constexpr std::size_t kFilterDepthMax = 8;
inline constexpr std::size_t kWaitersMax = 65'536;          ///< asynchronous requests of a kind that wait in one broker; past it `busy`
inline constexpr std::size_t kErrorBytesMax = 4096;         ///< of a settlement; longer ones are cut
inline constexpr Duration kTtlMax = std::chrono::hours{24 * 3650};
inline constexpr Duration kRetryDelayMax = std::chrono::hours{24 * 365};

/// limit_exceeded or invalid_argument with a sentence that names the field and the limit. A message of payload and ASCII key costs a few nanoseconds.
Status validate_message(const Message& message, const TopicOptions& topic);

/// UTF-8 (no surrogates, no overlong forms) without control characters (U+0000 to U+001F, U+007F to U+009F).
bool valid_utf8_text(std::string_view text) noexcept;
/// `text` cut to at most `bytes_max` bytes, never inside a UTF-8 character.
std::string_view cut_text(std::string_view text, std::size_t bytes_max) noexcept;

/// How much of a request's, a queue's and a tail's bytes a message is: its own bytes and a bit for each of its parts.
std::size_t message_bytes(const Message& message) noexcept;

/// Appends the headers in the form that HeadersView reads. They must be valid.
void encode_headers(const Headers& headers, std::string& out);

/// What a transaction or a read of state may be, apart from the topics it publishes to. Sets a transaction's size in memory.
Status validate(const CommitRequest& request, std::size_t& bytes);
Status validate(const ReadStateRequest& request);
Status validate(std::span<const ExpectedLast> expected);

Status validate(const TopicOptions& options);
Status validate(const GroupOptions& options);
Status validate(const Filter& filter);

/// For people: "lease: 30000ms vs 5000ms; order: key vs none" (what is there, then what was asked for). Empty: they are the same.
std::string differences(const TopicOptions& have, const TopicOptions& want);
std::string differences(const GroupOptions& have, const GroupOptions& want);

}  // namespace weir::core
