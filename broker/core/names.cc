#include "broker/core/names.h"

#include <algorithm>
#include <array>
#include <utility>

#include "broker/core/limits.h"

namespace weir::core {
namespace {

constexpr bool is_token_char(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

// Long and strange names are cut and cleaned before they get into a sentence.
std::string quoted(std::string_view name) {
  std::string out = "\"";
  for (const char c : name.substr(0, 80)) out += c >= 0x20 && c < 0x7f ? c : '?';
  return out += name.size() > 80 ? "…\"" : "\"";
}

Status bad(const char* kind, std::string_view name, std::string_view what) {
  return {ErrorCode::invalid_argument, std::string(kind) + " " + quoted(name) + " " + std::string(what)};
}

Status too_long(const char* kind, std::string_view name, std::size_t bytes_max) {
  return {ErrorCode::limit_exceeded, std::string(kind) + " " + quoted(name) + " has " + std::to_string(name.size()) + " bytes; the limit is " +
                                         std::to_string(bytes_max)};
}

// Takes the first token off: "a.b.c" gives "a" and leaves "b.c". `more` is false once nothing is left.
struct Tokens {
  std::string_view rest;
  bool more = true;
  explicit Tokens(std::string_view name) : rest(name) {}
  std::string_view take() noexcept {
    const std::size_t dot = rest.find('.');
    const std::string_view token = rest.substr(0, dot);
    more = dot != std::string_view::npos;
    rest = more ? rest.substr(dot + 1) : std::string_view{};
    return token;
  }
};

Status validate_tokens(const char* kind, std::string_view name, bool allow_wildcards) {
  if (name.empty()) return bad(kind, name, "is empty");
  Tokens tokens(name);
  while (tokens.more) {
    const std::string_view token = tokens.take();
    if (token.empty()) return bad(kind, name, "has an empty token: '.' joins tokens and neither begins, ends nor doubles");
    if (allow_wildcards && token == "*") continue;
    if (allow_wildcards && token == ">") {
      if (tokens.more) return bad(kind, name, "has a '>' that is not its last token");
      continue;
    }
    if (!std::all_of(token.begin(), token.end(), is_token_char))
      return bad(kind, name,
                 allow_wildcards ? "has a character other than A-Z a-z 0-9 '_' '-' and '.', or a wildcard that is not a token of its own"
                                 : "has a character other than A-Z a-z 0-9 '_' '-' and '.'");
  }
  return ok();
}

}  // namespace

bool is_pattern(std::string_view source) noexcept { return source.find_first_of("*>") != std::string_view::npos; }

bool is_internal(std::string_view name) noexcept { return !name.empty() && name.front() == '_'; }

Status validate_topic_name(std::string_view name, bool allow_internal) {
  const bool internal = is_internal(name);
  const std::size_t bytes_max = internal && allow_internal ? kInternalNameBytesMax : kTopicNameBytesMax;
  if (name.size() > bytes_max) return too_long("topic name", name, bytes_max);
  if (is_pattern(name)) return bad("topic name", name, "has a wildcard; only the source of a group may be a pattern");
  if (Status status = validate_tokens("topic name", name, false); !status.ok()) return status;
  if (internal && !allow_internal) return bad("topic name", name, "begins with '_': such names belong to the broker");
  return ok();
}

Status validate_group_name(std::string_view name) {
  if (name.size() > kGroupNameBytesMax) return too_long("group name", name, kGroupNameBytesMax);
  if (name.empty()) return bad("group name", name, "is empty");
  if (!std::all_of(name.begin(), name.end(), is_token_char))
    return bad("group name", name, "has a character other than A-Z a-z 0-9 '_' and '-': it is a single token");
  if (is_internal(name)) return bad("group name", name, "begins with '_': such names belong to the broker");
  return ok();
}

Status validate_source(std::string_view source) {
  if (!is_pattern(source)) return validate_topic_name(source, true);
  if (source.size() > kTopicNameBytesMax) return too_long("pattern", source, kTopicNameBytesMax);
  if (is_internal(source)) return bad("pattern", source, "begins with '_': a wildcard never matches the broker's own topics; name the topic");
  return validate_tokens("pattern", source, true);
}

Status validate_session_name(std::string_view name) {
  if (name.size() > kSessionNameBytesMax) return too_long("session name", name, kSessionNameBytesMax);
  if (name.empty()) return bad("session name", name, "is empty");
  if (!valid_utf8_text(name)) return bad("session name", name, "is not UTF-8 without control characters");
  return ok();
}

bool matches(std::string_view source, std::string_view topic) noexcept {
  if (!is_pattern(source)) return source == topic;
  if (is_internal(topic)) return false;
  Tokens pattern(source), name(topic);
  while (pattern.more && name.more) {
    const std::string_view wanted = pattern.take();
    if (wanted == ">") return true;
    if (wanted != name.take() && wanted != "*") return false;
  }
  return !pattern.more && !name.more;
}

bool overlap(std::string_view a, std::string_view b) noexcept {
  if (!is_pattern(a)) return matches(b, a);
  if (!is_pattern(b)) return matches(a, b);
  if (is_internal(a) || is_internal(b)) return false;
  // The shortest name that both match is built token by token; a wildcard takes what the other asks for, or one character.
  Tokens left(a), right(b);
  std::size_t bytes = 0;
  bool rest_left = false, rest_right = false;  // a '>' was met: everything further on matches
  while (left.more || right.more) {
    if ((!left.more && !rest_left) || (!right.more && !rest_right)) return false;
    const std::string_view l = left.more ? left.take() : ">";
    const std::string_view r = right.more ? right.take() : ">";
    rest_left |= l == ">", rest_right |= r == ">";
    const bool free_left = l == "*" || l == ">", free_right = r == "*" || r == ">";
    if (!free_left && !free_right && l != r) return false;
    bytes += (bytes != 0 ? 1 : 0) + (free_left ? (free_right ? 1 : r.size()) : l.size());
  }
  return bytes <= kTopicNameBytesMax;
}

std::string dead_letter_topic(std::string_view topic, std::string_view group) {
  std::string name = "_dlq.";
  return name.append(topic).append(".").append(group);
}

namespace {

constexpr char lower_case(char c) noexcept { return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c); }

// Insertions, deletions, replacements and swaps of neighbours that make one of the other; anything over `distance_max` is distance_max + 1.
// Both have at most kInternalNameBytesMax bytes. There may be thousands of candidates, so most are told apart early.
std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t distance_max) {
  const std::size_t far = distance_max + 1;
  while (!a.empty() && !b.empty() && a.front() == b.front()) a.remove_prefix(1), b.remove_prefix(1);
  while (!a.empty() && !b.empty() && a.back() == b.back()) a.remove_suffix(1), b.remove_suffix(1);
  if (a.size() > b.size()) std::swap(a, b);
  if (b.size() - a.size() > distance_max) return far;
  if (a.empty()) return b.size();
  // Rows of the usual table, of which only the cells near the diagonal can be within distance_max; those beside the band are far.
  using Row = std::array<std::size_t, kInternalNameBytesMax + 2>;
  Row rows[3];
  Row *two_before = &rows[0], *before = &rows[1], *now = &rows[2];
  for (std::size_t j = 0; j <= std::min(b.size(), far); ++j) (*before)[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    const std::size_t first = i > distance_max ? i - distance_max : 1, last = std::min(b.size(), i + distance_max);
    std::size_t least = (*now)[first - 1] = first == 1 ? i : far;
    for (std::size_t j = first; j <= last; ++j) {
      std::size_t& cell = (*now)[j];
      cell = std::min({(*before)[j] + 1, (*now)[j - 1] + 1, (*before)[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) cell = std::min(cell, (*two_before)[j - 2] + 1);
      least = std::min(least, cell);
    }
    (*now)[last + 1] = far;
    if (least > distance_max) return far;
    Row* const oldest = std::exchange(two_before, std::exchange(before, now));
    now = oldest;
  }
  return std::min((*before)[b.size()], far);
}

}  // namespace

NearMisses::NearMisses(std::string_view name, std::size_t names_max)
    : name_(name.substr(0, kInternalNameBytesMax)), names_max_(names_max), distance_max_(name.size() < 5 ? 1 : 2) {
  std::transform(name_.begin(), name_.end(), name_.begin(), lower_case);
}

void NearMisses::consider(std::string_view candidate) {
  if (names_max_ == 0 || candidate.size() > name_.size() + distance_max_ || candidate.size() + distance_max_ < name_.size() ||
      candidate.size() > kInternalNameBytesMax)
    return;
  std::array<char, kInternalNameBytesMax> lower;
  std::transform(candidate.begin(), candidate.end(), lower.begin(), lower_case);
  const std::size_t distance = edit_distance(name_, {lower.data(), candidate.size()}, distance_max_);
  if (distance > distance_max_ || distance >= name_.size()) return;
  std::pair<std::size_t, std::string> found(distance, candidate);
  found_.insert(std::upper_bound(found_.begin(), found_.end(), found), std::move(found));
  if (found_.size() > names_max_) found_.pop_back();
}

std::vector<std::string> NearMisses::names() && {
  std::vector<std::string> out;
  out.reserve(found_.size());
  for (auto& [distance, name] : found_) out.push_back(std::move(name));
  return out;
}

}  // namespace weir::core
