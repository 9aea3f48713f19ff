// Keys sort as their numbers do, and index entries come back as they went in.
#include "broker/format/keys.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "broker/base/prng.h"

namespace weir::format {
namespace {

/// Numbers whose bytes are awkward: edges of bytes and of the type, and any others.
std::vector<std::uint64_t> numbers() {
  std::vector<std::uint64_t> out = {0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000, 0xffffffff, 0x100000000, ~std::uint64_t{0} - 1, ~std::uint64_t{0}};
  base::Prng random(7);
  for (int i = 0; i < 40; ++i) out.push_back(random.next() >> (i % 64));
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

TEST_CASE("numbers in keys are big-endian and come back", "[format]") {
  std::string bytes;
  append_u64(bytes, 0x0102030405060708);
  CHECK(bytes == std::string("\x01\x02\x03\x04\x05\x06\x07\x08"));
  for (const std::uint64_t number : numbers()) {
    std::string one;
    append_u64(one, number);
    CHECK(read_u64(one) == number);
  }
}

TEST_CASE("keys sort as their numbers do", "[format]") {
  const std::vector<std::uint64_t> all = numbers();
  for (std::size_t i = 1; i < all.size(); ++i) {
    const std::uint64_t small = all[i - 1], great = all[i];
    INFO(small << " and " << great);
    CHECK(index_key(TopicId{5}, Offset{small}) < index_key(TopicId{5}, Offset{great}));
    CHECK(index_key(TopicId{small}, Offset{~0ull}) < index_key(TopicId{great}, Offset{0}));
    CHECK(log_key({small, 0xffffffff}) < log_key({great, 0}));
    CHECK(log_key({small, 1}) < log_key({small, 256}));
    CHECK(dedup_key(small, 0xffffffff) < dedup_key(great, 0));
    CHECK(page_key(GroupId{1}, TopicId{small}, ~0ull) < page_key(GroupId{1}, TopicId{great}, 0));
    CHECK(page_key(GroupId{1}, TopicId{2}, small) < page_key(GroupId{1}, TopicId{2}, great));
    CHECK(retry_key(GroupId{small}, TopicId{9}, Offset{9}) < retry_key(GroupId{great}, TopicId{0}, Offset{0}));
    CHECK(redriven_key(GroupId{1}, TopicId{2}, small, Offset{~0ull}) < redriven_key(GroupId{1}, TopicId{2}, great, Offset{0}));
    CHECK(letter_page_key(TopicId{2}, 1, small) < letter_page_key(TopicId{2}, 1, great));
    CHECK(topic_key(TopicId{small}) < topic_key(TopicId{great}));
    CHECK(scheduled_key(TopicId{small}, ~0ull) < scheduled_key(TopicId{great}, 0));
    CHECK(scheduled_key(TopicId{3}, small) < scheduled_key(TopicId{3}, great));
    CHECK(due_key({5, small, TopicId{9}}) < due_key({5, great, TopicId{1}}));
    CHECK(due_key({static_cast<std::int64_t>(small >> 1), great, TopicId{9}}) <= due_key({static_cast<std::int64_t>(great >> 1), great, TopicId{9}}));
    CHECK(cursor_key(GroupId{small}, TopicId{great}) < cursor_key(GroupId{great}, TopicId{small}));
  }
}

TEST_CASE("keys of the schedule come back, and others do not pass for them", "[format][S-7]") {
  DueKey due;
  REQUIRE(decode_due_key(due_key({1'700'000'000'000, 42, TopicId{7}}), due));
  CHECK(due.due_ms == 1'700'000'000'000);
  CHECK(due.number == 42);
  CHECK(due.topic == TopicId{7});
  TopicId topic;
  std::uint64_t number = 0;
  REQUIRE(decode_scheduled_key(scheduled_key(TopicId{7}, 42), topic, number));
  CHECK(topic == TopicId{7});
  CHECK(number == 42);
  CHECK_FALSE(decode_due_key(scheduled_key(TopicId{7}, 42), due));
  CHECK_FALSE(decode_scheduled_key(due_key({1, 2, TopicId{3}}), topic, number));
  CHECK_FALSE(decode_due_key(due_key({1, 2, TopicId{3}}).substr(1), due));
  CHECK_FALSE(decode_due_key("", due));
  CHECK_FALSE(decode_scheduled_key("m", topic, number));
}

TEST_CASE("each kind of key has a first byte of its own", "[format]") {
  const std::vector<std::string> keys = {store_key(), commit_key(), dedup_key(1, 2), group_key(GroupId{1}), topic_head_key(TopicId{1}),
                                         cursor_key(GroupId{1}, TopicId{2}), letter_page_key(TopicId{1}, 0, 2), page_key(GroupId{1}, TopicId{2}, 3),
                                         session_key("s"), key_last_key(TopicId{1}, "k"), request_key("r"), state_key("s"), scheduled_count_key(TopicId{1}), topic_key(TopicId{1}), redriven_key(GroupId{1}, TopicId{2}, 3, Offset{4}),
                                         retry_key(GroupId{1}, TopicId{2}, Offset{3}), deleted_topic_key(TopicId{1})};
  std::set<char> firsts;
  for (const std::string& key : keys) firsts.insert(key.front());
  CHECK(firsts.size() == keys.size());
}

TEST_CASE("a prefix covers its keys, and its end is behind them all", "[format]") {
  const std::string prefix = page_prefix(GroupId{3}, TopicId{4});
  for (const std::uint64_t page : numbers()) {
    const std::string key = page_key(GroupId{3}, TopicId{4}, page);
    CHECK(key.starts_with(prefix));
    CHECK(key < prefix_end(prefix));
  }
  CHECK(page_key(GroupId{3}, TopicId{5}, 0) >= prefix_end(prefix));
  CHECK(retry_key(GroupId{1}, TopicId{2}, Offset{3}).starts_with(retry_prefix(GroupId{1}, TopicId{2})));
  CHECK(redriven_key(GroupId{1}, TopicId{2}, 3, Offset{4}).starts_with(redriven_prefix(GroupId{1}, TopicId{2})));
  CHECK(letter_page_key(TopicId{2}, 1, 9).starts_with(letter_page_prefix(TopicId{2}, 1)));
  CHECK(session_key("x").starts_with(kind_prefix(KeyKind::kSession)));
  CHECK(prefix_end("a") == "b");
  CHECK(prefix_end("a\xff") == "b");
  CHECK(prefix_end("a\xff\x01") == "a\xff\x02");
  CHECK(prefix_end("\xff\xff") == "");
  CHECK(prefix_end("") == "");
}

TEST_CASE("keys of the state sort as the application's do, whatever bytes they have", "[format][S-28]") {
  CHECK(state_key("") == kind_prefix(KeyKind::kState));
  CHECK(state_key("a") < state_key(std::string("a\0", 2)));
  CHECK(state_key("a\xff") < state_key("b"));
  CHECK(state_key(std::string(1024, '\xff')) < prefix_end(kind_prefix(KeyKind::kState)));
  CHECK(key_last_key(TopicId{1}, "\xff") < key_last_prefix(TopicId{2}));
  CHECK(key_last_key(TopicId{1}, "k").starts_with(key_last_prefix(TopicId{1})));
}

TEST_CASE("an index entry comes back as it went in", "[format]") {
  base::Prng random(11);
  for (int round = 0; round < 200; ++round) {
    IndexEntry in;
    in.first = Offset{random.next() >> (round % 64)};
    in.count = static_cast<std::uint32_t>(random.next());
    in.position = {random.next(), static_cast<std::uint32_t>(random.next())};
    in.time = Time{Duration{static_cast<std::int64_t>(random.next())}};
    in.bytes = static_cast<std::uint32_t>(random.next());
    in.cumulative = random.next();
    IndexEntry out;
    REQUIRE(decode_index(index_key(TopicId{random.next()}, in.first), encode(in), out));
    CHECK(out.first == in.first);
    CHECK(out.count == in.count);
    CHECK(out.position == in.position);
    CHECK(out.time == in.time);
    CHECK(out.bytes == in.bytes);
    CHECK(out.cumulative == in.cumulative);
  }
}

TEST_CASE("an index entry of a wrong size is refused", "[format][S-32]") {
  const std::string key = index_key(TopicId{1}, Offset{2}), value = encode(IndexEntry{});
  IndexEntry out;
  CHECK(decode_index(key, value, out));
  CHECK_FALSE(decode_index(key, value + '\0', out));
  CHECK_FALSE(decode_index(key, std::string_view(value).substr(1), out));
  CHECK_FALSE(decode_index(key, "", out));
  CHECK_FALSE(decode_index(key + '\0', value, out));
  CHECK_FALSE(decode_index("", value, out));
}

}  // namespace
}  // namespace weir::format
