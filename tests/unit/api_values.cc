// Names, errors, tokens, filters, clocks and cancellation.
#include <catch2/catch.hpp>

#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "broker/api/cancellation.h"
#include "weir/weir.h"

namespace weir {
namespace {

using namespace std::chrono_literals;

TEST_CASE("every row of the table of errors is found by its code and by its name", "[api][S-36]") {
  std::set<std::string_view> names;
  for (int number = 0; number <= static_cast<int>(ErrorCode::internal); ++number) {
    const ErrorInfo& row = error_info(static_cast<ErrorCode>(number));
    CHECK(static_cast<int>(row.code) == number);
    CHECK(find_error(row.name) == &row);
    CHECK_FALSE(row.meaning.empty());
    names.insert(row.name);
  }
  CHECK(names.size() == static_cast<std::size_t>(ErrorCode::internal) + 1);
  CHECK(error_info(ErrorCode::lease_lost).http == 409);
  CHECK(error_info(ErrorCode::lease_lost).grpc == "ABORTED");
  CHECK(error_info(static_cast<ErrorCode>(9999)).code == ErrorCode::internal);
  CHECK(find_error("no_such_error") == nullptr);
}

TEST_CASE("the small types are called as the documents call them", "[api]") {
  CHECK(to_string(Durability::kPower) == "power");
  CHECK(to_string(Order::kTopic) == "topic");
  CHECK(to_string(Settle::kExtend) == "extend");
  CHECK(to_string(DeathReason::kCrashLoop) == "crash_loop");
  CHECK(to_string(Outcome::kLeaseExpired) == "lease_expired");
  CHECK(to_string(LetterState::kRedriven) == "redriven");
  CHECK(to_string(StoreState::kStorageFull) == "storage_full");
  CHECK(to_string(static_cast<Order>(77)) == "unknown");
  CHECK(dead_letter_topic("orders.placed", "billing") == "_dlq.orders.placed.billing");
}

TEST_CASE("a group's total sums its topics and takes the worst lag", "[api]") {
  GroupInfo info;
  info.source = "orders.>";
  GroupTopicStats one, two;
  one.depth = 3, one.acked = 10, one.lag = 5s, one.oldest = Time{7s};
  two.depth = 4, two.acked = 20, two.lag = 9s, two.oldest = Time{3s};
  info.topics = {one, two};
  const GroupTopicStats total = info.total();
  CHECK(total.depth == 7);
  CHECK(total.acked == 30);
  CHECK(total.lag == 9s);
  CHECK(total.oldest == Time{3s});
  CHECK(GroupInfo{}.total().oldest == std::nullopt);
}

Token random_token(std::mt19937_64& random) {
  const auto number = [&] { return random() >> random() % 64; };
  return {GroupId{number()}, TopicId{number()}, Offset{number()}, number(), Epoch{number()}, static_cast<std::uint32_t>(number())};
}

TEST_CASE("a token becomes text and comes back", "[api][S-14]") {
  std::mt19937_64 random(1);
  for (int i = 0; i < 2000; ++i) {
    const Token token = random_token(random);
    const std::string text = token.to_string();
    CAPTURE(text);
    REQUIRE(text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == std::string::npos);
    const Result<Token> back = Token::parse(text);
    REQUIRE(back.ok());
    REQUIRE(*back == token);
  }
  const std::uint64_t most = ~std::uint64_t{0};
  const Token largest{GroupId{most}, TopicId{most}, Offset{most}, most, Epoch{most}, ~0u};
  CHECK(Token::parse(largest.to_string()).value() == largest);
  CHECK(Token::parse(Token{}.to_string()).value() == Token{});
}

TEST_CASE("text that is no token is refused", "[api][S-14]") {
  std::mt19937_64 random(2);
  for (const char* text : {"", "A", "token", "????", "AQ==", " AQAAAAAA"}) CHECK(Token::parse(text).code() == ErrorCode::invalid_argument);
  CHECK(Token::parse(std::string(1 << 20, 'A')).code() == ErrorCode::invalid_argument);
  int accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string text = random_token(random).to_string();
    const std::string original = text;
    switch (random() % 4) {
      case 0: text[random() % text.size()] ^= static_cast<char>(1 + random() % 255); break;
      case 1: text.erase(random() % text.size(), 1); break;
      case 2: text.insert(random() % text.size(), 1, static_cast<char>(random())); break;
      default:
        for (char& c : text) c = static_cast<char>(random());
    }
    if (text != original) accepted += Token::parse(text).ok();
  }
  CHECK(accepted == 0);
}

HeadersView view_of(std::string& bytes, const Headers& headers) {
  for (const Header& h : headers) {
    bytes.push_back(static_cast<char>(h.name.size()));
    bytes += h.name;
    bytes.push_back(static_cast<char>(h.value.size() & 255));
    bytes.push_back(static_cast<char>(h.value.size() >> 8));
    bytes += h.value;
  }
  return HeadersView(bytes);
}

TEST_CASE("filters match headers", "[api][S-22]") {
  std::string bytes;
  const HeadersView headers = view_of(bytes, {{"region", "eu-west"}, {"kind", "order"}});
  CHECK(Filter{}.matches(headers));
  CHECK(Filter::exact("kind", "order").matches(headers));
  CHECK_FALSE(Filter::exact("kind", "orde").matches(headers));
  CHECK(Filter::prefix("region", "eu-").matches(headers));
  CHECK_FALSE(Filter::prefix("region", "us-").matches(headers));
  CHECK(Filter::suffix("region", "west").matches(headers));
  CHECK(Filter::present("region").matches(headers));
  CHECK_FALSE(Filter::present("zone").matches(headers));
  CHECK_FALSE(Filter::prefix("zone", "").matches(headers));
  CHECK(Filter::negate(Filter::exact("zone", "")).matches(headers));
  CHECK_FALSE(Filter::negate(Filter::present("kind")).matches(headers));
  CHECK(Filter::all({Filter::exact("kind", "order"), Filter::suffix("region", "west")}).matches(headers));
  CHECK_FALSE(Filter::all({Filter::exact("kind", "order"), Filter::present("zone")}).matches(headers));
  CHECK(Filter::any({Filter::present("zone"), Filter::present("kind")}).matches(headers));
  CHECK_FALSE(Filter::any({Filter::present("zone")}).matches(headers));
  CHECK(Filter::exact("kind", "order").matches(headers));
  CHECK_FALSE(Filter::exact("kind", "order").matches(HeadersView{}));
}

TEST_CASE("a manual clock stands still until it is moved, and tells", "[api]") {
  ManualClock clock(Time{10s});
  int jumps = 0;
  Time seen{};
  clock.watch(&jumps, [&] { ++jumps, seen = clock.now(); });
  CHECK(clock.now() == Time{10s});
  CHECK(clock.real_time_until(Time{11s}) == std::nullopt);
  CHECK(clock.real_time_until(Time{10s}) == Duration{0});
  clock.advance(5s);
  CHECK(seen == Time{15s});
  clock.advance(-5s);
  CHECK(clock.now() == Time{15s});
  clock.unwatch(&jumps);
  clock.advance(1s);
  CHECK(jumps == 2);
  clock.advance(Duration::max());
  clock.advance(Duration::max());
  CHECK(clock.now() == Time::max());
}

TEST_CASE("the system clock shows the wall time and goes on", "[api]") {
  const auto clock = system_clock();
  const auto wall = std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
  const Time first = clock->now();
  CHECK((first > wall ? first - wall : wall - first) < 10s);
  CHECK(clock->now() >= first);
  CHECK(clock->real_time_until(first - 1s) == Duration{0});
  CHECK(clock->real_time_until(clock->now() + 1h).value() <= 1h);
}

TEST_CASE("cancelling calls each callback once, unless it was unsubscribed", "[api]") {
  const Cancellation none;
  CHECK_FALSE(none);
  CHECK_FALSE(none.cancelled());
  Cancellation cancellation = Cancellation::make();
  const auto state = cancellation.state();
  std::vector<int> called;
  state->subscribe([&] { called.push_back(1); });
  const auto second = state->subscribe([&] { called.push_back(2); });
  state->subscribe([&] { called.push_back(3); });
  CHECK(state->unsubscribe(second));
  CHECK_FALSE(state->unsubscribe(second));
  CHECK_FALSE(state->unsubscribe(0));
  const Cancellation copy = cancellation;
  cancellation.cancel();
  cancellation.cancel();
  CHECK(copy.cancelled());
  CHECK(called == std::vector<int>{1, 3});
  CHECK(state->subscribe([&] { called.push_back(4); }) == 0);
  CHECK(called.size() == 2);
}

}  // namespace
}  // namespace weir
