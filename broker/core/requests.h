// Requests: which transactions with a request id have happened, so that one that is sent again is answered and not done again (S-6, S-28).
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "broker/base/hash.h"
#include "weir/message.h"
#include "weir/types.h"

namespace weir::core {

/// What is persisted of a request: what it was, and what was answered (fields as format::RequestRecord).
struct RequestState {
  base::Hash128 content;
  Time time;
  std::uint64_t version = 0;
  std::vector<Published> publishes;
};

/// Operation. find() a request by its id; one that is new and has happened is record()ed.
///
/// Concurrency. None: one thread at a time.
///
/// Limitations. Remembered for kKeptFor, of the newest kRequestsMax, and as long as their answers hold no more than kAnswersMax offsets together.
class Requests {
 public:
  static constexpr std::size_t kRequestsMax = 100'000;
  static constexpr std::size_t kAnswersMax = 1'000'000;
  static constexpr Duration kKeptFor = std::chrono::hours{1};

  explicit Requests(std::size_t requests_max = kRequestsMax, std::size_t answers_max = kAnswersMax)
      : requests_max_(requests_max), answers_max_(answers_max) {}
  Requests(const Requests&) = delete;
  Requests& operator=(const Requests&) = delete;

  /// nullptr: not known (any more). Valid until the next call that changes something.
  const RequestState* find(std::string_view id, Time now) const;
  /// Notes a request, and names those that were forgotten for it: their records are to be deleted before its own is written.
  std::vector<std::string> record(std::string id, RequestState state);
  /// Forgets what is too old, at most `requests_max` at once: their records are to be deleted.
  std::vector<std::string> expire(Time now, std::size_t requests_max = ~std::size_t{0});
  /// A persisted request, at open, in any order.
  void load(std::string id, RequestState state);

  std::size_t size() const noexcept { return by_id_.size(); }

 private:
  struct Request {
    std::string id;
    RequestState state;
  };
  using List = std::list<Request>;   // the oldest first

  void add(std::string id, RequestState state);
  std::string forget(List::iterator request);
  void sort_if_loaded();

  const std::size_t requests_max_, answers_max_;
  List requests_;
  std::unordered_map<std::string_view, List::iterator> by_id_;   // the ids are those in requests_
  std::size_t answers_ = 0;
  bool loaded_ = false;   // requests_ is not in order yet
};

}  // namespace weir::core
