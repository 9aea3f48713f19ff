// Names of topics, groups and sessions, and the patterns that groups stand on (S-2).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/status.h"

namespace weir::core {

inline constexpr std::size_t kTopicNameBytesMax = 180;
inline constexpr std::size_t kGroupNameBytesMax = 64;
inline constexpr std::size_t kSessionNameBytesMax = 128;
/// "_dlq." + topic + "." + group: the longest name that the broker itself gives.
inline constexpr std::size_t kInternalNameBytesMax = 5 + kTopicNameBytesMax + 1 + kGroupNameBytesMax;

// All answer invalid_argument (too long: limit_exceeded) with a sentence that names the name and what is wrong with it.
Status validate_topic_name(std::string_view name, bool allow_internal);
Status validate_group_name(std::string_view name);
/// What a group may stand on: a topic (an internal one, too: dead letters can be consumed) or a pattern.
Status validate_source(std::string_view source);
Status validate_session_name(std::string_view name);

/// Has a '*' or a '>' in it.
bool is_pattern(std::string_view source) noexcept;
/// The first token starts with '_': the name belongs to the broker.
bool is_internal(std::string_view name) noexcept;

/// Whether a group on `source` gets `topic`. '*' is one token, '>' the rest (one token or more); a pattern never matches an internal topic.
/// Both must be valid.
bool matches(std::string_view source, std::string_view topic) noexcept;
/// Whether some valid topic name matches both sources. Both must be valid.
bool overlap(std::string_view a, std::string_view b) noexcept;

/// "_dlq.<topic>.<group>" (S-23).
std::string dead_letter_topic(std::string_view topic, std::string_view group);

/// Finds the names that somebody may have meant: the same but for case, or at most two typing slips away.
class NearMisses {
 public:
  explicit NearMisses(std::string_view name, std::size_t names_max = 3);
  void consider(std::string_view candidate);
  /// The nearest first, equally near ones by name.
  std::vector<std::string> names() &&;

 private:
  std::string name_;  // lower case
  std::size_t names_max_;
  std::size_t distance_max_;
  std::vector<std::pair<std::size_t, std::string>> found_;  // by distance and name, at most names_max_
};

template <class Range>
std::vector<std::string> near_misses(std::string_view name, const Range& candidates, std::size_t names_max = 3) {
  NearMisses misses(name, names_max);
  for (const auto& candidate : candidates) misses.consider(candidate);
  return std::move(misses).names();
}

}  // namespace weir::core
