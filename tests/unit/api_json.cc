// The JSON that exports are written in.
#include <catch2/catch.hpp>

#include <string>

#include "broker/api/json.h"

namespace weir::api {
namespace {

std::string json(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

std::string base64(std::string_view bytes) {
  std::string out;
  append_base64(out, bytes);
  return out;
}

TEST_CASE("json: strings are escaped, and bytes that are no UTF-8 replaced", "[api][S-27]") {
  CHECK(json("") == "\"\"");
  CHECK(json("a\"b\\c") == R"("a\"b\\c")");
  CHECK(json(std::string_view("\n\t\0\x7f", 4)) == R"("\n\u0009\u0000\u007f")");
  CHECK(json("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80") == "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"");
  CHECK(json("a\xff" "b") == "\"a\xef\xbf\xbd" "b\"");
  CHECK(json("\xe2\x82") == "\"\xef\xbf\xbd\xef\xbf\xbd\"");
}

TEST_CASE("json: UTF-8 is told from other bytes", "[api][S-27]") {
  for (const char* good : {"", "text", "\xc3\xa4", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf", "\n"}) CHECK(is_utf8(good));
  for (const char* bad : {"\x80", "\xc0\x80", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5", "\xe2\x82"}) CHECK_FALSE(is_utf8(bad));
}

TEST_CASE("json: base64 as RFC 4648 has it", "[api][S-27]") {
  CHECK(base64("") == "");
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foo") == "Zm9v");
  CHECK(base64("foobar") == "Zm9vYmFy");
  CHECK(base64("\xff\xef\xbe") == "/+++");
}

TEST_CASE("json: times are RFC 3339 in UTC", "[api][S-27]") {
  CHECK(rfc3339(Time{}) == "1970-01-01T00:00:00.000Z");
  CHECK(rfc3339(Time{Duration{1'700'000'000'123}}) == "2023-11-14T22:13:20.123Z");
  CHECK(rfc3339(Time{Duration{-1}}) == "1969-12-31T23:59:59.999Z");
}

TEST_CASE("json: an object has its commas", "[api][S-27]") {
  std::string out;
  JsonObject object(out);
  object.text("a", "b");
  object.number64("n", 18446744073709551615u);
  object.number("m", 7);
  object.end();
  CHECK(out == R"({"a":"b","n":"18446744073709551615","m":7})");
}

}  // namespace
}  // namespace weir::api
