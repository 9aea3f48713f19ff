// What a publish or a transaction expects of a topic before it: the last offset, of all its messages or of a key's.
#include "broker/engine/answer.h"

namespace weir::engine {
namespace {

std::string text_of(Offset last) { return last == kNoOffset ? "none" : std::to_string(last.value); }

}  // namespace

/// Reads the last offsets of the keys that are named; nullptr: none is. On the caller's thread, since the writer reads nothing from the disk.
Result<std::unique_ptr<KeyLasts>> Engine::look_up_keys(std::span<const ExpectedLast> expected) const {
  if (std::none_of(expected.begin(), expected.end(), [](const ExpectedLast& each) { return each.key.has_value(); }) || !store_)
    return std::unique_ptr<KeyLasts>();
  auto out = std::make_unique<KeyLasts>();
  // The moment first: a topic that is found behind it, and was made behind it, has all its messages behind it.
  const std::unique_ptr<store::Snapshot> moment = store_->snapshot();
  const auto commit = moment->get(format::commit_key());
  if (!commit.ok()) return commit.status();
  if (!*commit || (*commit)->size() < 8) return Status{ErrorCode::corruption, "the last commit's number is not there"};
  out->commit = format::read_u64(**commit);
  {
    Lock lock(core_);
    for (const ExpectedLast& each : expected) {
      if (!each.key) continue;
      const TopicState* topic = find_topic(each.topic);
      out->lasts.push_back({topic != nullptr ? topic->id : TopicId{}, kNoOffset});
    }
  }
  std::size_t next = 0;
  for (const ExpectedLast& each : expected) {
    if (!each.key) continue;
    KeyLasts::Last& last = out->lasts[next++];
    if (last.topic == TopicId{}) continue;
    const auto stored = moment->get(format::key_last_key(last.topic, *each.key));
    if (!stored.ok()) return stored.status();
    if (*stored && (*stored)->size() != 8) return Status{ErrorCode::corruption, "the last offset of a key of \"" + each.topic + "\" has a wrong size"};
    if (*stored) last.offset = Offset{format::read_u64(**stored)};
  }
  return out;
}

/// Under the lock, before anything of the request is placed.
Status Engine::check_expected(std::span<const ExpectedLast> expected, const KeyLasts* lasts) const {
  std::size_t next = 0;
  for (const ExpectedLast& each : expected) {
    const TopicState* topic = find_topic(each.topic);
    if (topic == nullptr) return topic_missing(each.topic);
    if (!each.key) {
      const Offset last = topic->next == Offset{} ? kNoOffset : Offset{topic->next.value - 1};
      if (last == each.last) continue;
      return {ErrorCode::conflict, "expected: the last offset of topic \"" + each.topic + "\" is " + text_of(last) + ", not " + text_of(each.last)};
    }
    if (!topic->options.track_keys)
      return {ErrorCode::failed_precondition, "expected: topic \"" + each.topic + "\" does not keep the last offsets of keys (track_keys)"};
    if (lasts == nullptr) return {ErrorCode::invalid_argument, "expected: durable \"" + each.topic + "\" and ephemeral topics do not mix in one request"};
    const KeyLasts::Last& last = lasts->lasts[next++];
    const bool same_topic = last.topic == topic->id || last.topic == TopicId{};
    if (!same_topic || key_writes_.check(lasts->commit, format::key_last_key(topic->id, *each.key)).verdict != core::RecentWrites::Verdict::kUnchanged)
      return {ErrorCode::conflict, "expected: key \"" + *each.key + "\" of topic \"" + each.topic + "\" has a newer message, or too much was written since to tell"};
    if (last.offset != each.last)
      return {ErrorCode::conflict, "expected: the last offset of key \"" + *each.key + "\" of topic \"" + each.topic + "\" is " + text_of(last.offset) + ", not " + text_of(each.last)};
  }
  return {};
}

}  // namespace weir::engine
