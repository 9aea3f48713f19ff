// Looking at dead letters: pages, groups by error, and the history of one.
#include <algorithm>

#include "broker/api/lean_message.h"
#include "broker/core/letters.h"
#include "broker/core/limits.h"
#include "broker/core/names.h"
#include "broker/engine/answer.h"
#include "broker/engine/job.h"

namespace weir::engine {
namespace {

constexpr std::size_t kLooksMax = 20'000;     // letters one call looks at
constexpr std::size_t kStatesStep = 4096;     // whose states are read under one lock
constexpr std::size_t kEarlierMax = 16;

LetterConditions conditions(const ListDeadLettersRequest& request) {
  return {request.reason, request.error_contains, request.key, request.since, request.until, request.redrives_min, request.redrives_max};
}

/// Groups of one page, by error.
class ErrorGroups {
 public:
  ErrorGroups(std::size_t groups_max, std::uint64_t bytes_max) : groups_max_(groups_max), bytes_max_(bytes_max) {}

  void add(LetterState state, StoredMessage& message) {
    const std::string& error = message.dead_letter->error;
    auto at = groups_.find(error);
    if (at == groups_.end()) {
      if (groups_.size() == groups_max_) {
        ++ungrouped_;
        return;
      }
      at = groups_.emplace(error, DeadLetterGroup{}).first;
      at->second.error = error;
      at->second.first = message.time;
    }
    DeadLetterGroup& group = at->second;
    ++group.count;
    group.last = message.time;
    bytes_ -= group.sample.message.payload.size();
    const bool whole = bytes_ + message.payload.size() <= bytes_max_;
    group.sample = {message.offset, state, whole ? std::move(message) : api::without_payload(message), {}, {}};
    bytes_ += group.sample.message.payload.size();
  }

  void take(ListDeadLettersResult& out) {
    for (auto& [error, group] : groups_) out.groups.push_back(std::move(group));
    std::stable_sort(out.groups.begin(), out.groups.end(), [](const auto& a, const auto& b) { return a.count > b.count; });
    out.ungrouped = ungrouped_;
  }

 private:
  const std::size_t groups_max_;
  const std::uint64_t bytes_max_;
  std::map<std::string, DeadLetterGroup> groups_;
  std::uint64_t bytes_ = 0, ungrouped_ = 0;
};

}  // namespace

/// Slow work: on the caller's thread when it waits, else on the workbench's.
void Workbench::run(const CallContext& context, UniqueFunction<void()> task) {
  if (context.caller_waits) return task();
  const std::lock_guard lock(runner_mutex_);
  if (!runner_) runner_ = std::make_unique<Runner>("weir-letters");
  runner_->post(std::move(task));
}

/// Asynchronous requests that wait are bounded (S-33).
Status Workbench::check_room(const CallContext& context) {
  if (context.caller_waits) return {};
  const std::lock_guard lock(runner_mutex_);
  if (!runner_ || runner_->waiting() < core::kWaitersMax) return {};
  return {ErrorCode::busy, std::to_string(core::kWaitersMax) + " asynchronous requests about dead letters wait already"};
}

/// The cursor of a group on a topic, and its dead-letter topic, which is null when there is none yet.
Status Workbench::find_letters(const std::string& topic, const std::string& group, CursorPtr& cursor, TopicPtr& letters) const {
  if (engine_.find_topic(topic) == nullptr) return engine_.topic_missing(topic);
  cursor = engine_.find_cursor(topic, group);
  if (!cursor) return {ErrorCode::group_not_found, "no group \"" + group + "\" on \"" + topic + "\""};
  const auto at = engine_.topics_.find(core::dead_letter_topic(topic, group));
  if (at != engine_.topics_.end()) letters = at->second;
  return {};
}

void Workbench::list(ListDeadLettersRequest request, CallContext context, Callback<ListDeadLettersResult> done) {
  Status valid = core::validate_letters_request(request.letters.size(), request.filter, conditions(request), {}, {}, {});
  if (valid.ok() && (request.messages_max < 1 || request.messages_max > 10'000))
    valid = {ErrorCode::limit_exceeded, "messages_max: " + std::to_string(request.messages_max) + "; 1 to 10000"};
  if (valid.ok()) valid = check_room(context);
  if (!valid.ok()) return engine_.answer<ListDeadLettersResult>(std::move(done), valid, context);
  run(context, [this, request = std::move(request), context, done = std::move(done)]() mutable {
    engine_.answer<ListDeadLettersResult>(std::move(done), list_now(std::move(request)), context);
  });
}

Result<ListDeadLettersResult> Workbench::list_now(ListDeadLettersRequest request) {
  ListDeadLettersResult out;
  CursorPtr cursor;
  TopicPtr letters;
  Offset end, first;
  {
    Engine::Lock lock(engine_.core_);
    if (Status found = find_letters(request.topic, request.group, cursor, letters); !found.ok()) return found;
    if (!letters) {
      out.end = true;
      return out;
    }
    end = letters->visible;
    first = request.include_resolved ? letters->first : letters->letters->first_open(letters->first);
  }
  const LetterConditions where = conditions(request);
  ErrorGroups groups(request.messages_max, request.bytes_max);
  std::uint64_t bytes = 0;
  bool past = false;   // behind `until`
  const auto wanted = [&](LetterState state) { return request.include_resolved || state == LetterState::kDead; };
  const Visit visit = [&](LetterState state, StoredMessage& message) {
    if (where.until && message.time >= *where.until) {
      past = true;
      return Walk::kStopBefore;
    }
    if (!core::matches(request.filter, where, message)) return Walk::kOn;
    if (request.group_by_error) {
      groups.add(state, message);
      return Walk::kOn;
    }
    if (!out.letters.empty() && (out.letters.size() == request.messages_max || bytes + message.payload.size() > request.bytes_max)) return Walk::kStopBefore;
    bytes += message.payload.size();
    out.letters.push_back({message.offset, state, std::move(message), {}, {}});
    return out.letters.size() == request.messages_max ? Walk::kStopBehind : Walk::kOn;
  };
  Offset at = std::max(request.from, first);
  if (where.since) {
    Result<Offset> since = engine_.offset_at(letters, StartPoint::at(*where.since));
    if (!since.ok()) return since.status();
    at = std::max(at, *since);
  }
  if (request.letters.empty()) {
    if (Status walked = walk(letters, at, end, kLooksMax, wanted, visit); !walked.ok()) return walked;
    out.end = past || at >= end;
  } else {
    std::sort(request.letters.begin(), request.letters.end());
    request.letters.erase(std::unique(request.letters.begin(), request.letters.end()), request.letters.end());
    out.end = true;
    for (const Offset id : request.letters) {
      if (id < at) continue;
      auto letter = letter_at(letters, id);
      if (!letter.ok()) return letter.status();
      if (!*letter || !wanted((*letter)->first)) continue;
      const Walk next = visit((*letter)->first, (*letter)->second);
      at = next == Walk::kStopBefore ? id : id + 1;
      if (next == Walk::kOn) continue;
      out.end = past || (next == Walk::kStopBehind && id == request.letters.back());
      break;
    }
  }
  out.next = at;
  if (request.group_by_error) groups.take(out);
  if (request.with_history)
    for (DeadLetter& letter : out.letters)
      if (Status added = add_history(letters, letter); !added.ok()) return added;
  return out;
}

/// Visits the letters from `at` to `end` whose state is wanted; `at` is then behind what was visited.
Status Workbench::walk(const TopicPtr& letters, Offset& at, Offset end, std::size_t looks_max, const std::function<bool(LetterState)>& wanted, const Visit& visit) {
  std::vector<LetterState> states;
  std::size_t looks = 0;
  while (at < end && looks < looks_max) {
    Result<ChunkPtr> chunk = engine_.chunk_at(letters, at);
    if (!chunk.ok() && chunk.code() != ErrorCode::not_found) return chunk.status();
    if (!chunk.ok() || (*chunk)->first() >= end) {
      at = end;   // gone by retention
      return {};
    }
    at = std::max(at, (*chunk)->first());
    const Offset stop = std::min({end, (*chunk)->end(), at + std::min(looks_max - looks, kStatesStep)});
    states.clear();
    {
      Engine::Lock lock(engine_.core_);
      for (Offset o = at; o < stop; o = o + 1) states.push_back(letters->letters->state_of(o));
    }
    looks += states.size();
    for (const LetterState state : states) {
      if (wanted(state)) {
        StoredMessage message;
        (*chunk)->fill(at, message);
        message.topic_name = letters->name;
        const Walk next = visit(state, message);
        if (next == Walk::kStopBefore) return {};
        if (next == Walk::kStopBehind) {
          at = at + 1;
          return {};
        }
      }
      at = at + 1;
    }
  }
  return {};
}

/// One letter; nothing when it never was, or is gone.
Result<std::optional<std::pair<LetterState, StoredMessage>>> Workbench::letter_at(const TopicPtr& letters, Offset letter) {
  using Letter = std::optional<std::pair<LetterState, StoredMessage>>;
  Letter out;
  {
    Engine::Lock lock(engine_.core_);
    if (letter < letters->first || letter >= letters->visible) return out;
  }
  Offset at = letter;
  const Visit take = [&](LetterState state, StoredMessage& message) {
    if (message.offset == letter) out.emplace(state, std::move(message));
    return Walk::kStopBehind;
  };
  if (Status walked = walk(letters, at, letter + 1, 1, [](LetterState) { return true; }, take); !walked.ok()) return walked;
  return out;
}

/// What was done to a letter, the oldest first.
Result<std::vector<format::LetterEventRecord>> Workbench::events_of(const TopicPtr& letters, Offset letter) {
  std::vector<format::LetterEventRecord> out;
  {
    Engine::Lock lock(engine_.core_);
    if (letters->options.ephemeral) {
      const auto known = letters->letters->events.find(letter.value);
      if (known != letters->letters->events.end()) out = known->second;
      return out;
    }
  }
  Status failed;
  Status scanned = engine_.store_->scan(format::letter_event_prefix(letters->id, letter), {}, [&](std::string_view, std::string_view value) {
    auto event = format::decode_letter_event(value, "what was done to letter " + std::to_string(letter.value) + " of " + *letters->name);
    if (!event.ok()) return failed = event.status(), false;
    out.push_back(std::move(*event));
    return true;
  });
  if (!failed.ok()) return failed;
  if (!scanned.ok()) return scanned;
  return out;
}

/// What was done to the letter, and which letters it was before.
Status Workbench::add_history(const TopicPtr& letters, DeadLetter& letter) {
  const auto add_events = [&](DeadLetter& to) -> Status {
    auto events = events_of(letters, to.offset);
    if (!events.ok()) return events.status();
    for (format::LetterEventRecord& event : *events)
      to.events.push_back({event.act, event.time, std::move(event.who), std::move(event.why), event.job == 0 ? "" : "job-" + std::to_string(event.job), std::move(event.to_topic),
                           event.to_offset, event.edited_as});
    return {};
  };
  if (Status added = add_events(letter); !added.ok()) return added;
  const DeadLetterInfo* info = letter.message.dead_letter.get();
  while (letter.earlier.size() < kEarlierMax) {
    const std::optional<Offset> before = info->edited_of ? info->edited_of : info->previous;
    if (!before) return {};
    auto found = letter_at(letters, *before);
    if (!found.ok()) return found.status();
    if (!*found) return {};
    DeadLetter& earlier = letter.earlier.emplace_back();
    earlier.offset = *before;
    earlier.state = (*found)->first;
    earlier.message = std::move((*found)->second);
    if (Status added = add_events(earlier); !added.ok()) return added;
    info = earlier.message.dead_letter.get();
  }
  return {};
}

}  // namespace weir::engine
