// The commit pipeline: operations gather, one leader decides them, writes them at once, and answers.
#include <pthread.h>

#include "broker/base/check.h"
#include "broker/base/fork.h"
#include "broker/core/limits.h"
#include "broker/engine/answer.h"

namespace weir::engine {
namespace {

constexpr std::size_t kBuildersMax = 64;
constexpr std::size_t kOpsAhead = 6;   // between expect() and the decision

std::chrono::steady_clock::time_point steady_deadline(const CallContext& context, Clock& clock) {
  using namespace std::chrono;
  if (!context.deadline) return steady_clock::time_point::max();
  const std::optional<Duration> left = clock.real_time_until(*context.deadline);
  if (!left) return clock.now() >= *context.deadline ? steady_clock::now() : steady_clock::time_point::max();
  return steady_clock::now() + std::min<Duration>(*left, hours{24 * 365});
}

}  // namespace

void Engine::call_back(UniqueFunction<void()> function) {
  if (fork_generation_ != base::fork_generation()) {
    // In the child of a fork no executor has its threads any more, and a callback never runs inside its call.
    std::thread([function = std::move(function)]() mutable { function(); }).detach();
    return;
  }
  if (options_.executor)
    options_.executor(std::move(function));
  else
    callbacks_->post(std::move(function));
}

/// Hands an operation to the pipeline. A caller that waits becomes the leader when nobody leads: its commit costs no change of threads.
void Engine::submit(std::unique_ptr<Op> op, const CallContext& context) {
  const bool waits = op->caller_waits;
  const bool power = op->level == Durability::kPower;
  Lock lock(queue_mutex_);
  if (op->bytes != 0 && (queue_bytes_ + op->bytes > options_.queue_bytes_max || queue_.size() >= options_.queue_requests_max) && !queue_.empty()) {
    Status refused = wait_for_room(lock, *op, context);
    if (!refused.ok()) {
      lock.unlock();
      op->status = std::move(refused);
      return complete_one(std::move(op));
    }
  }
  if (writer_ends_) {
    lock.unlock();
    op->status = {ErrorCode::closed, "the broker is closed"};
    return complete_one(std::move(op));
  }
  queue_bytes_ += op->bytes;
  queue_.push_back(std::move(op));
  queue_size_.store(queue_.size(), std::memory_order_relaxed);
  if (leading_) return;
  if (waits) {
    leading_ = true;
    leader_syncs_ = power;
    lead_once(lock);
    lock.unlock();
    if (power) sync_here_if_idle();
  } else if (writer_asleep_) {
    writer_asleep_ = false;
    lock.unlock();
    writer_wake_.notify_one();
  }
}

Status Engine::wait_for_room(Lock& lock, const Op& op, const CallContext& context) {
  refused_bytes_ = std::max<std::uint64_t>(refused_bytes_, op.bytes);
  if (!op.caller_waits) return {ErrorCode::busy, "the queue of publishes is full (queue_bytes_max, queue_requests_max)"};
  const auto until = steady_deadline(context, *options_.clock);
  std::uint64_t subscription = 0;
  if (context.cancellation) {
    lock.unlock();
    subscription = context.cancellation.state()->subscribe([reach = std::weak_ptr(reach_)] {
      with(reach, [](Engine& engine) {
        std::lock_guard inner(engine.queue_mutex_);
        engine.room_.notify_all();
      });
    });
    lock.lock();
  }
  ++room_waiters_;
  const auto room = [&] {
    return writer_ends_ || context.cancellation.cancelled() || queue_.empty() ||
           (queue_bytes_ + op.bytes <= options_.queue_bytes_max && queue_.size() < options_.queue_requests_max);
  };
  bool in_time = true;
  if (until == std::chrono::steady_clock::time_point::max())
    room_.wait(lock, room);
  else
    in_time = room_.wait_until(lock, until, room);
  --room_waiters_;
  const bool cancelled = context.cancellation.cancelled();
  if (subscription != 0) {
    lock.unlock();
    context.cancellation.state()->unsubscribe(subscription);
    lock.lock();
  }
  if (cancelled) return {ErrorCode::cancelled, "cancelled while it waited for room in the queue"};
  if (!in_time) return {ErrorCode::deadline_exceeded, "the deadline passed while it waited for room in the queue"};
  return {};
}

void Engine::async_ready(CallContext context, Callback<Done> done) {
  const Use use(*this);
  Status usable = check_usable();
  if (usable.ok()) {
    std::lock_guard lock(queue_mutex_);
    // Ready for what was refused, however large it was: it finds the queue empty then, or room in it.
    if (!queue_.empty() && (queue_bytes_ + refused_bytes_ > options_.queue_bytes_max || queue_.size() >= options_.queue_requests_max)) {
      if (ready_waiters_.size() < core::kWaitersMax) {
        ready_waiters_.push_back([this, done = std::move(done), context]() mutable { answer<Done>(std::move(done), Done{}, context); });
        return;
      }
      usable = {ErrorCode::busy, "ready: " + std::to_string(core::kWaitersMax) + " callers wait for room already"};
    }
  }
  answer<Done>(std::move(done), usable.ok() ? Result<Done>(Done{}) : Result<Done>(std::move(usable)), context);
}

/// One commit of all that waits. `lock` is of the queue, and held at the beginning and at the end.
void Engine::lead_once(Lock& lock) {
  auto commit = std::make_unique<Commit>();
  commit->ops.swap(queue_);
  commit->bytes = std::exchange(queue_bytes_, 0);
  queue_size_.store(0, std::memory_order_relaxed);
  refused_bytes_ = 0;
  commit_wanted_ = false;
  std::vector<UniqueFunction<void()>> ready = std::exchange(ready_waiters_, {});
  if (room_waiters_ > 0) room_.notify_all();
  lock.unlock();
  for (auto& call : ready) call();
  commit = run_commit(std::move(commit));
  lock.lock();
  if (commit) {
    // No room on the disk: the writer goes on trying, and keeps the lead until it is written.
    stuck_ = std::move(commit);
    has_stuck_commit_ = true;
    writer_asleep_ = false;
    writer_wake_.notify_one();
    return;
  }
  leading_ = false;
  if (writer_ends_) writer_wake_.notify_all();
  if ((!queue_.empty() || commit_wanted_) && writer_asleep_) {
    writer_asleep_ = false;
    writer_wake_.notify_one();
  }
}

void Engine::writer_loop() {
  ::pthread_setname_np(::pthread_self(), "weir-writer");
  Lock lock(queue_mutex_);
  while (true) {
    if (stuck_) {
      std::unique_ptr<Commit> commit = std::move(stuck_);
      lock.unlock();
      const Status resumed = store_->resume();
      commit = write_and_finish(std::move(commit));
      lock.lock();
      if (!commit) {
        leading_ = false;
        has_stuck_commit_ = false;
        if (state_ == StoreState::kStorageFull) check_disk_space(true);
        continue;
      }
      stuck_ = std::move(commit);
      if (writer_ends_) return;
      writer_wake_.wait_for(lock, std::chrono::milliseconds(50));
      continue;
    }
    if (!leading_ && (!queue_.empty() || commit_wanted_)) {
      leading_ = true;
      leader_syncs_ = false;
      lead_once(lock);
      continue;
    }
    if (writer_ends_ && !leading_) return;
    writer_asleep_ = true;
    writer_wake_.wait(lock, [this] { return stuck_ || !writer_asleep_ || (writer_ends_ && !leading_); });
    writer_asleep_ = false;
  }
}

void Engine::request_commit() {
  Lock lock(queue_mutex_);
  if (commit_wanted_) return;
  commit_wanted_ = true;
  if (leading_ || !writer_asleep_) return;
  writer_asleep_ = false;
  lock.unlock();
  writer_wake_.notify_one();
}

/// Decides, writes and answers. Gives the commit back when there was no room to write it.
std::unique_ptr<Commit> Engine::run_commit(std::unique_ptr<Commit> commit) {
  check_disk_space(false, commit->bytes);
  After after;
  {
    Lock lock(core_);
    commit->number = ++commit_;
    deciding_ = commit.get();
    for (std::size_t i = 0; i < commit->ops.size(); ++i) {
      if (i + kOpsAhead < commit->ops.size()) expect(*commit->ops[i + kOpsAhead]);
      auto& op = commit->ops[i];
      op->commit = commit->number;
      if (op->is_publish)
        op->status = decide_publish(*op, *commit, after);
      else if (op->transaction)
        op->status = decide_transaction(*op, *commit, after);
      else if (op->decide)
        op->status = writable() ? op->decide(commit->set, after) : stopped_status();
      else if (!writable())
        op->status = stopped_status();
    }
    if (writable()) collect(*commit, after);
    if (writable()) events_.join(*commit, after);
    deciding_ = nullptr;
    for (auto& build : commit->builds) build->topic->build = nullptr;
  }
  after.commit = false;
  finish(std::move(after));
  return write_and_finish(std::move(commit));
}

/// What dirty cursors and letters have to write.
void Engine::collect(Commit& commit, After& after) {
  core::SettledSet::Changes changes;
  // Burying may make a dead-letter topic, whose groups' cursors are dirty from the start: so the list may grow while it is gone through.
  for (std::size_t i = 0; i < dirty_.size(); ++i) {
    CursorState& state = *dirty_[i];
    state.dirty_listed = false;
    if (state.deleted) continue;
    const GroupId group = state.group->id;
    const TopicId topic = state.topic->id;
    bury(state, &commit, after);
    state.cursor->settled().collect(changes);
    if (changes.floor) {
      std::string floor;
      format::append_u64(floor, changes.floor->value);
      commit.set.put(format::cursor_key(group, topic), floor);
    }
    for (const auto& [page, bits] : changes.put) commit.set.put(format::page_key(group, topic, page), bits);
    for (const std::uint64_t page : changes.erase) commit.set.erase(format::page_key(group, topic, page));
    state.cursor->collect_records([&](const core::RecordChange& change) { write_record(commit.set, group, topic, change); });
    state.cursor->collect_holds([&](const core::HoldChange& change) { write_hold(commit.set, group, topic, change); });
    for (const std::uint32_t mark : state.cursor->take_finished_marks()) commit.marks.push_back(mark);
  }
  dirty_.clear();
  workbench_->collect(commit.set);
  schedules_.put_counts(commit.set);
}

void Engine::write_record(store::WriteSet& set, GroupId group, TopicId topic, const core::RecordChange& change) {
  const std::string key = change.id.letter == 0 ? format::retry_key(group, topic, change.id.offset)
                                                : format::redriven_key(group, topic, change.id.letter, change.id.offset);
  if (change.item == nullptr) return set.erase(key);
  const core::Item& item = *change.item;
  format::RetryRecord record;
  record.due = Time{Duration{item.due_ms}};
  // What runs now is told by its begun mark, and would be taken for counted here.
  record.deliveries = item.deliveries - item.begun;
  record.failures = item.failures;
  record.crashes = item.crashes;
  record.crash_failures = item.crash_failures;
  record.redrives = item.redrives;
  record.last_epoch = item.last_epoch;
  record.letter = item.id.letter;
  record.key_hash = item.key_hash;
  if (item.history) {
    record.published = item.history->published;
    record.first_failure = item.history->first_failure;
    record.last_failure = item.history->last_failure;
    record.error = item.history->error;
    record.attempts = item.history->attempts;
  }
  set.put(key, format::encode(record));
}

/// Makes the batches. Not under the lock: only the leader touches builds and cumulative sizes.
Status Engine::encode(Commit& commit) {
  for (std::size_t i = 0; i < commit.builds.size(); ++i) {
    Build& build = *commit.builds[i];
    if (builders_.size() < std::min<std::size_t>(commit.builds.size(), kBuildersMax)) builders_.push_back(std::make_unique<format::BatchBuilder>());
    format::BatchBuilder& builder = *builders_[i % builders_.size()];
    std::string headers;
    for (const Message* message : build.messages) {
      format::RecordView record;
      record.payload = message->payload.text();
      record.key = message->key;
      record.id = message->id;
      record.content_type = message->content_type;
      headers.clear();
      if (!message->headers.empty()) core::encode_headers(message->headers, headers);
      record.headers = headers;
      record.tombstone = message->tombstone;
      if (message->ttl) record.expires_at_ms = (build.time + *message->ttl).time_since_epoch().count();
      builder.add(record);
    }
    for (Letter& letter : build.letters) {
      if (!letter.chunk) {
        Result<ChunkPtr> read = load_chunk(*letter.source, letter.place);
        if (!read.ok() && read.code() != ErrorCode::not_found) return read.status();
        if (read.ok() && (*read)->has(letter.place)) letter.chunk = *read;
      }
      StoredMessage message;
      if (letter.chunk && letter.chunk->has(letter.place)) {
        letter.chunk->fill(letter.place, message);
        if (letter.info.published == Time{}) letter.info.published = message.time;
      } else {
        letter.info.error = "the message was dropped by the topic's cap before it could be kept; " + letter.info.error;
      }
      builder.add({message.payload.text(), message.key, message.id, message.content_type, message.headers.encoded(), 0, message.tombstone}, &letter.info);
    }
    build.encoded = builder.finish(build.first, build.time);
    const auto bytes = static_cast<std::uint32_t>(build.encoded->size());
    build.topic->cumulative += bytes;
    build.entry = {build.first, build.count, {commit.number, build.sub}, build.time, bytes, build.topic->cumulative};
    commit.set.put_batch(build.topic->id, build.entry, *build.encoded);
    if (build.dedup) commit.set.put(format::dedup_key(commit.number, build.sub), format::encode(build.ids));
  }
  schedules_.encode(commit);
  commit.encoded = true;
  return {};
}

/// The number of the commit, and which batch was the last: at open that batch must be there, else files of the log are lost.
void Engine::put_commit_record(Commit& commit) {
  if (!commit.builds.empty()) {
    last_batch_topic_ = commit.builds.back()->topic->id;
    last_batch_first_ = commit.builds.back()->first;
  }
  std::string record;
  format::append_u64(record, commit.number);
  format::append_u64(record, last_batch_topic_.value);
  format::append_u64(record, last_batch_first_.value);
  commit.set.put(format::commit_key(), record);
}

std::unique_ptr<Commit> Engine::write_and_finish(std::unique_ptr<Commit> commit) {
  if (store_) {
    Status status;
    if (!commit->encoded) {
      status = encode(*commit);
      if (status.ok() && !commit->set.empty()) put_commit_record(*commit);
    }
    if (status.ok() && !commit->set.empty()) {
      status = store_->write(commit->set);
      written_unchecked_.fetch_add(commit->set.bytes(), std::memory_order_relaxed);
      if (status.ok()) {
        commits_.fetch_add(1, std::memory_order_relaxed);
        marks_->acknowledged(commit->number);
      }
    }
    if (!status.ok()) {
      answer_unknown(*commit, status);
      if (status == ErrorCode::storage_full) {
        enter_storage_full(status.message());
        return commit;
      }
      stop_writes(status);
      return nullptr;
    }
  }
  After after;
  {
    Lock lock(core_);
    apply(*commit, after);
  }
  finish(std::move(after));
  finish_commit(std::move(commit));
  return nullptr;
}

/// Whose write may or may not have happened is told so; who was refused before, why.
void Engine::answer_unknown(Commit& commit, const Status& status) {
  for (auto& op : commit.ops)
    if (op->status.ok()) op->status = {ErrorCode::outcome_unknown, "the write failed and may be found later all the same: " + status.message()};
  complete(std::exchange(commit.ops, {}));
}

void Engine::apply(Commit& commit, After& after) {
  for (auto& build : commit.builds) {
    TopicState& topic = *build->topic;
    topic.bytes_ever += build->entry.bytes;
    topic.bytes_building -= std::min<std::uint64_t>(topic.bytes_building, build->bytes);
    if (build->first == topic.first) topic.first_time = build->time;
    messages_ += build->count;
    if (topic.deleted) continue;
    keep_in_tail(topic, *build);
    topic.unseen.push_back({build->first + build->count, build->power ? commit.number : 0});
    if (build->power) commit.power = true;
    make_visible(topic, after);
    if (!topic.unseen.empty() && !topic.unseen_listed) {
      topic.unseen_listed = true;
      unseen_topics_.push_back(build->topic);
    }
    if (topic.options.cap_policy == CapPolicy::kDropOldest && topic.options.bytes_max != 0 && topic.bytes() > topic.options.bytes_max && !retaining_) {
      retaining_ = true;
      after.call.push_back([this] { workshop_->post([this] { retain(); }); });
    }
  }
  for (auto& applied : commit.applied) applied(after);
  schedules_.written(commit);
  for (const std::uint32_t mark : commit.marks) marks_->free(mark);
  if (marks_short_ && !commit.marks.empty()) {
    marks_short_ = false;
    for (const auto& [name, group] : groups_)
      if (!group->paused && !group->active.empty()) wake_one(*group, after);
  }
  if (!drains_.empty()) check_drains(after);
}

void Engine::make_visible(TopicState& topic, After& after) {
  bool moved = false;
  while (!topic.unseen.empty() && topic.unseen.front().commit <= visible_commit_) {
    topic.visible = topic.unseen.front().end;
    topic.unseen.pop_front();
    moved = true;
  }
  if (moved)
    for (const CursorPtr& cursor : topic.cursors)
      if (cursor->cursor->next() < topic.visible && cursor->cursor->may_look()) activate(*cursor, after);
}

/// Recent batches stay in memory while somebody may want them.
void Engine::keep_in_tail(TopicState& topic, const Build& build) {
  if (topic.cursors.empty()) return topic.tail.clear();   // no gap, should a group come back later
  auto batch = format::RecordBatch::parse(build.encoded, "a batch just written");
  WEIR_CHECK(batch.ok(), batch.status());
  // Only what follows without a gap: what was published before there was a group is not in the tail.
  if (!topic.tail.empty() && topic.tail.back()->end() != build.first) topic.tail.clear();
  auto chunk = std::make_shared<Chunk>(*batch);
  tail_bytes_ += chunk->bytes();
  tail_order_.emplace_back(build.topic, chunk);
  topic.tail.push_back(std::move(chunk));
  while (tail_bytes_ > options_.tail_bytes_max) {
    auto& [oldest_topic, oldest] = tail_order_.front();
    tail_bytes_ -= oldest->bytes();
    if (!oldest_topic->tail.empty() && oldest_topic->tail.front() == oldest) oldest_topic->tail.pop_front();
    tail_order_.pop_front();
  }
}

void Engine::finish_commit(std::unique_ptr<Commit> commit) {
  std::vector<std::unique_ptr<Op>> now;
  std::vector<std::unique_ptr<Op>> later;
  // What has nothing to write may rest on what was written before, and not synced: a duplicate, an ack that another commit has taken along.
  for (auto& op : commit->ops) (op->status.ok() && op->level == Durability::kPower && store_ ? later : now).push_back(std::move(op));
  if (store_ && (!commit->set.empty() || !later.empty())) {
    std::lock_guard lock(sync_mutex_);
    if (!commit->set.empty()) written_commit_ = commit->number;
    for (auto& op : later) (written_commit_ > synced_commit_ ? unsynced_ : now).push_back(std::move(op));
    if (commit->power) sync_wanted_ = commit->number;
    // A leader that waits for `power` syncs by itself when it is done here (sync_here_if_idle).
    if ((!unsynced_.empty() || sync_wanted_ > synced_commit_) && !syncing_ && !leader_syncs_) syncer_wake_.notify_one();
  }
  complete(std::move(now));
}

void Engine::complete_one(std::unique_ptr<Op> op) {
  std::vector<std::unique_ptr<Op>> one;
  one.push_back(std::move(op));
  complete(std::move(one));
}

/// Calls back: those who wait at once, the others on the executor, all together.
void Engine::complete(std::vector<std::unique_ptr<Op>> ops) {
  if (ops.empty()) return;
  bool all_wait = true;
  for (auto& op : ops) {
    if (op->caller_waits)
      std::exchange(op, nullptr)->complete();
    else
      all_wait = false;
  }
  if (all_wait) return;
  call_back([ops = std::move(ops)]() mutable {
    for (auto& op : ops)
      if (op) std::exchange(op, nullptr)->complete();
  });
}

}  // namespace weir::engine
