// Opening a store: what is on disk becomes what is in memory, and the crash is charged (S-14, S-17, S-32, S-34).
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "broker/core/names.h"
#include "broker/engine/answer.h"

namespace weir::engine {
namespace {

constexpr std::uint64_t kIncarnationMax = (std::uint64_t{1} << (64 - core::kEpochBits)) - 1;

std::string machine_boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

std::uint64_t random_number() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

Status corrupt_key(std::string_view what) { return {ErrorCode::corruption, "a key of " + std::string(what) + " has a wrong size"}; }

}  // namespace

Status Engine::recover() {
  std::error_code made;
  if (options_.create_if_missing) {
    std::filesystem::create_directories(location_, made);
    if (made) return {made == std::errc::no_space_on_device ? ErrorCode::storage_full : ErrorCode::stopped, location_ + ": " + made.message()};
  } else if (!std::filesystem::exists(location_)) {
    return {ErrorCode::not_found, location_ + " does not exist, and create_if_missing is off"};
  }
  Result<std::unique_ptr<Owner>> owner = Owner::take(location_ + "/owner");
  if (!owner.ok()) return owner.status();
  owner_ = std::move(*owner);
  store::StoreOptions options;
  options.create_if_missing = options_.create_if_missing;
  options.memtable_bytes = options_.memtable_bytes;
  options.wal_bytes_max = options_.wal_bytes_max;
  options.log = options_.log;
  options.file_system = hooks_.file_system;
  Result<std::unique_ptr<store::Store>> store = store::Store::open(location_, std::move(options));
  if (!store.ok()) return store.status();
  store_ = std::move(*store);
  Result<std::unique_ptr<Marks>> marks = Marks::open(location_ + "/marks");
  if (!marks.ok()) return marks.status();
  marks_ = std::move(*marks);

  const auto stored = store_->get(format::store_key());
  if (!stored.ok()) return stored.status();
  format::StoreRecord record;
  if (*stored) {
    Result<format::StoreRecord> decoded = format::decode_store(**stored, location_ + ": store record");
    if (!decoded.ok()) return decoded.status();
    record = *decoded;
  } else {
    record.hash_seed = random_number();
  }
  hash_seed_ = record.hash_seed;
  next_id_ = record.next_id;

  const auto last = store_->get(format::commit_key());
  if (!last.ok()) return last.status();
  if (*last && (*last)->size() != 24) return corrupt_key("the last commit");
  if (*last) {
    commit_ = format::read_u64(**last);
    last_batch_topic_ = TopicId{format::read_u64(std::string_view(**last).substr(8))};
    last_batch_first_ = Offset{format::read_u64(std::string_view(**last).substr(16))};
  }
  boot_id_ = hooks_.boot_id.empty() ? machine_boot_id() : hooks_.boot_id;
  if (marks_->incarnation() > record.incarnation)
    return {ErrorCode::corruption, location_ + "/db: it knows " + std::to_string(record.incarnation) + " openings, but there were " + std::to_string(marks_->incarnation()) +
                                       ": files of it are lost; restore a backup, or remove the file marks to accept the loss"};
  const std::uint64_t must_have = marks_->must_have(record.incarnation, boot_id_);
  if (commit_ < must_have)
    return {ErrorCode::corruption, location_ + "/db: the write-ahead log ends at commit " + std::to_string(commit_) + ", but commit " + std::to_string(must_have) +
                                       " was acknowledged; restore a backup, or remove the file marks to accept the loss"};
  if (record.incarnation >= kIncarnationMax) return {ErrorCode::format_version, "the store was opened 2^24 times; copy its messages into a new one"};

  if (Status s = load_topics(); !s.ok()) return s;
  if (Status s = schedules_.load(); !s.ok()) return s;
  if (Status s = check_last_batch(); !s.ok()) return s;
  if (Status s = load_groups(); !s.ok()) return s;
  if (Status s = load_cursors(); !s.ok()) return s;
  if (Status s = load_dedup_and_sessions(); !s.ok()) return s;
  if (Status s = workbench_->load(); !s.ok()) return s;
  if (Status s = load_requests(); !s.ok()) return s;

  incarnation_ = record.incarnation + 1;
  next_epoch_ = core::first_epoch(incarnation_);
  schedules_.set_incarnation(incarnation_);
  After after;
  Commit commit;
  charge_crash(record.incarnation);
  // The charges and the new incarnation are on the device before anything is handed out.
  commit.number = ++commit_;
  deciding_ = &commit;
  collect(commit, after);
  events_.join(commit, after);
  deciding_ = nullptr;
  put_store_record(commit.set);
  Status written = encode(commit);
  put_commit_record(commit);
  if (written.ok()) written = store_->write(commit.set);
  if (written.ok()) written = store_->sync();
  if (!written.ok()) return written;
  for (auto& build : commit.builds) build->topic->build = nullptr;
  visible_commit_ = written_commit_ = synced_commit_ = commit.number;
  marks_->start(incarnation_, boot_id_);
  marks_->acknowledged(commit.number);
  marks_->synced(commit.number);
  opened_commit_ = commit.number;
  state_writes_.start(commit.number);
  key_writes_.start(commit.number);
  recovered_ = std::move(commit.builds);
  return {};
}

void Engine::put_store_record(store::WriteSet& set) const {
  if (!store_) return;
  format::StoreRecord record;
  record.incarnation = incarnation_;
  record.hash_seed = hash_seed_;
  record.next_id = next_id_;
  record.created_by = "weir 0.1.0";
  set.put(format::store_key(), format::encode(record));
}

Status Engine::load_topics() {
  Status failed;
  Status scanned = store_->scan(format::kind_prefix(format::KeyKind::kTopic), {}, [&](std::string_view key, std::string_view value) {
    if (key.size() != 9) return failed = corrupt_key("a topic"), false;
    const TopicId id{format::read_u64(key.substr(1))};
    Result<format::TopicRecord> record = format::decode_topic(value, "topic " + std::to_string(id.value));
    if (!record.ok()) return failed = record.status(), false;
    auto topic = std::make_shared<TopicState>();
    topic->id = id;
    topic->name = std::make_shared<const std::string>(record->name);
    topic->options = record->options;
    topic->created = record->created;
    topic->internal = record->name.starts_with('_');
    topic->compacted = record->compacted;
    topic->letters_of_group = GroupId{record->dead_letters_of_group};
    topic->letters_of_topic = TopicId{record->dead_letters_of_topic};
    if (record->dead_letters_of_group != 0) topic->letters = std::make_unique<Letters>();
    topics_[record->name] = topic;
    topics_by_id_[id.value] = topic;
    return true;
  });
  if (!failed.ok()) return failed;
  if (!scanned.ok()) return scanned;
  for (const auto& entry : topics_by_id_) {
    const TopicPtr& topic = entry.second;
    const auto last = store_->last(topic->id);
    if (!last.ok()) return last.status();
    if (*last) {
      const auto first = store_->find(topic->id, Offset{});
      if (!first.ok()) return first.status();
      topic->next = topic->visible = (*last)->end();
      topic->last_time = (*last)->time;
      topic->cumulative = topic->bytes_ever = (*last)->cumulative;
      topic->first = (*first)->first;
      topic->first_time = (*first)->time;
      topic->bytes_gone = (*first)->cumulative - (*first)->bytes;
      if (topic->compacted) {
        std::uint64_t bytes = 0;
        Status summed = store_->scan_index(topic->id, Offset{}, [&](const format::IndexEntry& batch) {
          bytes += batch.bytes;
          return true;
        });
        if (!summed.ok()) return summed;
        topic->bytes_gone = topic->bytes_ever - std::min(topic->bytes_ever, bytes);
      }
    } else if (const auto head = store_->get(format::topic_head_key(topic->id)); !head.ok()) {
      return head.status();
    } else if (*head) {
      if ((*head)->size() != 24) return corrupt_key("the head of topic " + *topic->name);
      topic->first = topic->next = topic->visible = Offset{format::read_u64(**head)};
      topic->cumulative = topic->bytes_ever = topic->bytes_gone = format::read_u64(std::string_view(**head).substr(8));
      topic->last_time = Time{Duration{static_cast<std::int64_t>(format::read_u64(std::string_view(**head).substr(16)))}};
    }
    if (topic->letters) {
      if (Status letters = load_letters(topic); !letters.ok()) return letters;
    }
  }
  std::vector<TopicId> deleted;
  scanned = store_->scan(format::kind_prefix(format::KeyKind::kDeletedTopic), {}, [&](std::string_view key, std::string_view) {
    if (key.size() == 9) deleted.push_back(TopicId{format::read_u64(key.substr(1))});
    return true;
  });
  deleted_topics_ = std::move(deleted);
  return scanned;
}

Status Engine::load_letters(const TopicPtr& topic) {
  Status failed;
  for (const LetterState state : {LetterState::kRedriven, LetterState::kDiscarded}) {
    const std::string prefix = format::letter_page_prefix(topic->id, static_cast<std::uint8_t>(state));
    const bool redriven = state == LetterState::kRedriven;
    const auto load_page = [&](std::uint64_t page, std::string_view bytes) {
      return redriven ? topic->letters->redriven.load_page(page, bytes) : topic->letters->discarded.load_page(page, bytes);
    };
    Status pages = store_->scan(prefix, {}, [&](std::string_view key, std::string_view value) {
      if (redriven && key.size() == prefix.size() && value.size() == 8) {
        topic->letters->redriven.load(Offset{format::read_u64(value)});
      } else if (key.size() != prefix.size() + 8 || !load_page(format::read_u64(key.substr(prefix.size())), value)) {
        return failed = corrupt_key("the letters of " + *topic->name), false;
      }
      return true;
    });
    if (!failed.ok()) return failed;
    if (!pages.ok()) return pages;
  }
  return {};
}

/// The column families share one log. When files of it are lost, each forgets another part; then the newest batch is missing.
Status Engine::check_last_batch() {
  const auto topic = topics_by_id_.find(last_batch_topic_.value);
  if (topic == topics_by_id_.end() || topic->second->first > last_batch_first_) return {};   // deleted, or gone by retention
  const auto entry = store_->find(last_batch_topic_, last_batch_first_);
  if (!entry.ok()) return entry.status();
  if (!*entry || (*entry)->first != last_batch_first_)
    return {ErrorCode::corruption, location_ + "/db: the newest batch (topic " + *topic->second->name + ", offset " + std::to_string(last_batch_first_.value) +
                                       ") is not there: files of the log are lost; restore a backup"};
  const auto batch = store_->read(last_batch_topic_, **entry);
  return batch.ok() ? Status{} : Status{ErrorCode::corruption, location_ + "/db: the newest batch cannot be read: " + batch.status().message()};
}

Status Engine::load_groups() {
  Status failed;
  Status scanned = store_->scan(format::kind_prefix(format::KeyKind::kGroup), {}, [&](std::string_view key, std::string_view value) {
    if (key.size() != 9) return failed = corrupt_key("a group"), false;
    const GroupId id{format::read_u64(key.substr(1))};
    Result<format::GroupRecord> record = format::decode_group(value, "group " + std::to_string(id.value));
    if (!record.ok()) return failed = record.status(), false;
    auto group = std::make_shared<GroupState>();
    group->id = id;
    group->source = record->source;
    group->name = record->name;
    group->options = record->options;
    group->created = record->created;
    group->paused = record->paused;
    group->pattern = core::is_pattern(record->source);
    group->last_used_ms = now_ms();
    group->had_member = true;   // a volatile group whose members died with the process has had its last one
    groups_[{group->source, group->name}] = group;
    groups_by_id_[id.value] = group;
    return true;
  });
  return failed.ok() ? scanned : failed;
}

Status Engine::load_cursors() {
  Status failed;
  const auto with = [&](format::KeyKind kind, std::size_t size, const char* what, const std::function<bool(CursorState&, std::string_view, std::string_view)>& visit) {
    Status scanned = store_->scan(format::kind_prefix(kind), {}, [&](std::string_view key, std::string_view value) {
      if (key.size() != size) return failed = corrupt_key(what), false;
      const GroupId group{format::read_u64(key.substr(1))};
      const TopicId topic{format::read_u64(key.substr(9))};
      const auto at = cursors_.find({group.value, topic.value});
      if (at != cursors_.end()) return visit(*at->second, key.substr(17), value);
      if (kind != format::KeyKind::kCursor) return true;
      const auto g = groups_by_id_.find(group.value);
      const auto t = topics_by_id_.find(topic.value);
      if (g == groups_by_id_.end() || t == topics_by_id_.end()) return true;   // of something deleted
      if (value.size() != 8) return failed = corrupt_key(what), false;
      const Offset floor{format::read_u64(value)};
      const CursorPtr state = attach_cursor(*g->second, *t->second, floor);
      state->cursor->settled().load(floor);
      return true;
    });
    return failed.ok() ? scanned : failed;
  };
  Status status = with(format::KeyKind::kCursor, 17, "a cursor", [](CursorState&, std::string_view, std::string_view) { return true; });
  if (!status.ok()) return status;
  status = with(format::KeyKind::kPage, 25, "a page", [&](CursorState& state, std::string_view rest, std::string_view value) {
    if (state.cursor->settled().load_page(format::read_u64(rest), value)) return true;
    return failed = corrupt_key("a page of settled offsets"), false;
  });
  if (!status.ok()) return status;
  const std::int64_t now = now_ms();
  const auto record = [&](CursorState& state, Offset offset, std::uint64_t letter, std::string_view value) {
    Result<format::RetryRecord> decoded = format::decode_retry(value, "retry record of offset " + std::to_string(offset.value));
    if (!decoded.ok()) return failed = decoded.status(), false;
    load_record(state, offset, letter, *decoded, now);
    return true;
  };
  status = with(format::KeyKind::kRetry, 25, "a retry record",
                [&](CursorState& state, std::string_view rest, std::string_view value) { return record(state, Offset{format::read_u64(rest)}, 0, value); });
  if (!status.ok()) return status;
  status = with(format::KeyKind::kHold, 25, "a held key", [&](CursorState& state, std::string_view rest, std::string_view value) {
    if (value.size() != 8) return failed = corrupt_key("a held key"), false;
    state.cursor->load_hold(format::read_u64(rest), format::read_u64(value));
    return true;
  });
  if (!status.ok()) return status;
  return with(format::KeyKind::kRedriven, 33, "a redriven letter", [&](CursorState& state, std::string_view rest, std::string_view value) {
    return record(state, Offset{format::read_u64(rest.substr(8))}, format::read_u64(rest), value);
  });
}

void Engine::load_record(CursorState& state, Offset offset, std::uint64_t letter, format::RetryRecord& record, std::int64_t now) {
  if (letter == 0 && state.cursor->settled().contains(offset)) return;
  core::Item item;
  item.id = {offset, letter};
  item.epoch = item.last_epoch = record.last_epoch;
  item.key_hash = record.key_hash;
  item.due_ms = record.due.time_since_epoch().count();
  item.deliveries = record.deliveries;
  item.failures = record.failures;
  item.crashes = record.crashes;
  item.crash_failures = record.crash_failures;
  item.redrives = record.redrives;
  if (record.first_failure || letter != 0) {
    item.history = std::make_unique<core::History>();
    item.history->first_failure = record.first_failure;
    item.history->last_failure = record.last_failure;
    item.history->error = std::move(record.error);
    item.history->attempts = std::move(record.attempts);
    item.history->published = record.published;
  }
  state.cursor->load(std::move(item), now);
}

Status Engine::load_dedup_and_sessions() {
  Status failed;
  Status scanned = store_->scan(format::kind_prefix(format::KeyKind::kDedup), {}, [&](std::string_view key, std::string_view value) {
    if (key.size() != 13) return failed = corrupt_key("a dedup record"), false;
    Result<format::DedupRecord> record = format::decode_dedup(value, "dedup record of commit " + std::to_string(format::read_u64(key.substr(1))));
    if (!record.ok()) return failed = record.status(), false;
    std::uint32_t sub = 0;
    for (const char c : key.substr(9)) sub = sub << 8 | static_cast<unsigned char>(c);
    std::vector<core::Dedup::Entry> entries;
    entries.reserve(record->entries.size());
    for (const format::DedupEntry& entry : record->entries) entries.push_back({{entry.hash_high, entry.hash_low}, Offset{entry.offset}});
    dedup_.insert_record(format::read_u64(key.substr(1)), sub, TopicId{record->topic}, record->time, entries);
    return true;
  });
  if (!failed.ok()) return failed;
  if (!scanned.ok()) return scanned;
  scanned = store_->scan(format::kind_prefix(format::KeyKind::kSession), {}, [&](std::string_view key, std::string_view value) {
    const std::string name(key.substr(1));
    Result<format::SessionRecord> record = format::decode_session(value, "session " + name);
    if (!record.ok()) return failed = record.status(), false;
    sessions_.load(name, {record->last_sequence, record->last_used, record->request_sequence, record->request_offsets, record->request_time});
    return true;
  });
  return failed.ok() ? scanned : failed;
}

/// The deliveries whose handlers were running when the process died. One alone is guilty; of several, each is a suspect, and the one that
/// has been there most often is named once its crashes reach the limit (docs/SEMANTICS.md, S-17).
void Engine::charge_crash(std::uint64_t last_incarnation) {
  std::vector<std::pair<CursorPtr, Mark>> begun;
  const std::int64_t now = now_ms();
  for (const Mark& mark : marks_->left_behind(last_incarnation)) {
    const auto at = cursors_.find({mark.group, mark.topic});
    if (at == cursors_.end()) continue;
    if (!at->second->cursor->was_running({Offset{mark.offset}, mark.letter}, mark.epoch)) continue;
    if (mark.finished)
      at->second->cursor->count_delivery({Offset{mark.offset}, mark.letter}, mark.epoch, key_of_log(*at->second, mark), now);
    else
      begun.emplace_back(at->second, mark);
  }
  std::uint32_t most = 0;
  std::size_t with_most = 0;
  for (const auto& [state, mark] : begun) {
    const std::uint32_t crashes = state->cursor->crashes_of({Offset{mark.offset}, mark.letter}) + 1;
    if (crashes > most) with_most = 0;
    most = std::max(most, crashes);
    if (crashes == most) ++with_most;
  }
  for (const auto& [state, mark] : begun) {
    const core::ItemId id{Offset{mark.offset}, mark.letter};
    const bool named = begun.size() == 1 || (with_most == 1 && state->cursor->crashes_of(id) + 1 == most);
    state->cursor->crash(id, mark.epoch, key_of_log(*state, mark), begun.size() == 1, named, now);
    ++crash_charges_;
    if (!state->dirty_listed) {
      state->dirty_listed = true;
      dirty_.push_back(state);
    }
  }
  for (const auto& [ids, state] : cursors_)
    if (!state->dirty_listed && state->cursor->dirty()) {
      state->dirty_listed = true;
      dirty_.push_back(state);
    }
}

/// The key hash of a message that had no record when the process died.
std::uint64_t Engine::key_of_log(const CursorState& state, const Mark& mark) {
  if (mark.letter != 0) return 0;   // its record has it
  const auto chunk = load_chunk(*state.topic, Offset{mark.offset});
  if (!chunk.ok() || !(*chunk)->has(Offset{mark.offset})) return 0;
  return (*chunk)->key_hash(Offset{mark.offset}, state.options.order, hash_seed_);
}

}  // namespace weir::engine
