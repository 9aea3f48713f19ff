#include "weir/producer.h"

#include <optional>
#include <utility>

namespace weir {

std::uint64_t Producer::next_sequence() const {
  const std::lock_guard lock(mutex_);
  return next_;
}

Result<PublishResult> Producer::publish(PublishRequest request, int attempts) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t count = request.messages.size() + request.batch.size();
  std::optional<Status> unknown;  // set once a try may have been stored
  for (int tries = 1;; ++tries) {
    PublishRequest sent = request;
    sent.session = SessionPosition{session_, next_};
    Result<PublishResult> result = broker_->publish(std::move(sent));
    if (result.ok()) {
      next_ += count;
      doubts_.clear();
      return result;
    }
    if (result.code() == ErrorCode::sequence_gap) {
      // A gap proves that this request was not stored, and neither was the last one in doubt: its numbers are free.
      unknown.reset();
      if (doubts_.empty()) return result;
      next_ = doubts_.back();
      doubts_.pop_back();
      --tries;
      continue;
    }
    if (result.code() == ErrorCode::outcome_unknown) unknown = result.status();
    if (!unknown) return result;
    if (result.code() != ErrorCode::outcome_unknown || tries >= attempts) {
      // Whatever ended the later tries, the first may have been stored.
      doubts_.push_back(std::exchange(next_, next_ + count));
      return *unknown;
    }
  }
}

}  // namespace weir
