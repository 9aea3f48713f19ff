// Reading: small records, the index, and batches.
#include <algorithm>
#include <cstdio>

#include "broker/store/errors.h"
#include "broker/store/store_impl.h"

namespace weir::store {
namespace {

std::string in_hexadecimal(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(byte));
    text += digits;
  }
  return text;
}

Status wrong_entry(std::string_view key) { return {ErrorCode::corruption, "index entry " + in_hexadecimal(key) + ": wrong size or values"}; }

/// Where a batch lies, for error messages.
std::string place_of(TopicId topic, const format::IndexEntry& entry) {
  return "topic " + std::to_string(topic.value) + ", offsets " + std::to_string(entry.first.value) + " to " +
         std::to_string(entry.first.value + entry.count) + ", commit " + std::to_string(entry.position.commit) + "." +
         std::to_string(entry.position.sub);
}

Status decode(const rocksdb::Iterator& at, format::IndexEntry& out) {
  if (format::decode_index(view(at.key()), view(at.value()), out) && out.count > 0 && out.first.value <= out.end().value) return {};
  return wrong_entry(view(at.key()));
}

/// Moves to the entry that holds `offset`, or to the first one behind it.
void seek(rocksdb::Iterator& at, TopicId topic, Offset offset) {
  at.SeekForPrev(format::index_key(topic, offset));
  if (at.Valid()) {
    format::IndexEntry entry;
    // A damaged entry stays where it is found: whoever reads it reports it.
    if (!decode(at, entry).ok() || entry.end() > offset) return;
    at.Next();
  } else if (at.status().ok()) {
    at.SeekToFirst();
  }
}

/// All keys of one topic in the index.
struct TopicRange {
  explicit TopicRange(TopicId topic) : first(format::index_key(topic, Offset{})), end(format::prefix_end(first.substr(0, 8))), lower(first), upper(end) {}
  const std::string first, end;
  const rocksdb::Slice lower, upper;
};

}  // namespace

std::unique_ptr<rocksdb::Iterator> Store::Impl::iterator(rocksdb::ColumnFamilyHandle* family, const rocksdb::Slice* lower,
                                                         const rocksdb::Slice* upper) const {
  rocksdb::ReadOptions options;
  options.iterate_lower_bound = lower;
  options.iterate_upper_bound = upper;
  return std::unique_ptr<rocksdb::Iterator>(db->NewIterator(options, family));
}

Result<std::optional<std::string>> Store::get(std::string_view key) const {
  std::string value;
  const rocksdb::Status status = impl_->db->Get(rocksdb::ReadOptions(), impl_->records, slice(key), &value);
  if (status.ok()) return std::optional(std::move(value));
  if (status.IsNotFound()) return std::optional<std::string>();
  return error_of(status, "reading record " + in_hexadecimal(key));
}

Status Store::scan(std::string_view prefix, std::string_view from,
                   const std::function<bool(std::string_view key, std::string_view value)>& visit) const {
  const std::string end = format::prefix_end(std::string(prefix));
  const rocksdb::Slice upper(end);
  const auto at = impl_->iterator(impl_->records, nullptr, end.empty() ? nullptr : &upper);
  for (at->Seek(slice(std::max(prefix, from))); at->Valid(); at->Next())
    if (!visit(view(at->key()), view(at->value()))) return {};
  return error_of(at->status(), "reading records " + in_hexadecimal(prefix));
}

Result<std::optional<format::IndexEntry>> Store::find(TopicId topic, Offset offset) const {
  std::optional<format::IndexEntry> found;
  const Status status = scan_index(topic, offset, [&](const format::IndexEntry& entry) {
    found = entry;
    return false;
  });
  if (!status.ok()) return status;
  return found;
}

Result<std::optional<format::IndexEntry>> Store::last(TopicId topic) const {
  const TopicRange range(topic);
  const auto at = impl_->iterator(impl_->index, &range.lower, &range.upper);
  at->SeekToLast();
  if (!at->Valid()) {
    if (!at->status().ok()) return error_of(at->status(), "reading the index");
    return std::optional<format::IndexEntry>();
  }
  format::IndexEntry entry;
  if (Status status = decode(*at, entry); !status.ok()) return status;
  return std::optional(entry);
}

Status Store::scan_index(TopicId topic, Offset offset, const std::function<bool(const format::IndexEntry&)>& visit) const {
  const TopicRange range(topic);
  const auto at = impl_->iterator(impl_->index, &range.lower, &range.upper);
  for (seek(*at, topic, offset); at->Valid(); at->Next()) {
    format::IndexEntry entry;
    if (Status status = decode(*at, entry); !status.ok()) return status;
    if (!visit(entry)) return {};
  }
  return error_of(at->status(), "reading the index");
}

Result<std::shared_ptr<const format::RecordBatch>> Store::read(TopicId topic, const format::IndexEntry& entry) const {
  auto bytes = std::make_shared<std::string>();
  const rocksdb::Status status = impl_->db->Get(rocksdb::ReadOptions(), impl_->log, format::log_key(entry.position), bytes.get());
  if (status.IsNotFound()) {
    // Erased between the look into the index and this one, or lost: the two are erased together.
    const Result<std::optional<format::IndexEntry>> still = find(topic, entry.first);
    if (!still.ok()) return still.status();
    if (!*still || (*still)->position != entry.position) return Status{ErrorCode::not_found, place_of(topic, entry) + " was erased"};
    return Status{ErrorCode::corruption, place_of(topic, entry) + ": the index has it and the log has not"};
  }
  if (!status.ok()) return error_of(status, place_of(topic, entry));
  if (bytes->size() != entry.bytes)
    return Status{ErrorCode::corruption,
                  place_of(topic, entry) + ": " + std::to_string(bytes->size()) + " bytes, the index says " + std::to_string(entry.bytes)};
  const std::string place = place_of(topic, entry);
  Result<std::shared_ptr<const format::RecordBatch>> batch = format::RecordBatch::parse(std::move(bytes), place);
  if (!batch.ok()) return batch;
  if ((*batch)->first() != entry.first || (*batch)->count() != entry.count || (*batch)->time() != entry.time)
    return Status{ErrorCode::corruption, place + ": the batch has other offsets or another time than the index says"};
  return batch;
}

}  // namespace weir::store
