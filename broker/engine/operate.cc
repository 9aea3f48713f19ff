// What operators do to single messages of a group: ack, skip, run now, dead-letter.
#include "broker/base/hash.h"
#include "broker/core/limits.h"
#include "broker/engine/answer.h"

namespace weir::engine {
namespace {

Status answer_of(ErrorCode code, const SettleMessageRequest& request, Offset offset) {
  const std::string which = "offset " + std::to_string(offset.value) + " of \"" + request.topic + "\"";
  switch (code) {
    case ErrorCode::ok: return {};
    case ErrorCode::already_settled: return {code, which + " is settled for group \"" + request.group + "\" already"};
    case ErrorCode::failed_precondition: return {code, "run now: " + which + " does not wait for a retry: it is leased, or was not handed out yet"};
    default: return {code, which + " is not there"};
  }
}

}  // namespace

void Engine::async_settle_message(SettleMessageRequest request, CallContext context, Callback<Done> done) {
  const Use use(*this);
  Status usable = check_usable();
  if (usable.ok()) usable = check_in_time(context);
  if (usable.ok()) usable = check_room(context);
  if (usable.ok() && request.act > MessageAct::kDeadLetter) usable = {ErrorCode::invalid_argument, "act: is none of ack, skip, run now and dead-letter"};
  if (!usable.ok()) return answer<Done>(std::move(done), usable, context);
  if (context.caller_waits) return settle_message_now(std::move(request), std::move(context), std::move(done));
  workshop_->post([this, request = std::move(request), context = std::move(context), done = std::move(done)]() mutable {
    settle_message_now(std::move(request), std::move(context), std::move(done));
  });
}

/// Where the message of a request stands. Under the lock.
Result<Offset> Engine::place_of_message(const TopicState& topic, const SettleMessageRequest& request) const {
  Offset offset = request.offset;
  if (!request.id.empty()) {
    const auto known = dedup_.find(topic.id, base::hash128(request.id, hash_seed_), options_.clock->now(), topic.options.dedup_window);
    if (!known)
      return Status{ErrorCode::not_found, "id: no message \"" + request.id + "\" was published to \"" + request.topic + "\" inside its dedup window; give the offset"};
    if (core::is_scheduled(*known))
      return Status{ErrorCode::not_found, "id: \"" + request.id + "\" was published with a delivery time, as schedule " + core::to_text({topic.id, core::schedule_at(*known)}) +
                                              "; cancel or run that, or give the offset"};
    offset = *known;
  }
  if (offset >= topic.visible) return answer_of(ErrorCode::not_found, request, offset);
  return offset;
}

void Engine::settle_message_now(SettleMessageRequest request, CallContext context, Callback<Done> done) {
  TopicPtr topic;
  CursorPtr state;
  Result<Offset> offset = Offset{};
  {
    Lock lock(core_);
    const auto at = topics_.find(request.topic);
    if (at == topics_.end()) {
      offset = topic_missing(request.topic);
    } else {
      topic = at->second;
      state = find_cursor(request.topic, request.group);
      offset = state ? place_of_message(*topic, request) : Status{ErrorCode::group_not_found, "no group \"" + request.group + "\" on \"" + request.topic + "\""};
    }
  }
  if (offset.ok() && request.act == MessageAct::kDeadLetter && topic->internal)
    offset = Status{ErrorCode::invalid_argument, "act: messages of \"" + request.topic + "\" are not dead-lettered; it belongs to the broker"};
  if (!offset.ok()) return answer<Done>(std::move(done), offset.status(), context);
  core::Operation operation;
  operation.offset = *offset;
  operation.act = request.act;
  operation.error = request.error;
  operation.who = context.principal.empty() ? "operator" : context.principal;
  const Result<ChunkPtr> chunk = chunk_at(topic, *offset);
  if (!chunk.ok() && chunk.code() != ErrorCode::not_found) return answer<Done>(std::move(done), chunk.status(), context);
  operation.in_log = chunk.ok() && (*chunk)->has(*offset);
  if (operation.in_log) operation.key_hash = (*chunk)->key_hash(*offset, state->options.order, hash_seed_);
  submit_admin<Done>(std::move(context), std::move(done),
                     [this, state, request = std::move(request), operation = std::move(operation)](store::WriteSet&, After& after) -> Result<Done> {
                       if (state->deleted) return Status{ErrorCode::group_not_found, "the group or the topic was deleted"};
                       const ErrorCode code = state->cursor->operate(operation, now_ms());
                       changed(*state, after);
                       if (code != ErrorCode::ok) return answer_of(code, request, operation.offset);
                       log(LogLevel::kInfo, operation.who + ": act " + std::to_string(static_cast<int>(operation.act)) + " on offset " + std::to_string(operation.offset.value) + " of " +
                                                request.topic + " for group " + request.group);
                       return Done{};
                     });
}

}  // namespace weir::engine
