// Begun marks: which deliveries' handlers are running, in a memory-mapped file that outlives the process (S-17). Setting one costs no
// system call. Its header also notes how far commits were acknowledged, so that a log that lost some is noticed (docs/FORMAT.md).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "broker/core/cursor.h"
#include "weir/status.h"

namespace weir::engine {

/// A delivery whose handler had begun when the process died.
struct Mark {
  std::uint64_t group = 0;
  std::uint64_t topic = 0;
  std::uint64_t offset = 0;
  std::uint64_t letter = 0;
  std::uint64_t epoch = 0;
  bool finished = false;  ///< the handler had ended, and its settlement may not be on disk
};

/// Guarded by the engine's lock, but for the acknowledged numbers, which are atomic.
class Marks final : public core::MarkSink {
 public:
  static constexpr std::uint32_t kSlots = 65'536;

  static Result<std::unique_ptr<Marks>> open(const std::string& path);
  ~Marks() override;

  /// What the last process left; empty when the file does not belong to `incarnation`.
  std::vector<Mark> left_behind(std::uint64_t incarnation) const;
  /// Whose marks these are; 0: nobody's. It was written to the store, and synced, before it was written here.
  std::uint64_t incarnation() const;
  /// The last commit it acknowledged that must be there now: at `process` when the machine has not been restarted since, else at `power`.
  std::uint64_t must_have(std::uint64_t incarnation, const std::string& boot_id) const;
  /// Forgets all of that.
  void start(std::uint64_t incarnation, const std::string& boot_id);
  /// The store was closed in order: no handler is running.
  void clean();

  /// How many more can be begun.
  std::uint32_t room() const noexcept { return kSlots - used_ + static_cast<std::uint32_t>(free_.size()); }
  /// kNoSlot: all slots are in use.
  std::uint32_t begin(const Mark& mark);
  void finished(std::uint32_t slot) override;
  void free(std::uint32_t slot);

  void acknowledged(std::uint64_t commit);
  void synced(std::uint64_t commit);

 private:
  struct Header;
  struct Slot;
  explicit Marks(void* map) : map_(map) {}
  Header& header() const;
  Slot& slot(std::uint32_t index) const;

  void* map_;
  std::uint32_t used_ = 0;                // slots handed out so far
  std::vector<std::uint32_t> free_;
};

}  // namespace weir::engine
