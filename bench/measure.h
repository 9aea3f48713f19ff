// What a measurement is made of: a stopwatch, a tally of one slice, and the samples of all rounds.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

namespace bench {

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// What one slice of one round did.
struct Tally {
  std::uint64_t messages = 0;
  double seconds = 0;
  double rate() const { return static_cast<double>(messages) / seconds; }
  double nanoseconds_each() const { return seconds * 1e9 / static_cast<double>(messages); }
};

/// One figure's samples, one for each round. The median stands for all; the spread is from the least to the greatest.
class Samples {
 public:
  void add(double value) { values_.push_back(value); }
  bool empty() const { return values_.empty(); }
  std::size_t size() const { return values_.size(); }
  double median() const {
    std::vector<double> sorted = values_;
    std::sort(sorted.begin(), sorted.end());
    const std::size_t half = sorted.size() / 2;
    return sorted.size() % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  }
  double min() const { return *std::min_element(values_.begin(), values_.end()); }
  double max() const { return *std::max_element(values_.begin(), values_.end()); }

 private:
  std::vector<double> values_;
};

/// The times of single operations, in microseconds.
class Latencies {
 public:
  void add(double microseconds) { times_.push_back(microseconds); }
  std::size_t size() const { return times_.size(); }
  /// The time that a share `q` of the operations did not exceed.
  double quantile(double q) {
    const auto place = static_cast<std::size_t>(q * static_cast<double>(times_.size() - 1));
    std::nth_element(times_.begin(), times_.begin() + static_cast<std::ptrdiff_t>(place), times_.end());
    return times_[place];
  }
  double median() { return quantile(0.5); }

 private:
  std::vector<double> times_;
};

/// Runs the slices one after another, round by round, so that whatever drifts on the machine drifts for all of them alike.
template <class... Slices>
void interleave(int rounds, Slices&&... slices) {
  for (int round = 0; round < rounds; ++round) (slices(), ...);
}

}  // namespace bench
