// What a message is, and its limits (S-1).
#include <atomic>

#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

CONTRACT_TEST_EVERY_TOPIC("a message comes back with all that the producer gave it", "[S-1]") {
  f.topic("orders");
  f.group("orders", "billing");
  const std::string binary("\0\1\xff\n", 4);
  f.publish("orders", {.key = "käse",
                       .payload = binary,
                       .id = "id-1",
                       .headers = {{"a.b_c-1", "ü"}, {"empty", ""}},
                       .content_type = "application/x-test",
                       .ttl = 1h});

  const Delivered d = f.one("orders", "billing");
  CHECK(d.message.key == "käse");
  CHECK(d.message.payload.str() == binary);
  CHECK(d.message.id == "id-1");
  CHECK(d.message.content_type == "application/x-test");
  CHECK(d.message.headers.copy() == Headers{{"a.b_c-1", "ü"}, {"empty", ""}});
  CHECK(d.message.expires_at == f.now() + 1h);
  CHECK(d.message.dead_letter == nullptr);
}

CONTRACT_TEST_EVERY_TOPIC("the broker adds topic, offset and commit time", "[S-1]") {
  f.topic("orders");
  f.publish("orders", {.payload = "1"});
  f.advance(5s);
  f.publish("orders", {.payload = "2"});

  const std::vector<StoredMessage> all = f.browse("orders");
  REQUIRE(all.size() == 2);
  CHECK(all[0].topic() == "orders");
  CHECK(all[0].offset == Offset{0});
  CHECK(all[1].offset == Offset{1});
  CHECK(all[1].time == f.now());
  CHECK(all[1].time - all[0].time == 5s);
}

CONTRACT_TEST_EVERY_TOPIC("a message may have nothing but an empty payload", "[S-1]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish("orders", {});
  const Delivered d = f.one("orders", "billing");
  CHECK(d.message.payload.empty());
  CHECK(d.message.key.empty());
  CHECK(d.message.id.empty());
  CHECK(d.message.headers.empty());
  CHECK_FALSE(d.message.expires_at.has_value());
}

// A clock whose time can be set back, as that of a machine can between two starts.
class SettableClock final : public Clock {
 public:
  explicit SettableClock(Time now) : now_(now.time_since_epoch().count()) {}
  Time now() const override { return Time{Duration{now_.load()}}; }
  std::optional<Duration> real_time_until(Time) const override { return std::nullopt; }
  void watch(const void*, std::function<void()>) override {}
  void unwatch(const void*) override {}
  void set(Time now) { now_ = now.time_since_epoch().count(); }

 private:
  std::atomic<std::int64_t> now_;
};

CONTRACT_TEST("the commit time never goes back within a topic, even when the clock does", "[S-1]") {
  const Time noon = f.clock->now();
  auto clock = std::make_shared<SettableClock>(noon);
  f.options.clock = clock;
  f.topic("orders");
  f.publish("orders", {.payload = "1"});
  clock->set(noon - 1h);
  f.publish("orders", {.payload = "2"});
  f.reopen();
  f.publish("orders", {.payload = "3"});
  clock->set(noon + 1h);
  f.publish("orders", {.payload = "4"});

  const std::vector<StoredMessage> all = f.browse("orders");
  REQUIRE(all.size() == 4);
  for (std::size_t i = 1; i < all.size(); ++i) CHECK(all[i].time >= all[i - 1].time);
  CHECK(all[3].time == noon + 1h);
}

// --- Limits, each at its edge and one over -------------------------------------------------------------------------------

void expect_stored(Fixture& f, Message message) {
  const Offset next = f.topic_info("orders").next;
  expect_ok(f->publish("orders", std::move(message)));
  CHECK(f.topic_info("orders").next == next + 1);
}
void expect_refused(Fixture& f, Message message, ErrorCode code, std::string_view words) {
  const Offset next = f.topic_info("orders").next;
  expect_error(f->publish("orders", std::move(message)), code, words);
  CHECK(f.topic_info("orders").next == next);  // nothing is stored
}

CONTRACT_TEST_EVERY_TOPIC("a payload may have 1 MiB unless the topic says otherwise", "[S-1][S-33]") {
  f.topic("orders");
  expect_stored(f, {.payload = std::string(1u << 20, 'x')});
  expect_refused(f, {.payload = std::string((1u << 20) + 1, 'x')}, ErrorCode::limit_exceeded, "payload");
}

CONTRACT_TEST_EVERY_TOPIC("a topic may raise and lower the limit of payloads", "[S-1]") {
  TopicOptions options;
  options.payload_bytes_max = 3u << 20;
  f.topic("orders", options);
  expect_stored(f, {.payload = std::string(3u << 20, 'x')});
  expect_refused(f, {.payload = std::string((3u << 20) + 1, 'x')}, ErrorCode::limit_exceeded, "payload");

  options = f.topic_info("orders").options;
  options.payload_bytes_max = 10;
  expect_ok(f->alter_topic("orders", options));
  expect_stored(f, {.payload = std::string(10, 'x')});
  expect_refused(f, {.payload = std::string(11, 'x')}, ErrorCode::limit_exceeded, "payload");
}

CONTRACT_TEST_EVERY_TOPIC("no topic may allow payloads of more than 64 MiB", "[S-1]") {
  TopicOptions options;
  options.ephemeral = f.kind() == TopicKind::kEphemeral;
  options.payload_bytes_max = 64u << 20;
  expect_ok(f->create_topic("large", options));
  options.payload_bytes_max = (64u << 20) + 1;
  expect_one_of(f->create_topic("larger", options), {ErrorCode::limit_exceeded, ErrorCode::invalid_argument}, "payload");
  options.payload_bytes_max = 0;
  expect_one_of(f->create_topic("none", options), {ErrorCode::invalid_argument, ErrorCode::limit_exceeded}, "payload");
}

CONTRACT_TEST_EVERY_TOPIC("a key has at most 1 KiB", "[S-1][S-33]") {
  f.topic("orders");
  expect_stored(f, {.key = std::string(1024, 'k')});
  expect_refused(f, {.key = std::string(1025, 'k')}, ErrorCode::limit_exceeded, "key");
}

CONTRACT_TEST_EVERY_TOPIC("an id has at most 128 bytes", "[S-1][S-33]") {
  f.topic("orders");
  expect_stored(f, {.id = std::string(128, 'i')});
  expect_refused(f, {.id = std::string(129, 'i')}, ErrorCode::limit_exceeded, "id");
}

CONTRACT_TEST_EVERY_TOPIC("a content type has at most 255 bytes", "[S-1][S-33]") {
  f.topic("orders");
  expect_stored(f, {.content_type = std::string(255, 't')});
  expect_refused(f, {.content_type = std::string(256, 't')}, ErrorCode::limit_exceeded, "content type");
}

Headers numbered_headers(std::size_t count) {
  Headers headers;
  for (std::size_t i = 0; i < count; ++i) headers.push_back({"h" + std::to_string(i), "v"});
  return headers;
}

CONTRACT_TEST_EVERY_TOPIC("a message has at most 64 headers", "[S-1][S-33]") {
  f.topic("orders");
  expect_stored(f, {.headers = numbered_headers(64)});
  expect_refused(f, {.headers = numbered_headers(65)}, ErrorCode::limit_exceeded, "header");
}

CONTRACT_TEST_EVERY_TOPIC("headers have at most 16 KiB together", "[S-1][S-33]") {
  f.topic("orders");
  expect_stored(f, {.headers = {{"a", std::string(8191, 'v')}, {"b", std::string(8191, 'v')}}});  // names and values count
  expect_refused(f, {.headers = {{"a", std::string(8191, 'v')}, {"b", std::string(8192, 'v')}}}, ErrorCode::limit_exceeded, "header");
}

CONTRACT_TEST_EVERY_TOPIC("a header's name has at most 255 bytes", "[S-1][S-33]") {
  f.topic("orders");
  expect_stored(f, {.headers = {{std::string(255, 'n'), "v"}}});
  const Offset next = f.topic_info("orders").next;
  expect_one_of(f->publish("orders", {.headers = {{std::string(256, 'n'), "v"}}}),
                {ErrorCode::limit_exceeded, ErrorCode::invalid_argument}, "header");
  CHECK(f.topic_info("orders").next == next);
}

CONTRACT_TEST_EVERY_TOPIC("header names are unique, lower-case ASCII and not empty", "[S-1]") {
  f.topic("orders");
  for (const char* bad : {"", "Upper", "space here", "colon:", "ü", "tab\t"}) {
    INFO("name '" << bad << "'");
    expect_refused(f, {.headers = {{bad, "v"}}}, ErrorCode::invalid_argument, "header");
  }
  expect_refused(f, {.headers = {{"twice", "1"}, {"twice", "2"}}}, ErrorCode::invalid_argument, "header");
}

CONTRACT_TEST_EVERY_TOPIC("key, id and header values are UTF-8 without control characters", "[S-1]") {
  f.topic("orders");
  // A stray continuation byte, an overlong slash, a surrogate, one past the last code point, a sequence cut short.
  const Texts bad = {"\x80", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "line\nbreak", std::string("nul\0", 4), "\x7f", "\t"};
  for (const std::string& text : bad) {
    CAPTURE(text);
    expect_refused(f, {.key = text}, ErrorCode::invalid_argument, "key");
    expect_refused(f, {.id = text}, ErrorCode::invalid_argument, "id");
    expect_refused(f, {.headers = {{"h", text}}}, ErrorCode::invalid_argument, "header");
  }
  for (const std::string text : {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", " ", "~"}) {
    CAPTURE(text);
    expect_stored(f, {.key = text, .id = text, .headers = {{"h", text}}});
  }
}

CONTRACT_TEST_EVERY_TOPIC("a content type is UTF-8 without control characters too", "[S-1]") {
  f.topic("orders");
  expect_refused(f, {.content_type = "text/\nplain"}, ErrorCode::invalid_argument, "content type");
}

CONTRACT_TEST_EVERY_TOPIC("one bad message of a batch refuses all of it", "[S-1][S-9]") {
  f.topic("orders");
  std::vector<Message> messages(3);
  messages[1].key = std::string(1025, 'k');
  expect_error(f->publish_all("orders", messages), ErrorCode::limit_exceeded, "key");
  CHECK(f.topic_info("orders").next == Offset{0});
}

}  // namespace
}  // namespace weir::test
