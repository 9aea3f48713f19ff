// Checks, and the hashes.
#include "broker/base/check.h"

#include <catch2/catch.hpp>

#include <stdexcept>
#include <string>

#include "broker/base/hash.h"

namespace weir::base {
namespace {

struct CheckThrown : std::runtime_error {
  explicit CheckThrown(const CheckFailure& failure)
      : std::runtime_error(std::string(failure.condition) + "|" + std::string(failure.message)), line(failure.line), file(failure.file) {}
  int line;
  std::string file;
};

struct ThrowingChecks {
  CheckHandler before = set_check_handler([](const CheckFailure& failure) { throw CheckThrown(failure); });
  ~ThrowingChecks() { set_check_handler(before); }
};

TEST_CASE("a check that holds costs nothing but its condition", "[base]") {
  const ThrowingChecks throwing;
  int made = 0;
  const auto message = [&] { return ++made; };
  WEIR_CHECK(1 + 1 == 2, "made " << message());
  WEIR_CHECK(true);
  CHECK(made == 0);
}

TEST_CASE("a failed check tells the handler where, what and why", "[base]") {
  const ThrowingChecks throwing;
  const int floor = 5, end = 3;
  try {
    WEIR_CHECK(floor <= end, "floor " << floor << " behind " << end);
    FAIL("went on behind a failed check");
  } catch (const CheckThrown& thrown) {
    CHECK(std::string(thrown.what()) == "floor <= end|floor 5 behind 3");
    CHECK(thrown.file.find("base_check.cc") != std::string::npos);
    CHECK(thrown.line > 0);
  }
  CHECK_THROWS_WITH([] { WEIR_CHECK(false); }(), "false|");
}

TEST_CASE("hashes depend on text and seed and are the same on every machine", "[base]") {
  CHECK(hash64("", 0) == 0x2d06800538d394c2u);  // as the specification of XXH3 gives it
  CHECK(hash64("order", 1) == hash64("order", 1));
  CHECK(hash64("order", 1) != hash64("order", 2));
  CHECK(hash64("order", 1) != hash64("orders", 1));
  CHECK(hash128("order", 1) == hash128("order", 1));
  CHECK(hash128("order", 1) != hash128("order", 2));
  CHECK(hash128("order", 1) != hash128("orders", 1));
}

}  // namespace
}  // namespace weir::base
