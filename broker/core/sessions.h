// Sessions: what producer sessions have published, so that a repeated request is stored once (S-6).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "weir/status.h"
#include "weir/types.h"

namespace weir::core {

/// What is persisted of a session (fields as format::SessionRecord).
struct SessionState {
  std::uint64_t last_sequence = 0;              ///< of the newest message that is stored
  Time last_used;
  std::uint64_t request_sequence = 0;           ///< of the last request: its first sequence number and where its messages went
  std::vector<std::uint64_t> request_offsets;
  Time request_time;
};

/// Operation. check() says what a request is; when it is fresh and stored, record() notes it. The last requests of each session are remembered with their
/// offsets, to answer repetitions exactly; after a restart only the last one is.
///
/// Concurrency. None: one thread at a time.
///
/// Limitations. At most `sessions_max` sessions: past it the least recently used one is forgotten, as are those idle for kIdleMax. A forgotten
/// session is a new one: it starts from sequence 1 again.
class Sessions {
 public:
  static constexpr std::size_t kSessionsMax = 10'000;
  static constexpr std::size_t kRequestsMax = 64;             ///< remembered per session
  static constexpr std::size_t kRunsMax = 1'000'000;          ///< runs of consecutive offsets remembered in all (16 bytes each)
  static constexpr Duration kIdleMax = std::chrono::hours{24 * 7};

  enum class Verdict : std::uint8_t {
    kFresh,      ///< the next in sequence: store it, then record() it
    kDuplicate,  ///< all of it was stored before: answer OK with `offsets`
    kGap,        ///< sequence_gap: `expected` is the number that must come next
    kInvalid,    ///< invalid_argument: part of it was stored before and part was not, or the numbers cannot be
  };
  struct Answer {
    Verdict verdict = Verdict::kFresh;
    std::uint64_t expected = 1;                  ///< the session's next sequence number
    std::vector<std::optional<Offset>> offsets;  ///< duplicates: one for each message, nothing when not known any more
    std::optional<Time> time;                    ///< duplicates: when the first of the messages was committed, when known
    Status status() const;                       ///< OK for fresh and duplicate
    std::string detail;                          ///< why it is refused
  };

  explicit Sessions(std::size_t sessions_max = kSessionsMax) : sessions_max_(sessions_max) {}
  Sessions(const Sessions&) = delete;
  Sessions& operator=(const Sessions&) = delete;

  /// What a request of `count` messages with sequence numbers from `sequence` on is. Counts as a use of a session that exists.
  Answer check(std::string_view name, std::uint64_t sequence, std::size_t count, Time now);
  /// Notes a fresh request, with the offset of each of its messages, and answers what to persist.
  SessionState record(std::string_view name, std::uint64_t sequence, std::span<const Offset> offsets, Time now);
  /// Takes the requests from `sequence` on back: their write failed, so nothing of them is on disk.
  void take_back(std::string_view name, std::uint64_t sequence);

  /// A persisted session, at open, in any order.
  void load(std::string name, SessionState state);
  /// Forgets idle sessions, and names all that were forgotten since the last call and did not come back: their records are to be deleted.
  std::vector<std::string> expire(Time now);

  std::size_t size() const noexcept { return by_name_.size(); }
  std::optional<std::uint64_t> last_sequence(std::string_view name) const;

 private:
  struct Run {  // `count` messages at consecutive offsets
    std::uint64_t first;
    std::uint64_t count;
  };
  struct Request {
    static Request make(std::uint64_t sequence, std::span<const std::uint64_t> offsets, Time time);
    std::uint64_t sequence;
    std::uint64_t count;
    Time time;
    std::vector<Run> runs;
  };
  struct Session {
    std::string name;
    std::uint64_t last_sequence = 0;
    Time last_used;
    std::deque<Request> requests;  // by sequence, at most kRequestsMax
  };
  using List = std::list<Session>;  // the most recently used last

  void touch(List::iterator session, Time now);
  void remember(Session& session, Request request);
  void drop_oldest_request(Session& session);
  void forget(List::iterator session);
  void sort_if_loaded();

  const std::size_t sessions_max_;
  List sessions_;
  std::unordered_map<std::string_view, List::iterator> by_name_;  // the names are those in sessions_
  std::vector<std::string> forgotten_;
  std::size_t runs_ = 0;
  bool loaded_ = false;  // sessions_ is not in order yet
};

}  // namespace weir::core
