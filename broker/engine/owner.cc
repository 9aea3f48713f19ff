#include "broker/engine/owner.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>

namespace weir::engine {
namespace {

// The stores of this process, by device and inode. The kernel's lock is of the open file and not of the process: to read or copy the file does not
// give it up, and the child of a fork would hold it on, so the child closes what it was left. Guarded by its mutex.
struct Registry {
  std::mutex mutex;
  std::map<std::string, int> open;
};
Registry& registry() {
  static Registry* const all = [] {
    static auto* const made = new Registry;
    ::pthread_atfork([] { made->mutex.lock(); }, [] { made->mutex.unlock(); },
                     [] {
                       for (const auto& [identity, fd] : made->open) ::close(fd);
                       made->open.clear();
                       made->mutex.unlock();
                     });
    return made;
  }();
  return *all;
}

Status taken(const std::string& path, pid_t pid) {
  return {ErrorCode::already_open, "the store is open in process " + std::to_string(pid) + " (" + path +
                                       "); use it there, or connect to that process if it serves the store (weir://host:port)"};
}

}  // namespace

Result<std::unique_ptr<Owner>> Owner::take(const std::string& path) {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  struct stat st {};
  if (::stat(path.c_str(), &st) == 0 && all.open.contains(std::to_string(st.st_dev) + ":" + std::to_string(st.st_ino))) return taken(path, ::getpid());
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return Status{errno == ENOSPC ? ErrorCode::storage_full : ErrorCode::stopped, path + ": " + std::strerror(errno)};
  struct flock lock_of {};
  lock_of.l_type = F_WRLCK;
  lock_of.l_whence = SEEK_SET;
  if (::fcntl(fd, F_OFD_SETLK, &lock_of) != 0) {
    char text[32] = {};
    const ssize_t n = ::pread(fd, text, sizeof text - 1, 0);
    const pid_t pid = n > 0 ? static_cast<pid_t>(std::atoi(text)) : 0;
    ::close(fd);
    return taken(path, pid);
  }
  if (::fstat(fd, &st) != 0 || ::ftruncate(fd, 0) != 0) {
    ::close(fd);
    return Status{ErrorCode::stopped, path + ": " + std::strerror(errno)};
  }
  const std::string text = std::to_string(::getpid()) + "\n";
  // What it says is for people; the lock is what counts, so a full disk is no reason to refuse.
  [[maybe_unused]] const ssize_t written = ::pwrite(fd, text.data(), text.size(), 0);
  std::string identity = std::to_string(st.st_dev) + ":" + std::to_string(st.st_ino);
  all.open.emplace(identity, fd);
  return std::unique_ptr<Owner>(new Owner(fd, std::move(identity)));
}

Owner::~Owner() {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  all.open.erase(identity_);
  ::close(fd_);
}

}  // namespace weir::engine
