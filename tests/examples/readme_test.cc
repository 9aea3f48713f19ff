// What README shows is what is compiled, and it does what README says.
#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <vector>

#include "tests/support/temp_directory.h"

namespace {

std::string contents(const std::string& file) {
  std::ifstream in(file);
  INFO(file);
  REQUIRE(in);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The first block of C++ in a Markdown text, or the one behind so many others.
std::string cpp_block(const std::string& markdown, int others = 0) {
  const std::string open = "```cpp\n";
  std::size_t begin = markdown.find(open);
  for (; others > 0 && begin != std::string::npos; --others) begin = markdown.find(open, begin + 1);
  REQUIRE(begin != std::string::npos);
  const std::size_t end = markdown.find("```", begin + open.size());
  REQUIRE(end != std::string::npos);
  return markdown.substr(begin + open.size(), end - begin - open.size());
}

/// Runs a program in that directory and answers what it printed.
std::string run_in(const weir::test::TempDirectory& directory, const std::string& program = ORDER_SERVICE) {
  const std::string command = "cd '" + directory.path().string() + "' && '" + program + "' > out.txt 2> errors.txt";
  const int result = std::system(command.c_str());
  INFO(contents(directory.file("errors.txt")));
  REQUIRE(result == 0);
  return contents(directory.file("out.txt"));
}

TEST_CASE("README's examples are docs/examples/order_service.cc and bank.cc to the letter", "[docs]") {
  const std::string root = WEIR_SOURCE_DIR;
  CHECK(cpp_block(contents(root + "/README.md")) == contents(root + "/docs/examples/order_service.cc"));
  CHECK(cpp_block(contents(root + "/README.md"), 1) == contents(root + "/docs/examples/bank.cc"));
}

TEST_CASE("every link of README and the docs leads to a file", "[docs]") {
  namespace fs = std::filesystem;
  std::vector<fs::path> pages = {fs::path(WEIR_SOURCE_DIR) / "README.md"};
  for (const auto& entry : fs::directory_iterator(fs::path(WEIR_SOURCE_DIR) / "docs"))
    if (entry.path().extension() == ".md") pages.push_back(entry.path());
  const std::regex link(R"(\]\(([^)#:]+)[^):]*\))");  // no colon: not those to other places
  for (const fs::path& page : pages) {
    const std::string text = contents(page);
    for (std::sregex_iterator at(text.begin(), text.end(), link), end; at != end; ++at) {
      INFO(page << " links to " << (*at)[1]);
      CHECK(fs::exists(page.parent_path() / (*at)[1].str()));
    }
  }
}

TEST_CASE("README's example charges an order once, also when it is placed twice and the program runs again", "[docs][S-6][S-16]") {
  const weir::test::TempDirectory directory;
  CHECK(run_in(directory) == "charging customer-42 for 2 teapots\n");
  CHECK(run_in(directory) == "");
}

TEST_CASE("README's bank adds each transfer once, also when the program runs again", "[docs][S-29]") {
  const weir::test::TempDirectory directory;
  CHECK(run_in(directory, BANK) == "the shop has 42\n");
  CHECK(run_in(directory, BANK) == "the shop has 84\n");
}

}  // namespace
