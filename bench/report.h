// How figures are printed: a line each, for people or as NDJSON.
#pragma once

#include <cstdint>
#include <string>

#include "bench/measure.h"

namespace bench {

/// What a figure is compared with. The ratio is the figure's median over the base's median, whatever the unit is.
struct Base {
  std::string name;
  double value = 0;
};

/// What stays the same for all figures of a table.
struct Subject {
  std::string workload;
  std::uint64_t payload_bytes = 0;
  std::string durability;  ///< "memory", "process", "power", or "-" where none applies
};

class Report {
 public:
  explicit Report(bool json) : json_(json) {}

  /// One line about the machine; in JSON mode it goes to stderr, as it is no figure.
  void machine(const std::string& facts) const;
  void figure(const Subject&, const std::string& metric, const Samples&, const std::string& unit) const;
  void figure(const Subject&, const std::string& metric, const Samples&, const std::string& unit, const Base&) const;
  /// A remark for people; in JSON mode it goes to stderr.
  void note(const std::string& text) const;

 private:
  void print(const Subject&, const std::string& metric, const Samples&, const std::string& unit, const Base*) const;
  const bool json_;
};

}  // namespace bench
