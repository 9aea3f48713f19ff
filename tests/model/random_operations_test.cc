// Random operations against the reference. A failure prints its seed and what was done; WEIR_SEED=<seed> repeats it alone.
#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include <unistd.h>

#include "tests/model/driver.h"

namespace {

using weir::model::Driver;
using weir::model::DriverOptions;
using weir::model::Mismatch;

/// WEIR_SEED alone, or a fixed list and some that nobody has seen; WEIR_MODEL_SEEDS says how many of those.
std::vector<std::uint64_t> seeds() {
  if (const char* one = std::getenv("WEIR_SEED")) return {std::strtoull(one, nullptr, 10)};
  std::vector<std::uint64_t> all = {1, 2, 3, 4, 5, 6, 7, 8};
  const char* more = std::getenv("WEIR_MODEL_SEEDS");
  std::random_device machine;
  for (std::uint64_t i = more ? std::strtoull(more, nullptr, 10) : 4; i > 0; --i) all.push_back(machine());
  return all;
}

std::uint32_t operations() {
  const char* text = std::getenv("WEIR_MODEL_OPERATIONS");
  return text ? static_cast<std::uint32_t>(std::strtoul(text, nullptr, 10)) : 2500;
}

void run(DriverOptions options) {
  const std::filesystem::path base = std::filesystem::temp_directory_path() / ("weir-model-" + std::to_string(::getpid()) + "-" + std::to_string(options.seed) + (options.ephemeral_only ? "-memory" : ""));
  std::filesystem::remove_all(base);
  if (options.location.empty()) options.location = (base / "store").string();
  std::filesystem::create_directories(base);
  options.operations = operations();
  Driver driver(options);
  std::string problem;
  try {
    driver.run();
  } catch (const std::exception& error) {
    problem = error.what();
  }
  if (problem.empty()) {
    std::filesystem::remove_all(base);
    SUCCEED();
    return;
  }
  std::ofstream whole(base / "operations.txt");
  for (const std::string& line : driver.operations()) whole << line << '\n';
  whole << problem << '\n';
  std::string text = "seed " + std::to_string(options.seed) + ": " + problem + "\nall " + std::to_string(driver.operations().size()) +
                     " operations are in " + (base / "operations.txt").string() + "; the last:\n";
  const auto& done = driver.operations();
  for (std::size_t i = done.size() - std::min<std::size_t>(done.size(), 40); i < done.size(); ++i) text += "  " + done[i] + "\n";
  FAIL(text);
}

}  // namespace

TEST_CASE("random operations, with reopening, agree with the reference", "[model][S-3][S-6][S-9][S-12][S-13][S-14][S-16][S-17][S-18][S-22][S-23][S-25][S-26][S-27][S-28]") {
  for (const std::uint64_t seed : seeds()) {
    DriverOptions options;
    options.seed = seed;
    run(options);
  }
}

TEST_CASE("random operations on ephemeral topics agree with the reference", "[model][S-4][S-12][S-13][S-14][S-16]") {
  for (const std::uint64_t seed : seeds()) {
    DriverOptions options;
    options.seed = seed;
    options.location = "memory:";
    options.reopens = false;
    options.ephemeral_only = true;
    run(options);
  }
}
