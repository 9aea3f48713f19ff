// Record batches: the messages of one commit for one topic, as one FlatBuffer in columns (docs/FORMAT.md).
// A column that no record of the batch uses is absent, so a plain message costs its payload and four bytes.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/dead_letter.h"
#include "weir/status.h"
#include "weir/types.h"

namespace weir::format {

/// One record, as views: on the way in valid until add() returns, on the way out as long as the batch lives.
struct RecordView {
  std::string_view payload;
  std::string_view key;
  std::string_view id;
  std::string_view content_type;
  std::string_view headers;                     ///< encoded as HeadersView reads them (message.h)
  std::int64_t expires_at_ms = 0;               ///< 0: never
  bool tombstone = false;
};

/// Builds batches, one after another; keeps its buffers between them. Not thread-safe.
class BatchBuilder {
 public:
  BatchBuilder();
  ~BatchBuilder();
  void add(const RecordView& record, const DeadLetterInfo* dead_letter = nullptr);
  std::size_t count() const noexcept;
  /// The bytes, in a buffer of its own that can be shared and kept. The builder is empty again.
  std::shared_ptr<const std::string> finish(Offset first, Time time);
  /// The same for what compaction left of `span` messages: record i is the message `first + places[i]`, committed at `times[i]`; `time` is the last
  /// message's, whether it is left or not. Places rise and are less than `span`. There may be no record at all.
  std::shared_ptr<const std::string> finish_compacted(Offset first, std::uint32_t span, Time time, const std::vector<std::uint32_t>& places,
                                                      const std::vector<std::int64_t>& times);

 private:
  std::shared_ptr<const std::string> finish(Offset first, Time time, std::uint32_t span, const std::vector<std::uint32_t>* places,
                                            const std::vector<std::int64_t>* times);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Whether HeadersView can read these bytes, to the very end.
bool headers_valid(std::string_view headers);

/// An immutable batch. Thread-safe. Cheap accessors: columns are resolved once, at parse.
class RecordBatch {
 public:
  /// Verifies everything that accessors rely on. `where` names the place in the error (`corruption`).
  static Result<std::shared_ptr<const RecordBatch>> parse(std::shared_ptr<const std::string> bytes, std::string_view where);

  Offset first() const noexcept { return first_; }
  Offset end() const noexcept { return first_ + count_; }   ///< one behind the last
  std::uint32_t count() const noexcept { return count_; }       ///< offsets that it covers
  std::uint32_t records() const noexcept { return records_; }   ///< messages that it has: fewer than count() after compaction
  bool compacted() const noexcept { return places_ != nullptr; }
  /// Which record is the message at `offset`, which it covers; kNone: it was compacted away.
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  std::uint32_t index_of(Offset offset) const noexcept {
    const auto place = static_cast<std::uint32_t>(offset - first_);
    return places_ == nullptr ? place : find_place(place);
  }
  Offset offset_of(std::uint32_t index) const noexcept { return first_ + (places_ == nullptr ? index : load<std::uint32_t>(places_ + std::size_t{4} * index)); }
  Time time() const noexcept { return time_; }                  ///< of the last message
  Time record_time(std::uint32_t index) const noexcept {
    return times_ == nullptr ? time_ : Time{Duration{static_cast<std::int64_t>(load<std::uint64_t>(times_ + std::size_t{8} * index))}};
  }
  bool tombstone(std::uint32_t index) const noexcept { return tombstones_ != nullptr && tombstones_[index] != 0; }
  std::size_t bytes() const noexcept { return bytes_->size(); }
  RecordView record(std::uint32_t index) const noexcept {   ///< index < records()
    return {payload_.at(index), key_.at(index), id_.at(index), content_type_.at(index), headers_.at(index), expires_at_ms(index), tombstone(index)};
  }
  std::string_view key(std::uint32_t index) const noexcept { return key_.at(index); }
  std::int64_t expires_at_ms(std::uint32_t index) const noexcept {
    return expires_ ? static_cast<std::int64_t>(load<std::uint64_t>(expires_ + std::size_t{8} * index)) : 0;
  }
  std::string_view headers(std::uint32_t index) const noexcept { return headers_.at(index); }
  std::size_t payload_size(std::uint32_t index) const noexcept { return payload_.at(index).size(); }
  bool has_keys() const noexcept { return key_.ends != nullptr; }
  bool has_expiry() const noexcept { return expires_ != nullptr; }
  std::shared_ptr<const DeadLetterInfo> dead_letter(std::uint32_t index) const;  ///< decoded anew each time; nullptr: none
  const std::shared_ptr<const std::string>& buffer() const noexcept { return bytes_; }

 private:
  template <class Number>
  static Number load(const std::uint8_t* at) noexcept {
    Number number;
    std::memcpy(&number, at, sizeof number);
    static_assert(std::endian::native == std::endian::little, "numbers of a batch are little-endian");
    return number;
  }
  struct Column {
    const std::uint8_t* ends = nullptr;   ///< little-endian uint32 per record; nullptr: column absent
    const char* bytes = nullptr;
    std::string_view at(std::uint32_t index) const noexcept {
      if (ends == nullptr) return {};
      const std::uint32_t begin = index == 0 ? 0 : load<std::uint32_t>(ends + std::size_t{4} * index - 4);
      return {bytes + begin, load<std::uint32_t>(ends + std::size_t{4} * index) - begin};
    }
  };
  RecordBatch() = default;
  std::uint32_t find_place(std::uint32_t place) const noexcept;
  std::shared_ptr<const std::string> bytes_;
  Offset first_;
  Time time_;
  std::uint32_t count_ = 0;
  std::uint32_t records_ = 0;
  Column payload_, key_, id_, content_type_, headers_;
  const std::uint8_t* expires_ = nullptr;
  const std::uint8_t* tombstones_ = nullptr;
  const std::uint8_t* places_ = nullptr;
  const std::uint8_t* times_ = nullptr;
  const void* root_ = nullptr;  ///< the FlatBuffers root, for the rarely used parts
};

}  // namespace weir::format
