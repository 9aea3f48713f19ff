// The worked example of docs/FORMAT.md is what the code writes.
#include <catch2/catch.hpp>

#include <fstream>
#include <sstream>
#include <string>

#include "broker/format/keys.h"
#include "broker/format/record_batch.h"
#include "weir/message.h"

namespace weir::format {
namespace {

/// The bytes of the block that begins with ```name: lines of a position, two spaces, bytes in hexadecimal, and words. Fails where a
/// position is not that of the bytes behind it.
std::string block(const std::string& name) {
  std::ifstream file(WEIR_SOURCE_DIR "/docs/FORMAT.md");
  REQUIRE(file.good());
  std::string line, bytes;
  while (std::getline(file, line) && line != "```" + name) {}
  while (std::getline(file, line) && line != "```") {
    INFO(line);
    REQUIRE(line.size() > 8);
    CHECK(std::stoul(line.substr(0, 4), nullptr, 16) == bytes.size());
    // The words begin at a fixed column, so that one like "be" is not taken for a byte.
    constexpr std::size_t kWords = 25;
    std::istringstream digits(line.substr(6, kWords));
    for (std::string byte; digits >> byte;) {
      REQUIRE(byte.size() == 2);
      bytes.push_back(static_cast<char>(std::stoul(byte, nullptr, 16)));
    }
  }
  return bytes;
}

TEST_CASE("the worked example of FORMAT.md is what is written", "[format]") {
  BatchBuilder builder;
  const std::string headers("\x04kind\x03\0new", 10);
  builder.add({R"({"total":7})", "customer-1", "order-1", {}, headers, 0});
  builder.add({"hi", {}, {}, {}, {}, 0});
  const Time time{Duration{1'700'000'000'000}};
  const auto bytes = builder.finish(Offset{41}, time);
  CHECK(*bytes == block("batch"));
  const IndexEntry entry{Offset{41}, 2, {9, 0}, time, static_cast<std::uint32_t>(bytes->size()), 1000 + bytes->size()};
  CHECK(index_key(TopicId{3}, Offset{41}) + encode(entry) == block("index"));
  CHECK(log_key({9, 0}) == std::string("\0\0\0\0\0\0\0\x09\0\0\0\0", 12));
}

TEST_CASE("the worked example of FORMAT.md reads as it says", "[format]") {
  const auto batch = RecordBatch::parse(std::make_shared<const std::string>(block("batch")), "FORMAT.md");
  REQUIRE(batch.ok());
  CHECK((*batch)->first() == Offset{41});
  CHECK((*batch)->record(0).payload == R"({"total":7})");
  CHECK((*batch)->key(0) == "customer-1");
  CHECK((*batch)->record(0).id == "order-1");
  CHECK(HeadersView((*batch)->headers(0)).find("kind") == "new");
  CHECK((*batch)->record(1).payload == "hi");
  CHECK((*batch)->key(1).empty());
}

}  // namespace
}  // namespace weir::format
