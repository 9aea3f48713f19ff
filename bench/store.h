// A broker on a directory of its own, as the workloads use it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "bench/temp_directory.h"
#include "bench/window.h"
#include "weir/broker.h"

namespace bench {

/// Throws when the status is not OK, with what was being done.
void must(const weir::Status& status, const std::string& what);
template <class T>
T must(weir::Result<T> result, const std::string& what) {
  must(result.status(), what);
  return std::move(result).value();
}

/// Opens a broker; the window is destroyed behind it, as Window asks for.
class Store {
 public:
  /// On a new directory below `parent`, which is removed with the store.
  explicit Store(const TempDirectory& parent, weir::OpenOptions options = {});
  /// On a directory of the caller's.
  explicit Store(const std::filesystem::path& directory, weir::OpenOptions options = {});

  weir::Broker& broker() { return *broker_; }
  Window& window() { return window_; }
  const std::filesystem::path& directory() const { return directory_; }

  /// Creates topics "<prefix>0" to "<prefix>count-1", many at once, and returns their names.
  std::vector<std::string> create_topics(std::size_t count, weir::TopicOptions options = {}, const std::string& prefix = "topic-");
  weir::BrokerStatus status() { return must(broker_->status(), "status"); }
  weir::GroupTopicStats group_stats(const std::string& source, const std::string& group) {
    return must(broker_->group(source, group), "group").total();
  }

 private:
  std::unique_ptr<TempDirectory> own_;
  std::filesystem::path directory_;
  Window window_;
  std::unique_ptr<weir::Broker> broker_;
};

}  // namespace bench
