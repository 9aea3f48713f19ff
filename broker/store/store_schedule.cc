// Messages that wait for their time: reading them, and the great check of them.
#include "broker/format/scheduled.h"
#include "broker/store/errors.h"
#include "broker/store/store_impl.h"

namespace weir::store {
namespace {

Status wrong_key(const char* what) { return {ErrorCode::corruption, std::string(what) + " of the schedule has a wrong size"}; }

std::string place_of(TopicId topic, std::uint64_t number) { return "topic " + std::to_string(topic.value) + ", scheduled message " + std::to_string(number); }

/// All keys of one kind.
struct KindRange {
  explicit KindRange(format::ScheduleKind kind) : first(1, static_cast<char>(kind)), end(format::prefix_end(first)), lower(first), upper(end) {}
  const std::string first, end;
  const rocksdb::Slice lower, upper;
};

class HeldSnapshot {
 public:
  explicit HeldSnapshot(rocksdb::DB* db) : db_(db), snapshot_(db->GetSnapshot()) {}
  ~HeldSnapshot() { db_->ReleaseSnapshot(snapshot_); }
  HeldSnapshot(const HeldSnapshot&) = delete;
  HeldSnapshot& operator=(const HeldSnapshot&) = delete;
  rocksdb::ReadOptions options(const KindRange* range = nullptr) const {
    rocksdb::ReadOptions out;
    out.snapshot = snapshot_;
    if (range != nullptr) out.iterate_lower_bound = &range->lower, out.iterate_upper_bound = &range->upper;
    return out;
  }

 private:
  rocksdb::DB* const db_;
  const rocksdb::Snapshot* const snapshot_;
};

}  // namespace

Status Store::scan_due(const format::DueKey& from, const std::function<bool(const format::DueKey&)>& visit) const {
  // The bound lets the iterator skip what was erased before it.
  const std::string first = format::due_key(from), end = format::prefix_end(std::string(1, static_cast<char>(format::ScheduleKind::kDue)));
  const rocksdb::Slice lower(first), upper(end);
  const auto at = impl_->iterator(impl_->schedule, &lower, &upper);
  for (at->SeekToFirst(); at->Valid(); at->Next()) {
    format::DueKey due;
    if (!format::decode_due_key(view(at->key()), due)) return wrong_key("a due time");
    if (!visit(due)) return {};
  }
  return error_of(at->status(), "reading what is due");
}

Status Store::scan_scheduled(TopicId topic, std::uint64_t from, const std::function<bool(std::uint64_t, std::string_view)>& visit) const {
  const std::string first = format::scheduled_key(topic, from), end = format::prefix_end(format::scheduled_prefix(topic));
  const rocksdb::Slice lower(first), upper(end);
  const auto at = impl_->iterator(impl_->schedule, &lower, &upper);
  for (at->SeekToFirst(); at->Valid(); at->Next()) {
    TopicId of;
    std::uint64_t number = 0;
    if (!format::decode_scheduled_key(view(at->key()), of, number)) return wrong_key("a message");
    if (!visit(number, view(at->value()))) return {};
  }
  return error_of(at->status(), "reading scheduled messages");
}

Result<std::optional<std::string>> Store::get_scheduled(TopicId topic, std::uint64_t number) const {
  std::string value;
  const rocksdb::Status status = impl_->db->Get(rocksdb::ReadOptions(), impl_->schedule, format::scheduled_key(topic, number), &value);
  if (status.ok()) return std::optional(std::move(value));
  if (status.IsNotFound()) return std::optional<std::string>();
  return error_of(status, place_of(topic, number));
}

Status Store::flush() {
  rocksdb::FlushOptions options;
  options.wait = true;
  return error_of(impl_->db->Flush(options, {impl_->records, impl_->log, impl_->index, impl_->schedule}), "writing table files");
}

/// Each message can be read, and stands in the index by due time; each entry of that has its message.
void Store::Impl::verify_schedule(const std::function<void(std::string place, std::string what)>& note, std::uint64_t& checked) const {
  const HeldSnapshot snapshot(db);
  const KindRange messages(format::ScheduleKind::kMessage), dues(format::ScheduleKind::kDue);
  const auto has = [&](const std::string& key) {
    rocksdb::PinnableSlice value;
    return db->Get(snapshot.options(), schedule, key, &value).ok();
  };
  const std::unique_ptr<rocksdb::Iterator> message(db->NewIterator(snapshot.options(&messages), schedule));
  for (message->SeekToFirst(); message->Valid() && !care_ends; message->Next()) {
    ++checked;
    format::DueKey due;
    if (!format::decode_scheduled_key(view(message->key()), due.topic, due.number)) {
      note("the schedule", wrong_key("a message").message());
      continue;
    }
    const auto record = format::decode_scheduled(view(message->value()), "the scheduled message");
    if (!record.ok()) {
      note(place_of(due.topic, due.number), record.status().message());
      continue;
    }
    due.due_ms = record->due.time_since_epoch().count();
    if (!has(format::due_key(due))) note(place_of(due.topic, due.number), "it is not in the index by due time, and would wait for ever");
  }
  if (!message->status().ok()) note("the schedule", message->status().ToString());
  const std::unique_ptr<rocksdb::Iterator> entry(db->NewIterator(snapshot.options(&dues), schedule));
  for (entry->SeekToFirst(); entry->Valid() && !care_ends; entry->Next()) {
    ++checked;
    format::DueKey due;
    if (!format::decode_due_key(view(entry->key()), due))
      note("the schedule", wrong_key("a due time").message());
    else if (!has(format::scheduled_key(due.topic, due.number)))
      note(place_of(due.topic, due.number), "the index by due time has it, and the message is not there");
  }
  if (!entry->status().ok()) note("the schedule", entry->status().ToString());
}

}  // namespace weir::store
