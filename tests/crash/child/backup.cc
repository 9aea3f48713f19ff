// Publishes and backs up again and again, or restores, until it is killed: see tests/crash/backup_kill_test.cc.
#include <atomic>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>

#include "tests/crash/child/child.h"
#include "weir/care.h"

namespace weir::crash {

int run_backups(const std::string& store, const std::string& backups) {
  OpenOptions options;
  options.reserve_bytes = 0;
  options.memtable_bytes = 256u << 10;   // so that there are table files
  const auto broker = open(store, options).value();
  broker->create_topic("t", {.durability = Durability::kProcess}).value();
  std::uint64_t next = broker->topic("t").value().next.value;
  std::atomic<std::uint64_t> confirmed{next};
  std::printf("open\n");
  std::fflush(stdout);
  std::thread publisher([&] {
    while (true) {
      const auto result = broker->publish("t", Message{.payload = std::to_string(next) + std::string(200, 'x')}, Durability::kPower);
      if (!result.ok()) throw std::runtime_error(result.status().to_string());
      confirmed = ++next;
    }
  });
  while (true) {
    const std::uint64_t before = confirmed;
    const auto made = broker->backup(backups);
    if (!made.ok()) throw std::runtime_error(made.status().to_string());
    std::printf("%u %llu\n", made->number, static_cast<unsigned long long>(before));
    std::fflush(stdout);
  }
}

int run_restore(const std::string& backups, const std::string& location) {
  std::printf("begin\n");
  std::fflush(stdout);
  if (const Status restored = restore_backup(backups, location); !restored.ok()) throw std::runtime_error(restored.to_string());
  return 0;
}

}  // namespace weir::crash
