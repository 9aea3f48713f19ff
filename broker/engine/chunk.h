// A run of a topic's messages in memory: a record batch of the log, or what one publish put on an ephemeral topic.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "broker/core/cursor.h"
#include "broker/format/record_batch.h"
#include "weir/group.h"
#include "weir/message.h"

namespace weir::engine {

class Chunk;
using ChunkPtr = std::shared_ptr<const Chunk>;

/// Immutable; thread-safe.
class Chunk : public std::enable_shared_from_this<Chunk> {
 public:
  explicit Chunk(std::shared_ptr<const format::RecordBatch> batch) : batch_(std::move(batch)), first_(batch_->first()), count_(batch_->count()), time_(batch_->time()), bytes_(batch_->bytes()) {}
  /// Messages of an ephemeral topic: kept as they were handed in, so payloads are shared with all who read them.
  Chunk(Offset first, Time time, std::vector<Message> messages, std::vector<std::shared_ptr<const DeadLetterInfo>> letters = {});

  Offset first() const noexcept { return first_; }
  Offset end() const noexcept { return first_ + count_; }
  bool holds(Offset offset) const noexcept { return offset >= first_ && offset < end(); }
  /// Whether the message at an offset that it holds is still there: compaction takes some out.
  bool has(Offset offset) const noexcept { return holds(offset) && (!batch_ || !batch_->compacted() || batch_->index_of(offset) != format::RecordBatch::kNone); }
  Time time() const noexcept { return time_; }   ///< of the last message
  Time time_of(Offset offset) const noexcept { return batch_ ? batch_->record_time(index(offset)) : time_; }
  std::size_t bytes() const noexcept { return bytes_; }

  /// What a cursor must know of a message. `seed` is of the key hash.
  core::LogMessage look(Offset offset, Order order, const Filter& filter, std::uint64_t seed) const;
  /// What orders a message with that key: 0 for nothing.
  static std::uint64_t hash(std::string_view key, Order order, std::uint64_t seed);
  std::uint64_t key_hash(Offset offset, Order order, std::uint64_t seed) const;
  std::int64_t expires_ms(Offset offset) const;
  std::size_t payload_size(Offset offset) const {
    return batch_ ? batch_->payload_size(index(offset)) : messages_[index(offset)].payload.size();
  }
  /// The message as it is given out; topic_name is the caller's to set.
  void fill(Offset offset, StoredMessage& out) const;
  std::shared_ptr<const DeadLetterInfo> dead_letter(Offset offset) const;

 private:
  std::uint32_t index(Offset offset) const noexcept { return batch_ ? batch_->index_of(offset) : static_cast<std::uint32_t>(offset - first_); }

  std::shared_ptr<const format::RecordBatch> batch_;
  std::vector<Message> messages_;
  std::vector<std::string> headers_;   // encoded; empty when no message has any
  std::vector<std::shared_ptr<const DeadLetterInfo>> letters_;
  Offset first_;
  std::uint32_t count_ = 0;
  Time time_;
  std::size_t bytes_ = 0;
};

}  // namespace weir::engine
