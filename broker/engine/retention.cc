// Retention: messages go when every group has settled them and they are old, too many, or to be discarded (S-10).
#include "broker/api/one_shot.h"
#include "broker/engine/answer.h"

namespace weir::engine {
namespace {
constexpr std::size_t kStep = 1000;   // batches erased by one commit
constexpr std::uint64_t kErasedMax = 64u << 20;   // so much of the log's table files may be erased and still there, beside as much as is kept
constexpr std::size_t kGarbageMax = 1024, kGarbageBytesMax = 4096;
}

/// Everything before it is settled by every group, and by the dead letters that were given back.
Offset Engine::settled_by_all(const TopicState& topic) const {
  Offset out = topic.visible;
  for (const CursorPtr& state : topic.cursors) out = std::min(out, state->cursor->floor());
  if (topic.letters) {
    const auto origin = cursors_.find({topic.letters_of_group.value, topic.letters_of_topic.value});
    if (origin != cursors_.end())
      if (const std::optional<std::uint64_t> letter = origin->second->cursor->oldest_letter()) out = std::min(out, Offset{*letter});
  }
  return out;
}

/// Under the lock: the messages before `first` are gone, or are about to be with the commit that is decided.
void Engine::forget_before(TopicState& topic, Offset first, std::uint64_t bytes, After& after) {
  topic.bytes_gone += bytes;
  topic.first = std::max(topic.first, first);
  while (!topic.tail.empty() && topic.tail.front()->end() <= topic.first) {
    if (topic.options.ephemeral) {
      ephemeral_bytes_ -= topic.tail.front()->bytes();
      // Small ones are left to the next publish: memory that goes back on the thread that it came from costs neither thread a lock.
      const bool small = topic.tail.front()->bytes() <= kGarbageBytesMax && garbage_.size() < kGarbageMax;
      (small ? garbage_ : after.garbage).push_back(std::move(topic.tail.front()));
    }
    topic.tail.pop_front();
  }
  while (!topic.read.empty() && topic.read.begin()->second->end() <= topic.first) topic.read.erase(topic.read.begin());
  if (topic.letters) workbench_->letters_gone(topic, topic.first, after);
  for (const CursorPtr& state : topic.cursors) {
    const std::uint64_t lost = state->cursor->lose_before(topic.first, now_ms());
    if (lost == 0) continue;
    topic.dropped_unsettled += lost;
    if (!topic.options.ephemeral || !store_)
      events_.add("dropped_unread", {{"topic", *topic.name}, {"group", state->group->name}, {"source", state->group->source}, {"count", lost}, {"before", topic.first.value}});
    changed(*state, after);
  }
  if (!topic.tail.empty() && topic.options.ephemeral) topic.first_time = topic.tail.front()->time();
}

void Engine::retain() {
  std::vector<TopicPtr> topics, compact;
  After after;
  {
    Lock lock(core_);
    retaining_ = false;
    const std::int64_t now = now_ms();
    for (const auto& [id, topic] : topics_by_id_) {
      if (topic->first >= topic->visible) continue;
      const TopicOptions& o = topic->options;
      if (o.compact) {
        compact.push_back(topic);
        continue;
      }
      const bool some_settled = topic->first < settled_by_all(*topic);
      const bool old = topic->first_time + o.retention_age <= Time{Duration{now}};
      const bool large = o.retention_bytes != 0 && topic->bytes() > o.retention_bytes;
      const bool discard = o.discard_settled && !topic->cursors.empty();
      const bool over = o.cap_policy == CapPolicy::kDropOldest && o.bytes_max != 0 && topic->bytes() > o.bytes_max;
      if (!over && !(some_settled && (old || large || discard))) continue;
      if (o.ephemeral)
        retain_ephemeral(*topic, now, after);
      else
        topics.push_back(topic);
    }
  }
  finish(std::move(after));
  if (state_ == StoreState::kStopped || closed_) return;
  for (const TopicPtr& topic : topics) retain_topic(topic);
  if (!topics.empty())
    give_space_back();
  else
    compact_erased();
  if (!compact.empty()) compact_one_of(compact);
}

void Engine::retain_ephemeral(TopicState& topic, std::int64_t now, After& after) {
  const Offset settled = settled_by_all(topic);
  const TopicOptions& o = topic.options;
  while (!topic.tail.empty() && topic.tail.front()->end() <= settled) {
    const ChunkPtr oldest = topic.tail.front();
    const bool old = oldest->time() + o.retention_age <= Time{Duration{now}};
    const bool large = o.retention_bytes != 0 && topic.bytes() > o.retention_bytes;
    if (!old && !large && !(o.discard_settled && !topic.cursors.empty())) return;
    forget_before(topic, oldest->end(), oldest->bytes(), after);
  }
}

/// Erases what may go, whole batches at a time.
void Engine::retain_topic(const TopicPtr& topic) {
  while (true) {
    TopicOptions o;
    Offset settled;
    Offset first;
    std::uint64_t bytes = 0;
    bool has_groups = false;
    {
      Lock lock(core_);
      if (topic->deleted) return;
      o = topic->options;
      settled = settled_by_all(*topic);
      first = topic->first;
      bytes = topic->bytes();
      has_groups = !topic->cursors.empty();
    }
    const Time now = options_.clock->now();
    auto gone = std::make_shared<std::vector<format::IndexEntry>>();
    std::size_t dropped = 0;   // of them, settled or not
    std::optional<Time> next_time;
    const Status scanned = store_->scan_index(topic->id, first, [&](const format::IndexEntry& entry) {
      const bool over = o.cap_policy == CapPolicy::kDropOldest && o.bytes_max != 0 && bytes > o.bytes_max;
      const bool may = entry.end() <= settled && (entry.time + o.retention_age <= now || (o.retention_bytes != 0 && bytes > o.retention_bytes) || (o.discard_settled && has_groups));
      if ((!over && !may) || gone->size() == kStep) {
        next_time = entry.time;
        return false;
      }
      gone->push_back(entry);
      if (over) dropped = gone->size();
      bytes -= entry.bytes;
      return true;
    });
    if (!scanned.ok() || gone->empty()) {
      Lock lock(core_);
      if (scanned.ok() && next_time) topic->first_time = *next_time;
      return;
    }
    api::OneShot gate;
    Status status;
    auto op = std::make_unique<Op>();
    op->caller_waits = true;
    op->decide = [&](store::WriteSet& set, After& after) -> Status {
      if (topic->deleted) return {};
      // A group that came meanwhile, was sought back, or was given letters back, wants everything that is still there.
      const Offset settled_now = settled_by_all(*topic);
      while (gone->size() > dropped && gone->back().end() > settled_now) {
        next_time = gone->back().time;
        gone->pop_back();
      }
      if (gone->empty()) return {};
      std::uint64_t erased = 0;
      for (const format::IndexEntry& entry : *gone) {
        set.erase_batch(topic->id, entry);
        erased += entry.bytes;
      }
      if (next_time) topic->first_time = *next_time;
      if (topic->letters)
        set.erase_range(format::letter_event_prefix(topic->id, gone->front().first), format::letter_event_prefix(topic->id, gone->back().end()));
      forget_before(*topic, gone->back().end(), erased, after);
      put_head(set, *topic);
      return {};
    };
    op->done = [&](Status result) {
      status = std::move(result);
      gate.open();
    };
    submit(std::move(op), {});
    gate.wait();
    if (!status.ok() || gone->size() < kStep) return;
  }
}

/// When no batch is left, this still tells where the topic goes on.
void Engine::put_head(store::WriteSet& set, const TopicState& topic) const {
  std::string head;
  format::append_u64(head, topic.next.value);
  format::append_u64(head, topic.cumulative);
  format::append_u64(head, static_cast<std::uint64_t>(topic.last_time.time_since_epoch().count()));
  set.put(format::topic_head_key(topic.id), head);
}

/// After something was erased. Whole files of the log that hold nothing any more go at once. What else is erased waits for RocksDB to compact, unless
/// it is most of the log.
void Engine::give_space_back() {
  std::uint64_t written = 0;
  {
    std::lock_guard lock(sync_mutex_);
    written = written_commit_;
  }
  const auto live = store_->first_live_commit(trimmed_commit_);
  if (!live.ok()) return;
  const std::uint64_t commit = live->value_or(written + 1);
  // Files are gone at once: what erased their batches must not be lost by a loss of power, which would leave the index pointing at nothing.
  if (commit > trimmed_commit_ && store_->sync().ok() && store_->trim_log(commit).ok()) trimmed_commit_ = commit;
  erased_ = true;
  compact_erased();
}

/// Looks as long as what was erased may still become too much in the tables: memtables are flushed some time later.
void Engine::compact_erased() {
  if (!erased_) return;
  std::uint64_t kept = 0;
  {
    Lock lock(core_);
    for (const auto& [id, topic] : topics_by_id_)
      if (!topic->options.ephemeral) kept += topic->bytes();
  }
  const std::uint64_t tables = store_->log_table_bytes(), limit = 2 * kept + kErasedMax + erased_left_;
  if (tables < limit) {
    if (tables + store_->unflushed_bytes() < limit) erased_ = false;
    return;
  }
  if (compacting_log_.exchange(true)) return;
  erased_ = false;
  take_care([this, kept] {
    if (const Status status = store_->compact_log(); !status.ok()) log(LogLevel::kWarning, "giving back the room of erased messages: " + status.to_string());
    const std::uint64_t now = store_->log_table_bytes();
    erased_left_ = now > 2 * kept ? now - 2 * kept : 0;   // of no use to try again before there is more
    compacting_log_ = false;
  });
}

/// Erases the schedules and batches of a deleted topic, a step at a time; goes on after a restart where it stopped. The room of a full disk may be just there, so a
/// full disk does not keep it from its work.
void Engine::purge_deleted_topic(TopicId topic) {
  const std::optional<bool> more = purge_step(topic);
  if (!more) {
    Lock lock(core_);
    purge_later_.push_back(topic);
  } else if (*more) {
    workshop_->post([this, topic] { purge_deleted_topic(topic); });
  } else {
    give_space_back();
  }
}

/// Whether there is more to do; nothing when it must be tried again later.
std::optional<bool> Engine::purge_step(TopicId topic) {
  if (!schedules_.purge(topic)) return std::nullopt;
  if (closing_) return std::nullopt;
  std::vector<format::IndexEntry> gone;
  const Status scanned = store_->scan_index(topic, Offset{}, [&](const format::IndexEntry& entry) {
    gone.push_back(entry);
    return gone.size() < kStep;
  });
  if (!scanned.ok()) return std::nullopt;
  const bool more = gone.size() == kStep;
  api::OneShot gate;
  Status status;
  auto op = std::make_unique<Op>();
  op->caller_waits = true;
  op->decide = [&](store::WriteSet& set, After&) -> Status {
    for (const format::IndexEntry& entry : gone) set.erase_batch(topic, entry);
    if (!more) set.erase(format::deleted_topic_key(topic));
    return {};
  };
  op->done = [&](Status result) {
    status = std::move(result);
    gate.open();
  };
  submit(std::move(op), {});
  gate.wait();
  return status.ok() ? std::optional<bool>(more) : std::nullopt;
}

}  // namespace weir::engine
