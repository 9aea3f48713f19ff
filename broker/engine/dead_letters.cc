// Dead letters: buried in the commit that ends the delivery (S-23 to S-25). What is done with them then is in the workbench.
#include "broker/core/limits.h"
#include "broker/core/names.h"
#include "broker/engine/answer.h"

namespace weir::engine {
namespace {

constexpr Duration kLettersKept = std::chrono::hours{24 * 14};

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
  if (name == Events::kTopic) return events_.topic(set, after);
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
    if (death.id.letter != 0) info.previous = Offset{death.id.letter - 1};
    if (death.held_key != 0) state.cursor->held_by(topic->next.value + messages.size(), death.held_key);
    const Offset place = topic->next + messages.size();
    if (commit != nullptr || !store_)
      events_.add("dead_lettered", {{"topic", info.origin_topic}, {"group", info.group}, {"source", info.source}, {"offset", info.origin_offset.value}, {"letter", place.value},
                                    {"reason", to_string(info.reason)}, {"deliveries", info.deliveries}, {"failures", info.failures}, {"error", core::cut_text(info.error, 256)}});
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
    message.tombstone = from.tombstone;
    messages.push_back(std::move(message));
    infos.push_back(std::make_shared<const DeadLetterInfo>(std::move(info)));
  }
  if (!messages.empty()) {
    topic->last_time = std::max(topic->last_time, now);
    append_chunk(*topic, std::make_shared<Chunk>(topic->next, topic->last_time, std::move(messages), std::move(infos)), after);
  }
}

/// A message that died on its way out of a fetch and holds its key takes those of the key that stood behind it back with it.
void Engine::leave_out_released(FetchResult& out) const {
  std::erase_if(out.deliveries, [&](const Delivered& delivered) {
    const CursorState* state = cursor_of(delivered.token);
    std::uint32_t slot = 0;
    return state == nullptr || (state->options.hold_key && state->cursor->find(delivered.token, slot) != ErrorCode::ok);
  });
}

void Engine::write_hold(store::WriteSet& set, GroupId group, TopicId topic, const core::HoldChange& change) {
  const std::string key = format::hold_key(group, topic, change.letter);
  if (change.key_hash == 0) return set.erase(key);
  std::string hash;
  format::append_u64(hash, change.key_hash);
  set.put(key, hash);
}

void Engine::async_list_dead_letters(ListDeadLettersRequest request, CallContext context, Callback<ListDeadLettersResult> done) {
  const Use use(*this);
  if (Status usable = check_usable(); !usable.ok()) return answer<ListDeadLettersResult>(std::move(done), usable, context);
  workbench_->list(std::move(request), std::move(context), std::move(done));
}

void Engine::async_redrive(RedriveRequest request, CallContext context, Callback<RedriveResult> done) {
  const Use use(*this);
  if (Status usable = check_usable(); !usable.ok()) return answer<RedriveResult>(std::move(done), usable, context);
  workbench_->redrive(std::move(request), std::move(context), std::move(done));
}

void Engine::async_discard(DiscardRequest request, CallContext context, Callback<DiscardResult> done) {
  const Use use(*this);
  if (Status usable = check_usable(); !usable.ok()) return answer<DiscardResult>(std::move(done), usable, context);
  workbench_->discard(std::move(request), std::move(context), std::move(done));
}

void Engine::async_list_jobs(CallContext context, Callback<std::vector<JobInfo>> done) {
  const Use use(*this);
  if (Status usable = check_usable(); !usable.ok()) return answer<std::vector<JobInfo>>(std::move(done), usable, context);
  workbench_->list_jobs(std::move(context), std::move(done));
}

void Engine::async_control_job(std::string id, std::string act, CallContext context, Callback<JobInfo> done) {
  const Use use(*this);
  if (Status usable = check_usable(); !usable.ok()) return answer<JobInfo>(std::move(done), usable, context);
  workbench_->control_job(id, act, std::move(context), std::move(done));
}

}  // namespace weir::engine
