// The order of the house, checked by a test that reads it: layers by their includes, banned calls, file lengths, dead files.
#include <catch2/catch.hpp>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace weir::test {
namespace {

constexpr std::size_t kLinesMax = 500;

using Tree = std::map<std::string, std::string>;  // path from the root → text
using Faults = std::vector<std::string>;

bool starts_with_any(std::string_view text, const std::vector<std::string>& beginnings) {
  return std::any_of(beginnings.begin(), beginnings.end(), [&](const std::string& each) { return text.starts_with(each); });
}

// --- Layers --------------------------------------------------------------------------------------------------------------------------

/// What the files of a folder may include beside the standard library and the operating system. The first room that a path begins with counts.
struct Room {
  std::string folder;
  std::vector<std::string> may_include;
};

const std::vector<Room>& rooms() {
  static const std::vector<Room> all = {
      {"include/weir/", {"weir/"}},
      {"broker/base/", {"broker/base/", "xxhash.h"}},
      // Bytes on disk are pure, but they hold the public value types.
      {"broker/format/", {"broker/base/", "broker/format/", "weir/", "flatbuffers/", "store_generated.h"}},
      {"broker/core/", {"broker/base/", "broker/core/", "weir/", "absl/", "xxhash.h"}},
      {"broker/store/", {"broker/base/", "broker/format/", "broker/store/", "weir/", "rocksdb/"}},
      {"broker/engine/",
       {"broker/base/", "broker/core/", "broker/format/", "broker/store/", "broker/engine/", "broker/api/", "weir/", "absl/", "xxhash.h"}},
      {"broker/api/", {"broker/base/", "broker/api/", "weir/"}},
      {"client/", {"broker/base/", "broker/wire/", "client/", "weir/", "asio", "flatbuffers/"}},
      {"docs/examples/", {"weir/", "nlohmann/", "quickstart/"}},
  };
  return all;
}

struct Include {
  std::string path;
  bool angled = false;
};

std::vector<Include> includes_of(const std::string& text) {
  std::vector<Include> all;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t hash = line.find_first_not_of(" \t");
    if (hash == std::string::npos || line[hash] != '#') continue;
    const std::size_t word = line.find_first_not_of(" \t", hash + 1);
    if (word == std::string::npos || line.compare(word, 7, "include") != 0) continue;
    const std::size_t open = line.find_first_of("<\"", word);
    if (open == std::string::npos) continue;
    const std::size_t close = line.find_first_of(">\"", open + 1);
    if (close != std::string::npos) all.push_back({line.substr(open + 1, close - open - 1), line[open] == '<'});
  }
  return all;
}

/// <vector>, <sys/stat.h>: of the language or the operating system. Other libraries have a folder, or are named in a room.
bool is_standard(const Include& include) {
  if (!include.angled || include.path == "xxhash.h") return false;
  static const std::vector<std::string> system = {"sys/", "linux/", "netinet/", "arpa/"};
  return include.path.find('/') == std::string::npos || starts_with_any(include.path, system);
}

Faults layer_faults(const Tree& tree) {
  Faults faults;
  for (const auto& [path, text] : tree) {
    const auto room = std::find_if(rooms().begin(), rooms().end(), [&path = path](const Room& r) { return path.starts_with(r.folder); });
    for (const Include& include : includes_of(text)) {
      if (room != rooms().end() && !is_standard(include) && !starts_with_any(include.path, room->may_include))
        faults.push_back(path + " includes " + include.path);
      if (include.path.starts_with("rocksdb/") && path.starts_with("broker/") && !path.starts_with("broker/store/") && room == rooms().end())
        faults.push_back(path + " includes " + include.path + ", which is the store's");
    }
  }
  return faults;
}

// --- Banned calls ----------------------------------------------------------------------------------------------------------------------

/// The text without comments, and with empty literals.
std::string code_of(const std::string& text) {
  std::string code;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.compare(i, 2, "//") == 0) {
      i = std::min(text.find('\n', i), text.size());
      code += '\n';
    } else if (text.compare(i, 2, "/*") == 0) {
      i = std::min(text.find("*/", i), text.size() - 2) + 1;
    } else if (text.compare(i, 3, "R\"(") == 0) {
      i = std::min(text.find(")\"", i), text.size() - 2) + 1;
    } else if (text[i] == '"' || (text[i] == '\'' && (i == 0 || std::isalnum(static_cast<unsigned char>(text[i - 1])) == 0))) {
      const char quote = text[i];
      code += quote;
      for (++i; i < text.size() && text[i] != quote; ++i)
        if (text[i] == '\\') ++i;
      code += quote;
    } else {
      code += text[i];
    }
  }
  return code;
}

bool part_of_a_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

/// The free function `name` is called in `code`: not a member, not part of a longer name, not of another namespace than std.
bool calls(const std::string& code, const std::string& name) {
  for (std::size_t at = code.find(name); at != std::string::npos; at = code.find(name, at + 1)) {
    std::size_t behind = at + name.size();
    if (at > 0 && (part_of_a_name(code[at - 1]) || code[at - 1] == '.' || code[at - 1] == '~')) continue;
    if (at > 1 && code.compare(at - 2, 2, "->") == 0) continue;
    if (at > 1 && code.compare(at - 2, 2, "::") == 0 && at > 2 && part_of_a_name(code[at - 3]) && (at < 5 || code.compare(at - 5, 5, "std::") != 0))
      continue;
    while (behind < code.size() && code[behind] == ' ') ++behind;
    if (behind < code.size() && code[behind] == '(') return true;
  }
  return false;
}

/// What the library must not do: it never prints, never ends the process, never takes signals.
Faults banned_faults(const Tree& tree) {
  static const std::vector<std::string> printing = {"printf", "fprintf", "vprintf", "puts", "putchar", "fputs", "perror"};
  static const std::vector<std::string> ending = {"exit", "_exit", "quick_exit", "_Exit", "terminate"};
  static const std::vector<std::string> signals = {"signal", "sigaction", "raise"};
  Faults faults;
  for (const auto& [path, text] : tree) {
    const bool library = starts_with_any(path, {"include/weir/", "broker/base/", "broker/format/", "broker/core/", "broker/store/", "broker/engine/",
                                                "broker/api/"});
    const std::string code = code_of(text);
    const auto banned = [&, &path = path](const std::string& what) { faults.push_back(path + " uses " + what); };
    if (library) {
      for (const char* stream : {"std::cout", "std::cerr", "std::clog"})
        if (code.find(stream) != std::string::npos) banned(stream);
      for (const auto* names : {&printing, &ending, &signals})
        for (const std::string& name : *names)
          if (calls(code, name)) banned(name);
      if (!path.starts_with("broker/base/check.") && calls(code, "abort")) banned("abort");
    }
    // A test waits for a condition with a deadline; the one place that pauses between two looks is named here.
    if (path.starts_with("tests/") && path != "tests/support/eventually.cc")
      for (const char* sleeping : {"sleep_for", "sleep_until", "usleep", "nanosleep", "sleep"})
        if (calls(code, sleeping) || calls(code, std::string("std::this_thread::") + sleeping)) banned(sleeping);
  }
  return faults;
}

// --- Length, and files that nobody needs -------------------------------------------------------------------------------------------------

Faults length_faults(const Tree& tree) {
  Faults faults;
  for (const auto& [path, text] : tree) {
    const auto lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
    if (lines > kLinesMax) faults.push_back(path + " has " + std::to_string(lines) + " lines");
  }
  return faults;
}

/// Headers that no file includes. weir.h is for users.
Faults dead_faults(const Tree& tree) {
  std::set<std::string> included;
  for (const auto& [path, text] : tree)
    for (const Include& include : includes_of(text)) {
      included.insert(include.path);
      included.insert("include/" + include.path);
      included.insert((std::filesystem::path(path).parent_path() / include.path).lexically_normal().string());
    }
  Faults faults;
  for (const auto& [path, text] : tree)
    if (path.ends_with(".h") && path != "include/weir/weir.h" && !included.contains(path)) faults.push_back(path + " is included nowhere");
  return faults;
}

Faults unfinished_faults(const Tree& tree) {
  // Written in two parts, so that this file is not its own finding.
  static const std::vector<std::string> words = {std::string("TO") + "DO", std::string("FIX") + "ME"};
  Faults faults;
  for (const auto& [path, text] : tree)
    for (const std::string& word : words)
      if (text.find(word) != std::string::npos) faults.push_back(path + " says " + word);
  return faults;
}

// --- The real tree -------------------------------------------------------------------------------------------------------------------------

Tree read_tree() {
  static const std::vector<std::string> folders = {"include", "broker", "client", "tests", "bench", "docs"};
  const std::filesystem::path root = WEIR_SOURCE_DIR;
  Tree tree;
  for (const std::string& folder : folders) {
    if (!std::filesystem::exists(root / folder)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / folder)) {
      const std::string extension = entry.path().extension().string();
      if (!entry.is_regular_file() || (extension != ".h" && extension != ".cc" && extension != ".def")) continue;
      std::ifstream file(entry.path());
      std::stringstream text;
      text << file.rdbuf();
      tree[std::filesystem::relative(entry.path(), root).generic_string()] = text.str();
    }
  }
  return tree;
}

const Tree& source() {
  static const Tree tree = read_tree();
  return tree;
}

TEST_CASE("the source tree is found", "[layers]") {
  CHECK(source().contains("include/weir/broker.h"));
  CHECK(source().contains("tests/unit/layers_test.cc"));
}
TEST_CASE("no file reaches into a room that is not below its own", "[layers]") { CHECK(layer_faults(source()) == Faults{}); }
TEST_CASE("the library does not print, end the process or take signals, and tests do not sleep", "[layers]") {
  CHECK(banned_faults(source()) == Faults{});
}
TEST_CASE("no file is longer than 500 lines", "[layers]") { CHECK(length_faults(source()) == Faults{}); }
TEST_CASE("every header is included somewhere", "[layers]") { CHECK(dead_faults(source()) == Faults{}); }
TEST_CASE("nothing is left for later in the text", "[layers]") { CHECK(unfinished_faults(source()) == Faults{}); }

// --- The checks can fail --------------------------------------------------------------------------------------------------------------------

TEST_CASE("a layer violation is found", "[layers]") {
  const Tree tree = {
      {"include/weir/a.h", "#include <vector>\n#include \"weir/b.h\"\n#include <rocksdb/db.h>\n"},
      {"broker/base/a.cc", "#include \"broker/base/a.h\"\n#include \"weir/status.h\"\n"},
      {"broker/core/a.cc", "  #  include \"broker/store/store.h\"\n#include <absl/container/flat_hash_map.h>\n#include <sys/stat.h>\n"},
      {"broker/engine/a.cc", "#include \"broker/store/store.h\"\n#include <rocksdb/db.h>\n"},
      {"broker/store/a.cc", "#include <rocksdb/db.h>\n// #include \"broker/engine/open.h\"\n"},
      {"broker/server/a.cc", "#include <rocksdb/db.h>\n"},
      {"broker/api/a.cc", "#include \"broker/engine/state.h\"\n#include \"weir/broker.h\"\n"},
  };
  CHECK(layer_faults(tree) == Faults{"broker/api/a.cc includes broker/engine/state.h", "broker/base/a.cc includes weir/status.h",
                                     "broker/core/a.cc includes broker/store/store.h", "broker/engine/a.cc includes rocksdb/db.h",
                                     "broker/server/a.cc includes rocksdb/db.h, which is the store's", "include/weir/a.h includes rocksdb/db.h"});
}

TEST_CASE("banned calls are found, and only calls", "[layers]") {
  const Tree tree = {
      {"broker/core/bad.cc", "void f() { std::printf(\"x\"); }\n"},
      {"broker/core/good.cc", "// std::cout << printf(1)\nconst char* s = \"std::cout exit(1)\"; int exit_code(int); void g() { x.exit(); y->abort(); snprintf(b, 1, s); }\n"},
      {"broker/engine/bad.cc", "void f() { std::cerr << 1; exit (1); }\n"},
      {"broker/base/check.cc", "void f() { std::abort(); }\n"},
      {"broker/store/bad.cc", "void f() { ::abort(); ::signal(1, h); }\n"},
      {"bench/main.cc", "int main() { std::cout << 1; std::exit(1); }\n"},
      {"tests/a/bad.cc", "void f() { std::this_thread::sleep_for(1ms); }\n"},
      {"tests/support/eventually.cc", "void f() { std::this_thread::sleep_for(1ms); }\n"},
  };
  CHECK(banned_faults(tree) == Faults{"broker/core/bad.cc uses printf", "broker/engine/bad.cc uses std::cerr", "broker/engine/bad.cc uses exit",
                                      "broker/store/bad.cc uses signal", "broker/store/bad.cc uses abort", "tests/a/bad.cc uses sleep_for"});
}

TEST_CASE("files too long, dead headers and things left for later are found", "[layers]") {
  const Tree tree = {
      {"broker/core/long.cc", std::string(kLinesMax + 1, '\n')},
      {"broker/core/edge.cc", std::string(kLinesMax, '\n')},
      {"broker/core/dead.h", ""},
      {"broker/core/used.h", ""},
      {"broker/core/uses.cc", "#include \"broker/core/used.h\"\n#include \"weir/public.h\"\n#include \"near.h\"\n"},
      {"broker/core/near.h", std::string("// TO") + "DO: later\n"},
      {"include/weir/public.h", ""},
      {"include/weir/weir.h", ""},
  };
  CHECK(length_faults(tree) == Faults{"broker/core/long.cc has 501 lines"});
  CHECK(dead_faults(tree) == Faults{"broker/core/dead.h is included nowhere"});
  CHECK(unfinished_faults(tree).size() == 1);
}

}  // namespace
}  // namespace weir::test
