// Moving dead letters: found outside of the lock, decided under it, each chunk in one commit with the progress of its job.
#include <algorithm>

#include "broker/api/one_shot.h"
#include "broker/core/letters.h"
#include "broker/core/limits.h"
#include "broker/engine/answer.h"
#include "broker/engine/job.h"

namespace weir::engine {
namespace {

constexpr std::size_t kLooksMax = 4096;              // letters one step looks at
constexpr std::uint64_t kStepBytesMax = 4u << 20;    // of payloads that a step publishes
constexpr const char* kFromHeader = "weir-dead-letter";

/// Such a refusal says nothing about the letter: it may go through later.
bool passing(ErrorCode code) { return code == ErrorCode::full || code == ErrorCode::storage_full || code == ErrorCode::busy; }

Headers headers_of(const format::EditedMessage& edited) { return HeadersView(edited.headers).copy(); }

}  // namespace

/// What a job has to move next, from `position` on: at most `room` letters.
Result<Workbench::Found> Workbench::find(const Job& job, std::uint64_t position, std::size_t room) {
  Found found;
  found.position = position;
  if (!job.all()) {
    if (Status looked = find_chosen(job, room, found); !looked.ok()) return looked;
    return found;
  }
  Status failed;
  Offset at{position};
  bool past = false;
  const Visit visit = [&](LetterState state, StoredMessage& message) {
    if (job.record.where.until && message.time >= *job.record.where.until) {
      past = true;
      return Walk::kStopBefore;
    }
    found.position = message.offset.value;
    failed = consider(job, state, message, found);
    if (!failed.ok()) return Walk::kStopBefore;
    return found.moves.size() >= room || found.bytes >= kStepBytesMax ? Walk::kStopBehind : Walk::kOn;
  };
  Status walked = walk(job.letters, at, job.record.end, kLooksMax, [&](LetterState state) { return state == job.takes(); }, visit);
  if (!failed.ok()) return failed;
  if (!walked.ok()) return walked;
  found.position = past ? job.record.end.value : at.value;
  return found;
}

Status Workbench::find_chosen(const Job& job, std::size_t room, Found& found) {
  for (std::size_t looks = 0; found.position < job.record.chosen.size() && looks < kLooksMax; ++looks) {
    const Offset id{job.record.chosen[found.position]};
    std::optional<std::pair<LetterState, StoredMessage>> letter;
    if (id < job.record.end) {
      auto read = letter_at(job.letters, id);
      if (!read.ok()) return read.status();
      letter = std::move(*read);
    }
    if (!letter || letter->first != job.takes())
      ++found.left.skipped;
    else if (Status considered = consider(job, letter->first, letter->second, found); !considered.ok())
      return considered;
    ++found.position;
    if (found.moves.size() >= room || found.bytes >= kStepBytesMax) return {};
  }
  return {};
}

/// One letter that is in the state that the job takes.
Status Workbench::consider(const Job& job, LetterState, StoredMessage& message, Found& found) {
  const format::JobRecord& record = job.record;
  if (!core::matches(record.filter, record.where, message)) {
    ++found.left.unmatched;
    return {};
  }
  if (record.kind == format::JobKind::kRedrive && message.dead_letter->redrives >= record.redrives_max && !record.force) {
    ++found.left.needs_force;
    return {};
  }
  Move move;
  move.letter = message.offset;
  move.position = found.position;
  move.before = found.left;
  Status prepared = prepare(job, message, move);
  if (prepared.ok()) {
    if (move.publish) found.bytes += message.payload.size();
    found.moves.push_back(std::move(move));
  } else if (prepared == ErrorCode::stopped || prepared == ErrorCode::corruption) {
    return prepared;
  } else {
    ++found.left.failed;
    found.error = "letter " + std::to_string(message.offset.value) + ": " + prepared.message();
  }
  return {};
}

Status Workbench::prepare(const Job& job, StoredMessage& letter, Move& move) {
  const format::JobRecord& record = job.record;
  move.info = letter.dead_letter;
  if (record.kind == format::JobKind::kDiscard) return {};
  if (record.kind == format::JobKind::kRestore) {
    const auto events = events_of(job.letters, letter.offset);
    if (!events.ok()) return events.status();
    Time discarded = letter.time;
    std::size_t restored = 0;
    for (const format::LetterEventRecord& event : *events) {
      if (event.act == LetterAct::kDiscarded) discarded = event.time;
      if (event.act == LetterAct::kRestored) ++restored;
    }
    if (engine_.options_.clock->now() - discarded > core::kRestorable) return {ErrorCode::failed_precondition, "it was discarded more than 7 days ago"};
    if (restored >= core::kRestoresMax) return {ErrorCode::limit_exceeded, "it was restored " + std::to_string(core::kRestoresMax) + " times already"};
    return {};
  }
  move.key_hash = Chunk::hash(letter.key, job.order, engine_.hash_seed_);
  if (job.dry_run || (!job.to && !record.edited)) return {};
  Message message;
  message.key = std::string(letter.key);
  message.id = std::string(letter.id);
  message.payload = record.edited ? Payload(record.edited->payload) : letter.payload;
  message.headers = record.edited ? headers_of(*record.edited) : letter.headers.copy();
  message.content_type = record.edited ? record.edited->content_type : std::string(letter.content_type);
  message.tombstone = !record.edited && letter.tombstone;
  if (!job.to) {
    move.edited = std::make_shared<const Message>(std::move(message));
    return {};
  }
  std::erase_if(message.headers, [](const Header& header) { return header.name == kFromHeader; });
  message.headers.push_back({kFromHeader, *job.letters->name + "/" + std::to_string(letter.offset.value)});
  static const TopicOptions widest{.payload_bytes_max = static_cast<std::uint32_t>(core::kPayloadBytesMax)};
  if (Status valid = core::validate_message(message, widest); !valid.ok()) return valid;
  move.publish = std::make_unique<Op>();
  move.publish->is_publish = true;
  move.publish->request.topic = *job.to->name;
  move.publish->request.messages.push_back(std::move(message));
  move.publish->ids = engine_.hash_ids(move.publish->request);
  return {};
}

/// One chunk: what is found and, unless it is only counted, moved in one commit.
Status Workbench::step(Job& job, std::size_t room) {
  std::uint64_t position = 0;
  Durability level = Durability::kProcess;
  {
    Engine::Lock lock(engine_.core_);
    if (job.number != 0 && job.progress.state != format::JobState::kRunning) return {};
    position = job.progress.position;
    if (job.to) level = job.to->options.durability;
  }
  Result<Found> found = find(job, position, room);
  if (!found.ok()) return found.status();
  if (job.dry_run) {
    job.progress.position = found->position;
    job.progress.done += found->moves.size();
    job.add(found->left);
    if (!found->error.empty()) job.progress.error = found->error;
    if (job.progress.position >= job.end()) job.progress.state = format::JobState::kDone;
    return {};
  }
  api::OneShot gate;
  Status status;
  auto op = std::make_unique<Op>();
  op->caller_waits = true;
  op->level = level;
  op->decide = [&](store::WriteSet& set, After& after) { return decide(job, *found, set, after); };
  op->done = [&](Status result) {
    status = std::move(result);
    gate.open();
  };
  engine_.submit(std::move(op), {});
  gate.wait();
  return status;
}

/// Under the lock, on the leader: every letter is looked at again, and moved if it still may be.
Status Workbench::decide(Job& job, Found& found, store::WriteSet& set, After& after) {
  format::JobProgress& progress = job.progress;
  if (job.number != 0 && progress.state != format::JobState::kRunning) return {};   // paused or ended meanwhile: nothing of this counts
  if (job.cursor->deleted || job.letters->deleted) return {ErrorCode::group_not_found, "the group was deleted"};
  if (job.to && job.to->deleted) return {ErrorCode::topic_not_found, "topic \"" + *job.to->name + "\" was deleted"};
  const Time now = engine_.options_.clock->now();
  const std::uint64_t done_before = progress.done;
  Status refused;
  std::uint64_t failed = 0;
  for (Move& move : found.moves) {
    if (job.letters->letters->state_of(move.letter) != job.takes()) {
      ++progress.skipped;
      continue;
    }
    Status moved = move_one(job, move, now, set, after);
    if (moved.ok()) {
      ++progress.done;
    } else if (passing(moved.code())) {
      refused = std::move(moved);
      found.position = move.position;
      found.left = move.before;   // what comes behind it is looked at once more
      break;
    } else {
      ++failed;
      progress.error = "letter " + std::to_string(move.letter.value) + ": " + moved.message();
    }
  }
  progress.failed += failed;
  job.add(found.left);
  if (refused.ok() && !found.error.empty()) progress.error = found.error;
  progress.position = found.position;
  job.pace.done(progress.done - done_before + failed);
  job.refused = !refused.ok();
  if (!refused.ok()) progress.error = "waits: " + refused.message();
  else if (progress.error.starts_with("waits: ")) progress.error.clear();
  const std::int64_t now_ms = now.time_since_epoch().count();
  progress.active += Duration{now_ms - std::exchange(job.mark_ms, now_ms)};
  mark_dirty(job.letters);
  engine_.changed(*job.cursor, after);
  if (refused.ok() && progress.position >= job.end()) end(job, format::JobState::kDone, progress.error);
  put_progress(job, set);
  // A job tries again by itself; a caller that waits is told.
  return job.number == 0 ? refused : Status{};
}

Status Workbench::move_one(Job& job, Move& move, Time now, store::WriteSet& set, After& after) {
  CursorState& cursor = *job.cursor;
  Letters& letters = *job.letters->letters;
  format::LetterEventRecord event;
  event.time = now;
  if (job.record.kind == format::JobKind::kDiscard) {
    letters.discarded.insert(move.letter);
    cursor.cursor->release_hold(move.letter.value);
    event.act = LetterAct::kDiscarded;
  } else if (job.record.kind == format::JobKind::kRestore) {
    letters.discarded.erase(move.letter);
    event.act = LetterAct::kRestored;
  } else if (move.publish) {
    Status published = engine_.decide_publish(*move.publish, *engine_.deciding_, after);
    if (!published.ok()) return published;
    letters.redriven.insert(move.letter);
    cursor.cursor->release_hold(move.letter.value);
    event.act = LetterAct::kSentToTopic;
    event.to_topic = *job.to->name;
    if (move.publish->result.messages.front().duplicate) event.to_offset = move.publish->result.messages.front().offset;
  } else if (move.edited) {
    event.edited_as = job.letters->next;
    redrive_edited(job, move, now, set, after);
  } else {
    cursor.cursor->redrive({move.info->origin_offset, move.letter.value + 1}, move.key_hash, move.info->redrives + 1, move.info->published);
    letters.redriven.insert(move.letter);
    cursor.cursor->release_hold(move.letter.value);
  }
  if (job.durable || !engine_.store_)
    engine_.events_.add(to_string(event.act), {{"topic", job.record.topic_name}, {"group", job.record.group_name}, {"offset", move.info->origin_offset.value}, {"letter", move.letter.value},
                                               {"who", job.record.who}, {"why", job.record.why}, {"job", job.number}});
  note(job, move.letter, std::move(event), set);
  return {};
}

/// The edited message becomes an entry of the dead-letter topic, whose redrive it is: everything that reads, retains and buries what was given back finds it
/// there. It is handed out once it can be read.
void Workbench::redrive_edited(Job& job, Move& move, Time now, store::WriteSet& set, After& after) {
  TopicState& letters = *job.letters;
  const Offset copy = letters.next;
  auto info = std::make_shared<DeadLetterInfo>(*move.info);
  info->edited_of = move.letter;
  const core::ItemId id{move.info->origin_offset, copy.value + 1};
  const auto give_back = [cursor = job.cursor, id, hash = move.key_hash, redrives = move.info->redrives + 1, published = move.info->published, letter = move.letter.value](Engine& engine,
                                                                                                                                                                     After& then) {
    if (cursor->deleted) return;
    cursor->cursor->redrive(id, hash, redrives, published);
    cursor->cursor->release_hold(letter);
    engine.changed(*cursor, then);
  };
  letters.letters->redriven.insert(move.letter);
  if (!job.durable) {
    std::vector<Message> messages{*move.edited};
    std::vector<std::shared_ptr<const DeadLetterInfo>> infos{std::move(info)};
    letters.last_time = std::max(letters.last_time, now);
    engine_.append_chunk(letters, std::make_shared<Chunk>(copy, letters.last_time, std::move(messages), std::move(infos)), after);
    letters.letters->redriven.insert(copy);
    return give_back(engine_, after);
  }
  Build& build = engine_.build_of(letters, *engine_.deciding_, now);
  build.bytes += core::message_bytes(*move.edited) + info->error.size() + 256;
  letters.next = copy + 1;
  ++build.count;
  Letter entry;
  entry.chunk = std::make_shared<Chunk>(copy, build.time, std::vector<Message>{*move.edited});
  entry.source = job.letters;
  entry.place = copy;
  entry.info = *info;
  build.letters.push_back(std::move(entry));
  letters.letters->redriven.insert(copy);
  // The item is in the store with this commit, and in memory as soon as its body is there.
  core::Item item;
  item.id = id;
  item.key_hash = move.key_hash;
  item.redrives = move.info->redrives + 1;
  item.history = std::make_unique<core::History>();
  item.history->published = move.info->published;
  engine_.write_record(set, job.record.group, job.record.topic, {id, &item});
  set.erase(format::hold_key(job.record.group, job.record.topic, move.letter.value));
  engine_.deciding_->applied.push_back([this, give_back](After& then) { give_back(engine_, then); });
}

/// Who did it, when and why.
void Workbench::note(Job& job, Offset letter, format::LetterEventRecord event, store::WriteSet& set) {
  event.who = job.record.who;
  event.why = job.record.why;
  event.job = job.number;
  if (!job.durable) {
    job.letters->letters->events[letter.value].push_back(std::move(event));
    return;
  }
  if (events_commit_ != engine_.deciding_->number) events_ = 0;
  events_commit_ = engine_.deciding_->number;
  set.put(format::letter_event_key(job.letters->id, letter, events_commit_, events_++), format::encode(event));
}

void Workbench::mark_dirty(const TopicPtr& letters) {
  if (letters->options.ephemeral || letters->letters->dirty_listed) return;
  letters->letters->dirty_listed = true;
  dirty_.push_back(letters);
}

/// What the states of letters have to write: two sets of pages for each topic that changed.
void Workbench::collect(store::WriteSet& set) {
  for (const TopicPtr& topic : std::exchange(dirty_, {})) {
    topic->letters->dirty_listed = false;
    if (topic->deleted) continue;
    core::SettledSet::Changes changes;
    topic->letters->redriven.collect(changes);
    const auto redriven = static_cast<std::uint8_t>(LetterState::kRedriven), discarded = static_cast<std::uint8_t>(LetterState::kDiscarded);
    if (changes.floor) {
      std::string floor;
      format::append_u64(floor, changes.floor->value);
      set.put(format::letter_page_prefix(topic->id, redriven), floor);
    }
    for (const auto& [page, bits] : changes.put) set.put(format::letter_page_key(topic->id, redriven, page), bits);
    for (const std::uint64_t page : changes.erase) set.erase(format::letter_page_key(topic->id, redriven, page));
    const core::LetterSet::Changes pages = topic->letters->discarded.collect();
    for (const auto& [page, bits] : pages.put) set.put(format::letter_page_key(topic->id, discarded, page), bits);
    for (const std::uint64_t page : pages.erase) set.erase(format::letter_page_key(topic->id, discarded, page));
  }
}

/// Letters that retention took: their holds, notes and states go with them.
void Workbench::letters_gone(TopicState& topic, Offset first, After& after) {
  topic.letters->discarded.erase_before(first);
  topic.letters->redriven.raise_floor(first);
  topic.letters->events.erase(topic.letters->events.begin(), topic.letters->events.lower_bound(first.value));
  mark_dirty(engine_.topics_by_id_.at(topic.id.value));
  const auto origin = engine_.cursors_.find({topic.letters_of_group.value, topic.letters_of_topic.value});
  if (origin == engine_.cursors_.end() || origin->second->cursor->holding() == 0) return;
  origin->second->cursor->release_holds_before(first.value);
  engine_.changed(*origin->second, after);
}

}  // namespace weir::engine
