#include "broker/engine/events.h"

#include <algorithm>

#include "broker/api/json.h"
#include "broker/core/limits.h"
#include "broker/engine/answer.h"

namespace weir::engine {
namespace {

constexpr Duration kKept = std::chrono::hours{24 * 7};
constexpr std::uint64_t kBytesMax = 64u << 20;
constexpr std::size_t kNotesMax = 100;

bool is_header(std::string_view name) { return name == "topic" || name == "group" || name == "source"; }

}  // namespace

void Events::add(std::string_view event, std::initializer_list<Field> fields) {
  if (!engine_.options_.events) return;
  for (const Field& field : fields)
    if (const auto* text = std::get_if<std::string_view>(&field.value); text != nullptr && is_header(field.name) && *text == kTopic) return;
  // What a commit decides is bounded by the commit; what happens between two is not.
  if (engine_.deciding_ == nullptr && pending_.size() >= kPendingMax) {
    ++lost_;
    return;
  }
  Message message;
  message.content_type = "application/json";
  message.headers.push_back({"event", std::string(event)});
  std::string json;
  api::JsonObject object(json);
  object.text("event", event);
  for (const Field& field : fields) {
    if (const auto* text = std::get_if<std::string_view>(&field.value)) {
      object.text(field.name, *text);
      if (is_header(field.name)) message.headers.push_back({std::string(field.name), std::string(*text)});
      if (field.name == "topic") message.key = std::string(*text);
    } else {
      object.number64(field.name, std::get<std::uint64_t>(field.value));
    }
  }
  object.end();
  message.payload = std::move(json);
  pending_.push_back(std::move(message));
  if (engine_.deciding_ == nullptr) engine_.request_commit();
}

TopicState* Events::topic(store::WriteSet& set, After& after) {
  if (TopicState* there = engine_.find_topic(kTopic)) return there;
  if (!engine_.options_.events) return nullptr;
  TopicOptions options;
  options.ephemeral = !engine_.store_;
  options.durability = engine_.store_ ? Durability::kProcess : Durability::kMemory;
  options.retention_age = kKept;
  options.bytes_max = engine_.store_ ? kBytesMax : std::min(kBytesMax, engine_.options_.ephemeral_bytes_max / 16 + 1);
  options.cap_policy = CapPolicy::kDropOldest;
  Result<TopicPtr> made = engine_.make_topic(std::string(kTopic), options, {}, {}, set, after);
  return made.ok() ? made->get() : nullptr;
}

void Events::note_storage(std::string_view event, std::string reason) {
  if (!engine_.options_.events) return;
  const std::lock_guard lock(notes_mutex_);
  if (notes_.size() >= kNotesMax) notes_.erase(notes_.begin());   // a disk that is on the edge
  notes_.emplace_back(event, std::move(reason));
  has_notes_ = true;
}

void Events::join(Commit& commit, After& after) {
  if (has_notes()) {
    const std::lock_guard lock(notes_mutex_);
    for (const auto& [event, reason] : std::exchange(notes_, {})) add(event, {{"reason", reason}});
    has_notes_ = false;
  }
  if (lost_ > 0) {
    const std::uint64_t lost = std::exchange(lost_, 0);
    add("events_lost", {{"count", lost}});
  }
  if (pending_.empty()) return;
  TopicState* const to = topic(commit.set, after);
  std::vector<Message> messages = std::exchange(pending_, {});
  if (to == nullptr) return;
  const Time now = engine_.options_.clock->now();
  if (to->options.ephemeral) {
    to->last_time = std::max(to->last_time, now);
    return engine_.append_chunk(*to, std::make_shared<Chunk>(to->next, to->last_time, std::move(messages)), after);
  }
  for (Message& message : messages) {
    commit.events.push_back(std::move(message));
    (void)engine_.place(*to, commit.events.back(), nullptr, Durability::kProcess, commit, now);
  }
}

}  // namespace weir::engine
