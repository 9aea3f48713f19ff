// The ways to redrive beyond all or by id: filtered, to a topic, dry, edited (S-26).
#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

RedriveRequest redriving(std::vector<Offset> letters = {}) {
  RedriveRequest request{.topic = "orders", .group = "billing"};
  request.letters = std::move(letters);
  return request;
}

void letters_with_numbers(Fixture& f, int count) {
  f.topic("orders");
  f.group("orders", "billing");
  for (int i = 0; i < count; ++i)
    f.dead_letter("orders", "billing", {.key = "k" + std::to_string(i), .payload = std::to_string(i), .id = "id" + std::to_string(i), .headers = {{"even", i % 2 == 0 ? "yes" : "no"}}});
}

CONTRACT_TEST_EVERY_TOPIC("letters are redriven by filter and conditions", "[S-26]") {
  letters_with_numbers(f, 6);
  RedriveRequest request = redriving();
  request.filter = Filter::exact("even", "yes");
  request.where.key = "k2";
  RedriveResult r = f->redrive(request).value();
  CHECK(r.redriven == 1);
  CHECK(r.unmatched == 5);
  request.where = {};
  r = f->redrive(request).value();
  CHECK(r.redriven == 2);
  CHECK(r.unmatched == 3);
  CHECK(sorted(texts(f.fetch_all("orders", "billing", 3))) == Texts{"0", "2", "4"});
  request = redriving({Offset{1}, Offset{3}});
  request.where.key = "k3";
  r = f->redrive(request).value();
  CHECK(r.redriven == 1);
  CHECK(r.unmatched == 1);
  CHECK(f.stats("orders", "billing").dead == 2);
}

CONTRACT_TEST_EVERY_TOPIC("a dry run counts what would be done, and changes nothing", "[S-26]") {
  letters_with_numbers(f, 4);
  RedriveRequest request = redriving();
  request.dry_run = true;
  CHECK(f->redrive(request).value().redriven == 4);
  request.filter = Filter::exact("even", "no");
  CHECK(f->redrive(request).value().redriven == 2);
  CHECK(f->redrive(request).value().unmatched == 2);
  request = redriving({Offset{0}, Offset{50}});
  request.dry_run = true;
  request.redrives_max = 0;
  CHECK(f->redrive(request).value().needs_force == 1);
  CHECK(f->redrive(request).value().skipped == 1);
  request.rate = 1.0;
  request.request_id = "dry";
  CHECK(f->redrive(request).value().job.empty());   // there is nothing to be a job
  CHECK(f->jobs().value().empty());
  CHECK(f.stats("orders", "billing").dead == 4);
  CHECK(f->dead_letter("orders", "billing", Offset{0}).value().events.empty());
  f.expect_nothing("orders", "billing");
}

CONTRACT_TEST_EVERY_TOPIC("a letter is published to a topic, and says where it comes from", "[S-26]") {
  letters_with_numbers(f, 2);
  f.topic("mended");
  f.group("mended", "readers");
  RedriveRequest request = redriving();
  request.to_topic = "mended";
  const RedriveResult r = f->redrive(request).value();
  CHECK(r.redriven == 2);
  f.expect_nothing("orders", "billing");
  const std::vector<Delivered> got = f.fetch_all("mended", "readers", 2);
  CHECK(texts(got) == Texts{"0", "1"});
  CHECK(got[0].message.key == "k0");
  CHECK(got[0].message.id == "id0");
  CHECK(got[0].message.headers.find("even") == "yes");
  CHECK(got[0].message.headers.find("weir-dead-letter") == "_dlq.orders.billing/0");
  CHECK(got[1].message.headers.find("weir-dead-letter") == "_dlq.orders.billing/1");
  CHECK(f.letters("orders", "billing").empty());
  const DeadLetter letter = f->dead_letter("orders", "billing", Offset{0}).value();
  CHECK(letter.state == LetterState::kRedriven);
  REQUIRE(letter.events.size() == 1);
  CHECK(letter.events[0].act == LetterAct::kSentToTopic);
  CHECK(letter.events[0].to_topic == "mended");
  CHECK(f->redrive(request).value().redriven == 0);
}

CONTRACT_TEST("an id that the topic has seen is not published again, and the letter is done", "[S-26][S-6]") {
  letters_with_numbers(f, 2);
  f.topic("mended");
  f.publish("mended", {.payload = "before"});
  const Offset there = f.publish("mended", {.payload = "mended by hand", .id = "id1"});
  RedriveRequest request = redriving();
  request.to_topic = "mended";
  CHECK(f->redrive(request).value().redriven == 2);
  CHECK(texts(f.browse("mended")) == Texts{"before", "mended by hand", "0"});
  CHECK(f->dead_letter("orders", "billing", Offset{1}).value().events.at(0).to_offset == there);
}

CONTRACT_TEST_EVERY_TOPIC("a tombstone stays one, given back or sent on", "[S-26][S-10]") {
  f.topic("orders");
  f.group("orders", "billing");
  for (int i = 0; i < 2; ++i) f.dead_letter("orders", "billing", {.key = "k" + std::to_string(i), .tombstone = true});
  f.topic("mended");
  RedriveRequest request = redriving({Offset{0}});
  request.to_topic = "mended";
  CHECK(f->redrive(request).value().redriven == 1);
  CHECK(f.browse("mended").at(0).tombstone);
  f.redrive("orders", "billing");
  CHECK(f.one("orders", "billing").message.tombstone);
}

CONTRACT_TEST("a letter that the topic refuses stays dead, and the others go on", "[S-26][S-1]") {
  f.topic("orders");
  f.group("orders", "billing");
  for (const std::size_t size : {10, 1000, 20}) f.dead_letter("orders", "billing", {.payload = std::string(size, 'x')});
  TopicOptions small;
  small.payload_bytes_max = 100;
  f.topic("small", small);
  RedriveRequest request = redriving();
  request.to_topic = "small";
  const RedriveResult r = f->redrive(request).value();
  CHECK(r.redriven == 2);
  CHECK(r.failed == 1);
  CHECK_THAT(r.error, Catch::Contains("payload_bytes_max") && Catch::Contains("letter 1"));
  REQUIRE(f.letters("orders", "billing").size() == 1);
  CHECK(f.letters("orders", "billing")[0].offset == Offset{1});
  CHECK(f.browse("small").size() == 2);
}

CONTRACT_TEST("a topic at its cap ends a redrive to it, and what went through stays", "[S-26][S-10]") {
  f.topic("orders");
  f.group("orders", "billing");
  for (int i = 0; i < 3; ++i) f.dead_letter("orders", "billing", {.payload = std::string(600, 'x')});
  TopicOptions capped;
  capped.bytes_max = 1500;
  f.topic("capped", capped);
  RedriveRequest request = redriving();
  request.to_topic = "capped";
  expect_error(f->redrive(request), ErrorCode::outcome_unknown, "2 letters were moved");
  CHECK(f.browse("capped").size() == 2);
  CHECK(f.letters("orders", "billing").size() == 1);
}

CONTRACT_TEST("a message of a redrive to a topic is there after reopening, as is the letter's state", "[S-26]") {
  letters_with_numbers(f, 1);
  f.topic("mended");
  RedriveRequest request = redriving();
  request.to_topic = "mended";
  CHECK(f->redrive(request).value().redriven == 1);
  f.reopen();
  CHECK(texts(f.browse("mended")) == Texts{"0"});
  CHECK(f.letters("orders", "billing").empty());
  CHECK(f->dead_letter("orders", "billing", Offset{0}).value().events.size() == 1);
}

CONTRACT_TEST_EVERY_TOPIC("an edited letter is delivered as edited, and its original is kept", "[S-26]") {
  letters_with_numbers(f, 2);
  const Time published = f->dead_letter("orders", "billing", Offset{1}).value().message.dead_letter->published;
  f.advance(1h);
  RedriveRequest request = redriving({Offset{1}});
  request.edited = Message{.payload = "mended", .headers = {{"new", "header"}}, .content_type = "text/plain"};
  request.reason = "a typing error";
  CHECK(f->redrive(request).value().redriven == 1);
  const Delivered d = f.one("orders", "billing");
  CHECK(text(d) == "mended");
  CHECK(d.message.key == "k1");
  CHECK(d.message.id == "id1");
  CHECK(d.message.headers.copy() == Headers{{"new", "header"}});
  CHECK(d.message.content_type == "text/plain");
  CHECK(d.message.offset == Offset{1});
  CHECK(d.message.time == published);
  CHECK(d.message.topic() == "orders");
  CHECK(d.redrives == 1);
  CHECK(d.failures == 0);

  const DeadLetter original = f->dead_letter("orders", "billing", Offset{1}).value();
  CHECK(original.state == LetterState::kRedriven);
  CHECK(original.message.payload.text() == "1");
  REQUIRE(original.events.size() == 1);
  REQUIRE(original.events[0].edited_as);
  CHECK(original.events[0].why == "a typing error");
  const DeadLetter copy = f->dead_letter("orders", "billing", *original.events[0].edited_as).value();
  CHECK(copy.state == LetterState::kRedriven);
  CHECK(copy.message.payload.text() == "mended");
  CHECK(copy.message.dead_letter->edited_of == Offset{1});
  CHECK(f.letters("orders", "billing").size() == 1);
  CHECK(f.stats("orders", "billing").dead == 1);

  // It dies again: the whole chain is shown.
  f.reject(d, "worse");
  const DeadLetter again = f->dead_letter("orders", "billing", f.letters("orders", "billing").at(1).offset).value();
  CHECK(again.message.payload.text() == "mended");
  CHECK(again.message.dead_letter->redrives == 1);
  CHECK(again.message.dead_letter->published == published);
  REQUIRE(again.earlier.size() == 2);
  CHECK(again.earlier[0].offset == copy.offset);
  CHECK(again.earlier[1].offset == Offset{1});
  CHECK(again.earlier[1].message.payload.text() == "1");
}

CONTRACT_TEST_EVERY_TOPIC("a letter may be edited on its way to a topic", "[S-26]") {
  letters_with_numbers(f, 1);
  f.topic("mended");
  RedriveRequest request = redriving({Offset{0}});
  request.to_topic = "mended";
  request.edited = Message{.payload = "zero"};
  CHECK(f->redrive(request).value().redriven == 1);
  const auto messages = f.browse("mended");
  CHECK(texts(messages) == Texts{"zero"});
  CHECK(messages[0].key == "k0");
  CHECK(messages[0].headers.copy() == Headers{{"weir-dead-letter", "_dlq.orders.billing/0"}});
  CHECK(f->dead_letter("orders", "billing", Offset{0}).value().message.payload.text() == "0");
}

CONTRACT_TEST("an edited letter given back and failing survives reopening", "[S-26]") {
  letters_with_numbers(f, 1);
  RedriveRequest request = redriving({Offset{0}});
  request.edited = Message{.payload = "mended"};
  CHECK(f->redrive(request).value().redriven == 1);
  f.retry(f.one("orders", "billing"), "no", 1min);
  f.reopen();
  f.expect_nothing("orders", "billing");
  f.advance(1min);
  const Delivered d = f.one("orders", "billing");
  CHECK(text(d) == "mended");
  CHECK(d.failures == 1);
  CHECK(d.message.offset == Offset{0});
}

CONTRACT_TEST_EVERY_TOPIC("a redrive that is wrong says what is, and moves nothing", "[S-26][S-33]") {
  letters_with_numbers(f, 2);
  const auto refused = [&](ErrorCode code, const char* words, auto change) {
    RedriveRequest request = redriving();
    change(request);
    expect_error(f->redrive(request), code, words);
  };
  refused(ErrorCode::invalid_argument, "rate", [](auto& r) { r.rate = 0.0; });
  refused(ErrorCode::invalid_argument, "rate", [](auto& r) { r.rate = 1e9; });
  refused(ErrorCode::invalid_argument, "rate", [](auto& r) { r.rate = std::numeric_limits<double>::quiet_NaN(); });
  refused(ErrorCode::topic_not_found, "nowhere", [](auto& r) { r.to_topic = "nowhere"; });
  refused(ErrorCode::invalid_argument, "to_topic", [](auto& r) { r.to_topic = ""; });
  refused(ErrorCode::invalid_argument, "belongs to the broker", [](auto& r) { r.to_topic = "_dlq.orders.billing"; });
  refused(ErrorCode::invalid_argument, "by id", [](auto& r) { r.edited = Message{.payload = "x"}; });
  refused(ErrorCode::limit_exceeded, "100", [](auto& r) { r.edited = Message{}, r.letters.resize(101); });
  refused(ErrorCode::invalid_argument, "key", [](auto& r) { r.edited = Message{.key = "k"}, r.letters = {Offset{0}}; });
  refused(ErrorCode::invalid_argument, "headers", [](auto& r) { r.edited = Message{.headers = {{"Bad Name", "v"}}}, r.letters = {Offset{0}}; });
  refused(ErrorCode::limit_exceeded, "payload_bytes_max", [](auto& r) { r.edited = Message{.payload = std::string(2u << 20, 'x')}, r.letters = {Offset{0}}; });
  refused(ErrorCode::limit_exceeded, "request_id", [](auto& r) { r.request_id = std::string(129, 'x'); });
  refused(ErrorCode::limit_exceeded, "reason", [](auto& r) { r.reason = std::string(1025, 'x'); });
  refused(ErrorCode::invalid_argument, "reason", [](auto& r) { r.reason = "\n"; });
  CHECK(f.letters("orders", "billing").size() == 2);
  CHECK(f->jobs().value().empty());
}

CONTRACT_TEST("durable and ephemeral topics do not mix in a redrive", "[S-26][S-4]") {
  letters_with_numbers(f, 1);
  TopicOptions ephemeral;
  ephemeral.ephemeral = true;
  f.topic("memory", ephemeral);
  RedriveRequest request = redriving();
  request.to_topic = "memory";
  expect_error(f->redrive(request), ErrorCode::invalid_argument, "mix");
}

}  // namespace
}  // namespace weir::test
