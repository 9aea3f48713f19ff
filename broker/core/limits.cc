#include "broker/core/limits.h"

#include <algorithm>
#include <cstring>

namespace weir::core {
namespace {

constexpr std::uint64_t kEach = 0x0101010101010101u;  // one in each byte

// Whether one of the eight bytes is not printable ASCII (0x20 to 0x7E). Exact as a yes or no, which is all that is asked.
constexpr bool has_other_than_printable(std::uint64_t eight) noexcept {
  const std::uint64_t low = (eight - kEach * 0x20) & ~eight;
  const std::uint64_t flipped = eight ^ kEach * 0x7f;
  const std::uint64_t del = (flipped - kEach) & ~flipped;
  return ((low | del | eight) & kEach * 0x80) != 0;
}

bool printable_ascii(std::string_view text) noexcept {
  const char* at = text.data();
  std::size_t left = text.size();
  std::uint64_t eight;
  if (left < 8) {
    for (; left != 0; --left, ++at)
      if (static_cast<unsigned char>(*at - 0x20) > 0x7e - 0x20) return false;
    return true;
  }
  for (; left > 8; left -= 8, at += 8) {
    std::memcpy(&eight, at, 8);
    if (has_other_than_printable(eight)) return false;
  }
  std::memcpy(&eight, text.data() + text.size() - 8, 8);
  return !has_other_than_printable(eight);
}

// The length of the UTF-8 character at `at` that is no control character; 0 when there is none.
std::size_t text_character(const unsigned char* at, std::size_t left) noexcept {
  const auto follows = [&](std::size_t i) { return i < left && (at[i] & 0xc0) == 0x80; };
  const unsigned char first = at[0];
  if (first < 0x80) return first >= 0x20 && first != 0x7f ? 1 : 0;
  if (first < 0xc2) return 0;  // a continuation, or an overlong form
  if (first < 0xe0) return follows(1) && !(first == 0xc2 && at[1] < 0xa0) ? 2 : 0;
  if (first < 0xf0) {
    if (!follows(1) || !follows(2)) return 0;
    if (first == 0xe0 && at[1] < 0xa0) return 0;   // overlong
    if (first == 0xed && at[1] >= 0xa0) return 0;  // a surrogate
    return 3;
  }
  if (first > 0xf4 || !follows(1) || !follows(2) || !follows(3)) return 0;
  if (first == 0xf0 && at[1] < 0x90) return 0;   // overlong
  if (first == 0xf4 && at[1] >= 0x90) return 0;  // over U+10FFFF
  return 4;
}

Status over(const std::string& field, std::size_t size, std::size_t limit, const char* unit = "bytes") {
  return {ErrorCode::limit_exceeded, field + ": " + std::to_string(size) + " " + unit + " are over the limit of " + std::to_string(limit)};
}

Status invalid(const std::string& field, const std::string& what) { return {ErrorCode::invalid_argument, field + ": " + what}; }

Status validate_text(const std::string& field, std::string_view text, std::size_t bytes_max) {
  if (text.size() > bytes_max) return over(field, text.size(), bytes_max);
  if (!valid_utf8_text(text)) return invalid(field, "must be UTF-8 without control characters");
  return ok();
}

bool is_header_name(std::string_view name) noexcept {
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
}

Status validate_header_name(const std::string& field, std::string_view name) {
  if (name.size() > kHeaderNameBytesMax) return over(field, name.size(), kHeaderNameBytesMax);
  if (name.empty()) return invalid(field, "must not be empty");
  if (!is_header_name(name)) return invalid(field, "must be of a-z 0-9 '.' '_' and '-'");
  return ok();
}

std::string header_field(std::size_t index, const char* part) { return "headers[" + std::to_string(index) + "]." + part; }

Status validate_headers(const Headers& headers) {
  if (headers.size() > kHeadersMax) return over("headers", headers.size(), kHeadersMax, "headers");
  std::size_t bytes = 0;
  for (const Header& header : headers) bytes += header.name.size() + header.value.size();
  if (bytes > kHeadersBytesMax) return over("headers", bytes, kHeadersBytesMax, "bytes of names and values");
  for (std::size_t i = 0; i < headers.size(); ++i) {
    const Header& header = headers[i];
    if (header.name.empty() || header.name.size() > kHeaderNameBytesMax || !is_header_name(header.name))
      return validate_header_name(header_field(i, "name"), header.name);
    if (!valid_utf8_text(header.value)) return invalid(header_field(i, "value"), "must be UTF-8 without control characters");
    for (std::size_t j = 0; j < i; ++j)
      if (headers[j].name == header.name) return invalid(header_field(i, "name"), "\"" + header.name + "\" is there twice");
  }
  return ok();
}

Status validate_every_part(const Message& message, const TopicOptions& topic) {
  if (message.payload.size() > topic.payload_bytes_max)
    return over("payload", message.payload.size(), topic.payload_bytes_max, "bytes (payload_bytes_max of the topic)");
  if (Status status = validate_text("key", message.key, kKeyBytesMax); !status.ok()) return status;
  if (Status status = validate_text("id", message.id, kIdBytesMax); !status.ok()) return status;
  if (Status status = validate_text("content type", message.content_type, kContentTypeBytesMax); !status.ok()) return status;
  if (Status status = validate_headers(message.headers); !status.ok()) return status;
  if (message.tombstone && message.key.empty()) return invalid("tombstone", "needs a key");
  if (message.tombstone && !message.payload.empty()) return invalid("tombstone", "has no payload");
  if (message.ttl && *message.ttl <= Duration::zero()) return invalid("ttl", "must be more than 0");
  if (message.ttl && *message.ttl > kTtlMax) return {ErrorCode::limit_exceeded, "ttl: is over the limit of 3650 days"};
  return ok();
}

}  // namespace

bool valid_utf8_text(std::string_view text) noexcept {
  if (printable_ascii(text)) return true;
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = text_character(bytes + at, text.size() - at);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

std::string_view cut_text(std::string_view text, std::size_t bytes_max) noexcept {
  if (text.size() <= bytes_max) return text;
  std::size_t end = bytes_max;
  // A character has at most three bytes that follow its first; wrong bytes are cut anywhere.
  for (int back = 0; back < 3 && end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80; ++back) --end;
  return text.substr(0, end);
}

Status validate_message(const Message& message, const TopicOptions& topic) {
  const bool plain = message.id.empty() && message.headers.empty() && message.content_type.empty() && !message.ttl && !message.tombstone;
  if (plain && message.payload.size() <= topic.payload_bytes_max && message.key.size() <= kKeyBytesMax && printable_ascii(message.key)) [[likely]]
    return ok();
  return validate_every_part(message, topic);
}

std::size_t message_bytes(const Message& message) noexcept {
  constexpr std::size_t kFixed = 16;  // ends of columns, and bookkeeping
  std::size_t bytes = kFixed + message.payload.size() + message.key.size() + message.id.size() + message.content_type.size();
  for (const Header& header : message.headers) bytes += 3 + header.name.size() + header.value.size();
  return bytes;
}

void encode_headers(const Headers& headers, std::string& out) {
  for (const Header& header : headers) {
    out += static_cast<char>(header.name.size());
    out += header.name;
    out += static_cast<char>(header.value.size() & 0xff);
    out += static_cast<char>(header.value.size() >> 8);
    out += header.value;
  }
}

namespace {

Status validate_condition(const Filter& filter) {
  if (!filter.parts.empty()) return invalid("filter", "a condition on one header has no parts");
  if (filter.op == Filter::Op::kEverything) return ok();
  if (Status status = validate_header_name("filter: header", filter.header); !status.ok()) return status;
  return validate_text("filter: value", filter.value, kHeadersBytesMax);
}

// `conditions` counts those on single headers; combinations are bounded by them and the depth, because each has a part.
Status validate_part(const Filter& filter, std::size_t depth, std::size_t& conditions) {
  if (depth > kFilterDepthMax) return {ErrorCode::limit_exceeded, "filter: nested deeper than the limit of " + std::to_string(kFilterDepthMax)};
  if (filter.op > Filter::Op::kPresent) return invalid("filter", "has an unknown operation");
  const bool combines = filter.op == Filter::Op::kAll || filter.op == Filter::Op::kAny || filter.op == Filter::Op::kNot;
  if (!combines) {
    if (++conditions > kFilterConditionsMax)
      return {ErrorCode::limit_exceeded, "filter: more conditions than the limit of " + std::to_string(kFilterConditionsMax)};
    return validate_condition(filter);
  }
  if (filter.parts.empty()) return invalid("filter", "all, any and not need a part");
  if (filter.op == Filter::Op::kNot && filter.parts.size() != 1) return invalid("filter", "not takes one part");
  for (const Filter& part : filter.parts)
    if (Status status = validate_part(part, depth + 1, conditions); !status.ok()) return status;
  return ok();
}

}  // namespace

Status validate(const Filter& filter) {
  std::size_t conditions = 0;
  return validate_part(filter, 1, conditions);
}

}  // namespace weir::core
