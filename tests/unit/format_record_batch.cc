// Record batches: what goes in comes out, whatever columns are used; and nothing damaged is read out of bounds.
#include "broker/format/record_batch.h"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

#include "broker/base/prng.h"
#include "weir/message.h"

namespace weir::format {
namespace {

Time at(std::int64_t milliseconds) { return Time{Duration{milliseconds}}; }

struct Owned {
  std::string payload, key, id, content_type, headers;
  std::int64_t expires_at_ms = 0;
  std::optional<DeadLetterInfo> dead_letter;
  RecordView view() const { return {payload, key, id, content_type, headers, expires_at_ms}; }
};

std::string one_header(std::string_view name, std::string_view value) {
  std::string out(1, static_cast<char>(name.size()));
  out.append(name);
  out.push_back(static_cast<char>(value.size() & 0xff));
  out.push_back(static_cast<char>(value.size() >> 8));
  return out.append(value);
}

std::string some_bytes(base::Prng& random, std::size_t bytes_max) {
  std::string out(random.next() % (bytes_max + 1), '\0');
  for (char& byte : out) byte = static_cast<char>(random.next());
  return out;
}

std::shared_ptr<const std::string> build(BatchBuilder& builder, const std::vector<Owned>& records, Offset first, Time time) {
  for (const Owned& record : records) builder.add(record.view(), record.dead_letter ? &*record.dead_letter : nullptr);
  REQUIRE(builder.count() == records.size());
  auto bytes = builder.finish(first, time);
  REQUIRE(builder.count() == 0);
  return bytes;
}

void check_equal(const RecordBatch& batch, const std::vector<Owned>& records) {
  REQUIRE(batch.count() == records.size());
  for (std::uint32_t i = 0; i < batch.count(); ++i) {
    const RecordView view = batch.record(i);
    const Owned& owned = records[i];
    const bool same = view.payload == owned.payload && view.key == owned.key && view.id == owned.id && view.content_type == owned.content_type &&
                      view.headers == owned.headers && view.expires_at_ms == owned.expires_at_ms && batch.key(i) == owned.key &&
                      batch.headers(i) == owned.headers && batch.expires_at_ms(i) == owned.expires_at_ms &&
                      batch.payload_size(i) == owned.payload.size();
    if (!same) FAIL("record " << i << " differs");
    const auto letter = batch.dead_letter(i);
    REQUIRE((letter != nullptr) == owned.dead_letter.has_value());
    if (letter != nullptr) {
      CHECK(letter->origin_topic == owned.dead_letter->origin_topic);
      CHECK(letter->attempts.size() == owned.dead_letter->attempts.size());
    }
  }
}

DeadLetterInfo a_letter() {
  DeadLetterInfo info;
  info.origin_topic = "orders";
  info.origin_offset = Offset{77};
  info.group = "billing";
  info.source = "orders.>";
  info.published = at(5);
  info.reason = DeathReason::kCrashLoop;
  info.error = "it broke";
  info.deliveries = 4;
  info.failures = 3;
  info.first_failure = at(0);
  info.last_failure = at(9);
  info.attempts = {{at(6), "m", Outcome::kRetry, "x"}, {at(7), "", Outcome::kCrash, ""}};
  info.redrives = 2;
  return info;
}

TEST_CASE("a plain message costs its payload and four bytes", "[format]") {
  BatchBuilder builder;
  const std::string payload(100, 'p');
  for (int i = 0; i < 1000; ++i) builder.add({payload, {}, {}, {}, {}, 0});
  const auto bytes = builder.finish(Offset{0}, at(0));
  CHECK(bytes->size() >= 104'000);
  CHECK(bytes->size() < 104'000 + 128);
  const auto batch = RecordBatch::parse(bytes, "here");
  REQUIRE(batch.ok());
  CHECK_FALSE((*batch)->has_keys());
  CHECK_FALSE((*batch)->has_expiry());
  CHECK((*batch)->bytes() == bytes->size());
  CHECK((*batch)->buffer() == bytes);
}

TEST_CASE("a batch knows its offsets and its time", "[format][S-3]") {
  BatchBuilder builder;
  builder.add({"a", {}, {}, {}, {}, 0});
  builder.add({"b", {}, {}, {}, {}, 0});
  const auto batch = RecordBatch::parse(builder.finish(Offset{41}, at(-7)), "here");
  REQUIRE(batch.ok());
  CHECK((*batch)->first() == Offset{41});
  CHECK((*batch)->end() == Offset{43});
  CHECK((*batch)->time() == at(-7));
}

TEST_CASE("records without any payload come back", "[format]") {
  BatchBuilder builder;
  const auto batch = RecordBatch::parse(build(builder, std::vector<Owned>(3), Offset{0}, at(0)), "here");
  REQUIRE(batch.ok());
  check_equal(**batch, std::vector<Owned>(3));
}

TEST_CASE("random batches come back as they went in", "[format]") {
  BatchBuilder builder;   // one for all: nothing may be left over from the batch before
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    INFO("seed " << seed);
    base::Prng random(seed);
    // Each column is used by no record, by all, or by some.
    std::uint64_t chance[6];
    for (std::uint64_t& c : chance) c = random.next() % 3 * 50;
    const auto used = [&](int column) { return random.next() % 100 < chance[column]; };
    std::vector<Owned> records(1 + random.next() % 40);
    for (Owned& record : records) {
      if (used(0)) record.payload = some_bytes(random, 200);
      if (used(1)) record.key = some_bytes(random, 20);
      if (used(2)) record.id = some_bytes(random, 20);
      if (used(3)) record.content_type = "text/plain";
      if (used(4)) record.headers = one_header("a", some_bytes(random, 300)) + one_header("bb", "");
      if (used(5)) record.expires_at_ms = static_cast<std::int64_t>(random.next());
      if (seed % 5 == 0 && used(5)) record.dead_letter = a_letter();
    }
    const Offset first{random.next() >> 2};
    const auto batch = RecordBatch::parse(build(builder, records, first, at(static_cast<std::int64_t>(seed))), "here");
    REQUIRE(batch.ok());
    CHECK((*batch)->first() == first);
    check_equal(**batch, records);
  }
}

TEST_CASE("a large payload comes back, and the builder goes on with small ones", "[format]") {
  BatchBuilder builder;
  std::vector<Owned> records(2);
  records[0].payload = std::string(20 << 20, 'x');
  records[1].payload = "y";
  check_equal(**RecordBatch::parse(build(builder, records, Offset{0}, at(0)), "here"), records);
  records[0].payload = "z";
  const auto bytes = build(builder, records, Offset{0}, at(0));
  CHECK(bytes->size() < 200);
  check_equal(**RecordBatch::parse(bytes, "here"), records);
}

TEST_CASE("a dead letter comes back with its whole history", "[format][S-24]") {
  BatchBuilder builder;
  const DeadLetterInfo in = a_letter();
  builder.add({"x", {}, {}, {}, {}, 0}, &in);
  const auto batch = RecordBatch::parse(builder.finish(Offset{3}, at(4)), "here");
  REQUIRE(batch.ok());
  const auto out = (*batch)->dead_letter(0);
  REQUIRE(out);
  CHECK(out->origin_topic == in.origin_topic);
  CHECK(out->origin_offset == in.origin_offset);
  CHECK(out->group == in.group);
  CHECK(out->source == in.source);
  CHECK(out->published == in.published);
  CHECK(out->reason == in.reason);
  CHECK(out->error == in.error);
  CHECK(out->deliveries == in.deliveries);
  CHECK(out->failures == in.failures);
  CHECK(out->first_failure == in.first_failure);
  CHECK(out->last_failure == in.last_failure);
  CHECK(out->redrives == in.redrives);
  REQUIRE(out->attempts.size() == 2);
  CHECK(out->attempts[0].member == "m");
  CHECK(out->attempts[1].outcome == Outcome::kCrash);
  CHECK(out->attempts[1].time == at(7));
}

TEST_CASE("headers that HeadersView could not read are corruption", "[format][S-32]") {
  const std::string good = one_header("name", "value") + one_header("b", std::string(300, 'v'));
  for (std::size_t size = 1; size < good.size(); ++size) {
    if (size == one_header("name", "value").size()) continue;   // a whole header less is a good one too
    BatchBuilder builder;
    builder.add({"x", {}, {}, {}, {}, 0});
    builder.add({"x", {}, {}, {}, std::string_view(good).substr(0, size), 0});
    const auto batch = RecordBatch::parse(builder.finish(Offset{0}, at(0)), "the place");
    INFO(size << " bytes of " << good.size());
    CHECK(batch.code() == ErrorCode::corruption);
    CHECK(batch.status().message().find("the place") != std::string::npos);
    CHECK(batch.status().message().find("record 1") != std::string::npos);
  }
}

/// Reads everything that can be read, so that a sanitizer sees any step out of bounds.
std::size_t read_everything(const RecordBatch& batch) {
  std::size_t sum = 0;
  for (std::uint32_t i = 0; i < batch.records(); ++i) {
    sum += static_cast<std::size_t>(batch.record_time(i).time_since_epoch().count()) + batch.offset_of(i).value;
    const RecordView view = batch.record(i);
    for (const std::string_view text : {view.payload, view.key, view.id, view.content_type, view.headers})
      for (const char byte : text) sum += static_cast<unsigned char>(byte);
    sum += static_cast<std::size_t>(view.expires_at_ms);
    for (const HeaderView header : HeadersView(view.headers)) sum += header.name.size() + header.value.size();
    if (const auto letter = batch.dead_letter(i)) sum += letter->error.size() + letter->attempts.size();
  }
  return sum;
}

std::shared_ptr<const std::string> a_full_batch() {
  std::vector<Owned> records(3);
  records[0] = {"first payload", "key", "id", "text/plain", one_header("n", "v"), 12345, a_letter()};
  records[2] = {"third", "", "another", "", one_header("n", "v") + one_header("long", std::string(40, 'l')), 0, a_letter()};
  BatchBuilder builder;
  return build(builder, records, Offset{1000}, at(1'700'000'000'000));
}

TEST_CASE("a batch cut short anywhere is corruption", "[format][S-32]") {
  const auto bytes = a_full_batch();
  REQUIRE(RecordBatch::parse(bytes, "here").ok());
  for (std::size_t size = 0; size < bytes->size(); ++size) {
    const auto batch = RecordBatch::parse(std::make_shared<const std::string>(bytes->substr(0, size)), "here");
    if (batch.ok()) read_everything(**batch);   // only padding at the end can go unnoticed; the index knows the size
    else CHECK(batch.code() == ErrorCode::corruption);
    if (size + 8 < bytes->size()) CHECK_FALSE(batch.ok());
  }
}

TEST_CASE("whatever byte of a batch is wrong, nothing is read out of bounds", "[format][S-32]") {
  const auto bytes = a_full_batch();
  std::size_t refused = 0, sum = 0;
  for (std::size_t i = 0; i < bytes->size(); ++i) {
    for (unsigned flip = 1; flip < 256; ++flip) {
      std::string wrong = *bytes;
      wrong[i] = static_cast<char>(static_cast<unsigned char>(wrong[i]) ^ flip);
      const auto batch = RecordBatch::parse(std::make_shared<const std::string>(std::move(wrong)), "here");
      if (batch.ok()) sum += read_everything(**batch);
      else ++refused;
    }
  }
  CHECK(refused > bytes->size() * 255 / 4);
  CHECK(sum > 0);
}

std::shared_ptr<const std::string> a_compacted_batch() {
  BatchBuilder builder;
  RecordView record;
  record.payload = "one";
  record.key = "a";
  builder.add(record);
  record.payload = {};
  record.key = "b";
  record.tombstone = true;
  builder.add(record);
  return builder.finish_compacted(Offset{100}, 10, at(5000), {2, 9}, {3000, 5000});
}

TEST_CASE("a compacted batch knows which messages are left, where they stood and when they came", "[format][S-10]") {
  const auto batch = RecordBatch::parse(a_compacted_batch(), "here").value();
  CHECK(batch->compacted());
  CHECK(batch->first() == Offset{100});
  CHECK(batch->end() == Offset{110});
  CHECK(batch->records() == 2);
  CHECK(batch->time() == at(5000));
  for (std::uint64_t offset = 100; offset < 110; ++offset)
    CHECK(batch->index_of(Offset{offset}) == (offset == 102 ? 0 : offset == 109 ? 1 : RecordBatch::kNone));
  CHECK(batch->offset_of(1) == Offset{109});
  CHECK(batch->record(0).payload == "one");
  CHECK_FALSE(batch->tombstone(0));
  CHECK(batch->record(1).tombstone);
  CHECK(batch->record_time(0) == at(3000));
  CHECK(batch->record_time(1) == at(5000));
}

TEST_CASE("a batch of which compaction left nothing still says what it covers", "[format][S-10]") {
  BatchBuilder builder;
  const auto batch = RecordBatch::parse(builder.finish_compacted(Offset{7}, 3, at(1), {}, {}), "here").value();
  CHECK(batch->records() == 0);
  CHECK(batch->count() == 3);
  for (std::uint64_t offset = 7; offset < 10; ++offset) CHECK(batch->index_of(Offset{offset}) == RecordBatch::kNone);
}

TEST_CASE("places of a compacted batch that do not rise, or lie outside, are corruption", "[format][S-32]") {
  for (const auto& places : {std::vector<std::uint32_t>{2, 2}, {9, 2}, {2, 10}}) {
    BatchBuilder builder;
    for (int i = 0; i < 2; ++i) builder.add(RecordView{"p", "k", {}, {}, {}});
    CHECK(RecordBatch::parse(builder.finish_compacted(Offset{0}, 10, at(1), places, {1, 1}), "here").code() == ErrorCode::corruption);
  }
}

TEST_CASE("whatever byte of a compacted batch is wrong, nothing is read out of bounds", "[format][S-32]") {
  const auto bytes = a_compacted_batch();
  std::size_t refused = 0, sum = 0;
  for (std::size_t i = 0; i < bytes->size(); ++i) {
    for (unsigned flip = 1; flip < 256; ++flip) {
      std::string wrong = *bytes;
      wrong[i] = static_cast<char>(static_cast<unsigned char>(wrong[i]) ^ flip);
      const auto batch = RecordBatch::parse(std::make_shared<const std::string>(std::move(wrong)), "here");
      if (batch.ok()) sum += read_everything(**batch) + (*batch)->index_of((*batch)->first());
      else ++refused;
    }
  }
  CHECK(refused > 0);
  CHECK(sum > 0);
}

TEST_CASE("random bytes are no batch", "[format][S-32]") {
  base::Prng random(5);
  for (int round = 0; round < 2000; ++round) {
    const auto batch = RecordBatch::parse(std::make_shared<const std::string>(some_bytes(random, 300)), "here");
    if (batch.ok()) read_everything(**batch);
    else CHECK(batch.code() == ErrorCode::corruption);
  }
}

}  // namespace
}  // namespace weir::format
