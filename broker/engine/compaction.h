// One pass of compaction through a topic that keeps the last message of each key (S-10).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "broker/base/hash.h"
#include "broker/engine/state.h"
#include "broker/format/keys.h"
#include "broker/format/record_batch.h"

namespace weir::engine {

class Engine;

/// Looks at what came since the last pass and notes the last offset of each key; then goes through the topic from its beginning and writes those
/// batches anew that hold something older of these keys, several into one. What is left keeps its offset and its time.
/// In steps, so that others have their turn on the same thread. Not thread-safe.
class CompactionPass {
 public:
  /// nullptr: it is not worth a pass.
  static std::unique_ptr<CompactionPass> begin(Engine& engine, const TopicPtr& topic);

  /// False: it is done, or has to stop.
  bool step();
  bool removed_any() const noexcept { return removed_any_; }

 private:
  struct HashOf128 {
    std::size_t operator()(const base::Hash128& hash) const noexcept { return hash.low; }
  };
  /// Batches that follow each other, and what is left of them.
  struct Rewrite {
    std::vector<format::IndexEntry> sources;
    std::vector<std::uint32_t> places;
    std::vector<std::int64_t> times;
    std::size_t bytes = 0;
    std::uint64_t removed = 0;

    Offset first() const { return sources.front().first; }
    Offset end() const { return sources.back().end(); }
  };

  CompactionPass(Engine& engine, TopicPtr topic) : engine_(engine), topic_(std::move(topic)) {}
  Status learn();
  Status rewrite_some();
  Status take(const format::IndexEntry& entry, const format::RecordBatch& batch);
  Status flush();
  Status replace(std::shared_ptr<const std::string> bytes);
  bool followed(const format::RecordBatch& batch, std::uint32_t index) const;
  void end();

  Engine& engine_;
  const TopicPtr topic_;
  std::vector<format::IndexEntry> fresh_;   ///< what came since the last pass
  std::size_t learnt_ = 0;
  absl::flat_hash_map<base::Hash128, std::uint64_t, HashOf128> last_;   ///< offset of each key's last message there
  Offset at_, end_;
  std::int64_t now_ms_ = 0, tombstone_ms_ = 0;
  std::int64_t tombstone_due_ms_ = INT64_MAX;
  format::BatchBuilder builder_;
  Rewrite rewrite_;
  bool removed_any_ = false;
};

}  // namespace weir::engine
