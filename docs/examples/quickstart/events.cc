#include "quickstart/events.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

namespace quickstart {
namespace {

using nlohmann::json;

std::string text_or_nothing(const json& object, const char* name) {
  const auto field = object.find(name);
  return field != object.end() && field->is_string() ? field->get<std::string>() : std::string();
}

/// The package manager writes "<none>" where there is nothing to say.
json value_or_null(const std::string& word) { return word.empty() || word == "<none>" ? json() : json(word); }

/// Two shapes of line: "date time status STATE PACKAGE VERSION", and "date time KIND PACKAGE OLD NEW" for all other kinds.
json package_event(const std::string& line) {
  std::istringstream words(line);
  std::string date, time, kind, first, second, third;
  if (!(words >> date >> time >> kind >> first)) return {};
  words >> second >> third;
  json payload = {{"time", date + "T" + time}, {"line", line}};
  if (kind == "status") return {{"event", kind}, {"action", first}, {"repository", value_or_null(second)}, {"payload", payload}};
  if (kind == "startup") return {{"event", kind}, {"action", first}, {"repository", nullptr}, {"payload", payload}};
  payload["old_version"] = value_or_null(second);
  // What is configured is the version that is there already.
  return {{"event", kind}, {"action", value_or_null(kind == "configure" ? second : third)}, {"repository", first}, {"payload", payload}};
}

}  // namespace

std::vector<Event> read_events(const std::string& ndjson_file, const std::string& source) {
  std::ifstream in(ndjson_file);
  if (!in) throw std::runtime_error("cannot read " + ndjson_file);
  std::vector<Event> events;
  std::string line;
  for (std::size_t number = 1; std::getline(in, line); ++number) {
    if (line.empty()) continue;
    const json event = json::parse(line, nullptr, /*allow_exceptions=*/false);
    const std::string kind = event.is_object() ? text_or_nothing(event, "event") : std::string();
    if (kind.empty()) throw std::runtime_error(ndjson_file + ":" + std::to_string(number) + ": not an event");
    events.push_back({source + "-" + std::to_string(number), source + "." + kind, text_or_nothing(event, "repository"), line});
  }
  return events;
}

std::size_t convert_package_log(const std::string& log_file, const std::string& ndjson_file) {
  std::ifstream in(log_file);
  if (!in) throw std::runtime_error("cannot read " + log_file);
  std::ofstream out(ndjson_file);
  std::size_t events = 0;
  for (std::string line; std::getline(in, line);) {
    const json event = package_event(line);
    if (event.is_null()) continue;
    out << event.dump(-1, ' ', false, json::error_handler_t::replace) << '\n';
    ++events;
  }
  if (!out.flush()) throw std::runtime_error("cannot write " + ndjson_file);
  return events;
}

}  // namespace quickstart
