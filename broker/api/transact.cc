// The blocking forms of transactions and of the application's state, and the form that tries again after a conflict.
#include <algorithm>
#include <chrono>
#include <random>
#include <thread>
#include <utility>

#include "broker/api/blocking.h"
#include "broker/base/prng.h"
#include "weir/broker.h"

namespace weir {
namespace {

using namespace std::chrono_literals;

// After the n-th conflict a random part of the first wait, doubled n times, up to the last.
constexpr std::chrono::microseconds kWaitFirst = 100us, kWaitMax = 20ms;

/// Real time, whatever the clock: who wins goes on in real time, too. Cut off where the deadline is.
void wait_a_little(std::uint32_t conflicts, Clock& clock, const CallContext& context) {
  thread_local base::Prng random{std::random_device{}()};
  const auto most = std::min<std::chrono::microseconds>(kWaitMax, kWaitFirst * (1u << std::min(conflicts, 10u)));
  std::chrono::microseconds wait(random.below(static_cast<std::uint64_t>(most.count()) + 1));
  if (context.deadline)
    if (const std::optional<Duration> left = clock.real_time_until(*context.deadline)) wait = std::min<std::chrono::microseconds>(wait, std::min<Duration>(*left, 1s));
  if (wait > 0us) std::this_thread::sleep_for(wait);
}

Status in_time(Clock& clock, const CallContext& context, const Status& conflict) {
  if (context.cancellation.cancelled()) return {ErrorCode::cancelled, "cancelled; the last attempt: " + conflict.to_string()};
  if (context.deadline && *context.deadline <= clock.now()) return {ErrorCode::deadline_exceeded, "the deadline passed; the last attempt: " + conflict.to_string()};
  return {};
}

}  // namespace

Result<CommitResult> Broker::commit(CommitRequest request, CallContext context) {
  return api::change(*this, &Broker::async_commit, std::move(request), std::move(context));
}

Transaction Broker::begin_transaction(TransactionOptions options) { return Transaction(*this, std::move(options)); }

Result<CommitResult> Broker::transact(const std::function<Status(Transaction&)>& body, TransactionOptions options, CallContext context) {
  if (options.attempts_max < 1) return Status(ErrorCode::invalid_argument, "attempts_max: 0; at least 1");
  for (std::uint32_t attempt = 1;; ++attempt) {
    Transaction transaction(*this, options);
    Status status;
    try {
      status = body(transaction);
    } catch (const BadResult& bad) {
      status = bad.status();
    }
    // A read that met a conflict counts, whatever the body made of it.
    if (transaction.status() == ErrorCode::conflict) status = transaction.status();
    if (status.ok()) {
      Result<CommitResult> result = transaction.commit(context);
      if (result.ok()) return result;
      status = result.status();
    }
    if (!(status == ErrorCode::conflict)) return status;
    if (attempt >= options.attempts_max) return Status(ErrorCode::conflict, "after " + std::to_string(attempt) + " attempts: " + status.message());
    if (Status late = in_time(clock(), context, status); !late.ok()) return late;
    transaction.rollback();
    wait_a_little(attempt, clock(), context);
    if (Status late = in_time(clock(), context, status); !late.ok()) return late;
  }
}

Result<std::optional<std::string>> Broker::get_state(std::string key, CallContext context) {
  ReadStateRequest request;
  request.key = std::move(key);
  Result<ReadStateResult> result = read_state(std::move(request), std::move(context));
  if (!result.ok()) return result.status();
  if (result->entries.empty()) return std::optional<std::string>();
  return std::optional(std::move(result->entries.front().value));
}

Result<ReadStateResult> Broker::scan_state(StateRange range, std::uint32_t entries_max, CallContext context) {
  ReadStateRequest request;
  request.range = std::move(range);
  request.entries_max = entries_max;
  return read_state(std::move(request), std::move(context));
}

Result<ReadStateResult> Broker::read_state(ReadStateRequest request, CallContext context) {
  return api::call(*this, &Broker::async_read_state, std::move(request), std::move(context));
}

}  // namespace weir
