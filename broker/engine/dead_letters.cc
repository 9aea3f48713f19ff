// Dead letters: buried in the commit that ends the delivery, listed, and given back (S-23 to S-26).
#include "broker/api/one_shot.h"
#include "broker/core/names.h"
#include "broker/engine/answer.h"

namespace weir::engine {
namespace {

constexpr Duration kLettersKept = std::chrono::hours{24 * 14};
constexpr std::uint32_t kRedriveStep = 1000;   // letters given back by one commit

}  // namespace

TopicOptions Engine::letters_options(const CursorState& state) {
  TopicOptions options;
  options.ephemeral = state.topic->options.ephemeral;
  options.durability = options.ephemeral ? Durability::kMemory : Durability::kProcess;
  options.retention_age = kLettersKept;
  options.payload_bytes_max = 64u << 20;
  return options;
}

/// The dead-letter topic of a cursor; made with the first letter, or when somebody asks more of it than a look.
TopicPtr Engine::letters_topic(const CursorState& state, store::WriteSet& set, After& after) {
  const std::string name = core::dead_letter_topic(*state.topic->name, state.group->name);
  const auto at = topics_.find(name);
  if (at != topics_.end()) return at->second;
  Result<TopicPtr> made = make_topic(name, letters_options(state), state.group->id, state.topic->id, set, after);
  return *made;
}

/// The group and topic whose dead letters have this name, whether there are any or not.
CursorPtr Engine::cursor_of_letters(std::string_view name) const {
  if (!core::is_internal(name)) return nullptr;
  for (const auto& [ids, state] : cursors_)
    if (!state->topic->internal && core::dead_letter_topic(*state->topic->name, state->group->name) == name) return state;
  return nullptr;
}

/// A topic by its name, which may be one of dead letters that was not needed before.
TopicState* Engine::find_or_make_letters(std::string_view name, store::WriteSet& set, After& after) {
  if (TopicState* topic = find_topic(name)) return topic;
  const CursorPtr cursor = cursor_of_letters(name);
  return cursor ? letters_topic(*cursor, set, after).get() : nullptr;
}

/// Writes the deaths of a cursor into its dead-letter topic, with `commit`; those of ephemeral topics at once.
void Engine::bury(CursorState& state, Commit* commit, After& after) {
  std::vector<core::Death> deaths = state.cursor->take_deaths();
  if (deaths.empty()) return;
  store::WriteSet none;
  const TopicPtr topic = letters_topic(state, commit ? commit->set : none, after);
  const Time now = options_.clock->now();
  std::vector<Message> messages;
  std::vector<std::shared_ptr<const DeadLetterInfo>> infos;
  for (core::Death& death : deaths) {
    Letter letter;
    letter.source = death.id.letter == 0 ? state.topic : topic;
    letter.place = death.id.letter == 0 ? death.id.offset : Offset{death.id.letter - 1};
    letter.chunk = chunk_in_memory(*letter.source, letter.place);
    DeadLetterInfo& info = letter.info;
    info.origin_topic = *state.topic->name;
    info.origin_offset = death.id.offset;
    info.group = state.group->name;
    info.source = state.group->source;
    info.published = death.history.published;   // of the log's own messages: filled in from the batch
    info.reason = death.reason;
    info.error = std::move(death.history.error);
    info.deliveries = death.deliveries;
    info.failures = death.failures;
    info.first_failure = death.history.first_failure;
    info.last_failure = death.history.last_failure;
    info.attempts = std::move(death.history.attempts);
    info.redrives = death.redrives;
    if (commit != nullptr) {
      Build& build = build_of(*topic, *commit, now);
      build.bytes += info.error.size() + 256;
      topic->next = topic->next + 1;
      ++build.count;
      build.letters.push_back(std::move(letter));
      continue;
    }
    StoredMessage from;
    if (letter.chunk) {
      letter.chunk->fill(letter.place, from);
      if (death.id.letter == 0) info.published = from.time;
    }
    Message message;
    message.key = std::string(from.key);
    message.id = std::string(from.id);
    message.content_type = std::string(from.content_type);
    message.headers = from.headers.copy();
    message.payload = from.payload;
    messages.push_back(std::move(message));
    infos.push_back(std::make_shared<const DeadLetterInfo>(std::move(info)));
  }
  if (!messages.empty()) {
    topic->last_time = std::max(topic->last_time, now);
    append_chunk(*topic, std::make_shared<Chunk>(topic->next, topic->last_time, std::move(messages), std::move(infos)), after);
  }
}

void Engine::async_list_dead_letters(ListDeadLettersRequest request, CallContext context, Callback<ListDeadLettersResult> done) {
  const Use use(*this);
  Status usable = check_usable();
  if (usable.ok() && (!request.filter.empty() || request.reason || request.error_contains || request.key || request.since || request.until))
    usable = {ErrorCode::unsupported, "filters of dead letters are not built into this engine yet"};
  if (!usable.ok()) return answer<ListDeadLettersResult>(std::move(done), usable, context);
  if (context.caller_waits) return done(list_letters(request));
  if (Status room = check_room(context); !room.ok()) return answer<ListDeadLettersResult>(std::move(done), room, context);
  workshop_->post([this, request = std::move(request), context = std::move(context), done = std::move(done)]() mutable {
    answer<ListDeadLettersResult>(std::move(done), list_letters(request), context);
  });
}

Result<ListDeadLettersResult> Engine::list_letters(const ListDeadLettersRequest& request) {
  if (request.messages_max < 1 || request.messages_max > 10'000) return Status{ErrorCode::limit_exceeded, "messages_max: " + std::to_string(request.messages_max) + "; 1 to 10000"};
  ListDeadLettersResult out;
  BrowseRequest browse;
  browse.topic = core::dead_letter_topic(request.topic, request.group);
  {
    Lock lock(core_);
    if (find_topic(request.topic) == nullptr) return topic_missing(request.topic);
    if (!find_cursor(request.topic, request.group)) return Status{ErrorCode::group_not_found, "no group \"" + request.group + "\" on \"" + request.topic + "\""};
    const TopicState* letters = find_topic(browse.topic);
    if (letters == nullptr) {
      out.end = true;
      return out;
    }
    browse.from = StartPoint::at(std::min(request.from, letters->next));
  }
  while (out.letters.size() < request.messages_max) {
    browse.messages_max = request.messages_max;
    Result<BrowseResult> page = browse_now(browse);
    if (!page.ok()) return page.status();
    Lock lock(core_);
    const TopicState* letters = find_topic(browse.topic);
    if (letters == nullptr) break;
    out.end = page->end;
    out.next = page->next;
    for (StoredMessage& message : page->messages) {
      const bool resolved = letters->letters->redriven.contains(message.offset);
      if (resolved && !request.include_resolved) continue;
      if (out.letters.size() == request.messages_max) {
        out.next = message.offset;
        out.end = false;
        return out;
      }
      DeadLetter letter;
      letter.offset = message.offset;
      letter.state = resolved ? LetterState::kRedriven : LetterState::kDead;
      letter.message = std::move(message);
      out.letters.push_back(std::move(letter));
    }
    if (page->end || page->messages.empty()) break;
    browse.from = StartPoint::at(page->next);
  }
  return out;
}

void Engine::async_redrive(RedriveRequest request, CallContext context, Callback<RedriveResult> done) {
  const Use use(*this);
  Status usable = check_usable();
  if (usable.ok() && (!request.filter.empty() || request.to_topic || request.rate || request.dry_run || request.edited || !request.request_id.empty()))
    usable = {ErrorCode::unsupported, "redrive by filter, to a topic, at a rate, dry, edited or with a request id is not built into this engine yet"};
  if (usable.ok() && request.letters.size() > 10'000)
    usable = {ErrorCode::limit_exceeded, "letters: " + std::to_string(request.letters.size()) + " in one request; the limit is 10000"};
  if (!usable.ok()) return answer<RedriveResult>(std::move(done), usable, context);
  if (context.caller_waits) return done(redrive_now(std::move(request)));
  if (Status room = check_room(context); !room.ok()) return answer<RedriveResult>(std::move(done), room, context);
  workshop_->post([this, request = std::move(request), context = std::move(context), done = std::move(done)]() mutable {
    answer<RedriveResult>(std::move(done), redrive_now(std::move(request)), context);
  });
}

/// Gives letters back in steps; each step is atomic, and what one step gave back stays given back if a later one fails.
Result<RedriveResult> Engine::redrive_now(RedriveRequest request) {
  RedriveResult out;
  Offset end;
  TopicPtr letters;
  {
    Lock lock(core_);
    if (find_topic(request.topic) == nullptr) return topic_missing(request.topic);
    if (!find_cursor(request.topic, request.group)) return Status{ErrorCode::group_not_found, "no group \"" + request.group + "\" on \"" + request.topic + "\""};
    const auto at = topics_.find(core::dead_letter_topic(request.topic, request.group));
    if (at == topics_.end()) {
      out.skipped = request.letters.size();
      return out;
    }
    letters = at->second;
    end = letters->next;   // what dies later is not meant
  }
  std::sort(request.letters.begin(), request.letters.end());
  request.letters.erase(std::unique(request.letters.begin(), request.letters.end()), request.letters.end());
  std::vector<DeadLetter> step;
  ListDeadLettersRequest list;
  list.topic = request.topic;
  list.group = request.group;
  list.messages_max = kRedriveStep;
  std::size_t chosen = 0;
  while (true) {
    step.clear();
    if (!request.letters.empty()) {
      for (; chosen < request.letters.size() && step.size() < kRedriveStep; ++chosen) {
        list.from = request.letters[chosen];
        list.messages_max = 1;
        if (list.from >= end) {
          ++out.skipped;
          continue;
        }
        list.include_resolved = true;
        Result<ListDeadLettersResult> found = list_letters(list);
        if (!found.ok()) return found.status();
        if (found->letters.empty() || found->letters.front().offset != request.letters[chosen] || found->letters.front().state != LetterState::kDead)
          ++out.skipped;
        else
          step.push_back(std::move(found->letters.front()));
      }
    } else {
      Result<ListDeadLettersResult> found = list_letters(list);
      if (!found.ok()) return found.status();
      for (DeadLetter& letter : found->letters)
        if (letter.offset < end) step.push_back(std::move(letter));
      list.from = found->end ? end : found->next;
    }
    const bool last = request.letters.empty() ? list.from >= end : chosen >= request.letters.size();
    if (!step.empty()) {
      Status done = redrive_step(request, letters, step, out);
      if (!done.ok()) return done;
    }
    if (last) return out;
  }
}

Status Engine::redrive_step(const RedriveRequest& request, const TopicPtr& letters, const std::vector<DeadLetter>& step, RedriveResult& out) {
  api::OneShot gate;
  Status status;
  auto op = std::make_unique<Op>();
  RedriveResult counted;
  op->caller_waits = true;
  op->decide = [&](store::WriteSet&, After& after) -> Status {
    const CursorPtr state = find_cursor(request.topic, request.group);
    if (!state || letters->deleted) return {ErrorCode::group_not_found, "the group was deleted"};
    for (const DeadLetter& letter : step) {
      if (letters->letters->redriven.contains(letter.offset)) {
        ++counted.skipped;
        continue;
      }
      const DeadLetterInfo& info = *letter.message.dead_letter;
      if (info.redrives >= request.redrives_max && !request.force) {
        ++counted.needs_force;
        continue;
      }
      const Order order = state->options.order;
      state->cursor->redrive({info.origin_offset, letter.offset.value + 1}, Chunk::hash(letter.message.key, order, hash_seed_), info.redrives + 1, info.published);
      letters->letters->redriven.insert(letter.offset);
      if (!letters->letters->dirty_listed && !letters->options.ephemeral) {
        letters->letters->dirty_listed = true;
        dirty_letters_.push_back(letters);
      }
      ++counted.redriven;
    }
    changed(*state, after);
    return {};
  };
  op->done = [&](Status result) {
    status = std::move(result);
    gate.open();
  };
  submit(std::move(op), {});
  gate.wait();
  if (!status.ok()) return status;
  out.redriven += counted.redriven;
  out.skipped += counted.skipped;
  out.needs_force += counted.needs_force;
  return {};
}

}  // namespace weir::engine
