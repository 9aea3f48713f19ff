#include "broker/store/log_lines.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <string>

namespace weir::store {
namespace {

class LogLines final : public rocksdb::Logger {
 public:
  explicit LogLines(LogSink sink)
      : rocksdb::Logger(sink ? rocksdb::InfoLogLevel::WARN_LEVEL : rocksdb::InfoLogLevel::NUM_INFO_LOG_LEVELS), sink_(std::move(sink)) {}

  using rocksdb::Logger::Logv;
  void Logv(const char* format, va_list arguments) override { Logv(rocksdb::InfoLogLevel::INFO_LEVEL, format, arguments); }
  void Logv(rocksdb::InfoLogLevel level, const char* format, va_list arguments) override {
    if (!sink_ || level < GetInfoLogLevel()) return;
    char text[1024];
    const int length = std::vsnprintf(text, sizeof text, format, arguments);
    if (length <= 0) return;
    std::string line = "rocksdb: ";
    line.append(text, std::min<std::size_t>(static_cast<std::size_t>(length), sizeof text - 1));
    while (!line.empty() && line.back() == '\n') line.pop_back();
    std::lock_guard lock(mutex_);
    sink_(level >= rocksdb::InfoLogLevel::ERROR_LEVEL ? LogLevel::kError : LogLevel::kWarning, line);
  }

 private:
  const LogSink sink_;
  std::mutex mutex_;  ///< RocksDB logs from several threads, a sink is called by one at a time
};

}  // namespace

std::shared_ptr<rocksdb::Logger> log_lines(LogSink sink) { return std::make_shared<LogLines>(std::move(sink)); }

}  // namespace weir::store
