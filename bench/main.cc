// weir-bench: what the broker costs on this machine, beside the machine's own limits.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "bench/child.h"
#include "bench/interruption.h"
#include "bench/machine.h"
#include "bench/report.h"
#include "bench/temp_directory.h"
#include "bench/workload.h"

namespace {

void answer_on_stdout(const bench::Json& value) {
  std::printf("%s\n", value.dump().c_str());
  std::fflush(stdout);
}

/// The workloads with the given names, in their own order; all when there are none.
std::vector<bench::Workload> chosen(const std::vector<std::string>& names) {
  std::vector<bench::Workload> all;
  for (const bench::Workload& workload : bench::workloads())
    if (names.empty() || std::find(names.begin(), names.end(), workload.name) != names.end()) all.push_back(workload);
  return all;
}

int run(const bench::Scale& scale, bool json, const std::filesystem::path& parent, const std::vector<std::string>& names) {
  const bench::Report report(json);
  const bench::TempDirectory directory(parent);
  bench::remove_when_interrupted(directory.path());
  report.machine(bench::machine_facts(directory.path()));
  int failures = 0;
  for (const bench::Workload& workload : chosen(names)) {
    // One workload that cannot be run must not hide the figures of the others.
    try {
      workload.run({scale, report, directory});
    } catch (const bench::OutputClosed&) {
      throw;
    } catch (const std::exception& error) {
      std::fprintf(stderr, "weir-bench: %s: %s\n", workload.name, error.what());
      ++failures;
    }
    bench::flush_file_system(directory.path());
  }
  return failures ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measures weir beside the raw limits of this machine, in the same run and in turn. Prints one line a figure:\n"
               "workload, payload, durability level, metric, median, unit, spread (least..greatest of the rounds), ratio.");
  std::vector<std::string> names;
  for (const bench::Workload& workload : bench::workloads()) names.push_back(workload.name);
  std::vector<std::string> wanted;
  bool json = false, list = false;
  bench::Scale scale;
  std::string parent = std::filesystem::temp_directory_path().string(), child;
  app.add_option("--workload", wanted, "only these workloads")->check(CLI::IsMember(names))->option_text("NAME...");
  app.add_flag("--quick", scale.quick, "short slices and small stores: an impression within two minutes");
  app.add_flag("--json", json, "NDJSON instead of text; remarks go to stderr");
  app.add_flag("--list", list, "print the workloads and end");
  CLI::Option* seconds = app.add_option("--seconds", scale.seconds, "length of each measured slice (default 3, quick 0.2)")
                             ->check(CLI::Range(0.01, 3600.0))->option_text("S");
  app.add_option("--rounds", scale.rounds, "rounds; each runs raw and ours in turn (default 3)")->check(CLI::Range(1, 1000))->option_text("N");
  app.add_option("--messages", scale.messages, "messages of the workloads that fill a store (default 10,000,000 or 1,000,000; quick less)")
      ->check(CLI::Range(std::uint64_t{10'000}, std::uint64_t{1'000'000'000}))->option_text("N");
  app.add_option("--dir", parent, "where the stores go, in a directory that is removed at the end")->check(CLI::ExistingDirectory)->option_text("DIR");
  app.add_option("--child", child, "")->group("");
  CLI11_PARSE(app, argc, argv);

  try {
    if (!child.empty()) {
      bench::run_task(bench::Json::parse(child), answer_on_stdout);
      return 0;
    }
    if (list) {
      for (const bench::Workload& workload : bench::workloads()) std::printf("%-28s %s\n", workload.name, workload.what);
      return 0;
    }
    if (scale.quick && seconds->count() == 0) scale.seconds = 0.2;
    return run(scale, json, parent, wanted);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "weir-bench: %s\n", error.what());
    return 1;
  }
}
