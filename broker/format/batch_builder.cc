// The writing half of record_batch.h. Columns grow in plain buffers, which are kept from batch to batch; FlatBuffers sees each as one vector.
#include <algorithm>

#include "broker/base/check.h"
#include "broker/format/flat.h"
#include "broker/format/record_batch.h"

namespace weir::format {
namespace {

/// Buffers larger than this are not kept for the next batch.
constexpr std::size_t kKeptBytes = std::size_t{4} << 20;

struct ColumnBuffer {
  std::string bytes;
  std::vector<std::uint32_t> ends;

  /// `index` is the record's. Records that had nothing here cost nothing until one has.
  void add(std::size_t index, std::string_view value) {
    if (value.empty()) return;
    if (ends.size() < index) ends.resize(index, end());
    bytes.append(value);
    ends.push_back(end());
  }
  std::uint32_t end() const noexcept { return static_cast<std::uint32_t>(bytes.size()); }
  std::size_t size() const noexcept { return bytes.size() + 4 * ends.size(); }

  flatbuffers::Offset<flat::Column> finish(flatbuffers::FlatBufferBuilder& to, std::size_t count, bool always) {
    if (ends.empty() && !always) return 0;
    ends.resize(count, end());
    const auto flat_bytes = to.CreateVector(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    const auto flat_ends = to.CreateVector(ends);
    clear();
    return flat::CreateColumn(to, flat_ends, flat_bytes);
  }
  void clear() {
    if (bytes.capacity() > kKeptBytes) bytes = {};
    bytes.clear();
    ends.clear();
  }
};

}  // namespace

struct BatchBuilder::Impl {
  std::size_t count = 0;
  ColumnBuffer payload, key, id, content_type, headers;
  std::vector<std::int64_t> expires;
  std::vector<std::uint8_t> tombstones;
  std::vector<flatbuffers::Offset<flat::DeadLetter>> dead_letters;
  /// Holds dead letters from add() on, everything else only during finish().
  std::optional<flatbuffers::FlatBufferBuilder> flat;
  std::size_t flat_bytes = 0;  ///< room that `flat` has

  std::size_t estimate() const {
    return 512 + 4 * count + payload.size() + key.size() + id.size() + content_type.size() + headers.size() + 8 * expires.size() + tombstones.size();
  }
  /// FlatBuffers moves everything whenever it needs more room, so it gets enough at once.
  void reserve(std::size_t bytes) {
    if (flat && flat_bytes >= bytes) return;
    flat_bytes = std::max<std::size_t>(bytes + bytes / 4, 16 << 10);
    flat.emplace(flat_bytes);
  }
  flatbuffers::Offset<flat::DeadLetter> add(const DeadLetterInfo& info);
};

flatbuffers::Offset<flat::DeadLetter> BatchBuilder::Impl::add(const DeadLetterInfo& info) {
  auto& to = *flat;
  const auto origin_topic = to.CreateString(info.origin_topic);
  const auto group = add_string(to, info.group);
  const auto source = add_string(to, info.source);
  const auto error = add_string(to, info.error);
  const auto attempts = add_attempts(to, info.attempts);
  const auto number = [](const std::optional<Offset>& offset) { return offset ? flatbuffers::Optional<std::uint64_t>(offset->value) : flatbuffers::nullopt; };
  return flat::CreateDeadLetter(to, origin_topic, info.origin_offset.value, group, source, milliseconds_of(info.published),
                                static_cast<std::uint8_t>(info.reason), error, info.deliveries, info.failures,
                                milliseconds_of(info.first_failure), milliseconds_of(info.last_failure), attempts, info.redrives, number(info.previous),
                                number(info.edited_of));
}

BatchBuilder::BatchBuilder() : impl_(std::make_unique<Impl>()) {}
BatchBuilder::~BatchBuilder() = default;
std::size_t BatchBuilder::count() const noexcept { return impl_->count; }

void BatchBuilder::add(const RecordView& record, const DeadLetterInfo* dead_letter) {
  Impl& impl = *impl_;
  const std::size_t index = impl.count;
  impl.payload.add(index, record.payload);
  impl.key.add(index, record.key);
  impl.id.add(index, record.id);
  impl.content_type.add(index, record.content_type);
  impl.headers.add(index, record.headers);
  if (record.expires_at_ms != 0) {
    impl.expires.resize(index, 0);
    impl.expires.push_back(record.expires_at_ms);
  }
  if (record.tombstone) {
    impl.tombstones.resize(index, 0);
    impl.tombstones.push_back(1);
  }
  if (dead_letter != nullptr) {
    if (impl.dead_letters.empty()) impl.reserve(16 << 10);
    while (impl.dead_letters.size() < index) impl.dead_letters.push_back(flat::CreateDeadLetter(*impl.flat));
    impl.dead_letters.push_back(impl.add(*dead_letter));
  }
  ++impl.count;
}

std::shared_ptr<const std::string> BatchBuilder::finish(Offset first, Time time) {
  WEIR_CHECK(impl_->count > 0);
  return finish(first, time, static_cast<std::uint32_t>(impl_->count), nullptr, nullptr);
}

std::shared_ptr<const std::string> BatchBuilder::finish_compacted(Offset first, std::uint32_t span, Time time, const std::vector<std::uint32_t>& places,
                                                                  const std::vector<std::int64_t>& times) {
  WEIR_CHECK(places.size() == impl_->count && times.size() == impl_->count && impl_->dead_letters.empty());
  return finish(first, time, span, &places, &times);
}

std::shared_ptr<const std::string> BatchBuilder::finish(Offset first, Time time, std::uint32_t span, const std::vector<std::uint32_t>* places,
                                                        const std::vector<std::int64_t>* times) {
  Impl& impl = *impl_;
  if (impl.dead_letters.empty()) impl.reserve(impl.estimate() + (places == nullptr ? 0 : 12 * places->size()));
  auto& flat = *impl.flat;
  flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<flat::DeadLetter>>> dead_letters = 0;
  if (!impl.dead_letters.empty()) {
    while (impl.dead_letters.size() < impl.count) impl.dead_letters.push_back(flat::CreateDeadLetter(flat));
    dead_letters = flat.CreateVector(impl.dead_letters);
  }
  flatbuffers::Offset<flatbuffers::Vector<std::int64_t>> expires = 0;
  if (!impl.expires.empty()) {
    impl.expires.resize(impl.count, 0);
    expires = flat.CreateVector(impl.expires);
  }
  flatbuffers::Offset<flatbuffers::Vector<std::uint8_t>> tombstones = 0;
  if (!impl.tombstones.empty()) {
    impl.tombstones.resize(impl.count, 0);
    tombstones = flat.CreateVector(impl.tombstones);
  }
  const auto flat_places = places == nullptr ? 0 : flat.CreateVector(*places);
  const auto flat_times = times == nullptr ? 0 : flat.CreateVector(*times);
  const auto payload = impl.payload.finish(flat, impl.count, true);
  const auto key = impl.key.finish(flat, impl.count, false);
  const auto id = impl.id.finish(flat, impl.count, false);
  const auto content_type = impl.content_type.finish(flat, impl.count, false);
  const auto headers = impl.headers.finish(flat, impl.count, false);
  flat.Finish(flat::CreateRecordBatch(flat, first.value, milliseconds_of(time), span, payload, key, id, content_type, headers, expires,
                                      dead_letters, tombstones, flat_places, flat_times));
  auto bytes = std::make_shared<const std::string>(reinterpret_cast<const char*>(flat.GetBufferPointer()), flat.GetSize());
  impl.count = 0;
  impl.expires.clear();
  impl.tombstones.clear();
  impl.dead_letters.clear();
  flat.Clear();
  if (bytes->size() > kKeptBytes) impl.flat.reset();
  return bytes;
}

}  // namespace weir::format
