// Searching dead letters, grouping them by error, and the history of one (S-24, S-26, S-27).
#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

ListDeadLettersRequest listing() { return {.topic = "orders", .group = "billing"}; }

Texts found(Fixture& f, const ListDeadLettersRequest& request) {
  Texts out;
  const ListDeadLettersResult page = f->dead_letters(request).value();
  for (const DeadLetter& letter : page.letters) out.push_back(letter.message.payload.str());
  return out;
}

void die(Fixture& f, Message message, const std::string& error) {
  f.publish("orders", std::move(message));
  f.reject(f.one("orders", "billing"), error);
}

CONTRACT_TEST_EVERY_TOPIC("letters are found by time, reason, error, header, key and redrives", "[S-24][S-27]") {
  f.topic("orders");
  f.group("orders", "billing");
  die(f, {.key = "a", .payload = "1", .headers = {{"kind", "x"}}}, "no answer from bank 7");
  f.advance(1h);
  const Time second = f.now();
  die(f, {.key = "b", .payload = "2", .headers = {{"kind", "y"}}}, "no answer from bank 8");
  f.advance(1h);
  f.publish("orders", {.payload = "3"});
  for (int i = 0; i < 5; ++i) f.retry(f.one("orders", "billing"), "broken", 0ms);
  const auto with = [&](auto change) {
    ListDeadLettersRequest request = listing();
    change(request);
    return found(f, request);
  };
  CHECK(with([](auto&) {}) == Texts{"1", "2", "3"});
  CHECK(with([&](auto& r) { r.since = second; }) == Texts{"2", "3"});
  CHECK(with([&](auto& r) { r.until = second; }) == Texts{"1"});
  CHECK(with([&](auto& r) { r.since = second, r.until = second + 1ms; }) == Texts{"2"});
  CHECK(with([](auto& r) { r.reason = DeathReason::kMaxAttempts; }) == Texts{"3"});
  CHECK(with([](auto& r) { r.error_contains = "from bank"; }) == Texts{"1", "2"});
  CHECK(with([](auto& r) { r.error_contains = "bank 8"; }) == Texts{"2"});
  CHECK(with([](auto& r) { r.filter = Filter::exact("kind", "x"); }) == Texts{"1"});
  CHECK(with([](auto& r) { r.filter = Filter::negate(Filter::exact("kind", "x")); }) == Texts{"2", "3"});
  CHECK(with([](auto& r) { r.key = "b"; }) == Texts{"2"});
  CHECK(with([](auto& r) { r.key = ""; }) == Texts{"3"});
  CHECK(with([](auto& r) { r.key = "b", r.error_contains = "bank 7"; }) == Texts{});
  CHECK(with([](auto& r) { r.letters = {Offset{2}, Offset{0}, Offset{9}}; }) == Texts{"1", "3"});
  f.redrive("orders", "billing", {Offset{0}});
  f.reject(f.one("orders", "billing"), "again");
  CHECK(with([](auto& r) { r.redrives_min = 1; }) == Texts{"1"});
  CHECK(with([](auto& r) { r.redrives_max = 0; }) == Texts{"2", "3"});
}

CONTRACT_TEST_EVERY_TOPIC("pages of found letters go on where the last one ended", "[S-27]") {
  f.topic("orders");
  f.group("orders", "billing");
  for (int i = 0; i < 10; ++i) die(f, {.payload = std::to_string(i), .headers = {{"even", i % 2 == 0 ? "yes" : "no"}}}, "e");
  for (const bool by_id : {false, true}) {
    ListDeadLettersRequest request = listing();
    request.filter = Filter::exact("even", "yes");
    request.messages_max = 2;
    if (by_id)
      for (std::uint64_t i = 0; i < 10; ++i) request.letters.push_back(Offset{i});
    Texts all;
    int pages = 0;
    for (bool end = false; !end; ++pages) {
      const ListDeadLettersResult page = f->dead_letters(request).value();
      CHECK(page.letters.size() <= 2);
      for (const DeadLetter& letter : page.letters) all.push_back(letter.message.payload.str());
      end = page.end;
      request.from = page.next;
      REQUIRE(pages < 10);
    }
    CHECK(all == Texts{"0", "2", "4", "6", "8"});
  }
  ListDeadLettersRequest large = listing();
  large.bytes_max = 1;
  CHECK(f->dead_letters(large).value().letters.size() == 1);   // the first always comes
}

CONTRACT_TEST_EVERY_TOPIC("letters are grouped by their errors, as they are", "[S-27]") {
  f.topic("orders");
  f.group("orders", "billing");
  const Time first = f.now();
  for (int i = 0; i < 3; ++i) {
    die(f, {.payload = "t" + std::to_string(i)}, "timeout");
    f.advance(1min);
  }
  die(f, {.payload = "b7"}, "bank 7");
  die(f, {.payload = "b8"}, "bank 8");
  ListDeadLettersRequest request = listing();
  request.group_by_error = true;
  const ListDeadLettersResult page = f->dead_letters(request).value();
  CHECK(page.letters.empty());
  CHECK(page.end);
  REQUIRE(page.groups.size() == 3);
  CHECK(page.groups[0].error == "timeout");
  CHECK(page.groups[0].count == 3);
  CHECK(page.groups[0].first == first);
  CHECK(page.groups[0].last == first + 2min);
  CHECK(page.groups[0].sample.offset == Offset{2});
  CHECK(page.groups[0].sample.message.payload.text() == "t2");
  CHECK(page.groups[0].sample.message.dead_letter->error == "timeout");
  CHECK(page.groups[1].count == 1);
  request.messages_max = 2;
  const ListDeadLettersResult fewer = f->dead_letter_groups(request).value();
  CHECK(fewer.groups.size() == 2);
  CHECK(fewer.ungrouped == 1);
  request.bytes_max = 2;
  const ListDeadLettersResult lean = f->dead_letters(request).value();
  CHECK(lean.groups[0].sample.message.payload.text() == "t2");
  CHECK(lean.groups[1].sample.message.payload.empty());
  CHECK(lean.groups[1].sample.offset == Offset{3});
  f.redrive("orders", "billing", {Offset{0}});
  CHECK(f->dead_letter_groups(listing()).value().groups[0].count == 2);
}

CONTRACT_TEST_EVERY_TOPIC("groups are added up over pages of 20,000 letters", "[S-27][S-33]") {
  constexpr std::size_t kCount = 21'000;
  f.topic("orders");
  GroupOptions options;
  options.in_flight_max = 100'000;
  f.group("orders", "billing", options);
  for (std::size_t done = 0; done < kCount; done += 7000) {
    expect_ok(f->publish_all("orders", std::vector<Message>(7000)));
    SettleRequest settle;
    for (const Delivered& d : f.fetch_all("orders", "billing", 7000)) settle.settlements.push_back(Settlement::reject(d.token, done < 14'000 ? "early" : "late"));
    CHECK(f->settle(settle).value().results.empty());
  }
  ListDeadLettersRequest request = listing();
  request.error_contains = "late";
  const ListDeadLettersResult page = f->dead_letters(request).value();   // it looks at no more than 20,000, and finds what is in them
  CHECK_FALSE(page.letters.empty());
  request.error_contains = "nobody wrote this";
  const ListDeadLettersResult none = f->dead_letters(request).value();
  CHECK(none.letters.empty());
  CHECK_FALSE(none.end);
  CHECK(none.next == Offset{20'000});
  const auto groups = f->dead_letter_groups(listing()).value().groups;
  REQUIRE(groups.size() == 2);
  CHECK(groups[0].count == 14'000);
  CHECK(groups[1].count == 7000);
}

CONTRACT_TEST_EVERY_TOPIC("a letter is shown with everything that was done to it, over its redrives", "[S-24][S-26]") {
  f.topic("orders");
  f.group("orders", "billing");
  const Offset first = f.dead_letter("orders", "billing", {.key = "k", .payload = "1"}).offset;
  RedriveRequest redrive{.topic = "orders", .group = "billing"};
  redrive.reason = "the bank is back";
  CallContext context;
  context.principal = "ops";
  CHECK(f->redrive(redrive, context).value().redriven == 1);
  f.reject(f.one("orders", "billing"), "still no answer");
  const Offset second = f.letters("orders", "billing").at(0).offset;
  CHECK(f.letters("orders", "billing").at(0).events.empty());   // not asked for
  const DeadLetter letter = f->dead_letter("orders", "billing", second).value();
  CHECK(letter.state == LetterState::kDead);
  CHECK(letter.message.dead_letter->previous == first);
  CHECK(letter.events.empty());
  REQUIRE(letter.earlier.size() == 1);
  CHECK(letter.earlier[0].offset == first);
  CHECK(letter.earlier[0].state == LetterState::kRedriven);
  CHECK(letter.earlier[0].message.dead_letter->error == "rejected by the test");
  REQUIRE(letter.earlier[0].events.size() == 1);
  CHECK(letter.earlier[0].events[0].act == LetterAct::kRedriven);
  CHECK(letter.earlier[0].events[0].who == "ops");
  CHECK(letter.earlier[0].events[0].why == "the bank is back");
  expect_error(f->dead_letter("orders", "billing", Offset{99}), ErrorCode::not_found, "99");
  expect_error(f->dead_letter("orders", "other", Offset{0}), ErrorCode::group_not_found, "other");
}

CONTRACT_TEST_EVERY_TOPIC("a search that is wrong says what is", "[S-27][S-33]") {
  f.topic("orders");
  f.group("orders", "billing");
  const auto refused = [&](ErrorCode code, const char* words, auto change) {
    ListDeadLettersRequest request = listing();
    change(request);
    expect_error(f->dead_letters(request), code, words);
  };
  refused(ErrorCode::limit_exceeded, "messages_max", [](auto& r) { r.messages_max = 0; });
  refused(ErrorCode::limit_exceeded, "messages_max", [](auto& r) { r.messages_max = 10'001; });
  refused(ErrorCode::limit_exceeded, "letters", [](auto& r) { r.letters.resize(10'001); });
  refused(ErrorCode::limit_exceeded, "error_contains", [](auto& r) { r.error_contains = std::string(5000, 'x'); });
  refused(ErrorCode::limit_exceeded, "key", [](auto& r) { r.key = std::string(2000, 'x'); });
  refused(ErrorCode::invalid_argument, "until", [](auto& r) { r.since = Time{2ms}, r.until = Time{1ms}; });
  refused(ErrorCode::invalid_argument, "redrives", [](auto& r) { r.redrives_min = 2, r.redrives_max = 1; });
  refused(ErrorCode::topic_not_found, "none", [](auto& r) { r.topic = "none"; });
}

}  // namespace
}  // namespace weir::test
