// Discarding dead letters, undoing it, and exporting them (S-27).
#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

DiscardRequest discarding(std::vector<Offset> letters = {}) {
  DiscardRequest request{.topic = "orders", .group = "billing"};
  request.letters = std::move(letters);
  return request;
}

std::vector<Offset> three_letters(Fixture& f) {
  f.topic("orders");
  f.group("orders", "billing");
  std::vector<Offset> ids;
  for (const char* payload : {"1", "2", "3"}) ids.push_back(f.dead_letter("orders", "billing", {.key = payload, .payload = payload, .headers = {{"n", payload}}}).offset);
  return ids;
}

std::vector<std::string> lines_of(Fixture& f, const ExportDeadLettersRequest& request) {
  std::vector<std::string> lines;
  const auto count = f->export_dead_letters(request, [&](std::string_view line) {
    lines.emplace_back(line);
    return true;
  });
  expect_ok(count);
  CHECK(count.value() == lines.size());
  return lines;
}

CONTRACT_TEST_EVERY_TOPIC("letters are discarded by id, with who did it and why", "[S-27]") {
  const std::vector<Offset> ids = three_letters(f);
  DiscardRequest request = discarding({ids[1], Offset{77}});
  request.reason = "test orders";
  CallContext context;
  context.principal = "ops";
  const DiscardResult r = f->discard(request, context).value();
  CHECK(r.discarded == 1);
  CHECK(r.skipped == 1);
  CHECK(r.job.empty());
  CHECK(f.letters("orders", "billing").size() == 2);
  CHECK(f.stats("orders", "billing").dead == 2);
  const DeadLetter letter = f->dead_letter("orders", "billing", ids[1]).value();
  CHECK(letter.state == LetterState::kDiscarded);
  REQUIRE(letter.events.size() == 1);
  CHECK(letter.events[0].act == LetterAct::kDiscarded);
  CHECK(letter.events[0].who == "ops");
  CHECK(letter.events[0].why == "test orders");
  CHECK(letter.events[0].time == f.now());
  CHECK(f->discard(request).value().discarded == 0);
  CHECK(f.redrive("orders", "billing", {ids[1]}).skipped == 1);
}

CONTRACT_TEST_EVERY_TOPIC("letters are discarded by filter, and all", "[S-27]") {
  three_letters(f);
  DiscardRequest request = discarding();
  request.filter = Filter::exact("n", "3");
  request.dry_run = true;
  CHECK(f->discard(request).value().discarded == 1);
  CHECK(f.letters("orders", "billing").size() == 3);
  request.dry_run = false;
  const DiscardResult some = f->discard(request).value();
  CHECK(some.discarded == 1);
  CHECK(some.unmatched == 2);
  request = discarding();
  request.where.key = "1";
  CHECK(f->discard(request).value().discarded == 1);
  CHECK(f->discard(discarding()).value().discarded == 1);
  CHECK(f.letters("orders", "billing").empty());
  CHECK(f.stats("orders", "billing").dead == 0);
}

CONTRACT_TEST_EVERY_TOPIC("a discard can be undone for seven days", "[S-27]") {
  const std::vector<Offset> ids = three_letters(f);
  CHECK(f->discard(discarding({ids[0], ids[1]})).value().discarded == 2);
  f.advance(std::chrono::hours{24 * 7});
  DiscardRequest restore = discarding({ids[0], ids[2]});
  restore.restore = true;
  restore.reason = "not so bad";
  const DiscardResult r = f->discard(restore).value();
  CHECK(r.discarded == 1);
  CHECK(r.skipped == 1);   // it was never discarded
  CHECK(f.letters("orders", "billing").size() == 2);
  const DeadLetter letter = f->dead_letter("orders", "billing", ids[0]).value();
  CHECK(letter.state == LetterState::kDead);
  REQUIRE(letter.events.size() == 2);
  CHECK(letter.events[1].act == LetterAct::kRestored);
  CHECK(letter.events[1].why == "not so bad");
  f.advance(1s);
  restore.letters = {};
  const DiscardResult late = f->discard(restore).value();
  CHECK(late.discarded == 0);
  CHECK(late.failed == 1);
  CHECK_THAT(late.error, Catch::Contains("7 days"));
  CHECK(f.redrive("orders", "billing", {ids[0]}).redriven == 1);
  CHECK(text(f.one("orders", "billing")) == "1");
}

CONTRACT_TEST("what was discarded stays so over a reopen, and can be restored then", "[S-27]") {
  const std::vector<Offset> ids = three_letters(f);
  CHECK(f->discard(discarding({ids[0], ids[2]})).value().discarded == 2);
  f.reopen();
  CHECK(f.letters("orders", "billing").size() == 1);
  CHECK(f.stats("orders", "billing").dead == 1);
  CHECK(f->dead_letter("orders", "billing", ids[0]).value().state == LetterState::kDiscarded);
  DiscardRequest restore = discarding({ids[0]});
  restore.restore = true;
  CHECK(f->discard(restore).value().discarded == 1);
  f.reopen();
  CHECK(f.letters("orders", "billing").size() == 2);
  CHECK(f->dead_letter("orders", "billing", ids[0]).value().events.size() == 2);
  CHECK(f->dead_letter("orders", "billing", ids[2]).value().state == LetterState::kDiscarded);
}

CONTRACT_TEST_EVERY_TOPIC("a discarded letter goes with the retention of its topic, and its history with it", "[S-27][S-23]") {
  const std::vector<Offset> ids = three_letters(f);
  CHECK(f->discard(discarding({ids[0], ids[1]})).value().discarded == 2);
  REQUIRE(f.eventually_as_time_passes(std::chrono::hours{24}, [&] { return f->dead_letter("orders", "billing", ids[0]).code() == ErrorCode::not_found; }));
  REQUIRE(eventually([&] { return f.stats("orders", "billing").dead == 0; }));
  DiscardRequest restore = discarding({ids[0]});
  restore.restore = true;
  CHECK(f->discard(restore).value().skipped == 1);
  f.dead_letter("orders", "billing", {.payload = "4"});
  CHECK(f.stats("orders", "billing").dead == 1);
}

CONTRACT_TEST_EVERY_TOPIC("a discard can be a job", "[S-27]") {
  three_letters(f);
  DiscardRequest request = discarding();
  request.rate = 1.0;
  request.request_id = "tidy";
  const std::string id = f->discard(request).value().job;
  REQUIRE_FALSE(id.empty());
  CHECK(f->discard(request).value().job == id);
  CHECK(f->job(id).value().kind == "discard");
  f.advance(1s);
  REQUIRE(eventually([&] { return f->job(id).value().done == 1; }));
  f.advance(5s);
  REQUIRE(eventually([&] { return f->job(id).value().state == "done"; }));
  CHECK(f->job(id).value().done == 3);
  CHECK(f.letters("orders", "billing").empty());
}

CONTRACT_TEST_EVERY_TOPIC("a request to discard that is wrong says what is", "[S-27][S-33]") {
  three_letters(f);
  DiscardRequest request = discarding(std::vector<Offset>(10'001));
  expect_error(f->discard(request), ErrorCode::limit_exceeded, "10000");
  request = discarding();
  request.reason = std::string(1025, 'x');
  expect_error(f->discard(request), ErrorCode::limit_exceeded, "reason");
  request = discarding();
  request.rate = -1;
  expect_error(f->discard(request), ErrorCode::invalid_argument, "rate");
  request = discarding();
  request.group = "other";
  expect_error(f->discard(request), ErrorCode::group_not_found, "other");
  request = discarding();
  request.topic = "none";
  expect_error(f->discard(request), ErrorCode::topic_not_found, "none");
  CHECK(f.letters("orders", "billing").size() == 3);
}

// --- Export --------------------------------------------------------------------------------------------------------------

CONTRACT_TEST_EVERY_TOPIC("letters are exported one JSON object a line", "[S-27]") {
  f.topic("orders");
  f.group("orders", "billing");
  Message message{.key = "k\"1", .payload = "line\none \xc3\xa4", .id = "id", .headers = {{"h", "v"}}, .content_type = "text/plain"};
  f.dead_letter("orders", "billing", message);
  f.dead_letter("orders", "billing", {.payload = std::string("\xff\x00\x01", 3)});
  const std::vector<std::string> lines = lines_of(f, {.topic = "orders", .group = "billing"});
  REQUIRE(lines.size() == 2);
  for (const std::string& line : lines) {
    CHECK(line.front() == '{');
    CHECK(line.substr(line.size() - 2) == "}\n");
    CHECK(line.find('\n') == line.size() - 1);
  }
  CHECK_THAT(lines[0], Catch::Contains(R"("offset":"0","state":"dead","died":")"));
  CHECK_THAT(lines[0], Catch::Contains(R"("topic":"orders","group":"billing","source":"orders","originOffset":"0","published":")"));
  CHECK_THAT(lines[0], Catch::Contains(R"("reason":"rejected","error":"rejected by the test")"));
  CHECK_THAT(lines[0], Catch::Contains(R"("key":"k\"1","id":"id","contentType":"text/plain","headers":{"h":"v"},"payload":"line\none )" "\xc3\xa4\"}"));
  CHECK_THAT(lines[1], Catch::Contains(R"("headers":{},"payloadBase64":"/wAB"})"));
  CHECK_THAT(lines[1], !Catch::Contains("\"payload\""));
}

CONTRACT_TEST_EVERY_TOPIC("an export takes letters by id, by filter, and resolved ones with their history", "[S-27]") {
  const std::vector<Offset> ids = three_letters(f);
  ExportDeadLettersRequest request{.topic = "orders", .group = "billing"};
  request.letters = {ids[2], ids[0], Offset{99}};
  std::vector<std::string> lines = lines_of(f, request);
  REQUIRE(lines.size() == 2);
  CHECK_THAT(lines[1], Catch::Contains(R"("payload":"3")"));
  request = {.topic = "orders", .group = "billing"};
  request.filter = Filter::exact("n", "2");
  CHECK(lines_of(f, request).size() == 1);
  request = {.topic = "orders", .group = "billing"};
  request.where.redrives_min = 1;
  CHECK(lines_of(f, request).empty());
  DiscardRequest gone = discarding({ids[0]});
  gone.reason = "no";
  CHECK(f->discard(gone).value().discarded == 1);
  request = {.topic = "orders", .group = "billing"};
  CHECK(lines_of(f, request).size() == 2);
  request.include_resolved = true;
  request.with_history = true;
  lines = lines_of(f, request);
  REQUIRE(lines.size() == 3);
  CHECK_THAT(lines[0], Catch::Contains(R"("state":"discarded")") && Catch::Contains(R"("events":[{"act":"discarded",)") && Catch::Contains(R"("why":"no"}])"));
}

CONTRACT_TEST_EVERY_TOPIC("an export goes through many pages, and stops when it is told to", "[S-27]") {
  constexpr std::size_t kCount = 2500;
  f.topic("orders");
  GroupOptions options;
  options.in_flight_max = 10'000;
  f.group("orders", "billing", options);
  std::vector<Message> messages(kCount);
  for (std::size_t i = 0; i < kCount; ++i) messages[i].payload = std::to_string(i);
  expect_ok(f->publish_all("orders", std::move(messages)));
  SettleRequest settle;
  for (const Delivered& d : f.fetch_all("orders", "billing", kCount)) settle.settlements.push_back(Settlement::reject(d.token));
  CHECK(f->settle(settle).value().results.empty());
  const std::vector<std::string> lines = lines_of(f, {.topic = "orders", .group = "billing"});
  REQUIRE(lines.size() == kCount);
  for (std::size_t i = 0; i < kCount; ++i) REQUIRE_THAT(lines[i], Catch::StartsWith("{\"offset\":\"" + std::to_string(i) + "\""));
  std::size_t seen = 0;
  expect_error(f->export_dead_letters({.topic = "orders", .group = "billing"}, [&](std::string_view) { return ++seen < 1200; }), ErrorCode::cancelled, "1199");
  CHECK(seen == 1200);
}

}  // namespace
}  // namespace weir::test
