#include "bench/report.h"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "bench/interruption.h"

namespace bench {
namespace {

/// Whole numbers above a thousand, else four figures: enough to compare, and no false precision.
std::string number(double value) {
  char text[64];
  if (std::abs(value) >= 1000) std::snprintf(text, sizeof text, "%.0f", value);
  else std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

}  // namespace

void Report::machine(const std::string& facts) const {
  std::fprintf(json_ ? stderr : stdout, "# %s\n", facts.c_str());
  if (json_) return;
  std::printf("# %-28s %7s %-8s %-34s %12s %-8s %-25s %s\n", "workload", "payload", "level", "metric", "median", "unit", "spread",
              "ratio");
  std::fflush(stdout);
}

void Report::note(const std::string& text) const {
  std::fprintf(json_ ? stderr : stdout, "# %s\n", text.c_str());
  if (!json_) std::fflush(stdout);
}

void Report::figure(const Subject& subject, const std::string& metric, const Samples& samples, const std::string& unit) const {
  print(subject, metric, samples, unit, nullptr);
}

void Report::figure(const Subject& subject, const std::string& metric, const Samples& samples, const std::string& unit,
                    const Base& base) const {
  print(subject, metric, samples, unit, &base);
}

void Report::print(const Subject& subject, const std::string& metric, const Samples& samples, const std::string& unit,
                   const Base* base) const {
  if (samples.empty()) return;
  const double value = samples.median();
  // Against nothing, or a base of zero, there is no ratio.
  const bool has_ratio = base && base->value != 0 && std::isfinite(value / base->value);
  if (json_) {
    nlohmann::ordered_json line;
    line["workload"] = subject.workload;
    line["payload_bytes"] = subject.payload_bytes;
    line["durability"] = subject.durability;
    line["metric"] = metric;
    line["value"] = value;
    line["unit"] = unit;
    line["ratio_to"] = has_ratio ? nlohmann::ordered_json(base->name) : nlohmann::ordered_json();
    line["ratio"] = has_ratio ? nlohmann::ordered_json(value / base->value) : nlohmann::ordered_json();
    line["min"] = samples.min();
    line["max"] = samples.max();
    line["rounds"] = samples.size();
    std::printf("%s\n", line.dump().c_str());
  } else {
    const std::string spread = number(samples.min()) + ".." + number(samples.max());
    const std::string ratio = has_ratio ? number(value / base->value) + " x " + base->name : "";
    std::printf("%-30s %7llu %-8s %-34s %12s %-8s %-25s %s\n", subject.workload.c_str(),
                static_cast<unsigned long long>(subject.payload_bytes), subject.durability.c_str(), metric.c_str(),
                number(value).c_str(), unit.c_str(), spread.c_str(), ratio.c_str());
  }
  if (std::fflush(stdout) != 0) throw OutputClosed();
}

}  // namespace bench
