#include "broker/engine/chunk.h"

#include "broker/base/hash.h"
#include "broker/core/limits.h"

namespace weir::engine {
namespace {

/// A message larger than this share of its batch, or in a batch no larger than this, may keep the batch alive.
constexpr std::size_t kPinnedBytesMax = 64u << 10;

std::optional<Time> when(std::int64_t ms) {
  if (ms == 0) return std::nullopt;
  return Time{Duration{ms}};
}

std::string_view piece(const char*& at, std::string_view from) {
  if (!from.empty()) std::memcpy(const_cast<char*>(at), from.data(), from.size());
  const std::string_view out(at, from.size());
  at += from.size();
  return out;
}

}  // namespace

std::uint64_t Chunk::hash(std::string_view key, Order order, std::uint64_t seed) {
  if (order == Order::kNone) return 0;
  if (order == Order::kTopic) return 1;
  if (key.empty()) return 0;
  return base::hash64(key, seed) | 1;  // never 0, which means that there is no order to keep
}

Chunk::Chunk(Offset first, Time time, std::vector<Message> messages, std::vector<std::shared_ptr<const DeadLetterInfo>> letters)
    : messages_(std::move(messages)), letters_(std::move(letters)), first_(first), count_(static_cast<std::uint32_t>(messages_.size())), time_(time) {
  for (std::size_t i = 0; i < messages_.size(); ++i) {
    bytes_ += core::message_bytes(messages_[i]) + sizeof(Message);
    if (messages_[i].headers.empty()) continue;
    headers_.resize(messages_.size());
    core::encode_headers(messages_[i].headers, headers_[i]);
  }
}

std::uint64_t Chunk::key_hash(Offset offset, Order order, std::uint64_t seed) const {
  const std::uint32_t i = index(offset);
  return hash(batch_ ? batch_->key(i) : std::string_view(messages_[i].key), order, seed);
}

std::int64_t Chunk::expires_ms(Offset offset) const {
  const std::uint32_t i = index(offset);
  if (batch_) return batch_->has_expiry() ? batch_->expires_at_ms(i) : 0;
  return messages_[i].ttl ? (time_ + *messages_[i].ttl).time_since_epoch().count() : 0;
}

core::LogMessage Chunk::look(Offset offset, Order order, const Filter& filter, std::uint64_t seed) const {
  const std::uint32_t i = index(offset);
  core::LogMessage out;
  out.offset = offset;
  if (i == format::RecordBatch::kNone) {
    out.wanted = false;
    out.gone = true;
    return out;
  }
  out.key_hash = batch_ && !batch_->has_keys() && order == Order::kKey ? 0 : key_hash(offset, order, seed);
  out.expires_ms = expires_ms(offset);
  out.bytes = batch_ ? batch_->payload_size(i) : messages_[i].payload.size();
  if (!filter.empty()) {
    const std::string_view encoded = batch_ ? batch_->headers(i) : headers_.empty() ? std::string_view{} : std::string_view(headers_[i]);
    out.wanted = filter.matches(HeadersView(encoded));
  }
  return out;
}

void Chunk::fill(Offset offset, StoredMessage& out) const {
  const std::uint32_t i = index(offset);
  out.offset = offset;
  out.time = batch_ ? batch_->record_time(i) : time_;
  if (!batch_) {
    const Message& m = messages_[i];
    out.key = m.key;
    out.id = m.id;
    out.content_type = m.content_type;
    if (!headers_.empty()) out.headers = HeadersView(headers_[i]);
    if (m.ttl) out.expires_at = time_ + *m.ttl;
    out.tombstone = m.tombstone;
    out.payload = m.payload;
    out.owner = shared_from_this();
    if (!letters_.empty()) out.dead_letter = letters_[i];
    return;
  }
  format::RecordView r = batch_->record(i);
  out.expires_at = when(r.expires_at_ms);
  out.tombstone = r.tombstone;
  if (batch_->bytes() <= kPinnedBytesMax || r.payload.size() * 2 > batch_->bytes()) {
    out.owner = batch_->buffer();
    out.payload = Payload::adopt(batch_->buffer(), r.payload.data(), r.payload.size());
  } else {
    const std::size_t size = r.payload.size() + r.key.size() + r.id.size() + r.content_type.size() + r.headers.size();
    auto own = std::make_shared_for_overwrite<char[]>(size + 1);
    const char* at = own.get();
    const std::string_view payload = piece(at, r.payload);
    r.key = piece(at, r.key);
    r.id = piece(at, r.id);
    r.content_type = piece(at, r.content_type);
    r.headers = piece(at, r.headers);
    out.payload = Payload::adopt(own, payload.data(), payload.size());
    out.owner = std::move(own);
  }
  out.key = r.key;
  out.id = r.id;
  out.content_type = r.content_type;
  out.headers = HeadersView(r.headers);
  out.dead_letter = batch_->dead_letter(i);
}

std::shared_ptr<const DeadLetterInfo> Chunk::dead_letter(Offset offset) const {
  if (batch_) return batch_->dead_letter(index(offset));
  return letters_.empty() ? nullptr : letters_[index(offset)];
}

}  // namespace weir::engine
