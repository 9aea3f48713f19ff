// What records.cc and record_batch.cc share about FlatBuffers: times, strings, attempts, and the check before reading.
#pragma once

#include <flatbuffers/flatbuffers.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/format/store_generated.h"
#include "weir/dead_letter.h"
#include "weir/status.h"
#include "weir/types.h"

namespace weir::format {

inline Time time_of(std::int64_t milliseconds) { return Time{Duration{milliseconds}}; }
inline std::int64_t milliseconds_of(Time time) { return time.time_since_epoch().count(); }

inline std::optional<Time> time_of(std::optional<std::int64_t> milliseconds) {
  return milliseconds ? std::optional(time_of(*milliseconds)) : std::nullopt;
}
inline std::optional<std::int64_t> milliseconds_of(const std::optional<Time>& time) {
  return time ? std::optional(milliseconds_of(*time)) : std::nullopt;
}

inline std::string string_of(const flatbuffers::String* text) { return text ? text->str() : std::string(); }
/// An empty string is left out.
inline flatbuffers::Offset<flatbuffers::String> add_string(flatbuffers::FlatBufferBuilder& to, std::string_view text) {
  return text.empty() ? 0 : to.CreateString(text.data(), text.size());
}

using FlatAttempts = flatbuffers::Vector<flatbuffers::Offset<flat::Attempt>>;
flatbuffers::Offset<FlatAttempts> add_attempts(flatbuffers::FlatBufferBuilder& to, const std::vector<Attempt>& attempts);
std::vector<Attempt> attempts_of(const FlatAttempts* attempts);
/// Whether all outcomes are known ones.
bool attempts_valid(const FlatAttempts* attempts);

inline Status corrupt(std::string_view where, std::string_view what) {
  return {ErrorCode::corruption, std::string(where).append(": ").append(what)};
}

}  // namespace weir::format
