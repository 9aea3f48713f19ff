#include "quickstart/report.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <tuple>

namespace quickstart {
namespace {

constexpr std::size_t kTopicsShown = 6;

std::int64_t steady_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void print_row(std::FILE* out, const Row& r) {
  std::fprintf(out, "  %-38s %-8s %9ju %9ju %7ju %7ju %5ju %6.2f s\n", r.topic.c_str(), r.group.c_str(), std::uintmax_t{r.published},
               std::uintmax_t{r.delivered}, std::uintmax_t{r.acked}, std::uintmax_t{r.retried}, std::uintmax_t{r.dead}, r.seconds);
}

Row sum(const std::string& name, const std::string& group, const std::vector<const Row*>& rows) {
  Row total{.topic = name, .group = group};
  for (const Row* r : rows) {
    total.published += r->published;
    total.delivered += r->delivered;
    total.acked += r->acked;
    total.retried += r->retried;
    total.dead += r->dead;
    total.seconds = std::max(total.seconds, r->seconds);
  }
  return total;
}

/// The topics with most messages, and those with retries or dead letters, most of them first.
std::set<std::string> topics_worth_a_row(const std::vector<Row>& rows) {
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> rank;  // topic → (trouble, messages)
  for (const Row& r : rows) {
    auto& [trouble, messages] = rank[r.topic];
    trouble += r.dead * 1000 + r.retried;
    messages = std::max(messages, r.published);
  }
  std::vector<std::string> topics;
  for (const auto& [topic, unused] : rank) topics.push_back(topic);
  std::sort(topics.begin(), topics.end(), [&](const auto& a, const auto& b) { return rank[a] > rank[b]; });
  topics.resize(std::min(topics.size(), kTopicsShown));
  return {topics.begin(), topics.end()};
}

}  // namespace

void Progress::show(const std::string& text) {
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  const std::int64_t now = steady_ms();
  if (!terminal && shown_ms_ != 0 && now - shown_ms_ < 1000) return;
  shown_ms_ = now;
  std::printf(terminal ? "\r  %-*s" : "  %-*s\n", static_cast<int>(width_), text.c_str());
  std::fflush(stdout);
  width_ = terminal ? std::max(width_, text.size()) : 0;
}

void Progress::done(const std::string& text) {
  if (!text.empty()) {
    shown_ms_ = 0;
    show(text);
  }
  if (width_ != 0) std::printf("\n");
  std::fflush(stdout);
  width_ = 0;
}

void Progress::wipe() {
  if (::isatty(STDOUT_FILENO) == 1) std::printf("\r\033[2K");
}

std::vector<Row> rows(weir::Broker& broker, const std::string& source, const std::vector<std::string>& groups, const Tallies& tallies,
                      std::int64_t started_ms) {
  std::vector<Row> rows;
  for (const std::string& group : groups) {
    const weir::GroupInfo info = broker.group(source, group).value();
    for (const weir::GroupTopicStats& stats : info.topics) {
      Row row{.topic = stats.topic, .group = group};
      row.published = broker.topic(stats.topic).value().next.value;
      row.dead = stats.dead;
      row.acked = row.published - stats.depth - stats.dead;
      if (const auto found = tallies.find({stats.topic, group}); found != tallies.end()) {
        row.delivered = found->second.began;
        row.retried = row.delivered - std::min(row.delivered, row.acked + row.dead);
        row.seconds = static_cast<double>(found->second.last_ms - started_ms) / 1000;
      }
      rows.push_back(std::move(row));
    }
  }
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return std::tie(a.topic, a.group) < std::tie(b.topic, b.group); });
  return rows;
}

void print_table(std::FILE* out, const std::vector<Row>& rows, bool all) {
  std::fprintf(out, "  %-38s %-8s %9s %9s %7s %7s %5s %8s\n", "topic", "group", "published", "delivered", "acked", "retried", "dead", "time");
  const std::set<std::string> shown = topics_worth_a_row(rows);
  std::map<std::string, std::vector<const Row*>> others, everything;
  for (const Row& r : rows) {
    everything[r.group].push_back(&r);
    if (all || shown.contains(r.topic))
      print_row(out, r);
    else
      others[r.group].push_back(&r);
  }
  for (const auto& [group, hidden] : others)
    print_row(out, sum("(" + std::to_string(hidden.size()) + " more topics)", group, hidden));
  for (const auto& [group, whole] : everything) print_row(out, sum("all topics", group, whole));
  std::fprintf(out, "  (retried: calls that did not end their message, since the handler threw or the process died meanwhile)\n");
}

void print_mended(const std::vector<Row>& before, const std::vector<Row>& after) {
  std::printf("  %-38s %-8s %12s %10s\n", "topic", "group", "dead before", "dead now");
  for (std::size_t i = 0; i < before.size() && i < after.size(); ++i)
    if (before[i].dead != 0 || after[i].dead != 0)
      std::printf("  %-38s %-8s %12ju %10ju\n", before[i].topic.c_str(), before[i].group.c_str(), std::uintmax_t{before[i].dead},
                  std::uintmax_t{after[i].dead});
}

std::vector<std::string> check(const std::vector<Event>& events, const std::vector<std::string>& groups, const std::vector<Line>& ledger) {
  std::map<std::pair<std::string, std::string>, int> effects;  // (group, id) → times it took effect
  for (const std::string& group : groups)
    for (const Event& event : events) effects[{group, event.id}] = 0;
  std::vector<std::string> wrong;
  for (const Line& line : ledger) {
    if (line.entry != Entry::kHandled) continue;
    const auto effect = effects.find({line.group, line.id});
    if (effect == effects.end())
      wrong.push_back(line.group + " handled " + line.id + ", which was never published");
    else
      ++effect->second;
  }
  for (const auto& [what, times] : effects)
    if (times != 1) wrong.push_back(what.first + " handled " + what.second + " " + std::to_string(times) + " times");
  return wrong;
}

}  // namespace quickstart
