#include <cstdio>
#include <cstdlib>
#include <exception>

#include "tests/crash/child/child.h"

int main(int argc, char** argv) {
  using namespace weir::crash;
  const std::vector<std::string> words(argv + 1, argv + argc);
  try {
    if (words.size() == 4 && words[0] == "load") return run_load(words[1], words[2], std::stoull(words[3]));
    if (words.size() == 8 && words[0] == "handlers") {
      weir::GroupOptions group;
      group.max_attempts = static_cast<std::uint32_t>(std::stoul(words[3]));
      group.max_deliveries = static_cast<std::uint32_t>(std::stoul(words[4]));
      return run_handlers(words[1], words[2], group, static_cast<std::uint32_t>(std::stoul(words[5])),
                          static_cast<std::uint32_t>(std::stoul(words[6])), std::stoi(words[7]));
    }
    if (words.size() == 2 && words[0] == "suspects") return run_suspects(words[1]);
    if (words.size() == 3 && words[0] == "redrive") return run_redrive(words[1], words[2]);
    if (words.size() == 4 && words[0] == "bank") return run_bank(words[1], std::stoull(words[2]), words[3] == "finish");
    if (words.size() == 4 && words[0] == "schedules") return run_schedules(words[1], words[2], std::stoull(words[3]));
    if (words.size() == 3 && words[0] == "backups") return run_backups(words[1], words[2]);
    if (words.size() == 3 && words[0] == "restore") return run_restore(words[1], words[2]);
    if (words.size() == 2 && words[0] == "hold") return run_hold(words[1]);
    std::fprintf(stderr, "usage: weir-crash-child load STORE LEDGER SEED | handlers STORE LEDGER ATTEMPTS DELIVERIES THREADS PREFETCH MESSAGES | suspects STORE | redrive STORE LEDGER | bank STORE SEED go-on|finish | schedules STORE NOTES SEED | backups STORE BACKUPS | restore BACKUPS LOCATION | hold STORE\n");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "weir-crash-child: %s\n", error.what());
  }
  return 2;
}
