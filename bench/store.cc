#include "bench/store.h"

#include <atomic>
#include <stdexcept>
#include <utility>

namespace bench {

void must(const weir::Status& status, const std::string& what) {
  if (!status.ok()) throw std::runtime_error(what + ": " + status.to_string());
}

Store::Store(const TempDirectory& parent, weir::OpenOptions options)
    : own_(std::make_unique<TempDirectory>(parent.path(), "store-")),
      directory_(own_->path()),
      broker_(must(weir::open(directory_.string(), std::move(options)), "open")) {}

Store::Store(const std::filesystem::path& directory, weir::OpenOptions options)
    : directory_(directory), broker_(must(weir::open(directory_.string(), std::move(options)), "open")) {}

std::vector<std::string> Store::create_topics(std::size_t count, weir::TopicOptions options, const std::string& prefix) {
  std::vector<std::string> names;
  std::atomic<std::uint64_t> failed{0};
  window_.set_limit(1024);
  for (std::size_t i = 0; i < count; ++i) {
    names.push_back(prefix + std::to_string(i));
    window_.enter();
    broker_->async_create_topic({names.back(), options, true}, {}, [this, &failed](weir::Result<weir::TopicInfo> result) {
      if (!result.ok()) failed.fetch_add(1);
      window_.leave();
    });
  }
  window_.wait_empty();
  if (failed > 0) throw std::runtime_error("create_topic: " + std::to_string(failed) + " of " + std::to_string(count) + " failed");
  return names;
}

}  // namespace bench
