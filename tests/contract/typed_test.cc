// Typed topics: publish a T, handle a T.
#include <charconv>

#include "tests/contract/fixture.h"
#include "tests/support/collector.h"

namespace weir::test {
struct Amount {
  int cents = 0;
};
}  // namespace weir::test

template <>
struct weir::Codec<weir::test::Amount> {
  static Payload encode(const test::Amount& amount) { return Payload(std::to_string(amount.cents)); }
  static Result<test::Amount> decode(const Payload& payload) {
    test::Amount amount;
    const std::string_view text = payload.text();
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), amount.cents);
    if (error != std::errc{} || end != text.data() + text.size()) return {ErrorCode::invalid_argument, "not a number"};
    return amount;
  }
  static constexpr std::string_view content_type = "text/x-amount";
};

namespace weir::test {
namespace {

CONTRACT_TEST_EVERY_TOPIC("a typed topic takes and gives values", "[S-1]") {
  f.topic("amounts");
  Topic<Amount> amounts(f.broker(), "amounts");
  CHECK(amounts.name() == "amounts");
  Collector<int> seen;
  Subscription s = amounts.subscribe({.group = "sum"}, [&](const Amount& a) { seen.add(a.cents); }).value();
  CHECK(amounts.publish({7}).value().offset == Offset{0});
  CHECK(amounts.publish({8}, {.key = "k", .headers = {{"h", "v"}}}).value().offset == Offset{1});
  REQUIRE(seen.wait_for(2));
  CHECK(seen.items() == std::vector<int>{7, 8});
  const std::vector<StoredMessage> all = f.browse("amounts");
  CHECK(all.at(0).content_type == "text/x-amount");
  CHECK(all.at(1).key == "k");
  CHECK(all.at(1).payload.text() == "8");
}

CONTRACT_TEST_EVERY_TOPIC("a typed handler may have the delivery too", "[S-16]") {
  f.topic("amounts");
  Topic<Amount> amounts(f.broker(), "amounts");
  Subscription s = amounts.subscribe({.group = "sum"}, [](const Amount& a, Delivery& d) {
    if (a.cents < 0) d.reject("negative");
  }).value();
  expect_ok(amounts.publish({-1}));
  REQUIRE(eventually([&] { return f.letters("amounts", "sum").size() == 1; }));
  CHECK(f.letters("amounts", "sum")[0].message.dead_letter->error == "negative");
}

CONTRACT_TEST_EVERY_TOPIC("what cannot be decoded goes straight to the dead letters with the codec's error", "[S-16][S-23]") {
  f.topic("amounts");
  Topic<Amount> amounts(f.broker(), "amounts");
  Collector<int> seen;
  Subscription s = amounts.subscribe({.group = "sum"}, [&](const Amount& a) { seen.add(a.cents); }).value();
  f.publish_texts("amounts", {"not an amount"});
  expect_ok(amounts.publish({1}));
  REQUIRE(seen.wait_for(1));
  REQUIRE(eventually([&] { return f.letters("amounts", "sum").size() == 1; }));
  CHECK_THAT(f.letters("amounts", "sum")[0].message.dead_letter->error, Catch::Contains("not a number"));
  CHECK(seen.items() == std::vector<int>{1});
}

CONTRACT_TEST_EVERY_TOPIC("strings and payloads are types as they are", "[S-1]") {
  f.topic("texts");
  Topic<std::string> strings(f.broker(), "texts");
  Topic<Payload> payloads(f.broker(), "texts");
  Collector<std::string> seen;
  Subscription s = strings.subscribe({.group = "g"}, [&](const std::string& text) { seen.add(text); }).value();
  expect_ok(strings.publish("one"));
  expect_ok(payloads.publish(Payload("two")));
  REQUIRE(seen.wait_for(2));
  CHECK(seen.items() == Texts{"one", "two"});
  CHECK(f.browse("texts").at(1).content_type == "application/octet-stream");
}

}  // namespace
}  // namespace weir::test
