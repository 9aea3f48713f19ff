#include "broker/core/recent_writes.h"

#include <algorithm>
#include <vector>

#include "broker/base/check.h"

namespace weir::core {
namespace {

struct Bounds {
  std::string_view begin, end;   // an empty end: to the end
  bool holds(std::string_view key) const noexcept { return key >= begin && (end.empty() || key < end); }
};

/// The ranges in order, none of which touches another.
std::vector<Bounds> merged(std::span<const StateRange> ranges) {
  std::vector<Bounds> all;
  all.reserve(ranges.size());
  for (const StateRange& range : ranges)
    if (range.end.empty() || range.begin < range.end) all.push_back({range.begin, range.end});
  std::sort(all.begin(), all.end(), [](const Bounds& a, const Bounds& b) { return a.begin < b.begin; });
  std::vector<Bounds> out;
  for (const Bounds& next : all) {
    if (out.empty() || (!out.back().end.empty() && out.back().end < next.begin))
      out.push_back(next);
    else if (!out.back().end.empty() && (next.end.empty() || next.end > out.back().end))
      out.back().end = next.end;
  }
  return out;
}

bool any_holds(const std::vector<Bounds>& sorted, std::string_view key) {
  const auto behind = std::upper_bound(sorted.begin(), sorted.end(), key, [](std::string_view k, const Bounds& b) { return k < b.begin; });
  return behind != sorted.begin() && std::prev(behind)->holds(key);
}

}  // namespace

void RecentWrites::start(std::uint64_t commit) {
  writes_.clear();
  last_.clear();
  bytes_ = 0;
  known_from_ = commit;
}

void RecentWrites::note(std::string_view key, std::uint64_t commit) {
  WEIR_CHECK(writes_.empty() || writes_.back().commit <= commit, "commit " << commit << " behind " << writes_.back().commit);
  last_.erase(key);   // its string may be that of an older write, which goes before this one
  writes_.push_back({commit, std::string(key)});
  last_.emplace(writes_.back().key, commit);
  bytes_ += key.size();
  while (writes_.size() > writes_max_ || bytes_ > bytes_max_) forget_oldest();
}

void RecentWrites::forget_oldest() {
  const Write& oldest = writes_.front();
  const auto found = last_.find(oldest.key);
  if (found != last_.end() && found->first.data() == oldest.key.data()) last_.erase(found);
  bytes_ -= oldest.key.size();
  known_from_ = std::max(known_from_, oldest.commit);
  writes_.pop_front();
}

RecentWrites::Answer RecentWrites::check(std::uint64_t read_at, std::span<const std::string> keys, std::span<const StateRange> ranges) const {
  if (keys.empty() && ranges.empty()) return {};
  if (read_at < known_from_) return {Verdict::kTooOld, {}};
  if (writes_.empty() || writes_.back().commit <= read_at) return {};
  for (const std::string& key : keys)
    if (const Answer answer = check(read_at, key); answer.verdict != Verdict::kUnchanged) return answer;
  if (ranges.empty()) return {};
  const std::vector<Bounds> sorted = merged(ranges);
  for (auto write = writes_.rbegin(); write != writes_.rend() && write->commit > read_at; ++write)
    if (any_holds(sorted, write->key)) return {Verdict::kOverwritten, write->key};
  return {};
}

RecentWrites::Answer RecentWrites::check(std::uint64_t read_at, std::string_view key) const {
  if (read_at < known_from_) return {Verdict::kTooOld, {}};
  const auto found = last_.find(key);
  if (found == last_.end() || found->second <= read_at) return {};
  return {Verdict::kOverwritten, found->first};
}

}  // namespace weir::core
