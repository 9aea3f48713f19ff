#include "broker/core/dedup.h"

#include <algorithm>

#include "broker/base/check.h"
#include "broker/base/prng.h"

namespace weir::core {
namespace {

constexpr std::size_t kAhead = 8;  // ids between a prefetch and its use

}  // namespace

Dedup::Dedup(std::size_t ids_max) : ids_max_(std::clamp<std::size_t>(ids_max, 1, ~Slot{0} - 1)) {}

// The topic is mixed into the hash: 128 bits are enough for both together.
base::Hash128 Dedup::key_of(TopicId topic, base::Hash128 id) noexcept {
  const std::uint64_t mixed = base::mix64(topic.value);
  return {id.high ^ topic.value, id.low ^ mixed};
}

std::optional<Offset> Dedup::find(TopicId topic, base::Hash128 id, Time now, Duration window) const {
  if (!index_) return std::nullopt;
  const base::Hash128 key = key_of(topic, id);
  const std::optional<Slot> slot = index_->find(key.low, [&](Slot each) { return id_in(each).key == key; });
  if (!slot) return std::nullopt;
  const Id& known = id_in(*slot);
  const RecordState& record = records_[known.record - first_record_];
  if (now - record.time >= window) return std::nullopt;
  return known.offset;
}

Dedup::Record Dedup::begin_record(std::uint64_t commit, std::uint32_t sub, TopicId topic, Time time) {
  records_.push_back({commit, topic, time, sub, 0});
  return first_record_ + static_cast<Record>(records_.size() - 1);
}

void Dedup::insert(Record record, base::Hash128 id, Offset offset) {
  if (ring_.empty()) {
    ring_.resize((ids_max_ + kChunkIds - 1) / kChunkIds);
    index_.emplace(ids_max_);
  }
  RecordState& state = state_of(record);
  ++state.ids;
  if (used_ == ids_max_) forget_oldest();
  const Slot slot = slot_at(used_++);
  std::unique_ptr<Id[]>& chunk = ring_[slot / kChunkIds];
  if (chunk == nullptr) chunk = std::make_unique_for_overwrite<Id[]>(kChunkIds);
  const base::Hash128 key = key_of(state.topic, id);
  id_in(slot) = {key, offset, record};
  index_->insert(key.low, slot, [&](Slot each) { return id_in(each).key == key; });
}

void Dedup::insert_record(std::uint64_t commit, std::uint32_t sub, TopicId topic, Time time, std::span<const Entry> entries) {
  const Record record = begin_record(commit, sub, topic, time);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (i + kAhead < entries.size()) prefetch(topic, entries[i + kAhead].hash);
    insert(record, entries[i].hash, entries[i].offset);
  }
}

// Takes the id in `slot` out of the index, unless a newer one of the same key stands there, and off its record's count.
void Dedup::forget(Slot slot) {
  const Id& id = id_in(slot);
  index_->erase(id.key.low, slot);
  RecordState& state = state_of(id.record);
  WEIR_CHECK(state.ids > 0, "record " << state.commit << "/" << state.sub);
  --state.ids;
}

void Dedup::prefetch_oldest() const noexcept {
  if (used_ > kAhead) index_->prefetch(id_in(slot_at(kAhead)).key.low);
}

void Dedup::forget_oldest() {
  prefetch_oldest();
  forget(slot_at(0));
  head_ = head_ + 1 == ids_max_ ? 0 : head_ + 1;
  if (--used_ == 0) head_ = 0;  // a store with few ids stays in the first chunk
}

void Dedup::take_back(std::uint64_t commit) {
  while (used_ > 0) {
    const Slot slot = slot_at(used_ - 1);
    if (state_of(id_in(slot).record).commit < commit) break;
    forget(slot);
    --used_;
  }
  while (!records_.empty() && records_.back().commit >= commit) records_.pop_back();
}

std::vector<Dedup::Expired> Dedup::expire(Time now, Duration longest_window, std::size_t records_max) {
  std::vector<Expired> expired;
  while (!records_.empty() && expired.size() < records_max) {
    RecordState& record = records_.front();
    if (record.ids > 0 && now - record.time < longest_window) break;
    while (record.ids > 0) forget_oldest();
    if (record.sub != kNotPersisted) expired.push_back({record.commit, record.sub});
    records_.pop_front();
    ++first_record_;
  }
  return expired;
}

void Dedup::forget_topic(TopicId topic) {
  const bool any = std::any_of(records_.begin(), records_.end(), [&](const RecordState& r) { return r.topic == topic && r.ids > 0; });
  if (!any) return;
  // Its ids stay in the ring until their turn comes: no topic will ever have that id again.
  for (std::size_t place = 0; place < used_; ++place) {
    const Slot slot = slot_at(place);
    if (state_of(id_in(slot).record).topic != topic) continue;
    index_->erase(id_in(slot).key.low, slot);
  }
}

}  // namespace weir::core
