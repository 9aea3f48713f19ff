// The few lines of JSON that writing an export takes: the library has no JSON library, and reads none.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "weir/types.h"

namespace weir::api {

/// Appends `text` as a JSON string. Bytes that are no UTF-8 become U+FFFD, one for each; false when there were any.
bool append_json_string(std::string& out, std::string_view text);
/// Whether `bytes` are UTF-8: such a payload is written as text.
bool is_utf8(std::string_view bytes) noexcept;
/// With padding (RFC 4648, section 4).
void append_base64(std::string& out, std::string_view bytes);
/// RFC 3339 in UTC with milliseconds, without quotes.
std::string rfc3339(Time time);

/// An object or array that is being written: sees to the commas.
class JsonObject {
 public:
  explicit JsonObject(std::string& out) : out_(out) { out_ += '{'; }
  void end() { out_ += '}'; }
  /// The name of a member; its value is appended by the caller.
  std::string& member(std::string_view name) {
    if (!first_) out_ += ',';
    first_ = false;
    append_json_string(out_, name);
    out_ += ':';
    return out_;
  }
  void text(std::string_view name, std::string_view value) { append_json_string(member(name), value); }
  /// As proto3's JSON does: numbers of 64 bits are strings, since readers that take numbers for doubles would round them.
  void number64(std::string_view name, std::uint64_t value) { member(name).append("\"").append(std::to_string(value)).append("\""); }
  void number(std::string_view name, std::uint32_t value) { member(name).append(std::to_string(value)); }
  void time(std::string_view name, Time value) { text(name, rfc3339(value)); }

 private:
  std::string& out_;
  bool first_ = true;
};

}  // namespace weir::api
