#include "bench/machine.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

namespace bench {
namespace {

/// The number behind a label in one of the kernel's small text files.
std::uint64_t labelled_number(const char* file, const std::string& label) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);)
    if (line.rfind(label, 0) == 0) return std::stoull(line.substr(label.size()));
  return 0;
}

std::string labelled_text(const char* file, const std::string& label) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);)
    if (line.rfind(label, 0) == 0) return line.substr(line.find(':') + 2);
  return "unknown processor";
}

/// The type and device of the mount that holds the directory: the longest mount point that is a prefix of it.
std::string file_system_of(const std::filesystem::path& directory) {
  const std::string place = std::filesystem::absolute(directory).string();
  std::ifstream in("/proc/self/mounts");
  std::string best = "unknown file system";
  std::size_t best_length = 0;
  std::string device, mount, type, rest;
  while (in >> device >> mount >> type && std::getline(in, rest))
    if (place.rfind(mount, 0) == 0 && mount.size() >= best_length) {
      best_length = mount.size();
      best = type + " on " + device;
    }
  return best;
}

}  // namespace

std::string machine_facts(const std::filesystem::path& directory) {
  utsname kernel{};
  uname(&kernel);
  std::ostringstream out;
  out << std::thread::hardware_concurrency() << " cpus (" << labelled_text("/proc/cpuinfo", "model name") << "), "
      << labelled_number("/proc/meminfo", "MemTotal:") / 1024 << " MiB, " << kernel.sysname << ' ' << kernel.release << ", "
      << file_system_of(directory);
  return out.str();
}

std::uint64_t written_bytes() { return labelled_number("/proc/self/io", "write_bytes:"); }
void wait_quiet() {
  std::uint64_t before = ~std::uint64_t{0};
  for (int quiet = 0, looks = 0; quiet < 5 && looks < 300; ++looks) {
    const std::uint64_t now = written_bytes();
    quiet = now == before ? quiet + 1 : 0;
    before = now;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

std::uint64_t resident_bytes() { return labelled_number("/proc/self/status", "VmRSS:") * 1024; }
std::uint64_t resident_anonymous_bytes() { return labelled_number("/proc/self/status", "RssAnon:") * 1024; }

std::uint64_t directory_bytes(const std::filesystem::path& directory, const std::string& extension) {
  std::uint64_t sum = 0;
  std::error_code error;
  // Files come and go while a store works; one that is gone counts nothing.
  for (auto it = std::filesystem::recursive_directory_iterator(directory, error); !error && it != std::filesystem::end(it); it.increment(error)) {
    struct stat facts {};
    if (!extension.empty() && it->path().extension() != extension) continue;
    if (stat(it->path().c_str(), &facts) == 0 && S_ISREG(facts.st_mode))
      sum += extension.empty() ? static_cast<std::uint64_t>(facts.st_blocks) * 512 : static_cast<std::uint64_t>(facts.st_size);
  }
  return sum;
}

void flush_file_system(const std::filesystem::path& directory) {
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  syncfs(fd);
  close(fd);
}

}  // namespace bench
