// The small records: each comes back as it went in, and damaged ones are refused.
#include "broker/format/records.h"

#include <catch2/catch.hpp>

#include <string>

namespace weir::format {
namespace {

Time at(std::int64_t milliseconds) { return Time{Duration{milliseconds}}; }

RetryRecord a_retry() {
  RetryRecord record;
  record.due = at(1'700'000'000'123);
  record.deliveries = 7;
  record.failures = 3;
  record.crashes = 2;
  record.crash_failures = 1;
  record.redrives = 4;
  record.last_epoch = ~std::uint64_t{0};
  record.letter = 18;
  record.published = at(-5);
  record.key_hash = 0xfeedfacecafebeef;
  record.first_failure = at(0);
  record.last_failure = at(1'700'000'000'000);
  record.error = std::string("not \xff text\0 at all", 16);
  record.attempts = {{at(1), "worker", Outcome::kCrash, ""}, {at(2), "", Outcome::kExpired, "late"}};
  return record;
}

GroupRecord a_group() {
  GroupRecord record;
  record.source = "orders.>";
  record.name = "billing";
  record.created = at(12345);
  record.paused = true;
  record.options.start = StartPoint::at(Offset{99});
  record.options.order = Order::kTopic;
  record.options.lease = Duration{1234};
  record.options.max_attempts = 17;
  record.options.max_deliveries = 18;
  record.options.backoff = {Duration{5}, 3.5, Duration{99}, false};
  record.options.in_flight_max = 21;
  record.options.member_in_flight_max = 22;
  record.options.waiting_max = 23;
  record.options.filter = Filter::all({Filter::exact("kind", "a"), Filter::negate(Filter::any({Filter::prefix("x", "y"), Filter::present("z")}))});
  record.options.dead_letter_expired = true;
  record.options.is_volatile = true;
  record.options.expire_idle = Duration{0};
  return record;
}

TEST_CASE("a store record comes back as it went in", "[format]") {
  const StoreRecord in{kFormatVersion, 41, ~std::uint64_t{0}, 77, "0.1.0"};
  const Result<StoreRecord> out = decode_store(encode(in), "here");
  REQUIRE(out.ok());
  CHECK(out->version == in.version);
  CHECK(out->incarnation == in.incarnation);
  CHECK(out->hash_seed == in.hash_seed);
  CHECK(out->next_id == in.next_id);
  CHECK(out->created_by == in.created_by);
}

TEST_CASE("a store of another format is refused by name", "[format]") {
  StoreRecord record;
  record.version = kFormatVersion + 1;
  const Result<StoreRecord> out = decode_store(encode(record), "here");
  CHECK(out.code() == ErrorCode::format_version);
  CHECK(out.status().message().find(std::to_string(kFormatVersion + 1)) != std::string::npos);
}

TEST_CASE("a topic record comes back as it went in", "[format]") {
  TopicRecord in;
  for (const bool filled : {false, true}) {
    if (filled) {
      in.options.ephemeral = true;
      in.options.durability = Durability::kMemory;
      in.options.retention_age = Duration{1};
      in.options.retention_bytes = 2;
      in.options.discard_settled = true;
      in.options.bytes_max = 3;
      in.options.cap_policy = CapPolicy::kDropOldest;
      in.options.payload_bytes_max = 4;
      in.options.dedup_window = Duration{0};
      in.options.track_keys = true;
      in.dead_letters_of_group = 5;
      in.dead_letters_of_topic = 6;
      in.created = at(7);
      in.name = "orders.created";
    }
    const Result<TopicRecord> out = decode_topic(encode(in), "here");
    REQUIRE(out.ok());
    CHECK(out->name == in.name);
    CHECK(out->options == in.options);
    CHECK(out->created == in.created);
    CHECK(out->dead_letters_of_group == in.dead_letters_of_group);
    CHECK(out->dead_letters_of_topic == in.dead_letters_of_topic);
  }
}

TEST_CASE("a group record comes back as it went in", "[format]") {
  for (const GroupRecord& in : {GroupRecord{}, a_group()}) {
    const Result<GroupRecord> out = decode_group(encode(in), "here");
    REQUIRE(out.ok());
    CHECK(out->source == in.source);
    CHECK(out->name == in.name);
    CHECK(out->options == in.options);
    CHECK(out->created == in.created);
    CHECK(out->paused == in.paused);
  }
}

TEST_CASE("a filter as deep as it may be comes back", "[format][S-22]") {
  GroupRecord in;
  in.options.filter = Filter::exact("a", "b");
  for (int depth = 0; depth < 7; ++depth) in.options.filter = Filter::negate(in.options.filter);
  const Result<GroupRecord> out = decode_group(encode(in), "here");
  REQUIRE(out.ok());
  CHECK(out->options.filter == in.options.filter);
}

TEST_CASE("a retry record comes back as it went in", "[format][S-17]") {
  for (const RetryRecord& in : {RetryRecord{}, a_retry()}) {
    const Result<RetryRecord> out = decode_retry(encode(in), "here");
    REQUIRE(out.ok());
    CHECK(out->due == in.due);
    CHECK(out->deliveries == in.deliveries);
    CHECK(out->failures == in.failures);
    CHECK(out->crashes == in.crashes);
    CHECK(out->crash_failures == in.crash_failures);
    CHECK(out->redrives == in.redrives);
    CHECK(out->last_epoch == in.last_epoch);
    CHECK(out->letter == in.letter);
    CHECK(out->published == in.published);
    CHECK(out->key_hash == in.key_hash);
    CHECK(out->first_failure == in.first_failure);
    CHECK(out->last_failure == in.last_failure);
    CHECK(out->error == in.error);
    REQUIRE(out->attempts.size() == in.attempts.size());
    for (std::size_t i = 0; i < in.attempts.size(); ++i) {
      CHECK(out->attempts[i].time == in.attempts[i].time);
      CHECK(out->attempts[i].member == in.attempts[i].member);
      CHECK(out->attempts[i].outcome == in.attempts[i].outcome);
      CHECK(out->attempts[i].error == in.attempts[i].error);
    }
  }
}

TEST_CASE("a session record comes back as it went in", "[format][S-6]") {
  SessionRecord in;
  for (const bool filled : {false, true}) {
    if (filled) in = {1000, at(1), 998, {5, 6, ~std::uint64_t{0}}, at(2)};
    const Result<SessionRecord> out = decode_session(encode(in), "here");
    REQUIRE(out.ok());
    CHECK(out->last_sequence == in.last_sequence);
    CHECK(out->last_used == in.last_used);
    CHECK(out->request_sequence == in.request_sequence);
    CHECK(out->request_offsets == in.request_offsets);
    CHECK(out->request_time == in.request_time);
  }
}

TEST_CASE("a request record comes back as it went in", "[format][S-6][S-28]") {
  for (const bool duplicate : {false, true}) {
    const RequestRecord in{1, ~std::uint64_t{0}, at(1'700'000'000'000), 9, {{Offset{5}, false}, {kNoOffset, duplicate}}};
    const Result<RequestRecord> out = decode_request(encode(in), "here");
    REQUIRE(out.ok());
    CHECK(out->content_high == in.content_high);
    CHECK(out->content_low == in.content_low);
    CHECK(out->time == in.time);
    CHECK(out->version == in.version);
    REQUIRE(out->publishes.size() == 2);
    CHECK(out->publishes[0].offset == Offset{5});
    CHECK_FALSE(out->publishes[0].duplicate);
    CHECK(out->publishes[1].offset == kNoOffset);
    CHECK(out->publishes[1].duplicate == duplicate);
  }
  CHECK(decode_request(encode(RequestRecord{}), "here")->publishes.empty());
}

TEST_CASE("a dedup record comes back as it went in", "[format][S-6]") {
  DedupRecord in;
  for (const std::size_t count : {0u, 1u, 3000u}) {
    in.topic = 9;
    in.time = at(-1);
    in.entries.clear();
    for (std::uint64_t i = 0; i < count; ++i) in.entries.push_back({~i, i, i * i});
    const Result<DedupRecord> out = decode_dedup(encode(in), "here");
    REQUIRE(out.ok());
    CHECK(out->topic == in.topic);
    CHECK(out->time == in.time);
    REQUIRE(out->entries.size() == in.entries.size());
    for (std::size_t i = 0; i < count; ++i) {
      CHECK(out->entries[i].hash_high == in.entries[i].hash_high);
      CHECK(out->entries[i].hash_low == in.entries[i].hash_low);
      CHECK(out->entries[i].offset == in.entries[i].offset);
    }
  }
}

/// Decodes every shortened and every one-byte-damaged form of `bytes`, from every alignment. Answers how many were refused.
template <class Decode>
std::size_t damage(const std::string& bytes, Decode&& decode) {
  std::size_t refused = 0;
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const Status status = decode(std::string_view(bytes).substr(0, size), "the place").status();
    refused += !status.ok();
    if (!status.ok()) CHECK(status == ErrorCode::corruption);
    if (!status.ok()) CHECK(status.message().find("the place") != std::string::npos);
  }
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (const unsigned flip : {0x01u, 0x80u, 0xffu}) {
      std::string shifted = "x" + bytes;   // a RocksDB value may lie anywhere
      shifted[i + 1] = static_cast<char>(static_cast<unsigned char>(shifted[i + 1]) ^ flip);
      const Status status = decode(std::string_view(shifted).substr(1), "the place").status();
      refused += !status.ok();
      if (!status.ok()) CHECK((status == ErrorCode::corruption || status == ErrorCode::format_version));
    }
  }
  return refused;
}

TEST_CASE("damaged records are refused or read within their bounds", "[format][S-32]") {
  CHECK(damage(encode(StoreRecord{1, 2, 3, 4, "weir"}), decode_store) > 0);
  CHECK(damage(encode(TopicRecord{"t", {}, at(1), 2, 3}), decode_topic) > 0);
  CHECK(damage(encode(a_group()), decode_group) > 0);
  CHECK(damage(encode(a_retry()), decode_retry) > 0);
  CHECK(damage(encode(SessionRecord{1, at(2), 3, {4, 5}, at(6)}), decode_session) > 0);
  CHECK(damage(encode(RequestRecord{1, 2, at(3), 4, {{Offset{5}, false}, {Offset{6}, true}}}), decode_request) > 0);
  CHECK(damage(encode(DedupRecord{1, at(2), {{3, 4, 5}, {6, 7, 8}}}), decode_dedup) > 0);
}

TEST_CASE("an unknown value of an enumeration is corruption, not undefined", "[format][S-32]") {
  GroupRecord group;
  group.options.order = static_cast<Order>(3);
  CHECK(decode_group(encode(group), "here").code() == ErrorCode::corruption);
  group = {};
  group.options.filter.op = static_cast<Filter::Op>(200);
  CHECK(decode_group(encode(group), "here").code() == ErrorCode::corruption);
  TopicRecord topic;
  topic.options.durability = static_cast<Durability>(3);
  CHECK(decode_topic(encode(topic), "here").code() == ErrorCode::corruption);
  RetryRecord retry;
  retry.attempts = {{at(0), "", static_cast<Outcome>(5), ""}};
  CHECK(decode_retry(encode(retry), "here").code() == ErrorCode::corruption);
}

}  // namespace
}  // namespace weir::format
