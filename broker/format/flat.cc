#include "broker/format/flat.h"

namespace weir::format {

flatbuffers::Offset<FlatAttempts> add_attempts(flatbuffers::FlatBufferBuilder& to, const std::vector<Attempt>& attempts) {
  if (attempts.empty()) return 0;
  std::vector<flatbuffers::Offset<flat::Attempt>> made;
  made.reserve(attempts.size());
  for (const Attempt& attempt : attempts) {
    const auto member = add_string(to, attempt.member);
    const auto error = add_string(to, attempt.error);
    made.push_back(flat::CreateAttempt(to, milliseconds_of(attempt.time), member, static_cast<std::uint8_t>(attempt.outcome), error));
  }
  return to.CreateVector(made);
}

std::vector<Attempt> attempts_of(const FlatAttempts* attempts) {
  std::vector<Attempt> out;
  if (attempts == nullptr) return out;
  out.reserve(attempts->size());
  for (const flat::Attempt* attempt : *attempts)
    out.push_back({time_of(attempt->time()), string_of(attempt->member()), static_cast<Outcome>(attempt->outcome()), string_of(attempt->error())});
  return out;
}

bool attempts_valid(const FlatAttempts* attempts) {
  if (attempts == nullptr) return true;
  for (const flat::Attempt* attempt : *attempts)
    if (attempt->outcome() > static_cast<std::uint8_t>(Outcome::kExpired)) return false;
  return true;
}

}  // namespace weir::format
