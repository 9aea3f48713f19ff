// Scheduled messages come back as they went in, and damaged ones do not.
#include "broker/format/scheduled.h"

#include <catch2/catch.hpp>

#include <string>

#include "broker/core/limits.h"

namespace weir::format {
namespace {

std::string encoded(const ScheduledRecord& record) {
  std::string headers;
  core::encode_headers(record.message.headers, headers);
  return encode_scheduled(record, record.message, headers);
}

ScheduledRecord full() {
  ScheduledRecord record;
  record.due = Time{Duration{1'700'000'000'123}};
  record.published = Time{Duration{1'690'000'000'000}};
  record.bytes = 321;
  record.durability = Durability::kProcess;
  record.message = {.key = "customer-1", .payload = std::string("a\0b", 3), .id = "order-1", .headers = {{"kind", "new"}, {"empty", ""}}, .content_type = "text/plain", .ttl = Duration{5}};
  return record;
}

TEST_CASE("a scheduled message comes back whole", "[format][S-7]") {
  const ScheduledRecord in = full();
  const ScheduledRecord out = decode_scheduled(encoded(in), "here").value();
  CHECK(out.due == in.due);
  CHECK(out.published == in.published);
  CHECK(out.bytes == in.bytes);
  CHECK(out.durability == in.durability);
  CHECK(out.message.key == in.message.key);
  CHECK(out.message.id == in.message.id);
  CHECK(out.message.content_type == in.message.content_type);
  CHECK(out.message.headers == in.message.headers);
  CHECK(out.message.payload.str() == in.message.payload.str());
  CHECK(out.message.ttl == in.message.ttl);
  CHECK(out.payload_bytes == 3);
  CHECK(decode_scheduled(encoded(in), "here", false).value().message.payload.empty());
  CHECK(decode_scheduled(encoded(in), "here", false).value().payload_bytes == 3);
}

TEST_CASE("a scheduled message with nothing in it comes back", "[format][S-7]") {
  const ScheduledRecord out = decode_scheduled(encoded({}), "here").value();
  CHECK(out.message.payload.empty());
  CHECK(out.message.headers.empty());
  CHECK_FALSE(out.message.ttl.has_value());
}

TEST_CASE("damaged scheduled messages are corruption, with the place", "[format][S-7]") {
  const std::string good = encoded(full());
  for (std::size_t size = 0; size < good.size(); ++size) {
    const auto cut = decode_scheduled(std::string_view(good).substr(0, size), "here");
    if (cut.ok()) continue;   // padding at the end
    CHECK(cut.code() == ErrorCode::corruption);
    CHECK(cut.status().message().find("here") != std::string::npos);
  }
  CHECK(decode_scheduled("", "here").code() == ErrorCode::corruption);
  for (std::size_t at = 0; at < good.size(); ++at)
    for (const char bits : {'\x01', '\x80', '\xff'}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ bits);
      const auto out = decode_scheduled(bad, "here");   // must not crash; what the checksum of the store would catch may pass
      if (!out.ok()) CHECK(out.code() == ErrorCode::corruption);
    }
  // Headers that claim more than there is.
  CHECK(decode_scheduled(encode_scheduled({}, {}, std::string("\x05" "ab", 3)), "here").code() == ErrorCode::corruption);
  CHECK(decode_scheduled(encode_scheduled({}, {}, std::string("\x01" "a\x09\x00" "b", 5)), "here").code() == ErrorCode::corruption);
}

}  // namespace
}  // namespace weir::format
