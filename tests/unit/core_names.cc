// Names, patterns and near misses (S-2).
#include "broker/core/names.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/prng.h"

namespace weir::core {
namespace {

TEST_CASE("topic names are tokens joined by dots", "[core][S-2]") {
  for (const char* name : {"a", "orders", "orders.created", "A-b_c.0.9", "-._-"}) {
    INFO(name);
    CHECK(validate_topic_name(name, false).ok());
  }
  for (const char* name : {"", ".", "a.", ".a", "a..b", "a b", "ä", "a/b", "a.\n", "*", "a.>", "a.*b"}) {
    INFO(name);
    CHECK(validate_topic_name(name, false) == ErrorCode::invalid_argument);
    CHECK(validate_topic_name(name, true) == ErrorCode::invalid_argument);
  }
  CHECK(validate_topic_name(std::string(180, 'x'), false).ok());
  const Status status = validate_topic_name(std::string(181, 'x'), false);
  CHECK(status == ErrorCode::limit_exceeded);
  CHECK(status.message().find("180") != std::string::npos);
}

TEST_CASE("names with a leading underscore belong to the broker", "[core][S-2]") {
  CHECK(is_internal("_dlq.a.b"));
  CHECK_FALSE(is_internal("a._dlq"));
  CHECK(validate_topic_name("_dlq.a.b", false) == ErrorCode::invalid_argument);
  CHECK(validate_topic_name("_dlq.a.b", true).ok());
  CHECK(validate_topic_name("a._b", false).ok());
  const std::string longest = dead_letter_topic(std::string(180, 't'), std::string(64, 'g'));
  CHECK(validate_topic_name(longest, true).ok());
  CHECK(validate_topic_name(longest + "x", true) == ErrorCode::limit_exceeded);
  CHECK(dead_letter_topic("orders.eu", "billing") == "_dlq.orders.eu.billing");
}

TEST_CASE("a group's name is one token", "[core][S-2]") {
  CHECK(validate_group_name("billing-2").ok());
  for (const char* name : {"", "a.b", "_x", "*", ">", "a b"}) CHECK(validate_group_name(name) == ErrorCode::invalid_argument);
  CHECK(validate_group_name(std::string(64, 'g')).ok());
  CHECK(validate_group_name(std::string(65, 'g')) == ErrorCode::limit_exceeded);
}

TEST_CASE("a source is a topic or a pattern", "[core][S-2]") {
  for (const char* source : {"orders", "_dlq.orders.billing", "*", ">", "orders.*", "*.created", "a.*.c.>"}) {
    INFO(source);
    CHECK(validate_source(source).ok());
  }
  for (const char* source : {"", "a.>.b", ">.a", "a*", "a.b>", "**", "_dlq.>", "_dlq.*.g", "a..>"}) {
    INFO(source);
    CHECK(validate_source(source) == ErrorCode::invalid_argument);
  }
  CHECK(validate_source(std::string(179, 'x') + ".>") == ErrorCode::limit_exceeded);
}

TEST_CASE("a session's name is any short text", "[core][S-6]") {
  CHECK(validate_session_name("Zählerstand 7").ok());
  CHECK(validate_session_name("") == ErrorCode::invalid_argument);
  CHECK(validate_session_name("a\nb") == ErrorCode::invalid_argument);
  CHECK(validate_session_name(std::string(128, 's')).ok());
  CHECK(validate_session_name(std::string(129, 's')) == ErrorCode::limit_exceeded);
}

TEST_CASE("an error does not repeat strange bytes", "[core]") {
  const std::string text = validate_topic_name("a\x01\xff", false).message();
  CHECK(text.find('\x01') == std::string::npos);
  CHECK(text.find("a??") != std::string::npos);
}

TEST_CASE("'*' is one token and '>' is the rest", "[core][S-2]") {
  CHECK(matches("a.b", "a.b"));
  CHECK_FALSE(matches("a.b", "a"));
  CHECK(matches("*", "a"));
  CHECK_FALSE(matches("*", "a.b"));
  CHECK(matches("a.*.c", "a.b.c"));
  CHECK_FALSE(matches("a.*.c", "a.b.d"));
  CHECK_FALSE(matches("a.*", "a"));
  CHECK(matches(">", "a"));
  CHECK(matches(">", "a.b.c"));
  CHECK(matches("a.>", "a.b.c"));
  CHECK_FALSE(matches("a.>", "a"));
  CHECK_FALSE(matches("a.>", "ab.c"));
}

TEST_CASE("a wildcard never matches the broker's topics", "[core][S-2]") {
  for (const char* source : {">", "*", "*.>", "*.a.g", "_dlq.>", "_dlq.a.*"}) {
    INFO(source);
    CHECK_FALSE(matches(source, "_dlq.a.g"));
    CHECK_FALSE(overlap(source, "_dlq.a.g"));
  }
  CHECK(matches("_dlq.a.g", "_dlq.a.g"));
  CHECK(overlap("_dlq.a.g", "_dlq.a.g"));
  CHECK(matches("a.*", "a._b"));
}

TEST_CASE("sources overlap when a topic can match both", "[core][S-2]") {
  CHECK(overlap("a", "a"));
  CHECK_FALSE(overlap("a", "b"));
  CHECK(overlap("a.>", "*.b"));
  CHECK(overlap("a.>", ">"));
  CHECK(overlap("*.b.>", "a.>"));
  CHECK_FALSE(overlap("a.>", "a"));
  CHECK_FALSE(overlap("a.>", "*"));
  CHECK_FALSE(overlap("a.*", "*.*.*"));
  CHECK_FALSE(overlap("a.*.c", "a.*.d"));
  CHECK(overlap("*.*.>", ">"));
  // Their common names would all be too long to be topics.
  const std::string token(100, 'x');
  CHECK_FALSE(overlap(token + ".*", "*." + token));
  CHECK(overlap(token + ".*", "*." + std::string(79, 'y')));
  CHECK_FALSE(overlap(token + ".*", "*." + std::string(80, 'y')));
  CHECK_FALSE(overlap(token + ".>", "*." + token));
}

// All sources and topics of up to three tokens over a small alphabet.
std::vector<std::string> all_names(const std::vector<std::string>& tokens, bool rest) {
  std::vector<std::string> names, row{""};
  for (int depth = 0; depth < 3; ++depth) {
    std::vector<std::string> longer;
    for (const std::string& prefix : row) {
      for (const std::string& token : tokens) longer.push_back(prefix.empty() ? token : prefix + "." + token);
      if (rest) names.push_back(prefix.empty() ? ">" : prefix + ".>");
    }
    names.insert(names.end(), longer.begin(), longer.end());
    row = longer;
  }
  return names;
}

TEST_CASE("overlap is exactly that some topic matches both", "[core][S-2]") {
  const std::vector<std::string> sources = all_names({"a", "b", "*"}, true);
  // One token more and another letter than any source has, so that every way to match is there.
  std::vector<std::string> topics = all_names({"a", "b", "c"}, false);
  for (const std::string& topic : std::vector<std::string>(topics)) topics.push_back(topic + ".c");
  for (const std::string& a : sources)
    for (const std::string& b : sources) {
      bool both = false;
      for (const std::string& topic : topics) both |= matches(a, topic) && matches(b, topic);
      INFO(a << " and " << b);
      REQUIRE(overlap(a, b) == both);
    }
}

TEST_CASE("near misses are what somebody may have meant", "[core][S-2]") {
  const std::vector<std::string> topics = {"orders", "orders.eu", "Orders", "billing", "order", "ordres", "x", "y"};
  CHECK(near_misses("orders", topics) == std::vector<std::string>{"Orders", "orders", "order"});
  CHECK(near_misses("oders", topics, 2) == std::vector<std::string>{"Orders", "orders"});
  CHECK(near_misses("BILLING", topics) == std::vector<std::string>{"billing"});
  CHECK(near_misses("biling", topics) == std::vector<std::string>{"billing"});
  CHECK(near_misses("orders.ue", topics) == std::vector<std::string>{"orders.eu"});
  CHECK(near_misses("z", topics).empty());
  CHECK(near_misses("", topics).empty());
  CHECK(near_misses("payments", topics).empty());
  CHECK(near_misses(std::string(5000, 'o'), topics).empty());
  CHECK(near_misses("orders", topics, 0).empty());
}

// The distance by its definition: the fewest steps, each of which changes no place twice.
std::size_t slow_distance(std::string_view a, std::string_view b) {
  if (a.empty() || b.empty()) return a.size() + b.size();
  std::size_t least = std::min({slow_distance(a.substr(1), b) + 1, slow_distance(a, b.substr(1)) + 1,
                                slow_distance(a.substr(1), b.substr(1)) + (a[0] != b[0])});
  if (a.size() > 1 && b.size() > 1 && a[0] == b[1] && a[1] == b[0]) least = std::min(least, slow_distance(a.substr(2), b.substr(2)) + 1);
  return least;
}

TEST_CASE("near misses are those within two slips", "[core][S-2]") {
  base::Prng random(5);
  const auto word = [&] {
    std::string text;
    for (std::uint64_t length = 1 + random.below(7); length > 0; --length) text += static_cast<char>('a' + random.below(3));
    return text;
  };
  for (int i = 0; i < 3000; ++i) {
    const std::string name = word(), candidate = word();
    const std::size_t distance = slow_distance(name, candidate);
    INFO(name << " and " << candidate);
    const bool near = distance <= (name.size() < 5 ? 1 : 2) && distance < name.size();
    REQUIRE(near_misses(name, std::vector<std::string>{candidate}).size() == (near ? 1 : 0));
  }
}

}  // namespace
}  // namespace weir::core
