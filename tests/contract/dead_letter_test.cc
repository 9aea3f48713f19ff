// Dead letters: their queue, their history (S-23, S-24).
#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

CONTRACT_TEST_EVERY_TOPIC("each group of each topic has its own dead-letter queue", "[S-23]") {
  f.topic("orders");
  f.topic("bills");
  f.group("orders", "one");
  f.group("orders", "two");
  f.group("bills", "one");
  f.publish_texts("orders", {"o"});
  f.publish_texts("bills", {"b"});
  f.reject(f.one("orders", "one"));
  f.ack(f.one("orders", "two"));
  f.reject(f.one("bills", "one"));
  CHECK(texts(f.browse("_dlq.orders.one")) == Texts{"o"});
  CHECK(texts(f.browse("_dlq.bills.one")) == Texts{"b"});
  CHECK(f.letters("orders", "two").empty());
  CHECK(dead_letter_topic("orders", "one") == "_dlq.orders.one");
}

CONTRACT_TEST_EVERY_TOPIC("a dead letter holds the whole message", "[S-24]") {
  f.topic("orders");
  f.group("orders", "billing");
  const std::string binary("\0\xff", 2);
  const DeadLetter letter = f.dead_letter(
      "orders", "billing",
      {.key = "k", .payload = binary, .id = "id", .headers = {{"a", "1"}, {"b", "2"}}, .content_type = "application/x", .ttl = 1h});
  CHECK(letter.message.key == "k");
  CHECK(letter.message.payload.str() == binary);
  CHECK(letter.message.id == "id");
  CHECK(letter.message.headers.copy() == Headers{{"a", "1"}, {"b", "2"}});
  CHECK(letter.message.content_type == "application/x");
  CHECK(letter.state == LetterState::kDead);
  CHECK(letter.offset == Offset{0});
}

CONTRACT_TEST_EVERY_TOPIC("a dead letter knows where it comes from and how it died", "[S-24]") {
  f.topic("orders");
  GroupOptions options;
  options.max_attempts = 3;
  f.group("orders", "billing", options);
  f.publish_texts("orders", {"other"});
  f.ack(f.one("orders", "billing"));
  const Time published = f.now();
  f.publish_texts("orders", {"doomed"});
  f.advance(1min);
  const Time first = f.now();
  const MemberId member = f.join("orders", "billing", "worker");
  for (int i = 1; i <= 3; ++i) {
    const Delivered d = f.one("orders", "billing", {.member = member});
    f.retry(d, "error " + std::to_string(i), 1min);
    f.advance(1min);
  }
  const std::vector<DeadLetter> letters = f.letters("orders", "billing");
  REQUIRE(letters.size() == 1);
  const DeadLetterInfo& info = *letters[0].message.dead_letter;
  CHECK(info.origin_topic == "orders");
  CHECK(info.origin_offset == Offset{1});
  CHECK(info.group == "billing");
  CHECK(info.source == "orders");
  CHECK(info.published == published);
  CHECK(info.reason == DeathReason::kMaxAttempts);
  CHECK(info.error == "error 3");
  CHECK(info.deliveries == 3);
  CHECK(info.failures == 3);
  CHECK(info.first_failure == first);
  CHECK(info.last_failure == first + 2min);
  CHECK(info.redrives == 0);
  REQUIRE(info.attempts.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(info.attempts[i].time == first + i * 1min);
    CHECK(info.attempts[i].outcome == Outcome::kRetry);
    CHECK(info.attempts[i].error == "error " + std::to_string(i + 1));
    CHECK(info.attempts[i].member == "worker");
  }
}

CONTRACT_TEST_EVERY_TOPIC("an error text is kept up to its limit, also one that is no UTF-8", "[S-24]") {
  f.topic("orders");
  f.group("orders", "billing");
  for (const std::string& text : {std::string(10'000, '\x80'), std::string(4095, 'x') + "\xe2\x82\xac", std::string(10'000, '\xff')}) {
    f.publish("orders", {.payload = "1"});
    f.reject(f.one("orders", "billing"), text);
  }
  const std::vector<DeadLetter> letters = f.letters("orders", "billing");
  REQUIRE(letters.size() == 3);
  CHECK(letters[0].message.dead_letter->error.size() >= 4093);
  CHECK(letters[1].message.dead_letter->error == std::string(4095, 'x'));
  CHECK(letters[2].message.dead_letter->error.size() == 4096);
}

CONTRACT_TEST_EVERY_TOPIC("a dead-letter queue is there before its first letter", "[S-23]") {
  f.topic("orders");
  f.group("orders", "billing");
  CHECK(f.browse("_dlq.orders.billing").empty());
  CHECK(f.topic_info("_dlq.orders.billing").next == Offset{0});
  CHECK(f.topic_info("_dlq.orders.billing").options.retention_age == std::chrono::hours{24 * 14});
  expect_error(f->browse({.topic = "_dlq.orders.other"}), ErrorCode::topic_not_found);
  expect_error(f->create_group("_dlq.orders.other", "alarm"), ErrorCode::topic_not_found);
  if (GENERATE(true, false)) {
    TopicOptions options = f.topic_info("_dlq.orders.billing").options;
    options.retention_age = std::chrono::hours{24};
    expect_ok(f->alter_topic("_dlq.orders.billing", options));
  }
  f.group("_dlq.orders.billing", "alarm");
  const DeadLetter letter = f.dead_letter("orders", "billing", {.payload = "1"});
  CHECK(text(f.one("_dlq.orders.billing", "alarm")) == "1");
  CHECK(letter.offset == Offset{0});
}

CONTRACT_TEST_EVERY_TOPIC("the last five attempts are kept", "[S-24]") {
  f.topic("orders");
  GroupOptions options;
  options.max_attempts = 8;
  f.group("orders", "billing", options);
  f.publish_texts("orders", {"1"});
  for (int i = 1; i <= 7; ++i) f.retry(f.one("orders", "billing"), "error " + std::to_string(i), 0ms);
  f.reject(f.one("orders", "billing"), "error 8");
  const std::vector<DeadLetter> letters = f.letters("orders", "billing");
  REQUIRE(letters.size() == 1);
  const DeadLetterInfo& info = *letters[0].message.dead_letter;
  REQUIRE(info.attempts.size() == 5);
  CHECK(info.attempts.front().error == "error 4");
  CHECK(info.attempts.back().error == "error 8");
  CHECK(info.attempts.back().outcome == Outcome::kReject);
  CHECK(info.reason == DeathReason::kRejected);
  CHECK(info.deliveries == 8);
}

CONTRACT_TEST_EVERY_TOPIC("an expired lease stands among the attempts", "[S-24]") {
  f.topic("orders");
  GroupOptions options;
  options.backoff = fixed_backoff(1s);
  f.group("orders", "billing", options);
  f.publish_texts("orders", {"1"});
  f.one("orders", "billing");
  f.advance(30s);
  REQUIRE(eventually([&] { return f.stats("orders", "billing").expired_leases == 1; }));
  f.advance(1s);
  f.reject(f.one("orders", "billing"), "no");
  const std::vector<DeadLetter> letters = f.letters("orders", "billing");
  REQUIRE(letters.size() == 1);
  REQUIRE(letters[0].message.dead_letter->attempts.size() == 2);
  CHECK(letters[0].message.dead_letter->attempts[0].outcome == Outcome::kLeaseExpired);
}

CONTRACT_TEST_EVERY_TOPIC("an error of more than 4 KiB is cut, between characters", "[S-24][S-33]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish_texts("orders", {"1", "2"});
  f.reject(f.one("orders", "billing"), std::string(4096, 'e'));
  std::string long_error = "x";
  while (long_error.size() < 8000) long_error += "ü";
  f.reject(f.one("orders", "billing"), long_error);
  const std::vector<DeadLetter> letters = f.letters("orders", "billing");
  REQUIRE(letters.size() == 2);
  CHECK(letters[0].message.dead_letter->error == std::string(4096, 'e'));
  const std::string& cut = letters[1].message.dead_letter->error;
  CHECK(cut.size() == 4095);  // 1 + 2 * 2047
  CHECK(long_error.starts_with(cut));
  CHECK(letters[1].message.dead_letter->attempts.at(0).error.size() <= 256);
}

CONTRACT_TEST_EVERY_TOPIC("an error may hold any bytes", "[S-24]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish_texts("orders", {"1"});
  CHECK(f->settle(Settlement::reject(f.one("orders", "billing").token, std::string("\xff\n\0", 3))).ok());
  CHECK(f.letters("orders", "billing").size() == 1);
}

CONTRACT_TEST("dead letters survive reopening with all they hold", "[S-23][S-24]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish("orders", {.key = "k", .payload = "1", .id = "id", .headers = {{"h", "v"}}});
  for (int i = 0; i < 5; ++i) f.retry(f.one("orders", "billing"), "error " + std::to_string(i), 0ms);
  const DeadLetter before = f.letters("orders", "billing").at(0);
  f.reopen();
  const std::vector<DeadLetter> letters = f.letters("orders", "billing");
  REQUIRE(letters.size() == 1);
  const DeadLetterInfo &a = *before.message.dead_letter, &b = *letters[0].message.dead_letter;
  CHECK(letters[0].message.payload.text() == "1");
  CHECK(letters[0].message.key == "k");
  CHECK(letters[0].message.headers.find("h") == "v");
  CHECK(b.error == a.error);
  CHECK(b.deliveries == 5);
  CHECK(b.failures == 5);
  CHECK(b.first_failure == a.first_failure);
  CHECK(b.attempts.size() == 5);
  CHECK(b.attempts.at(4).member == a.attempts.at(4).member);
  f.expect_nothing("orders", "billing");
}

CONTRACT_TEST_EVERY_TOPIC("letters are listed in pages", "[S-23]") {
  f.topic("orders");
  f.group("orders", "billing");
  for (int i = 0; i < 7; ++i) f.dead_letter("orders", "billing", {.payload = std::to_string(i)});
  Texts got;
  ListDeadLettersRequest request{.topic = "orders", .group = "billing", .messages_max = 3};
  for (int page = 0; page < 5; ++page) {
    const ListDeadLettersResult r = f->dead_letters(request).value();
    CHECK(r.letters.size() <= 3);
    for (const DeadLetter& each : r.letters) got.push_back(each.message.payload.str());
    request.from = r.next;
    if (r.end) break;
  }
  CHECK(got == Texts{"0", "1", "2", "3", "4", "5", "6"});
  expect_one_of(f->dead_letters({.topic = "orders", .group = "billing", .messages_max = 0}), {ErrorCode::invalid_argument, ErrorCode::limit_exceeded});
  expect_one_of(f->dead_letters({.topic = "orders", .group = "billing", .messages_max = 10'001}),
                {ErrorCode::invalid_argument, ErrorCode::limit_exceeded});
}

CONTRACT_TEST_EVERY_TOPIC("a group without dead letters has an empty list", "[S-23]") {
  f.topic("orders");
  f.group("orders", "billing");
  const ListDeadLettersResult r = f->dead_letters({.topic = "orders", .group = "billing"}).value();
  CHECK(r.letters.empty());
  CHECK(r.end);
}

// --- Consuming dead letters ----------------------------------------------------------------------------------------------------

CONTRACT_TEST_EVERY_TOPIC("a dead-letter queue is consumed like a topic, and its letters stay as they are", "[S-23]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.dead_letter("orders", "billing", {.payload = "1"});
  f.group("_dlq.orders.billing", "alarm");
  const Delivered d = f.one("_dlq.orders.billing", "alarm");
  CHECK(text(d) == "1");
  REQUIRE(d.message.dead_letter);
  CHECK(d.message.dead_letter->origin_topic == "orders");
  f.ack(d);
  f.expect_nothing("_dlq.orders.billing", "alarm");
  REQUIRE(f.letters("orders", "billing").size() == 1);
  CHECK(f.letters("orders", "billing")[0].state == LetterState::kDead);
  f.dead_letter("orders", "billing", {.payload = "2"});
  CHECK(text(f.one("_dlq.orders.billing", "alarm")) == "2");
}

CONTRACT_TEST_EVERY_TOPIC("a consumer of dead letters never dead-letters: it retries at the longest delay", "[S-23]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.dead_letter("orders", "billing", {.payload = "1"});
  GroupOptions options;
  options.max_attempts = 2;
  options.max_deliveries = 3;
  options.backoff = {.first = 1s, .factor = 2.0, .max = 1min, .jitter = false};
  f.group("_dlq.orders.billing", "alarm", options);
  for (int i = 0; i < 6; ++i) {
    f.retry(f.one("_dlq.orders.billing", "alarm"), "no");
    f.advance(1min);
  }
  // Past its attempts, the longest delay is the rule.
  f.retry(f.one("_dlq.orders.billing", "alarm"), "no");
  f.advance(59s);
  f.expect_nothing("_dlq.orders.billing", "alarm");
  f.advance(1s);
  const Delivered d = f.one("_dlq.orders.billing", "alarm");
  expect_ok(f->settle(Settlement::reject(d.token, "never")));
  f.advance(1min);
  CHECK(text(f.one("_dlq.orders.billing", "alarm")) == "1");
  expect_error(f->browse({.topic = "_dlq._dlq.orders.billing.alarm"}), ErrorCode::topic_not_found);
}

// --- Retention of dead letters ---------------------------------------------------------------------------------------------------

CONTRACT_TEST_EVERY_TOPIC("dead letters are kept for 14 days from death, apart from their source", "[S-23]") {
  const auto day = std::chrono::hours{24};
  TopicOptions options;
  options.discard_settled = true;
  options.retention_age = 1h;
  options.bytes_max = 100'000;
  f.topic("orders", options);
  f.group("orders", "billing");
  f.dead_letter("orders", "billing", {.payload = "1"});
  CHECK(f.browse("orders").empty());
  f.advance(day * 14 - 1h);
  f.dead_letter("orders", "billing", {.payload = "2"});
  CHECK(f.letters("orders", "billing").size() == 2);
  f.advance(2h);
  CHECK(f.eventually_as_time_passes(1s, [&] { return f.letters("orders", "billing").size() == 1; }));
  CHECK(f.letters("orders", "billing").at(0).message.payload.text() == "2");
}

CONTRACT_TEST_EVERY_TOPIC("the source's cap does not apply to dead letters", "[S-23]") {
  TopicOptions options;
  options.bytes_max = 5000;
  options.discard_settled = true;
  f.topic("orders", options);
  f.group("orders", "billing");
  for (int i = 0; i < 20; ++i) {
    f.publish("orders", {.payload = std::string(1000, 'x')});
    f.reject(f.one("orders", "billing"));
    REQUIRE(f.eventually_as_time_passes(1s, [&] { return f.topic_info("orders").bytes < 3000; }));
  }
  CHECK(f.letters("orders", "billing").size() == 20);
}

CONTRACT_TEST_EVERY_TOPIC("caps do not apply to dead letters, and cannot be given to them", "[S-23]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.dead_letter("orders", "billing", {.payload = "1"});
  const std::string letters = dead_letter_topic("orders", "billing");
  TopicOptions options = f.topic_info(letters).options;
  options.bytes_max = 1;
  options.cap_policy = CapPolicy::kDropOldest;
  expect_error(f->alter_topic(letters, options), ErrorCode::invalid_argument, "bytes_max");
  CHECK(f.letters("orders", "billing").size() == 1);
}

CONTRACT_TEST("dead letters of an ephemeral topic stay when room is needed", "[S-4][S-23]") {
  f.options.ephemeral_bytes_max = 1u << 20;
  f.reopen();
  f.topic("bus", {.ephemeral = true});
  f.group("bus", "billing");
  f.dead_letter("bus", "billing", {.payload = "1"});
  for (int i = 0; i < 40; ++i) {
    f.publish("bus", {.payload = std::string(100'000, 'x')});
    f.ack(f.one("bus", "billing"));
  }
  CHECK(f.letters("bus", "billing").size() == 1);
}

}  // namespace
}  // namespace weir::test
