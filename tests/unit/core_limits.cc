// What messages, topics and groups may be (S-1, S-12, S-22).
#include "broker/core/limits.h"

#include <catch2/catch.hpp>

#include <functional>
#include <limits>

#include "broker/base/prng.h"

namespace weir::core {
namespace {

using namespace std::chrono_literals;

void expect(const Status& status, ErrorCode code, const char* word) {
  INFO(status);
  CHECK(status.code() == code);
  CHECK(status.message().find(word) != std::string::npos);
}

Message message(const std::function<void(Message&)>& change) {
  Message m;
  m.payload = Payload("x");
  change(m);
  return m;
}

TEST_CASE("text is UTF-8 without control characters", "[core][S-1]") {
  for (const std::string text : {"", "a", "~ ", "12345678", "123456789 and more", "käse", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\x9f\xbf",
                                 "\xee\x80\x80", "\xf4\x8f\xbf\xbf", "\xc2\xa0", "\xe0\xa0\x80"}) {
    CAPTURE(text);
    CHECK(valid_utf8_text(text));
    CHECK(valid_utf8_text("0123456" + text + "0123456"));
  }
  for (const std::string text : {"\n", "\x1f", "\x7f", "\x80", "\xc2", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
                                 "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xe2\x82", "\xc2\x80", "\xc2\x9f", "\xe2\x28\xa1"}) {
    CAPTURE(text);
    CHECK_FALSE(valid_utf8_text(text));
    for (std::size_t before = 0; before < 17; ++before)
      for (std::size_t after = 0; after < 10; ++after)
        REQUIRE_FALSE(valid_utf8_text(std::string(before, 'a') + text + std::string(after, 'b')));
  }
  CHECK_FALSE(valid_utf8_text(std::string("nul\0", 4)));
}

TEST_CASE("every ASCII byte at every place is judged alike", "[core][S-1]") {
  for (int byte = 0; byte < 128; ++byte)
    for (std::size_t length = 1; length <= 19; ++length)
      for (std::size_t place = 0; place < length; ++place) {
        std::string text(length, 'k');
        text[place] = static_cast<char>(byte);
        REQUIRE(valid_utf8_text(text) == (byte >= 0x20 && byte < 0x7f));
      }
}

TEST_CASE("a cut never splits a character", "[core][S-24]") {
  CHECK(cut_text("abc", 3) == "abc");
  CHECK(cut_text("abc", 2) == "ab");
  CHECK(cut_text("a\xe2\x82\xac", 3) == "a");
  CHECK(cut_text("a\xe2\x82\xac", 4) == "a\xe2\x82\xac");
  CHECK(cut_text("a\xf0\x9f\x98\x80", 4) == "a");
  CHECK(cut_text("\xe2\x82\xac", 0).empty());
  CHECK(cut_text(std::string(10, '\x80'), 8).size() >= 5);
}

TEST_CASE("a plain message passes", "[core][S-1]") {
  const TopicOptions topic;
  CHECK(validate_message({}, topic).ok());
  CHECK(validate_message(message([](Message& m) { m.key = "customer-17"; }), topic).ok());
  CHECK(validate_message(message([](Message& m) { m.key = "Müller"; }), topic).ok());
  CHECK(validate_message(message([](Message& m) {
          m.key = std::string(1024, 'k'), m.id = std::string(128, 'i'), m.content_type = std::string(255, 't'), m.ttl = 1ms;
          for (int i = 0; i < 64; ++i) m.headers.push_back({"h" + std::to_string(i), "v"});
        }), topic).ok());
}

TEST_CASE("each limit is exact and named", "[core][S-1]") {
  using enum ErrorCode;
  TopicOptions topic;
  topic.payload_bytes_max = 10;
  const auto check = [&](const std::function<void(Message&)>& change) { return validate_message(message(change), topic); };

  CHECK(check([](Message& m) { m.payload = Payload(std::string(10, 'p')); }).ok());
  expect(check([](Message& m) { m.payload = Payload(std::string(11, 'p')); }), limit_exceeded, "payload");
  expect(check([](Message& m) { m.key = std::string(1025, 'k'); }), limit_exceeded, "key");
  expect(check([](Message& m) { m.key = "a\tb"; }), invalid_argument, "key");
  expect(check([](Message& m) { m.id = std::string(129, 'i'); }), limit_exceeded, "id");
  expect(check([](Message& m) { m.id = "\xff"; }), invalid_argument, "id");
  expect(check([](Message& m) { m.content_type = std::string(256, 't'); }), limit_exceeded, "content type");
  expect(check([](Message& m) { m.content_type = "\n"; }), invalid_argument, "content type");
  expect(check([](Message& m) { m.ttl = 0ms; }), invalid_argument, "ttl");
  expect(check([](Message& m) { m.ttl = -1ms; }), invalid_argument, "ttl");
  CHECK(check([](Message& m) { m.ttl = kTtlMax; }).ok());
  expect(check([](Message& m) { m.ttl = kTtlMax + 1ms; }), limit_exceeded, "ttl");
}

TEST_CASE("headers are bounded in number, names and bytes", "[core][S-1]") {
  using enum ErrorCode;
  const auto check = [](Headers headers) { return validate_message(message([&](Message& m) { m.headers = std::move(headers); }), {}); };
  CHECK(check({{"a.b_c-9", "ü"}, {"empty", ""}}).ok());
  CHECK(check({{"a", std::string(16383, 'v')}}).ok());
  expect(check({{"a", std::string(16384, 'v')}}), limit_exceeded, "headers");
  expect(check(Headers(65, Header{"a", "b"})), limit_exceeded, "headers");
  CHECK(check({{std::string(255, 'n'), ""}}).ok());
  expect(check({{std::string(256, 'n'), ""}}), limit_exceeded, "headers[0].name");
  for (const char* name : {"", "Upper", "space here", "colon:", "ü"}) expect(check({{"a", "b"}, {name, "v"}}), invalid_argument, "headers[1].name");
  expect(check({{"a", "1"}, {"b", "2"}, {"a", "3"}}), invalid_argument, "twice");
  expect(check({{"a", "x\ry"}}), invalid_argument, "headers[0].value");
}

TEST_CASE("encoded headers are what HeadersView reads", "[core][S-1]") {
  const Headers headers = {{"a", ""}, {std::string(255, 'n'), "v"}, {"long", std::string(16000, 'v')}, {"u", "ü"}};
  std::string bytes;
  encode_headers(headers, bytes);
  CHECK(HeadersView(bytes).copy() == headers);
  CHECK(HeadersView(bytes).find("u") == "ü");
  std::string none;
  encode_headers({}, none);
  CHECK(none.empty());
}

TEST_CASE("topic options out of range are refused by name", "[core][S-1]") {
  using enum ErrorCode;
  const auto check = [](const std::function<void(TopicOptions&)>& change) {
    TopicOptions options;
    change(options);
    return validate(options);
  };
  CHECK(check([](TopicOptions&) {}).ok());
  CHECK(check([](TopicOptions& o) { o.ephemeral = true; }).ok());
  CHECK(check([](TopicOptions& o) { o.ephemeral = true, o.durability = Durability::kMemory; }).ok());
  expect(check([](TopicOptions& o) { o.durability = Durability::kMemory; }), invalid_argument, "durability");
  expect(check([](TopicOptions& o) { o.durability = static_cast<Durability>(9); }), invalid_argument, "durability");
  expect(check([](TopicOptions& o) { o.cap_policy = static_cast<CapPolicy>(9); }), invalid_argument, "cap_policy");
  expect(check([](TopicOptions& o) { o.payload_bytes_max = 0; }), invalid_argument, "payload_bytes_max");
  CHECK(check([](TopicOptions& o) { o.payload_bytes_max = 64u << 20; }).ok());
  expect(check([](TopicOptions& o) { o.payload_bytes_max = (64u << 20) + 1; }), invalid_argument, "payload_bytes_max");
  expect(check([](TopicOptions& o) { o.retention_age = -1ms; }), invalid_argument, "retention_age");
  expect(check([](TopicOptions& o) { o.retention_age = Duration::max(); }), invalid_argument, "retention_age");
  expect(check([](TopicOptions& o) { o.dedup_window = -1ms; }), invalid_argument, "dedup_window");
}

TEST_CASE("group options out of range are refused by name", "[core][S-12]") {
  using enum ErrorCode;
  const auto check = [](const std::function<void(GroupOptions&)>& change) {
    GroupOptions options;
    change(options);
    return validate(options);
  };
  CHECK(check([](GroupOptions&) {}).ok());
  CHECK(check([](GroupOptions& o) { o.lease = 100ms, o.max_attempts = 1, o.max_deliveries = 1, o.in_flight_max = 1, o.member_in_flight_max = 1; }).ok());
  CHECK(check([](GroupOptions& o) { o.lease = 12h, o.max_attempts = 1000, o.max_deliveries = 10'000, o.in_flight_max = 100'000; }).ok());
  expect(check([](GroupOptions& o) { o.start.kind = static_cast<StartPoint::Kind>(9); }), invalid_argument, "start");
  expect(check([](GroupOptions& o) { o.order = static_cast<Order>(9); }), invalid_argument, "order");
  expect(check([](GroupOptions& o) { o.lease = 99ms; }), invalid_argument, "lease");
  expect(check([](GroupOptions& o) { o.lease = 12h + 1ms; }), invalid_argument, "lease");
  expect(check([](GroupOptions& o) { o.max_attempts = 0; }), invalid_argument, "max_attempts");
  expect(check([](GroupOptions& o) { o.max_attempts = 1001; }), invalid_argument, "max_attempts");
  expect(check([](GroupOptions& o) { o.max_deliveries = 0; }), invalid_argument, "max_deliveries");
  expect(check([](GroupOptions& o) { o.backoff.factor = 0; }), invalid_argument, "backoff.factor");
  expect(check([](GroupOptions& o) { o.in_flight_max = 100'001; }), invalid_argument, "in_flight_max");
  expect(check([](GroupOptions& o) { o.member_in_flight_max = 0; }), invalid_argument, "member_in_flight_max");
  expect(check([](GroupOptions& o) { o.waiting_max = 0; }), invalid_argument, "waiting_max");
  expect(check([](GroupOptions& o) { o.expire_idle = 0ms; }), invalid_argument, "expire_idle");
  expect(check([](GroupOptions& o) { o.filter = Filter::exact("Bad Name", "x"); }), invalid_argument, "filter");
}

Filter nested(std::size_t depth) { return depth == 1 ? Filter::present("h") : Filter::negate(nested(depth - 1)); }

TEST_CASE("filters are bounded in depth and conditions", "[core][S-22]") {
  using enum ErrorCode;
  CHECK(validate(Filter{}).ok());
  CHECK(validate(nested(8)).ok());
  expect(validate(nested(9)), limit_exceeded, "nested");
  expect(validate(nested(100)), limit_exceeded, "nested");
  CHECK(validate(Filter::all(std::vector<Filter>(64, Filter::exact("h", "v")))).ok());
  expect(validate(Filter::all(std::vector<Filter>(65, Filter::exact("h", "v")))), limit_exceeded, "conditions");
  expect(validate(Filter::any({})), invalid_argument, "filter");
  expect(validate(Filter{Filter::Op::kNot, {}, {}, {Filter::present("a"), Filter::present("b")}}), invalid_argument, "not");
  expect(validate(Filter{static_cast<Filter::Op>(99), {}, {}, {}}), invalid_argument, "filter");
  expect(validate(Filter{Filter::Op::kExact, "h", "v", {Filter{}}}), invalid_argument, "parts");
  expect(validate(Filter::prefix("h", "\x01")), invalid_argument, "value");
  expect(validate(Filter::prefix("", "v")), invalid_argument, "header");
}

TEST_CASE("differences are listed for people, and only differences", "[core][S-12]") {
  GroupOptions have, want;
  CHECK(differences(have, want).empty());
  want.lease = 5s;
  CHECK(differences(have, want) == "lease: 30000ms vs 5000ms");
  want.order = Order::kNone;
  want.filter = Filter::all({Filter::exact("kind", "a"), Filter::negate(Filter::present("test"))});
  want.expire_idle = 1h;
  want.start = StartPoint::at(Offset{7});
  want.backoff.factor = 1.5;
  want.is_volatile = true;
  CHECK(differences(have, want) ==
        "start: earliest vs offset 7; order: key vs none; lease: 30000ms vs 5000ms; "
        "backoff: 1000ms * 2 up to 300000ms vs 1000ms * 1.5 up to 300000ms; "
        "filter: everything vs all(kind is \"a\", not(test is present)); is_volatile: false vs true; expire_idle: never vs 3600000ms");

  TopicOptions topic, other;
  CHECK(differences(topic, other).empty());
  other.cap_policy = CapPolicy::kDropOldest;
  other.bytes_max = 5'000'000'000;
  other.durability = Durability::kProcess;
  CHECK(differences(topic, other) == "durability: power vs process; bytes_max: 0 vs 5000000000; cap_policy: reject vs drop_oldest");
  topic.ephemeral = other.ephemeral = true;
  CHECK(differences(topic, other) == "bytes_max: 0 vs 5000000000; cap_policy: reject vs drop_oldest");
}

}  // namespace
}  // namespace weir::core
