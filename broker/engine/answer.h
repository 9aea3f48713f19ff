// How the engine answers: on the caller's stack when it waits, else on the executor.
#pragma once

#include <memory>
#include <utility>

#include "broker/engine/engine.h"

namespace weir::engine {

template <class T>
void Engine::answer(Callback<T> done, Result<T> result, const CallContext& context) {
  if (context.caller_waits) return done(std::move(result));
  call_back([done = std::move(done), result = std::move(result)]() mutable { done(std::move(result)); });
}

/// Runs `decide` in the pipeline, and answers once what it wrote is on the device.
template <class T>
void Engine::submit_admin(CallContext context, Callback<T> done, UniqueFunction<Result<T>(store::WriteSet&, After&)> decide) {
  const Use use(*this);
  if (Status usable = check_usable(); !usable.ok()) return answer<T>(std::move(done), usable, context);
  if (Status late = check_in_time(context); !late.ok()) return answer<T>(std::move(done), late, context);
  if (Status room = check_room(context); !room.ok()) return answer<T>(std::move(done), room, context);
  auto op = std::make_unique<Op>();
  auto result = std::make_shared<Result<T>>(Status{ErrorCode::internal, "not decided"});
  op->level = store_ ? Durability::kPower : Durability::kMemory;
  op->caller_waits = context.caller_waits;
  op->decide = [result, decide = std::move(decide)](store::WriteSet& set, After& after) mutable {
    *result = decide(set, after);
    return result->status();
  };
  op->done = [result, done = std::move(done)](Status status) mutable {
    if (status.ok())
      done(std::move(*result));
    else
      done(std::move(status));
  };
  submit(std::move(op), context);
}

}  // namespace weir::engine
