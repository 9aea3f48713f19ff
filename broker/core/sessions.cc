#include "broker/core/sessions.h"

#include <algorithm>
#include <utility>

#include "broker/base/check.h"

namespace weir::core {
namespace {

std::string numbers(std::uint64_t sequence, std::size_t count) {
  return count == 1 ? "sequence number " + std::to_string(sequence)
                    : "sequence numbers " + std::to_string(sequence) + " to " + std::to_string(sequence + count - 1);
}

}  // namespace

Status Sessions::Answer::status() const {
  switch (verdict) {
    case Verdict::kGap: return {ErrorCode::sequence_gap, detail};
    case Verdict::kInvalid: return {ErrorCode::invalid_argument, detail};
    case Verdict::kFresh:
    case Verdict::kDuplicate: break;
  }
  return ok();
}

Sessions::Answer Sessions::check(std::string_view name, std::uint64_t sequence, std::size_t count, Time now) {
  Answer answer;
  const auto refuse = [&](Verdict verdict, std::string detail) {
    answer.verdict = verdict;
    answer.detail = std::move(detail);
    return answer;
  };
  if (sequence == 0 || count == 0) return refuse(Verdict::kInvalid, "session: sequence numbers begin at 1, and a request has a message");
  const std::uint64_t last = sequence + (count - 1);
  if (last < sequence) return refuse(Verdict::kInvalid, "session: the sequence numbers are too large");
  const auto found = by_name_.find(name);
  if (found != by_name_.end()) answer.expected = found->second->last_sequence + 1;
  if (sequence > answer.expected)
    return refuse(Verdict::kGap, "session: " + numbers(sequence, count) + " came where " + std::to_string(answer.expected) + " was expected");
  if (found != by_name_.end()) touch(found->second, now);
  if (sequence == answer.expected) return answer;
  if (last >= answer.expected)
    return refuse(Verdict::kInvalid, "session: " + numbers(sequence, count) + " were stored in part: repeat requests as they were, or go on from " +
                                         std::to_string(answer.expected));
  answer.verdict = Verdict::kDuplicate;
  answer.offsets.resize(count);
  for (const Request& request : found->second->requests) {
    if (request.sequence > last || request.sequence + request.count <= sequence) continue;
    if (request.sequence <= sequence) answer.time = request.time;
    std::uint64_t at = request.sequence;
    for (const Run& run : request.runs)
      for (std::uint64_t i = 0; i < run.count; ++i, ++at)
        if (at >= sequence && at <= last) answer.offsets[at - sequence] = Offset{run.first + i};
  }
  return answer;
}

SessionState Sessions::record(std::string_view name, std::uint64_t sequence, std::span<const Offset> offsets, Time now) {
  sort_if_loaded();
  auto found = by_name_.find(name);
  if (found == by_name_.end()) {
    if (by_name_.size() >= sessions_max_ && !sessions_.empty()) forget(sessions_.begin());
    sessions_.push_back({std::string(name), 0, now, {}});
    found = by_name_.emplace(sessions_.back().name, std::prev(sessions_.end())).first;
  }
  touch(found->second, now);
  Session& session = *found->second;
  WEIR_CHECK(sequence == session.last_sequence + 1, "session at " << session.last_sequence << " was given " << sequence);
  session.last_sequence = sequence + offsets.size() - 1;

  SessionState state{session.last_sequence, now, sequence, {}, now};
  state.request_offsets.reserve(offsets.size());
  for (const Offset offset : offsets) state.request_offsets.push_back(offset.value);
  remember(session, Request::make(sequence, state.request_offsets, now));
  return state;
}

Sessions::Request Sessions::Request::make(std::uint64_t sequence, std::span<const std::uint64_t> offsets, Time time) {
  Request request{sequence, offsets.size(), time, {}};
  for (const std::uint64_t offset : offsets) {
    if (!request.runs.empty() && request.runs.back().first + request.runs.back().count == offset)
      ++request.runs.back().count;
    else
      request.runs.push_back({offset, 1});
  }
  return request;
}

void Sessions::remember(Session& session, Request request) {
  runs_ += request.runs.size();
  session.requests.push_back(std::move(request));
  while (session.requests.size() > kRequestsMax || (runs_ > kRunsMax && !session.requests.empty())) drop_oldest_request(session);
}

void Sessions::drop_oldest_request(Session& session) {
  runs_ -= session.requests.front().runs.size();
  session.requests.pop_front();
}

void Sessions::take_back(std::string_view name, std::uint64_t sequence) {
  const auto found = by_name_.find(name);
  if (found == by_name_.end() || found->second->last_sequence < sequence) return;
  Session& session = *found->second;
  while (!session.requests.empty() && session.requests.back().sequence >= sequence) {
    runs_ -= session.requests.back().runs.size();
    session.requests.pop_back();
  }
  session.last_sequence = sequence - 1;
  if (session.last_sequence == 0) forget(found->second);
}

void Sessions::touch(List::iterator session, Time now) {
  session->last_used = std::max(session->last_used, now);
  if (!loaded_) sessions_.splice(sessions_.end(), sessions_, session);
}

void Sessions::forget(List::iterator session) {
  while (!session->requests.empty()) drop_oldest_request(*session);
  by_name_.erase(session->name);
  forgotten_.push_back(std::move(session->name));
  sessions_.erase(session);
}

void Sessions::load(std::string name, SessionState state) {
  WEIR_CHECK(!by_name_.contains(name), "session loaded twice");
  sessions_.push_back({std::move(name), state.last_sequence, state.last_used, {}});
  by_name_.emplace(sessions_.back().name, std::prev(sessions_.end()));
  loaded_ = true;
  // The offsets are of use only when they are those of the last messages.
  const std::uint64_t count = state.request_offsets.size();
  if (count != 0 && count <= state.last_sequence && state.request_sequence == state.last_sequence - count + 1)
    remember(sessions_.back(), Request::make(state.request_sequence, state.request_offsets, state.request_time));
}

void Sessions::sort_if_loaded() {
  if (!loaded_) return;
  loaded_ = false;
  sessions_.sort([](const Session& a, const Session& b) { return a.last_used < b.last_used; });
  while (by_name_.size() > sessions_max_) forget(sessions_.begin());
}

std::vector<std::string> Sessions::expire(Time now) {
  sort_if_loaded();
  while (!sessions_.empty() && now - sessions_.front().last_used >= kIdleMax) forget(sessions_.begin());
  std::erase_if(forgotten_, [&](const std::string& name) { return by_name_.contains(name); });
  return std::exchange(forgotten_, {});
}

std::optional<std::uint64_t> Sessions::last_sequence(std::string_view name) const {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return std::nullopt;
  return found->second->last_sequence;
}

}  // namespace weir::core
