// The closed table of errors (S-36), and Status and Result that carry it.
#include <set>
#include <sstream>

#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

const std::vector<ErrorCode>& all_codes() {
  static const std::vector<ErrorCode> all = {
#define WEIR_ERROR(name, number, http, grpc, retryable, meaning) ErrorCode::name,
#include "weir/error_codes.def"
#undef WEIR_ERROR
  };
  return all;
}

TEST_CASE("every error has a row of the table, found by number and by name", "[S-36]") {
  std::set<std::string_view> names;
  std::set<std::uint16_t> numbers;
  for (const ErrorCode code : all_codes()) {
    const ErrorInfo& info = error_info(code);
    INFO(info.name);
    CHECK(info.code == code);
    CHECK(names.insert(info.name).second);
    CHECK(numbers.insert(static_cast<std::uint16_t>(code)).second);
    REQUIRE(find_error(info.name) != nullptr);
    CHECK(find_error(info.name)->code == code);
  }
  CHECK(numbers.size() == 34);
  CHECK(*numbers.begin() == 0);
  CHECK(*numbers.rbegin() == 33);  // without gaps: a number that was once given stays
}

TEST_CASE("every row is well formed", "[S-36]") {
  static const std::set<std::string_view> grpc = {
      "OK",          "CANCELLED",          "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
      "UNAUTHENTICATED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"};
  for (const ErrorCode code : all_codes()) {
    const ErrorInfo& info = error_info(code);
    INFO(info.name);
    CHECK(info.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string_view::npos);
    CHECK(grpc.count(info.grpc) == 1);
    CHECK((code == ErrorCode::ok ? info.http == 200 : info.http >= 400 && info.http < 600));
    CHECK_FALSE(info.meaning.empty());
    if (info.retryable) CHECK(code != ErrorCode::ok);
  }
}

TEST_CASE("an unknown number or name is no error of the table", "[S-36]") {
  CHECK(error_info(static_cast<ErrorCode>(9999)).code == ErrorCode::internal);
  CHECK(find_error("no_such_error") == nullptr);
  CHECK(find_error("") == nullptr);
}

TEST_CASE("a status says what it is", "[S-36]") {
  CHECK(Status().ok());
  CHECK(Status().to_string() == "ok");
  const Status status(ErrorCode::full, "topic orders is full");
  CHECK_FALSE(status.ok());
  CHECK(status.retryable());
  CHECK(status == ErrorCode::full);
  CHECK(status.to_string() == "full: topic orders is full");
  std::ostringstream out;
  out << status;
  CHECK(out.str() == "full: topic orders is full");
}

TEST_CASE("a result has a value or a status, and throws only when asked for what it lacks", "[S-36]") {
  Result<int> value = 7;
  CHECK(value.ok());
  CHECK(value.value() == 7);
  CHECK(value.code() == ErrorCode::ok);
  Result<int> none(ErrorCode::not_found, "nothing");
  CHECK_FALSE(none.ok());
  CHECK(none.status().message() == "nothing");
  try {
    (void)none.value();
    FAIL("there is no value");
  } catch (const BadResult& e) {
    CHECK(e.status().code() == ErrorCode::not_found);
    CHECK(std::string(e.what()) == "not_found: nothing");
  }
}

CONTRACT_TEST("errors of a request name what was wrong with it", "[S-36]") {
  f.topic("orders");
  for (const Status& status : {f->publish("nowhere", {}).status(), f->publish("orders", {.key = std::string(2000, 'k')}).status(),
                               f->group("orders", "nobody").status(), f->create_topic("a b").status()}) {
    INFO(status);
    CHECK_FALSE(status.ok());
    CHECK(status.message().size() > 5);
  }
}

}  // namespace
}  // namespace weir::test
