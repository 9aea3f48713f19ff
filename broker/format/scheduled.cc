#include "broker/format/scheduled.h"

#include "broker/format/flat_records.h"

namespace weir::format {
namespace {

flatbuffers::Offset<flatbuffers::Vector<std::uint8_t>> add_bytes(FlatBufferBuilder& to, const void* data, std::size_t size) {
  return size == 0 ? 0 : to.CreateVector(static_cast<const std::uint8_t*>(data), size);
}

std::string_view view(const flatbuffers::Vector<std::uint8_t>* bytes) {
  return bytes == nullptr ? std::string_view() : std::string_view(reinterpret_cast<const char*>(bytes->data()), bytes->size());
}

/// Whether names and values fill the bytes exactly.
bool headers_valid(std::string_view rest) {
  while (!rest.empty()) {
    const std::size_t name = static_cast<unsigned char>(rest[0]);
    if (rest.size() < 3 + name) return false;
    const std::size_t value = static_cast<unsigned char>(rest[1 + name]) | std::size_t{static_cast<unsigned char>(rest[2 + name])} << 8;
    if (rest.size() < 3 + name + value) return false;
    rest.remove_prefix(3 + name + value);
  }
  return true;
}

}  // namespace

std::string encode_scheduled(const ScheduledRecord& record, const Message& message, std::string_view encoded_headers) {
  FlatBufferBuilder flat(256 + message.payload.size() + message.key.size() + message.id.size() + message.content_type.size() + encoded_headers.size());
  const auto payload = add_bytes(flat, message.payload.data(), message.payload.size());
  const auto headers = add_bytes(flat, encoded_headers.data(), encoded_headers.size());
  const auto key = add_string(flat, message.key);
  const auto id = add_string(flat, message.id);
  const auto content_type = add_string(flat, message.content_type);
  flat::ScheduledRecordBuilder out(flat);
  out.add_due(milliseconds_of(record.due));
  out.add_published(milliseconds_of(record.published));
  out.add_bytes(record.bytes);
  out.add_durability(static_cast<std::uint8_t>(record.durability));
  if (message.ttl) out.add_ttl(message.ttl->count());
  out.add_key(key);
  out.add_id(id);
  out.add_content_type(content_type);
  out.add_headers(headers);
  out.add_payload(payload);
  out.add_tombstone(message.tombstone);
  return finish(flat, out.Finish());
}

Result<ScheduledRecord> decode_scheduled(std::string_view bytes, std::string_view where, bool with_payload) {
  const Verified<flat::ScheduledRecord> stored(bytes);
  if (!stored) return not_a("scheduled message", where);
  if (stored->durability() > static_cast<std::uint8_t>(Durability::kPower)) return unknown_value("durability", where);
  const std::string_view headers = view(stored->headers());
  if (!headers_valid(headers)) return corrupt(where, "headers do not end where they should");
  ScheduledRecord record;
  record.due = time_of(stored->due());
  record.published = time_of(stored->published());
  record.bytes = stored->bytes();
  record.durability = static_cast<Durability>(stored->durability());
  Message& message = record.message;
  if (const auto ttl = stored->ttl()) message.ttl = Duration{*ttl};
  message.key = string_of(stored->key());
  message.id = string_of(stored->id());
  message.content_type = string_of(stored->content_type());
  message.headers = HeadersView(headers).copy();
  message.tombstone = stored->tombstone();
  const std::string_view payload = view(stored->payload());
  record.payload_bytes = payload.size();
  if (with_payload) message.payload = Payload::copy(payload.data(), payload.size());
  return record;
}

}  // namespace weir::format
