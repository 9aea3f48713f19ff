#include "broker/core/schedule.h"

#include <algorithm>
#include <charconv>

namespace weir::core {
namespace {

bool parse_number(std::string_view text, std::uint64_t& out) {
  // One way to write each number: no leading zeros, no capitals.
  if (text.empty() || text.front() == '0' || std::any_of(text.begin(), text.end(), [](char c) { return c >= 'A' && c <= 'F'; })) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, 16);
  return error == std::errc() && end == text.data() + text.size();
}

void append_number(std::string& out, std::uint64_t number) {
  char digits[16];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, number, 16);
  out.append(digits, end);
}

}  // namespace

std::string to_text(const ScheduleKey& key) {
  std::string out;
  append_number(out, key.topic.value);
  out += '-';
  append_number(out, key.number);
  return out;
}

std::optional<ScheduleKey> parse_schedule(std::string_view text) {
  const std::size_t dash = text.find('-');
  ScheduleKey key;
  if (dash == std::string_view::npos || !parse_number(text.substr(0, dash), key.topic.value) || !parse_number(text.substr(dash + 1), key.number)) return std::nullopt;
  return key;
}

Published published_at(TopicId topic, Offset place, bool duplicate) {
  if (!is_scheduled(place)) return {place, duplicate, {}};
  return {kNoOffset, duplicate, to_text({topic, schedule_at(place)})};
}

Offset place_of(const Published& published) {
  if (published.schedule.empty()) return published.offset;
  const std::optional<ScheduleKey> key = parse_schedule(published.schedule);
  return key ? place_of_schedule(key->number) : kNoOffset;
}

Result<std::optional<Time>> due_time(const Message& message, Time now) {
  if (!message.deliver_at && !message.delay) return std::optional<Time>();
  if (message.deliver_at && message.delay) return Status{ErrorCode::invalid_argument, "deliver_at, delay: give one of them"};
  if (message.delay && *message.delay < Duration{0}) return Status{ErrorCode::invalid_argument, "delay: is negative"};
  const bool far = message.delay ? *message.delay > kScheduleAheadMax : *message.deliver_at > now + kScheduleAheadMax;
  if (far) return Status{ErrorCode::limit_exceeded, std::string(message.delay ? "delay" : "deliver_at") + ": is over the limit of 3650 days ahead"};
  const Time due = message.delay ? now + *message.delay : *message.deliver_at;
  if (due <= now) return std::optional<Time>();
  return std::optional(due);
}

// --- RecentRemovals ------------------------------------------------------------------------------------------------------------

std::uint64_t RecentRemovals::begin_reading() {
  readers_.insert(written_);
  return written_;
}

void RecentRemovals::end_reading(std::uint64_t reader) {
  const auto at = readers_.find(reader);
  if (at != readers_.end()) readers_.erase(at);
  forget();
}

void RecentRemovals::add(std::uint64_t number, std::uint64_t commit) {
  if (gone_.insert(number).second) order_.emplace_back(commit, number);
}

void RecentRemovals::written(std::uint64_t commit) {
  written_ = std::max(written_, commit);
  if (!order_.empty()) forget();
}

void RecentRemovals::forget() {
  const std::uint64_t seen_by_all = readers_.empty() ? written_ : std::min(written_, *readers_.begin());
  while (!order_.empty() && order_.front().first <= seen_by_all) {
    gone_.erase(order_.front().second);
    order_.pop_front();
  }
}

// --- MemorySchedule ------------------------------------------------------------------------------------------------------------

void MemorySchedule::add(const ScheduleKey& key, Entry entry) {
  by_due_[{entry.due, key.number}] = key.topic;
  by_topic_[key.topic].emplace(key.number, std::move(entry));
}

const MemorySchedule::Entry* MemorySchedule::find(const ScheduleKey& key) const {
  const auto topic = by_topic_.find(key.topic);
  if (topic == by_topic_.end()) return nullptr;
  const auto at = topic->second.find(key.number);
  return at == topic->second.end() ? nullptr : &at->second;
}

std::optional<MemorySchedule::Entry> MemorySchedule::take(const ScheduleKey& key) {
  const auto topic = by_topic_.find(key.topic);
  if (topic == by_topic_.end()) return std::nullopt;
  const auto at = topic->second.find(key.number);
  if (at == topic->second.end()) return std::nullopt;
  Entry entry = std::move(at->second);
  by_due_.erase({entry.due, key.number});
  topic->second.erase(at);
  if (topic->second.empty()) by_topic_.erase(topic);
  return entry;
}

std::optional<std::pair<ScheduleKey, MemorySchedule::Entry>> MemorySchedule::take_due(Time now) {
  if (by_due_.empty() || by_due_.begin()->first.first > now) return std::nullopt;
  const ScheduleKey key{by_due_.begin()->second, by_due_.begin()->first.second};
  return std::pair(key, *take(key));
}

std::optional<Time> MemorySchedule::next_due() const {
  if (by_due_.empty()) return std::nullopt;
  return by_due_.begin()->first.first;
}

std::uint64_t MemorySchedule::drop_topic(TopicId topic) {
  const auto at = by_topic_.find(topic);
  if (at == by_topic_.end()) return 0;
  std::uint64_t bytes = 0;
  for (const auto& [number, entry] : at->second) {
    bytes += entry.bytes;
    by_due_.erase({entry.due, number});
  }
  by_topic_.erase(at);
  return bytes;
}

void MemorySchedule::list(TopicId topic, std::uint64_t after, const std::function<bool(const ScheduleKey&, const Entry&)>& visit) const {
  const auto of_topic = by_topic_.find(topic);
  if (of_topic == by_topic_.end()) return;
  for (auto at = of_topic->second.upper_bound(after); at != of_topic->second.end(); ++at)
    if (!visit({topic, at->first}, at->second)) return;
}

void MemorySchedule::list_by_due(std::pair<Time, std::uint64_t> after, const std::function<bool(const ScheduleKey&, const Entry&)>& visit) const {
  for (auto at = by_due_.upper_bound(after); at != by_due_.end(); ++at) {
    const ScheduleKey key{at->second, at->first.second};
    if (!visit(key, *find(key))) return;
  }
}

}  // namespace weir::core
