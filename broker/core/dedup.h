// Dedup: the message ids of the whole store that are still remembered (S-6).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "broker/base/hash.h"
#include "broker/core/id_index.h"
#include "weir/types.h"

namespace weir::core {

/// Operation. Ids are remembered by their 128-bit hash, first in, first out, at most `ids_max` of all topics together. They belong to records:
/// the ids of one commit's messages on one topic, which is how they are persisted. expire() tells which persisted records hold no remembered id any
/// more. At open, insert_record() each record in commit order.
///
/// Concurrency. None: one thread at a time.
///
/// Limitations. About 40 bytes an id. Records must be begun in commit order and with times that do not go back.
class Dedup {
 public:
  struct Entry {
    base::Hash128 hash;
    Offset offset;
  };
  /// A persisted record to be deleted.
  struct Expired {
    std::uint64_t commit = 0;
    std::uint32_t sub = 0;
    friend bool operator==(const Expired&, const Expired&) = default;
  };
  /// Names a record until the next expire().
  using Record = std::uint32_t;
  /// As `sub`: the record is not persisted (ephemeral topics), and expire() does not name it.
  static constexpr std::uint32_t kNotPersisted = ~std::uint32_t{0};

  explicit Dedup(std::size_t ids_max);
  Dedup(const Dedup&) = delete;
  Dedup& operator=(const Dedup&) = delete;

  /// The offset of the message with that id, when it was inserted less than `window` before `now`.
  std::optional<Offset> find(TopicId topic, base::Hash128 id, Time now, Duration window) const;

  /// Begins to bring what find() and insert() need into the cache; worth it when called some ids ahead.
  void prefetch(TopicId topic, base::Hash128 id) const noexcept {
    if (index_) index_->prefetch(key_of(topic, id).low);
  }

  /// Begins the record (commit, sub) of a topic; at least one insert must follow. Records of one commit may be filled side by side.
  Record begin_record(std::uint64_t commit, std::uint32_t sub, TopicId topic, Time time);
  /// Remembers an id; the same id of that topic from before is replaced. Past ids_max the oldest id is forgotten.
  void insert(Record record, base::Hash128 id, Offset offset);
  /// Both at once.
  void insert_record(std::uint64_t commit, std::uint32_t sub, TopicId topic, Time time, std::span<const Entry> entries);
  /// Takes the records of this commit and of later ones back: their write failed, so nothing of them is on disk.
  void take_back(std::uint64_t commit);

  /// Forgets ids that are `longest_window` old, and names up to `records_max` records that hold no remembered id any more, for whatever reason, oldest
  /// first. What is left goes with the next call.
  std::vector<Expired> expire(Time now, Duration longest_window, std::size_t records_max = ~std::size_t{0});
  /// Forgets the ids of a deleted topic; its records are named by expire() when their turn comes.
  void forget_topic(TopicId topic);

  std::size_t size() const noexcept { return index_ ? index_->size() : 0; }
  std::size_t ids_max() const noexcept { return ids_max_; }

 private:
  using Slot = IdIndex::Slot;
  struct Id {
    base::Hash128 key;
    Offset offset;
    Record record;
  };
  static constexpr std::size_t kChunkIds = std::size_t{1} << 16;
  struct RecordState {
    std::uint64_t commit;
    TopicId topic;
    Time time;
    std::uint32_t sub;
    std::uint32_t ids;  // of it in the ring
  };

  static base::Hash128 key_of(TopicId topic, base::Hash128 id) noexcept;
  Id& id_in(Slot slot) const noexcept { return ring_[slot / kChunkIds][slot % kChunkIds]; }
  Slot slot_at(std::size_t place) const noexcept {
    const std::size_t slot = head_ + place;
    return static_cast<Slot>(slot < ids_max_ ? slot : slot - ids_max_);
  }
  RecordState& state_of(Record record) noexcept { return records_[record - first_record_]; }
  void forget_oldest();
  void forget(Slot slot);
  void prefetch_oldest() const noexcept;

  const std::size_t ids_max_;
  std::vector<std::unique_ptr<Id[]>> ring_;    // ids_max_ slots, in chunks that are allocated when they are first used
  std::size_t head_ = 0;                       // the slot of the oldest id
  std::size_t used_ = 0;                       // slots in use, from head_ on
  std::deque<RecordState> records_;            // in commit order
  Record first_record_ = 0;                    // the number of records_.front(); wraps around
  std::optional<IdIndex> index_;               // by the key's low half; made at the first insert
};

}  // namespace weir::core
