#include "quickstart/ledger.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <system_error>

namespace quickstart {
namespace {

int open_to_append(const std::string& file) {
  const int descriptor = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor < 0) throw std::system_error(errno, std::generic_category(), file);
  return descriptor;
}

std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

Ledger::Ledger(std::string file) : file_(std::move(file)), descriptor_(open_to_append(file_)) {
  for (const Line& line : read(file_))
    if (line.entry == Entry::kHandled) handled_.emplace(line.group, line.id);
}

Ledger::~Ledger() { ::close(descriptor_); }

void Ledger::note(Entry entry, const std::string& group, const weir::Delivery& delivery) {
  std::ostringstream text;
  text << now_ms() << '\t' << static_cast<char>(entry) << '\t' << group << '\t' << delivery.topic() << '\t' << delivery.id() << '\n';
  const std::string line = text.str();
  const std::lock_guard lock(mutex_);
  if (::write(descriptor_, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
    throw std::system_error(errno, std::generic_category(), file_);
  if (entry == Entry::kHandled) handled_.emplace(group, delivery.id());
}

bool Ledger::handled(const std::string& group, std::string_view id) const {
  const std::lock_guard lock(mutex_);
  return handled_.contains({group, std::string(id)});
}

std::size_t Ledger::handled_count() const {
  const std::lock_guard lock(mutex_);
  return handled_.size();
}

std::vector<Line> Ledger::read(const std::string& file) {
  std::ifstream in(file);
  if (!in) throw std::runtime_error("cannot read " + file);
  std::vector<Line> lines;
  for (std::string text; std::getline(in, text);) {
    std::istringstream fields(text);
    Line line;
    char entry = 0;
    if (!(fields >> line.time_ms >> entry >> line.group >> line.topic >> line.id) || std::string_view("bhfa").find(entry) == std::string_view::npos)
      throw std::runtime_error(file + ":" + std::to_string(lines.size() + 1) + ": not a line of the ledger");
    line.entry = static_cast<Entry>(entry);
    lines.push_back(std::move(line));
  }
  return lines;
}

Tallies tally(const std::vector<Line>& lines) {
  Tallies tallies;
  for (const Line& line : lines) {
    Tally& t = tallies[{line.topic, line.group}];
    switch (line.entry) {
      case Entry::kBegan: ++t.began; break;
      case Entry::kHandled: ++t.handled; break;
      case Entry::kFailed: ++t.failed; break;
      case Entry::kAgain: ++t.again; break;
    }
    t.last_ms = std::max(t.last_ms, line.time_ms);
  }
  return tallies;
}

}  // namespace quickstart
