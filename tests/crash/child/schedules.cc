// Publishes messages for now and for soon, and cancels and runs some of them, until it is killed. What it is about to do and what was answered stands
// in the notes, a line each: see tests/crash/schedule_test.cc.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/crash/child/child.h"
#include "tests/model/dice.h"

namespace weir::crash {
namespace {

/// Each line is one write: what was noted before the process dies is in the file.
class Notes {
 public:
  explicit Notes(const std::string& path) : fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) {
    if (fd_ < 0) throw std::runtime_error("cannot open " + path);
  }
  ~Notes() { ::close(fd_); }
  void line(std::string text) {
    text += '\n';
    if (::write(fd_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) throw std::runtime_error("cannot write the notes");
  }

 private:
  const int fd_;
};

void work(Broker& broker, Notes& notes, std::uint64_t seed, int thread) {
  model::Dice dice(seed * 10 + static_cast<std::uint64_t>(thread));
  struct Known {
    std::string name, id;
  };
  std::vector<Known> known;
  for (std::uint64_t number = 0;; ++number) {
    if (!known.empty() && dice.percent(25)) {
      const std::size_t at = dice.below(known.size());
      const Known one = known[at];
      known.erase(known.begin() + static_cast<std::ptrdiff_t>(at));
      const bool run = dice.percent(40);
      if (!run) notes.line("cancel " + one.name);
      const Status status = run ? broker.run_schedule(one.id) : broker.cancel_schedule(one.id);
      if (!status.ok() && status != ErrorCode::not_found) throw std::runtime_error(status.to_string());
      if (!run) notes.line((status.ok() ? "cancelled " : "came ") + one.name);
      continue;
    }
    const std::string act = std::to_string(seed) + "." + std::to_string(thread) + "." + std::to_string(number);
    PublishRequest request;
    const auto count = dice.between(1, 4);
    for (std::uint64_t i = 0; i < count; ++i) {
      Message message{.key = "k" + std::to_string(dice.below(5)), .payload = act + "-" + std::to_string(i)};
      if (dice.percent(20)) message.id = "id-" + message.payload.str();
      if (dice.percent(75)) message.delay = Duration{static_cast<std::int64_t>(dice.percent(20) ? dice.between(1000, 100'000) : dice.between(1, 60))};
      request.batch.push_back({dice.percent(50) ? "a" : "b", std::move(message)});
    }
    request.durability = dice.percent(30) ? Durability::kPower : Durability::kProcess;
    notes.line("publish " + act + " " + std::to_string(count));
    const auto result = broker.publish(std::move(request));
    if (!result.ok()) throw std::runtime_error(result.status().to_string());
    notes.line("published " + act);
    for (std::size_t i = 0; i < result->messages.size(); ++i)
      if (!result->messages[i].schedule.empty() && known.size() < 50) known.push_back({act + "-" + std::to_string(i), result->messages[i].schedule});
  }
}

}  // namespace

int run_schedules(const std::string& store, const std::string& notes_path, std::uint64_t seed) {
  Notes notes(notes_path);
  OpenOptions options;
  options.reserve_bytes = 0;
  options.memtable_bytes = 128u << 10;   // so that schedules are flushed, too
  const auto broker = open(store, options).value();
  for (const char* topic : {"a", "b"}) broker->create_topic(topic).value();
  std::printf("open\n");
  std::fflush(stdout);
  std::thread other([&] { work(*broker, notes, seed, 1); });
  work(*broker, notes, seed, 0);
  other.join();
  return 0;
}

}  // namespace weir::crash
