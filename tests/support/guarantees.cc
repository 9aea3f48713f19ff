// Counts, for each S-number, the test cases that passed: a line "S-17<tab>name" for each is appended to the file that
// WEIR_GUARANTEES_OUT names. tests/support/guarantees.sh makes the table from the files of all test programs.
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <utility>
#include <vector>

#include "tests/support/skips.h"

namespace weir::test {
namespace {

struct Runs {
  std::size_t ran = 0;
  std::vector<std::string> skipped;
};
Runs& runs() {
  static Runs current;
  return current;
}

bool is_guarantee(const std::string& tag) {
  return tag.size() > 2 && tag.compare(0, 2, "S-") == 0 &&
         std::all_of(tag.begin() + 2, tag.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
}

class GuaranteeListener : public Catch::TestEventListenerBase {
 public:
  using TestEventListenerBase::TestEventListenerBase;

  void testCaseStarting(const Catch::TestCaseInfo& info) override {
    TestEventListenerBase::testCaseStarting(info);
    runs() = {};
  }

  void testCaseEnded(const Catch::TestCaseStats& stats) override {
    TestEventListenerBase::testCaseEnded(stats);
    for (const std::string& what : runs().skipped) skipped_.emplace_back(stats.testInfo.name, what);
    const bool only_skipped = runs().ran == 0 && !runs().skipped.empty();
    if (!stats.totals.assertions.allOk() || only_skipped) return;
    for (const std::string& tag : stats.testInfo.tags)
      if (is_guarantee(tag)) passed_.emplace_back(tag, stats.testInfo.name);
  }

  void testRunEnded(const Catch::TestRunStats& stats) override {
    TestEventListenerBase::testRunEnded(stats);
    for (const auto& [test, what] : skipped_) std::cout << "skipped: " << test << " (" << what << ")\n";
    const char* file = std::getenv("WEIR_GUARANTEES_OUT");
    if (file == nullptr || passed_.empty()) return;
    std::string lines;
    for (const auto& [tag, test] : passed_) lines += tag + "\t" + test + "\n";
    std::ofstream out(file, std::ios::app);
    out << lines;
    if (!out.flush()) std::cerr << "cannot write " << file << "\n";
  }

 private:
  std::vector<std::pair<std::string, std::string>> passed_;   // tag, test
  std::vector<std::pair<std::string, std::string>> skipped_;  // test, why
};
CATCH_REGISTER_LISTENER(GuaranteeListener)

}  // namespace

void note_skip(std::string what) { runs().skipped.push_back(std::move(what)); }
void note_run() { ++runs().ran; }

}  // namespace weir::test
