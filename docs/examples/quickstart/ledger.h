// The quickstart's own book, kept outside the store so that it can bear witness about it: one line for everything a handler does.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weir/weir.h>

namespace quickstart {

/// What a line says about one delivery of one event to one group.
enum class Entry : char {
  kBegan = 'b',    ///< the handler was called
  kHandled = 'h',  ///< the event's effect took place: this line is the effect
  kFailed = 'f',   ///< the handler threw
  kAgain = 'a',    ///< the effect had taken place before; the handler left it at that
};

struct Line {
  std::int64_t time_ms = 0;
  Entry entry = Entry::kBegan;
  std::string group, topic, id;
};

/// A file that lines are appended to, each with one write (O_APPEND), so that they survive the death of the process whole.
/// Thread-safe.
class Ledger {
 public:
  explicit Ledger(std::string file);
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  void note(Entry entry, const std::string& group, const weir::Delivery& delivery);
  /// Whether the effect took place, in this process or in one that died.
  bool handled(const std::string& group, std::string_view id) const;
  /// Events handled by all groups together.
  std::size_t handled_count() const;

  /// Every line of the file. Throws std::runtime_error at a line that is not one.
  static std::vector<Line> read(const std::string& file);

 private:
  const std::string file_;
  const int descriptor_;
  mutable std::mutex mutex_;
  std::set<std::pair<std::string, std::string>> handled_;  // (group, id); guarded by mutex_
};

/// What the lines amount to, for one topic and group.
struct Tally {
  std::uint64_t began = 0, handled = 0, failed = 0, again = 0;
  std::int64_t last_ms = 0;  ///< of the newest line
};
using Tallies = std::map<std::pair<std::string, std::string>, Tally>;  // by (topic, group)
Tallies tally(const std::vector<Line>& lines);

}  // namespace quickstart
