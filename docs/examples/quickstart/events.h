// Where the events of the quickstart come from: a file of webhooks, or this machine's package-manager log.
#pragma once

#include <string>
#include <vector>

namespace quickstart {

/// One event, ready to be published.
struct Event {
  std::string id;     ///< "<source>-<line>": unique, and the same whenever the same input is read
  std::string topic;  ///< "<source>.<kind>", e.g. "webhooks.pull_request"
  std::string key;    ///< the repository or package it is about; empty when it is about none
  std::string text;   ///< the whole event as one line of JSON
};

/// Reads lines of {"event": kind, "action": …, "repository": …, "payload": …}. `source` is the first token of the topics.
/// Throws std::runtime_error that names the line when one is not such an object.
std::vector<Event> read_events(const std::string& ndjson_file, const std::string& source);

/// Rewrites the lines of a package-manager log ("date time kind package old-version new-version") as such events and answers how many
/// there were: what was done is the kind, the package takes the place of the repository, the new version or state that of the action.
std::size_t convert_package_log(const std::string& log_file, const std::string& ndjson_file);

}  // namespace quickstart
