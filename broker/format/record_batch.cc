#include "broker/format/record_batch.h"

#include <limits>

#include "broker/format/flat.h"

namespace weir::format {
namespace {

/// Every message of a batch needs a table for its dead letter and five for its attempts, at most.
constexpr flatbuffers::uoffset_t kTablesMax = 10'000'000;

/// Whether the ends never go back and the last one is the end of the bytes.
bool ends_valid(const flat::Column& column, std::uint32_t count) {
  if (column.ends()->size() != count) return false;
  const std::uint32_t* ends = reinterpret_cast<const std::uint32_t*>(column.ends()->Data());
  bool back = false;
  std::uint32_t before = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t end = flatbuffers::EndianScalar(ends[i]);
    back |= end < before;
    before = end;
  }
  return !back && before == column.bytes()->size();
}

/// Whether the places rise and lie within the batch.
bool places_valid(const flatbuffers::Vector<std::uint32_t>& places, std::uint32_t count) {
  std::uint64_t least = 0;
  for (const std::uint32_t place : places) {
    if (place < least) return false;
    least = std::uint64_t{place} + 1;
  }
  return least <= count;
}

bool dead_letters_valid(const flat::RecordBatch& root) {
  if (root.dead_letters() == nullptr) return true;
  if (root.places() != nullptr || root.dead_letters()->size() != root.count()) return false;   // dead-letter topics are not compacted
  for (const flat::DeadLetter* letter : *root.dead_letters())
    if (letter->reason() > static_cast<std::uint8_t>(DeathReason::kExpired) || !attempts_valid(letter->attempts())) return false;
  return true;
}

}  // namespace

/// A length byte and the name, two length bytes and the value, and so on to the very end.
bool headers_valid(std::string_view headers) {
  std::size_t at = 0;
  while (at < headers.size()) {
    at += 1 + static_cast<unsigned char>(headers[at]);
    if (headers.size() < at + 2) return false;
    at += 2 + (static_cast<unsigned char>(headers[at]) | std::size_t{static_cast<unsigned char>(headers[at + 1])} << 8);
  }
  return at == headers.size();
}

Result<std::shared_ptr<const RecordBatch>> RecordBatch::parse(std::shared_ptr<const std::string> bytes, std::string_view where) {
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes->data());
  flatbuffers::Verifier verifier(data, bytes->size(), 64, kTablesMax);
  if (!verifier.VerifyBuffer<flat::RecordBatch>(nullptr)) return corrupt(where, "not a whole record batch");
  const auto* root = flatbuffers::GetRoot<flat::RecordBatch>(data);
  struct Made : RecordBatch {};
  const auto batch = std::make_shared<Made>();
  batch->root_ = root;
  batch->first_ = Offset{root->first()};
  batch->time_ = time_of(root->time());
  batch->count_ = root->count();
  if (batch->count_ == 0) return corrupt(where, "a record batch without records");
  batch->records_ = batch->count_;
  if (root->places() != nullptr) {
    batch->records_ = root->places()->size();
    batch->places_ = root->places()->Data();
    if (!places_valid(*root->places(), batch->count_)) return corrupt(where, "places of a compacted record batch");
  }
  if (root->first() > std::numeric_limits<std::uint64_t>::max() - batch->count_) return corrupt(where, "offsets of a record batch overflow");

  const auto resolve = [&](const flat::Column* stored, Column& column) {
    if (stored == nullptr) return true;
    column.ends = stored->ends()->Data();
    column.bytes = reinterpret_cast<const char*>(stored->bytes()->Data());
    return ends_valid(*stored, batch->records_);
  };
  if (!resolve(root->payload(), batch->payload_)) return corrupt(where, "column payload of a record batch");
  if (!resolve(root->key(), batch->key_)) return corrupt(where, "column key of a record batch");
  if (!resolve(root->id(), batch->id_)) return corrupt(where, "column id of a record batch");
  if (!resolve(root->content_type(), batch->content_type_)) return corrupt(where, "column content_type of a record batch");
  if (!resolve(root->headers(), batch->headers_)) return corrupt(where, "column headers of a record batch");
  if (batch->headers_.ends != nullptr) {
    for (std::uint32_t i = 0; i < batch->records_; ++i)
      if (!headers_valid(batch->headers_.at(i))) return corrupt(where, "headers of record " + std::to_string(i) + " of a record batch");
  }
  if (root->expires() != nullptr) {
    if (root->expires()->size() != batch->records_) return corrupt(where, "column expires of a record batch");
    batch->expires_ = root->expires()->Data();
  }
  if (root->tombstones() != nullptr) {
    if (root->tombstones()->size() != batch->records_) return corrupt(where, "column tombstones of a record batch");
    batch->tombstones_ = root->tombstones()->Data();
  }
  if (root->times() != nullptr) {
    if (root->times()->size() != batch->records_) return corrupt(where, "column times of a record batch");
    batch->times_ = root->times()->Data();
  }
  if (!dead_letters_valid(*root)) return corrupt(where, "dead letters of a record batch");
  batch->bytes_ = std::move(bytes);
  return std::shared_ptr<const RecordBatch>(batch);
}

std::uint32_t RecordBatch::find_place(std::uint32_t place) const noexcept {
  std::uint32_t low = 0, high = records_;
  while (low < high) {
    const std::uint32_t middle = low + (high - low) / 2;
    if (load<std::uint32_t>(places_ + std::size_t{4} * middle) < place)
      low = middle + 1;
    else
      high = middle;
  }
  return low < records_ && load<std::uint32_t>(places_ + std::size_t{4} * low) == place ? low : kNone;
}

std::shared_ptr<const DeadLetterInfo> RecordBatch::dead_letter(std::uint32_t index) const {
  const auto* letters = static_cast<const flat::RecordBatch*>(root_)->dead_letters();
  if (letters == nullptr) return nullptr;
  const flat::DeadLetter& stored = *letters->Get(index);
  if (stored.origin_topic() == nullptr) return nullptr;
  auto info = std::make_shared<DeadLetterInfo>();
  info->origin_topic = string_of(stored.origin_topic());
  info->origin_offset = Offset{stored.origin_offset()};
  info->group = string_of(stored.group());
  info->source = string_of(stored.source());
  info->published = time_of(stored.published());
  info->reason = static_cast<DeathReason>(stored.reason());
  info->error = string_of(stored.error());
  info->deliveries = stored.deliveries();
  info->failures = stored.failures();
  info->first_failure = time_of(stored.first_failure());
  info->last_failure = time_of(stored.last_failure());
  info->attempts = attempts_of(stored.attempts());
  info->redrives = stored.redrives();
  if (const auto previous = stored.previous()) info->previous = Offset{*previous};
  if (const auto edited = stored.edited_of()) info->edited_of = Offset{*edited};
  return info;
}

}  // namespace weir::format
