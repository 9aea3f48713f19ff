// weir at work on real events, with everything going wrong that usually does.
//
//   quickstart [FILE.ndjson] [--package-log FILE] [--directory DIR]
//
// Events (webhooks from a file, or this machine's package-manager log) are published to a topic for each kind. Three groups read all
// of these topics, each at its own pace:
//   audit   writes everything down; nothing ever goes wrong
//   search  is told "busy" now and then, which a retry mends, and has a bug: it cannot do with an event without an action
//   notify  has a worse bug: one event takes the whole process with it, handlers of all groups, broker and all
//
// A supervisor starts the process that does the work, and starts it again when it dies. Afterwards the handlers are mended and the dead
// letters given back. At last a ledger that the handlers kept outside the store tells whether every event took effect exactly once
// for every group. weir delivers at least once: when the process dies between a handler's last deed and its ack, the message comes again.
// Handlers therefore look into the ledger first; together that is exactly once in effect.

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <future>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>

#include <weir/weir.h>

#include "quickstart/events.h"
#include "quickstart/ledger.h"
#include "quickstart/report.h"

namespace {

using namespace quickstart;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

const std::vector<std::string> kGroups = {"audit", "notify", "search"};
constexpr weir::Backoff kShortBackoff{.first = 20ms, .factor = 2, .max = 200ms};
constexpr std::uint32_t kAttempts = 3;
constexpr int kRestartsMax = 20;

/// Where a run keeps its things, and what it reads.
struct Run {
  fs::path directory;
  std::string source;  ///< first token of the topics: "webhooks" or "packages"

  std::string store() const { return directory / "store"; }
  std::string events() const { return directory / (source + ".ndjson"); }
  std::string ledger() const { return directory / "ledger.tsv"; }
  std::string table() const { return directory / "table.txt"; }
  std::string pattern() const { return source + ".>"; }
};

std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// For verbs that answer nothing but OK: whoever prefers exceptions can have them.
void must(const weir::Status& status) {
  if (!status.ok()) throw weir::BadResult(status);
}

// --- The handlers ------------------------------------------------------------------------------------------------------

using Work = std::function<void(weir::Delivery&)>;

/// A handler that may be called any number of times for an event and lets it take effect once. The effect, here, is the line in the
/// ledger; a real handler would do its work and remember the id in one transaction of its own database.
weir::Handler once(Ledger& ledger, std::string group, Work work) {
  return [&ledger, group = std::move(group), work = std::move(work)](weir::Delivery& event) {
    ledger.note(Entry::kBegan, group, event);
    if (ledger.handled(group, event.id())) return ledger.note(Entry::kAgain, group, event);
    try {
      work(event);
    } catch (...) {
      ledger.note(Entry::kFailed, group, event);
      throw;  // to weir: a retry with the exception's text, or a dead letter when it was the last attempt
    }
    ledger.note(Entry::kHandled, group, event);
  };  // returning is ack
}

/// One event in ten finds the index busy, once. Those without an action are beyond the old version of this handler.
void index_event(weir::Delivery& event, bool mended) {
  if (event.attempt() == 1 && std::hash<std::string_view>{}(event.id()) % 10 == 0) throw std::runtime_error("the index is busy");
  const auto document = nlohmann::json::parse(event.payload().text());
  const nlohmann::json action = document.value("action", nlohmann::json());
  if (mended && action.is_null()) return;
  (void)action.get<std::string>();  // throws when there is none
}

/// The longest event of all is too much for the old version of this handler. What it does stands for any bug that takes the process.
void notify_about(weir::Delivery& event, const std::string& poison, bool mended) {
  if (!mended && event.id() == poison) std::abort();
}

std::string longest(const std::vector<Event>& events) {
  const auto poison = std::max_element(events.begin(), events.end(), [](auto& a, auto& b) { return a.text.size() < b.text.size(); });
  return poison->id;
}

/// The three groups at work. They stand on a pattern, so they get every topic of the source, also those created later.
std::vector<weir::Subscription> subscribe(weir::Broker& broker, const Run& run, Ledger& ledger, const std::string& poison, bool mended) {
  const auto subscribe = [&](const std::string& group, std::uint32_t threads, Work work) {
    return broker
        .subscribe(run.pattern(), {.group = group, .max_attempts = kAttempts, .backoff = kShortBackoff, .threads = threads, .prefetch = 100},
                   once(ledger, group, std::move(work)))
        .value();
  };
  std::vector<weir::Subscription> subscriptions;
  subscriptions.push_back(subscribe("audit", 2, [](weir::Delivery&) {}));
  subscriptions.push_back(subscribe("search", 4, [mended](weir::Delivery& event) { index_event(event, mended); }));
  subscriptions.push_back(subscribe("notify", 8, [poison, mended](weir::Delivery& event) { notify_about(event, poison, mended); }));
  return subscriptions;
}

// --- The worker: a process that publishes and handles, and may die ------------------------------------------------------------

/// Publishes all events, a hundred with each commit. Doing it again is harmless: what is stored already is not stored again, by its id.
std::size_t publish(weir::Broker& broker, const std::vector<Event>& events) {
  std::set<std::string> topics;
  for (const Event& event : events) topics.insert(event.topic);
  for (const std::string& topic : topics) broker.create_topic(topic).value();

  std::size_t duplicates = 0;
  Progress progress;
  for (std::size_t next = 0; next < events.size();) {
    weir::PublishRequest request;
    for (; next < events.size() && request.batch.size() < 100; ++next) {
      const Event& event = events[next];
      request.batch.push_back({event.topic, {.key = event.key, .payload = event.text, .id = event.id, .content_type = "application/json"}});
    }
    const weir::PublishResult result = broker.publish(std::move(request)).value();  // on the device when this returns
    for (const weir::Published& published : result.messages) duplicates += published.duplicate ? 1 : 0;
    progress.show("published " + std::to_string(next) + " of " + std::to_string(events.size()));
  }
  progress.done("published " + std::to_string(events.size()) + " events to " + std::to_string(topics.size()) + " topics" +
                (duplicates != 0 ? "; " + std::to_string(duplicates) + " of them were there already" : ""));
  return duplicates;
}

/// Waits until every message of every group is settled, waiting retries included, and shows how far it is.
void drain(weir::Broker& broker, const Ledger& ledger, std::size_t effects) {
  std::promise<weir::Status> drained;
  std::future<weir::Status> result = drained.get_future();
  broker.async_drain({.include_waiting = true}, {}, [&](weir::Result<weir::Done> done) { drained.set_value(done.status()); });
  Progress progress;
  while (result.wait_for(100ms) != std::future_status::ready)
    progress.show("handled " + std::to_string(ledger.handled_count()) + " of " + std::to_string(effects));
  must(result.get());
  progress.done("handled " + std::to_string(ledger.handled_count()) + " of " + std::to_string(effects));
}

void work(const Run& run) {
  const std::vector<Event> events = read_events(run.events(), run.source);
  Ledger ledger(run.ledger());
  const auto broker = weir::open(run.store()).value();
  const auto subscriptions = subscribe(*broker, run, ledger, longest(events), /*mended=*/false);
  publish(*broker, events);
  drain(*broker, ledger, events.size() * kGroups.size());
}

// --- The supervisor ----------------------------------------------------------------------------------------------------

/// Starts this program again as the worker and waits for its end. Answers the signal that killed it, or 0.
int run_worker(const Run& run) {
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("cannot fork");
  if (child == 0) {
    const std::string directory = run.directory;
    ::execl("/proc/self/exe", "quickstart", "--worker", directory.c_str(), run.source.c_str(), static_cast<char*>(nullptr));
    ::_exit(127);
  }
  int state = 0;
  while (::waitpid(child, &state, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(state)) return WTERMSIG(state);
  if (WEXITSTATUS(state) != 0) throw std::runtime_error("the worker failed");
  return 0;
}

/// Keeps a worker going until one comes to the end of its work. Answers how many died.
int supervise(const Run& run) {
  int deaths = 0;
  while (const int signal = run_worker(run)) {
    Progress::wipe();
    std::fflush(stdout);
    std::cout << "  the process died: " << ::strsignal(signal) << ". Starting it again." << std::endl;
    if (++deaths > kRestartsMax) throw std::runtime_error("the worker died too often");
  }
  return deaths;
}

/// Dead letters carry the whole message and its history. Shows one of each group, and answers how many there are of each.
std::map<std::string, std::vector<weir::DeadLetter>> show_dead_letters(weir::Broker& broker, const std::vector<Row>& table) {
  std::map<std::string, std::vector<weir::DeadLetter>> dead;
  for (const Row& row : table) {
    for (weir::ListDeadLettersRequest request{.topic = row.topic, .group = row.group}; row.dead != 0;) {
      weir::ListDeadLettersResult page = broker.dead_letters(request).value();
      std::move(page.letters.begin(), page.letters.end(), std::back_inserter(dead[row.group]));
      if (page.end) break;
      request.from = page.next;
    }
  }
  for (const auto& [group, letters] : dead) {
    const weir::DeadLetterInfo& info = *letters.front().message.dead_letter;
    std::cout << "  " << group << ": " << letters.size() << " dead, such as " << letters.front().message.id << " of " << info.origin_topic << ": "
              << to_string(info.reason) << ", " << info.failures << " failures, the last a " << to_string(info.attempts.back().outcome)
              << (info.error.empty() ? "" : ": " + info.error) << "\n";
  }
  return dead;
}

/// Gives every dead letter back to its group, and waits until all are handled.
void redrive(weir::Broker& broker, const Run& run, const std::vector<Row>& table, const std::vector<Event>& events) {
  std::uint64_t given_back = 0;
  for (const Row& row : table)
    if (row.dead != 0) given_back += broker.redrive({.topic = row.topic, .group = row.group}).value().redriven;
  std::cout << "  " << given_back << " dead letters given back to their groups" << std::endl;

  Ledger ledger(run.ledger());
  const auto subscriptions = subscribe(broker, run, ledger, longest(events), /*mended=*/true);
  drain(broker, ledger, events.size() * kGroups.size());
}

std::vector<Row> rows_now(weir::Broker& broker, const Run& run, std::int64_t started_ms) {
  return rows(broker, run.pattern(), kGroups, tally(Ledger::read(run.ledger())), started_ms);
}

/// Prints the table, and keeps the whole of it in a file.
void show_table(const Run& run, const std::vector<Row>& table) {
  print_table(stdout, table, /*all=*/false);
  std::FILE* file = std::fopen(run.table().c_str(), "w");
  if (file == nullptr) throw std::runtime_error("cannot write " + run.table());
  print_table(file, table, /*all=*/true);
  std::fclose(file);
}

/// Compares what happened with what was meant to. Answers what is wrong.
std::vector<std::string> verdict(const Run& run, const std::vector<Event>& events,
                                 const std::map<std::string, std::vector<weir::DeadLetter>>& dead, const std::vector<Row>& after) {
  std::vector<std::string> wrong = check(events, kGroups, Ledger::read(run.ledger()));
  const auto notify = dead.find("notify");
  if (notify == dead.end() || notify->second.size() != 1 || notify->second.front().message.id != longest(events))
    wrong.push_back("the dead letters of notify are not the one event that took the process");
  if (dead.contains("audit")) wrong.push_back("audit has dead letters");
  for (const Row& row : after)
    if (row.dead != 0 || row.acked != row.published) wrong.push_back(row.topic + " is not done for " + row.group);
  return wrong;
}

int run_all(const Run& run) {
  const std::int64_t started = now_ms();
  const std::vector<Event> events = read_events(run.events(), run.source);
  if (events.empty()) throw std::runtime_error("there are no events");
  std::cout << "The store, the ledger and the whole table are in " << run.directory.string() << "\n\n"
            << "1. Three groups work on " << events.size() << " events\n";
  const int deaths = supervise(run);
  std::cout << "  done; the process died " << deaths << " times on the way\n\n2. What became of them\n";

  const auto broker = weir::open(run.store()).value();
  const std::vector<Row> table = rows_now(*broker, run, started);
  show_table(run, table);
  const auto dead = show_dead_letters(*broker, table);

  std::cout << "\n3. The handlers are mended\n";
  redrive(*broker, run, table, events);
  const std::vector<Row> after = rows_now(*broker, run, started);
  print_mended(table, after);

  std::cout << "\n4. The ledger\n";
  std::uint64_t calls = 0, again = 0;
  for (const auto& [unused, t] : tally(Ledger::read(run.ledger()))) calls += t.began, again += t.again;
  std::cout << "  " << calls << " calls of handlers for " << events.size() << " events and " << kGroups.size() << " groups; " << again
            << " of them for events that had taken effect before, their ack lost with the process\n";
  const std::vector<std::string> wrong = verdict(run, events, dead, after);
  for (const std::string& what : wrong) std::cout << "  wrong: " << what << "\n";
  if (!wrong.empty()) return 1;
  std::cout << "every event handled exactly once per group" << std::endl;
  return 0;
}

// --- The command line ------------------------------------------------------------------------------------------------------

struct Arguments {
  std::string events, package_log = "/var/log/dpkg.log", directory;
};

Run prepare(const Arguments& arguments) {
  Run run;
  run.directory = arguments.directory;
  if (run.directory.empty()) {
    std::string pattern = fs::temp_directory_path() / "weir-quickstart-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot create " + pattern);
    run.directory = pattern;
  }
  fs::create_directories(run.directory);
  if (!fs::is_empty(run.directory)) throw std::runtime_error(run.directory.string() + " is not empty");
  // The worker reads what the supervisor read, also when the log has grown in between: both read this copy.
  run.source = arguments.events.empty() ? "packages" : "webhooks";
  if (arguments.events.empty())
    convert_package_log(arguments.package_log, run.events());
  else
    fs::copy_file(arguments.events, run.events());
  return run;
}

int run_main(const std::vector<std::string>& words) {
  if (words.size() == 3 && words[0] == "--worker") {
    const rlimit no_core{};
    ::setrlimit(RLIMIT_CORE, &no_core);  // it dies on purpose
    work({.directory = words[1], .source = words[2]});
    return 0;
  }
  Arguments arguments;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const bool more = i + 1 < words.size();
    if (words[i] == "--package-log" && more)
      arguments.package_log = words[++i];
    else if (words[i] == "--directory" && more)
      arguments.directory = words[++i];
    else if (!words[i].starts_with("-") && arguments.events.empty())
      arguments.events = words[i];
    else {
      std::cerr << "usage: quickstart [FILE.ndjson] [--package-log FILE] [--directory DIR]\n";
      return 2;
    }
  }
  return run_all(prepare(arguments));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run_main({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << "quickstart: " << error.what() << "\n";
    return 1;
  }
}
