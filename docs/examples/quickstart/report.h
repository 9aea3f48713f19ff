// What the quickstart prints.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include <weir/weir.h>

#include "quickstart/events.h"
#include "quickstart/ledger.h"

namespace quickstart {

/// A line that is written over while it changes, on a terminal; elsewhere a line a second.
class Progress {
 public:
  ~Progress() { done(); }
  void show(const std::string& text);
  /// Ends the line, with `text` in it when there is one.
  void done(const std::string& text = {});
  /// Wipes the line that a process left unfinished when it died.
  static void wipe();

 private:
  std::int64_t shown_ms_ = 0;
  std::size_t width_ = 0;
};

/// A row of the table: how one topic went for one group.
struct Row {
  std::string topic, group;
  std::uint64_t published = 0;
  std::uint64_t delivered = 0;  ///< times the handler was called
  std::uint64_t acked = 0;      ///< messages that the store holds to be done
  std::uint64_t retried = 0;    ///< calls that did not end their message: the handler threw, or the process died
  std::uint64_t dead = 0;       ///< dead letters
  double seconds = 0;           ///< from the start of the run to the last word on this topic by this group
};

/// One row for each topic and group: counts of messages from the store, counts of calls from the ledger, since the broker's own are
/// of the running process and processes die here.
std::vector<Row> rows(weir::Broker& broker, const std::string& source, const std::vector<std::string>& groups, const Tallies& tallies,
                      std::int64_t started_ms);

/// Prints the busiest topics and those where something went wrong, and for each group the sum of the others; or all of them.
void print_table(std::FILE* out, const std::vector<Row>& rows, bool all);

/// Prints what became of the dead letters of `before`, one line for each topic and group that had some.
void print_mended(const std::vector<Row>& before, const std::vector<Row>& after);

/// Every event must have taken effect exactly once for every group. Answers what is wrong: nothing, if it is so.
std::vector<std::string> check(const std::vector<Event>& events, const std::vector<std::string>& groups, const std::vector<Line>& ledger);

}  // namespace quickstart
