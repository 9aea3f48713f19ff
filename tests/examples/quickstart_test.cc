// The parts of the quickstart that its verdict rests on: what it reads, and whether its check would notice.
#include <catch2/catch.hpp>

#include <fstream>
#include <string>

#include "quickstart/events.h"
#include "quickstart/ledger.h"
#include "quickstart/report.h"
#include "tests/support/temp_directory.h"

namespace {

using namespace quickstart;

std::string written(const weir::test::TempDirectory& directory, const std::string& name, const std::string& text) {
  std::ofstream(directory.file(name)) << text;
  return directory.file(name);
}

TEST_CASE("a line of the package manager becomes an event of its kind, keyed by the package", "[quickstart]") {
  const weir::test::TempDirectory directory;
  const std::string log = written(directory, "dpkg.log",
                                  "2025-06-24 14:36:25 startup archives unpack\n"
                                  "2025-06-24 14:36:25 upgrade libc6:amd64 2.36-8 2.36-9\n"
                                  "\n"
                                  "2025-06-24 14:36:26 status half-configured libc6:amd64 2.36-9\n"
                                  "2025-06-24 14:36:27 trigproc libc-bin:amd64 2.36-9 <none>\n"
                                  "2025-06-24 14:36:27 configure libc6:amd64 2.36-9 <none>\n");
  REQUIRE(convert_package_log(log, directory.file("events.ndjson")) == 5);
  const std::vector<Event> events = read_events(directory.file("events.ndjson"), "packages");
  REQUIRE(events.size() == 5);
  CHECK(events[0].topic == "packages.startup");
  CHECK(events[0].key == "");
  CHECK(events[1].topic == "packages.upgrade");
  CHECK(events[1].key == "libc6:amd64");
  CHECK(events[1].id == "packages-2");
  CHECK(events[1].text.find(R"("action":"2.36-9")") != std::string::npos);
  CHECK(events[2].topic == "packages.status");
  CHECK(events[2].key == "libc6:amd64");
  CHECK(events[3].text.find(R"("action":null)") != std::string::npos);
  CHECK(events[4].text.find(R"("action":"2.36-9")") != std::string::npos);
}

TEST_CASE("a line that is no event is named", "[quickstart]") {
  const weir::test::TempDirectory directory;
  const std::string file = written(directory, "bad.ndjson", "{\"event\":\"push\"}\n[1]\n");
  CHECK_THROWS_WITH(read_events(file, "webhooks"), Catch::Matchers::Contains("bad.ndjson:2"));
}

TEST_CASE("the check notices an event that is missing, one that took effect twice, and one that nobody published", "[quickstart]") {
  const std::vector<Event> events = {{"a", "t", "", ""}, {"b", "t", "", ""}};
  const Line a{0, Entry::kHandled, "g", "t", "a"}, b{0, Entry::kHandled, "g", "t", "b"}, c{0, Entry::kHandled, "g", "t", "c"};
  CHECK(check(events, {"g"}, {a, b}).empty());
  CHECK(check(events, {"g"}, {a}) == std::vector<std::string>{"g handled b 0 times"});
  CHECK(check(events, {"g"}, {a, b, b}) == std::vector<std::string>{"g handled b 2 times"});
  CHECK(check(events, {"g"}, {a, b, c}) == std::vector<std::string>{"g handled c, which was never published"});
  CHECK(check(events, {"g", "h"}, {a, b}).size() == 2);
}

TEST_CASE("a ledger with a torn line is refused", "[quickstart]") {
  const weir::test::TempDirectory directory;
  const std::string file = written(directory, "ledger.tsv", "1\th\tg\tt\ta\n2\th\tg\n");
  CHECK_THROWS_WITH(Ledger::read(file), Catch::Matchers::Contains("ledger.tsv:2"));
}

}  // namespace
