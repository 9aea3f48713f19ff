#include "broker/format/keys.h"

namespace weir::format {
namespace {

constexpr std::size_t kIndexKeyBytes = 16;
constexpr std::size_t kIndexValueBytes = 36;

void append_u32(std::string& out, std::uint32_t number) {
  const char bytes[4] = {char(number >> 24), char(number >> 16), char(number >> 8), char(number)};
  out.append(bytes, sizeof bytes);
}

std::uint32_t read_u32(std::string_view bytes) {
  std::uint32_t number = 0;
  for (int i = 0; i < 4; ++i) number = number << 8 | static_cast<unsigned char>(bytes[static_cast<std::size_t>(i)]);
  return number;
}

std::string start(KeyKind kind, std::size_t numbers) {
  std::string key;
  key.reserve(1 + 8 * numbers);
  key.push_back(static_cast<char>(kind));
  return key;
}

template <class... Numbers>
std::string make(KeyKind kind, Numbers... numbers) {
  std::string key = start(kind, sizeof...(numbers));
  (append_u64(key, numbers), ...);
  return key;
}

}  // namespace

void append_u64(std::string& out, std::uint64_t number) {
  char bytes[8];
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(number >> (56 - 8 * i));
  out.append(bytes, sizeof bytes);
}

std::uint64_t read_u64(std::string_view bytes) {
  return std::uint64_t{read_u32(bytes)} << 32 | read_u32(bytes.substr(4));
}

std::string store_key() { return make(KeyKind::kStore); }
std::string commit_key() { return make(KeyKind::kCommit); }

std::string dedup_key(std::uint64_t commit, std::uint32_t sub) {
  std::string key = make(KeyKind::kDedup, commit);
  append_u32(key, sub);
  return key;
}

std::string group_key(GroupId group) { return make(KeyKind::kGroup, group.value); }
std::string cursor_key(GroupId group, TopicId topic) { return make(KeyKind::kCursor, group.value, topic.value); }

std::string hold_key(GroupId group, TopicId topic, std::uint64_t letter) { return make(KeyKind::kHold, group.value, topic.value, letter); }
std::string hold_prefix(GroupId group, TopicId topic) { return make(KeyKind::kHold, group.value, topic.value); }

std::string job_key(std::uint64_t job, std::uint8_t part) {
  std::string key = make(KeyKind::kJob, job);
  key.push_back(static_cast<char>(part));
  return key;
}

std::string letter_event_key(TopicId topic, Offset letter, std::uint64_t commit, std::uint32_t number) {
  std::string key = make(KeyKind::kLetterEvent, topic.value, letter.value, commit);
  append_u32(key, number);
  return key;
}
std::string letter_event_prefix(TopicId topic) { return make(KeyKind::kLetterEvent, topic.value); }
std::string letter_event_prefix(TopicId topic, Offset letter) { return make(KeyKind::kLetterEvent, topic.value, letter.value); }
std::string key_last_prefix(TopicId topic) { return make(KeyKind::kKeyLast, topic.value); }
std::string key_last_key(TopicId topic, std::string_view key) { return key_last_prefix(topic).append(key); }

std::string letter_page_prefix(TopicId topic, std::uint8_t state) {
  std::string key = make(KeyKind::kLetterPage, topic.value);
  key.push_back(static_cast<char>(state));
  return key;
}

std::string letter_page_key(TopicId topic, std::uint8_t state, std::uint64_t page) {
  std::string key = letter_page_prefix(topic, state);
  append_u64(key, page);
  return key;
}

std::string page_key(GroupId group, TopicId topic, std::uint64_t page) {
  return make(KeyKind::kPage, group.value, topic.value, page);
}
std::string page_prefix(GroupId group, TopicId topic) { return make(KeyKind::kPage, group.value, topic.value); }

std::string request_key(std::string_view id) { return make(KeyKind::kRequest).append(id); }

std::string session_key(std::string_view name) {
  std::string key = make(KeyKind::kSession);
  key.append(name);
  return key;
}

std::string state_key(std::string_view key) { return make(KeyKind::kState).append(key); }

std::string topic_key(TopicId topic) { return make(KeyKind::kTopic, topic.value); }
std::string topic_head_key(TopicId topic) { return make(KeyKind::kTopicHead, topic.value); }

std::string redriven_key(GroupId group, TopicId topic, std::uint64_t letter, Offset offset) {
  return make(KeyKind::kRedriven, group.value, topic.value, letter, offset.value);
}
std::string redriven_prefix(GroupId group, TopicId topic) { return make(KeyKind::kRedriven, group.value, topic.value); }

std::string retry_key(GroupId group, TopicId topic, Offset offset) {
  return make(KeyKind::kRetry, group.value, topic.value, offset.value);
}
std::string retry_prefix(GroupId group, TopicId topic) { return make(KeyKind::kRetry, group.value, topic.value); }

std::string scheduled_prefix(TopicId topic) {
  std::string key(1, static_cast<char>(ScheduleKind::kMessage));
  append_u64(key, topic.value);
  return key;
}

std::string scheduled_key(TopicId topic, std::uint64_t number) {
  std::string key = scheduled_prefix(topic);
  append_u64(key, number);
  return key;
}

std::string due_key(const DueKey& due) {
  std::string key(1, static_cast<char>(ScheduleKind::kDue));
  append_u64(key, static_cast<std::uint64_t>(due.due_ms));
  append_u64(key, due.number);
  append_u64(key, due.topic.value);
  return key;
}

bool decode_due_key(std::string_view key, DueKey& out) {
  if (key.size() != 25 || key.front() != static_cast<char>(ScheduleKind::kDue)) return false;
  out = {static_cast<std::int64_t>(read_u64(key.substr(1))), read_u64(key.substr(9)), TopicId{read_u64(key.substr(17))}};
  return true;
}

bool decode_scheduled_key(std::string_view key, TopicId& topic, std::uint64_t& number) {
  if (key.size() != 17 || key.front() != static_cast<char>(ScheduleKind::kMessage)) return false;
  topic = TopicId{read_u64(key.substr(1))};
  number = read_u64(key.substr(9));
  return true;
}

std::string scheduled_count_key(TopicId topic) { return make(KeyKind::kScheduled, topic.value); }

std::string deleted_topic_key(TopicId topic) { return make(KeyKind::kDeletedTopic, topic.value); }
std::string kind_prefix(KeyKind kind) { return make(kind); }

std::string prefix_end(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xff') prefix.pop_back();
  if (!prefix.empty()) prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
  return prefix;
}

std::string log_key(LogPosition position) {
  std::string key;
  append_u64(key, position.commit);
  append_u32(key, position.sub);
  return key;
}

std::string index_key(TopicId topic, Offset first) {
  std::string key;
  key.reserve(kIndexKeyBytes);
  append_u64(key, topic.value);
  append_u64(key, first.value);
  return key;
}

std::string encode(const IndexEntry& entry) {
  std::string value;
  value.reserve(kIndexValueBytes);
  append_u32(value, entry.count);
  append_u64(value, entry.position.commit);
  append_u32(value, entry.position.sub);
  append_u64(value, static_cast<std::uint64_t>(entry.time.time_since_epoch().count()));
  append_u32(value, entry.bytes);
  append_u64(value, entry.cumulative);
  return value;
}

bool decode_index(std::string_view key, std::string_view value, IndexEntry& out) {
  if (key.size() != kIndexKeyBytes || value.size() != kIndexValueBytes) return false;
  out.first = Offset{read_u64(key.substr(8))};
  out.count = read_u32(value);
  out.position.commit = read_u64(value.substr(4));
  out.position.sub = read_u32(value.substr(12));
  out.time = Time{Duration{static_cast<std::int64_t>(read_u64(value.substr(16)))}};
  out.bytes = read_u32(value.substr(24));
  out.cumulative = read_u64(value.substr(28));
  return true;
}

}  // namespace weir::format
