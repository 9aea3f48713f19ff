#include "broker/engine/compaction.h"

#include "broker/api/one_shot.h"
#include "broker/engine/answer.h"

namespace weir::engine {
namespace {

constexpr std::size_t kKeysMax = 500'000;            // that one pass knows, about 25 MiB; more are left to the next pass
constexpr std::size_t kBatchBytesMax = 256u << 10;   // of what is written anew
constexpr std::size_t kBatchesMax = 1000;            // that one commit replaces
constexpr std::uint64_t kSpanMax = 1u << 20;         // offsets that one batch covers
constexpr std::uint32_t kSub = 1u << 31;             // behind all batches that the same commit publishes
constexpr std::size_t kStep = 64;                    // batches read before others have their turn
constexpr std::int64_t kLagMaxMs = 3'600'000;        // what is new waits for a pass no longer than this

}  // namespace

std::unique_ptr<CompactionPass> CompactionPass::begin(Engine& engine, const TopicPtr& topic) {
  std::unique_ptr<CompactionPass> pass(new CompactionPass(engine, topic));
  Offset clean, settled, next;
  std::uint64_t bytes = 0;
  bool due = false;
  {
    base::SpinningLock lock(engine.core_);
    if (topic->deleted || !topic->options.compact) return nullptr;
    pass->now_ms_ = engine.now_ms();
    pass->tombstone_ms_ = topic->options.tombstone_retention.count();
    pass->at_ = topic->first;
    clean = std::max(topic->clean, topic->first);
    settled = std::min(engine.settled_by_all(*topic), topic->visible);
    next = topic->next;
    bytes = topic->bytes();
    due = topic->tombstone_due_ms <= pass->now_ms_;
    if (settled <= clean && !due) return nullptr;
  }
  if (!due) {
    const auto oldest = engine.store_->find(topic->id, clean), newest = engine.store_->find(topic->id, Offset{settled.value - 1});
    if (!oldest.ok() || !*oldest || !newest.ok() || !*newest) return nullptr;
    const std::uint64_t fresh_bytes = (*newest)->cumulative - (*oldest)->cumulative + (*oldest)->bytes;
    if (fresh_bytes * 2 < bytes && (*oldest)->time.time_since_epoch().count() + kLagMaxMs > pass->now_ms_) return nullptr;
  }
  // Up to the newest batch, by which the next open knows that the log is whole.
  const Status scanned = engine.store_->scan_index(topic->id, clean, [&](const format::IndexEntry& entry) {
    if (entry.end() > settled || entry.end() >= next) return false;
    if (entry.first >= clean) pass->fresh_.push_back(entry);
    return true;
  });
  if (!scanned.ok() || (!due && pass->fresh_.empty())) return nullptr;
  pass->end_ = pass->fresh_.empty() ? clean : pass->fresh_.front().first;
  return pass;
}

bool CompactionPass::step() {
  {
    base::SpinningLock lock(engine_.core_);
    if (engine_.closing_ || engine_.closed_ || engine_.state_ != StoreState::kRunning || topic_->deleted) return false;
  }
  Status status;
  if (learnt_ < fresh_.size() && last_.size() < kKeysMax) {
    status = learn();
  } else if (at_ < end_) {
    status = rewrite_some();
  } else {
    status = flush();
    if (status.ok()) end();
    return false;
  }
  if (status.ok()) return true;
  // Nothing is lost by a pass that stops: what it did is whole, and the next one begins anew.
  if (!(status == ErrorCode::closed)) engine_.log(LogLevel::kWarning, "compaction of topic " + *topic_->name + " stopped: " + status.to_string());
  return false;
}

Status CompactionPass::learn() {
  for (std::size_t i = 0; i < kStep && learnt_ < fresh_.size() && last_.size() < kKeysMax; ++i) {
    const format::IndexEntry& entry = fresh_[learnt_++];
    const auto batch = engine_.store_->read(topic_->id, entry);
    if (!batch.ok()) return batch.status();
    for (std::uint32_t r = 0; r < (*batch)->records(); ++r)
      if (!(*batch)->key(r).empty()) last_[base::hash128((*batch)->key(r), engine_.hash_seed_)] = (*batch)->offset_of(r).value;
    end_ = entry.end();
  }
  return {};
}

Status CompactionPass::rewrite_some() {
  std::vector<format::IndexEntry> entries;
  const Status scanned = engine_.store_->scan_index(topic_->id, at_, [&](const format::IndexEntry& entry) {
    if (entry.end() <= end_) entries.push_back(entry);
    return entry.end() < end_ && entries.size() < kStep;
  });
  if (!scanned.ok()) return scanned;
  if (entries.empty()) at_ = end_;
  for (const format::IndexEntry& entry : entries) {
    const auto batch = engine_.store_->read(topic_->id, entry);
    if (!batch.ok()) return batch.status();
    if (Status taken = take(entry, **batch); !taken.ok()) return taken;
    at_ = entry.end();
  }
  return {};
}

bool CompactionPass::followed(const format::RecordBatch& batch, std::uint32_t index) const {
  if (batch.key(index).empty()) return false;   // from before the topic was compacted
  const auto known = last_.find(base::hash128(batch.key(index), engine_.hash_seed_));
  return known != last_.end() && known->second > batch.offset_of(index).value;
}

/// A batch that stays as it is ends a run of batches that are written anew.
Status CompactionPass::take(const format::IndexEntry& entry, const format::RecordBatch& batch) {
  std::vector<std::uint32_t> left;
  for (std::uint32_t i = 0; i < batch.records(); ++i) {
    const std::int64_t gone_ms = batch.record_time(i).time_since_epoch().count() + tombstone_ms_;
    const bool over = batch.tombstone(i) && gone_ms <= now_ms_;
    if (over || followed(batch, i)) continue;
    if (batch.tombstone(i)) tombstone_due_ms_ = std::min(tombstone_due_ms_, gone_ms);
    left.push_back(i);
  }
  const bool shell = batch.records() == 0;   // joins its neighbours
  if (left.size() == batch.records() && !shell) return flush();
  if (!rewrite_.sources.empty() &&
      (rewrite_.bytes >= kBatchBytesMax || rewrite_.sources.size() >= kBatchesMax || entry.end() - rewrite_.first() > kSpanMax))
    if (Status flushed = flush(); !flushed.ok()) return flushed;
  rewrite_.sources.push_back(entry);
  rewrite_.removed += batch.records() - left.size();
  for (const std::uint32_t i : left) {
    const format::RecordView record = batch.record(i);
    builder_.add(record);
    rewrite_.places.push_back(static_cast<std::uint32_t>(batch.offset_of(i) - rewrite_.first()));
    rewrite_.times.push_back(batch.record_time(i).time_since_epoch().count());
    rewrite_.bytes += record.payload.size() + record.key.size() + record.headers.size();
  }
  return {};
}

Status CompactionPass::flush() {
  if (rewrite_.sources.empty()) return {};
  const std::uint64_t removed = rewrite_.removed;
  auto bytes = builder_.finish_compacted(rewrite_.first(), static_cast<std::uint32_t>(rewrite_.end() - rewrite_.first()), rewrite_.sources.back().time,
                                         rewrite_.places, rewrite_.times);
  Status status = removed > 0 ? replace(std::move(bytes)) : ok();
  rewrite_ = Rewrite{};
  removed_any_ = removed_any_ || (status.ok() && removed > 0);
  return status;
}

/// In one commit: the batches go, and what is left of them comes in their place.
Status CompactionPass::replace(std::shared_ptr<const std::string> bytes) {
  std::uint64_t before = 0;
  for (const format::IndexEntry& source : rewrite_.sources) before += source.bytes;
  format::IndexEntry entry = rewrite_.sources.back();   // its time, and the bytes that the topic had up to its end
  entry.first = rewrite_.first();
  entry.count = static_cast<std::uint32_t>(rewrite_.end() - rewrite_.first());
  entry.bytes = static_cast<std::uint32_t>(bytes->size());
  const Offset end = rewrite_.end();
  bool from_the_first = false;
  api::OneShot gate;
  Status status;
  auto op = std::make_unique<Op>();
  op->caller_waits = true;
  op->decide = [&](store::WriteSet& set, After& after) -> Status {
    TopicState& topic = *topic_;
    if (topic.deleted || !topic.options.compact) return {ErrorCode::closed, "the topic is not compacted any more"};
    // A group that came meanwhile, or was sought back, wants everything that is still there.
    if (std::min(engine_.settled_by_all(topic), topic.visible) < end) return {ErrorCode::closed, "a group wants what was to go"};
    for (const format::IndexEntry& source : rewrite_.sources) set.erase_batch(topic.id, source);
    from_the_first = rewrite_.places.empty() && rewrite_.first() <= topic.first;
    if (from_the_first) {
      engine_.forget_before(topic, end, before, after);
      engine_.put_head(set, topic);
      return {};
    }
    entry.position = {engine_.commit_, kSub};
    set.put_batch(topic.id, entry, *bytes);
    return {};
  };
  op->done = [&](Status result) {
    status = std::move(result);
    gate.open();
  };
  engine_.submit(std::move(op), {});
  gate.wait();
  if (!status.ok()) return status;
  base::SpinningLock lock(engine_.core_);
  TopicState& topic = *topic_;
  topic.compacted_messages += rewrite_.removed;
  ++topic.rewrites;
  if (!from_the_first) topic.bytes_gone += before - std::min<std::uint64_t>(before, entry.bytes);
  // What memory has of them is out of date.
  while (!topic.tail.empty() && topic.tail.front()->first() < end) topic.tail.pop_front();
  topic.read.erase(topic.read.begin(), topic.read.lower_bound(end.value));
  return {};
}

void CompactionPass::end() {
  base::SpinningLock lock(engine_.core_);
  topic_->clean = std::max(topic_->clean, end_);
  topic_->tombstone_due_ms = tombstone_due_ms_;
}

/// Begins a pass through the first topic that is worth one; there is one pass at a time.
void Engine::compact_one_of(const std::vector<TopicPtr>& topics) {
  if (compaction_) return;
  for (const TopicPtr& topic : topics) {
    compaction_ = CompactionPass::begin(*this, topic);
    if (compaction_) return workshop_->post([this] { compact_step(); });
  }
}

void Engine::compact_step() {
  if (compaction_->step()) return workshop_->post([this] { compact_step(); });
  const bool removed = compaction_->removed_any();
  compaction_.reset();
  if (removed) give_space_back();
}

}  // namespace weir::engine
