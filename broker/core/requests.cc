#include "broker/core/requests.h"

#include <utility>

namespace weir::core {

const RequestState* Requests::find(std::string_view id, Time now) const {
  const auto found = by_id_.find(id);
  if (found == by_id_.end() || now - found->second->state.time >= kKeptFor) return nullptr;
  return &found->second->state;
}

std::vector<std::string> Requests::record(std::string id, RequestState state) {
  sort_if_loaded();
  std::vector<std::string> forgotten;
  if (const auto old = by_id_.find(id); old != by_id_.end()) forgotten.push_back(forget(old->second));
  const std::size_t answers = state.publishes.size();
  while (!requests_.empty() && (requests_.size() >= requests_max_ || answers_ + answers > answers_max_)) forgotten.push_back(forget(requests_.begin()));
  add(std::move(id), std::move(state));
  return forgotten;
}

std::vector<std::string> Requests::expire(Time now, std::size_t requests_max) {
  sort_if_loaded();
  std::vector<std::string> forgotten;
  while (!requests_.empty() && forgotten.size() < requests_max &&
         (requests_.size() > requests_max_ || answers_ > answers_max_ || now - requests_.front().state.time >= kKeptFor))
    forgotten.push_back(forget(requests_.begin()));
  return forgotten;
}

void Requests::load(std::string id, RequestState state) {
  loaded_ = true;
  add(std::move(id), std::move(state));
}

void Requests::add(std::string id, RequestState state) {
  answers_ += state.publishes.size();
  requests_.push_back({std::move(id), std::move(state)});
  const auto last = std::prev(requests_.end());
  by_id_.emplace(last->id, last);
}

std::string Requests::forget(List::iterator request) {
  by_id_.erase(request->id);
  answers_ -= request->state.publishes.size();
  std::string id = std::move(request->id);
  requests_.erase(request);
  return id;
}

void Requests::sort_if_loaded() {
  if (!std::exchange(loaded_, false)) return;
  requests_.sort([](const Request& a, const Request& b) { return a.state.time < b.state.time; });
}

}  // namespace weir::core
