#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <system_error>

#include "bench/payload_pool.h"
#include "bench/raw_limits.h"

namespace bench {

Tally append_and_sync_for(const std::filesystem::path& directory, double seconds, std::size_t payload_bytes, std::size_t batch,
                          Latencies& latencies) {
  const std::string path = (directory / "append").string();
  const int fd = open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
  const auto must = [&](bool good) {
    if (!good) throw std::system_error(errno, std::generic_category(), path);
  };
  must(fd >= 0);
  PayloadPool pool(payload_bytes);
  std::string bytes(payload_bytes * batch, '\0');
  Tally tally;
  const Stopwatch watch;
  while ((tally.seconds = watch.seconds()) < seconds) {
    for (std::size_t i = 0; i < batch; ++i) std::memcpy(&bytes[i * payload_bytes], pool.next(), payload_bytes);
    const Stopwatch once;
    must(write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    must(fdatasync(fd) == 0);
    latencies.add(once.seconds() * 1e6);
    tally.messages += batch;
  }
  close(fd);
  unlink(path.c_str());
  return tally;
}

}  // namespace bench
