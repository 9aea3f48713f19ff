#include "broker/store/errors.h"

namespace weir::store {
namespace {

ErrorCode code_of(const rocksdb::Status& status) {
  if (status.IsNoSpace()) return ErrorCode::storage_full;
  // A file that the manifest or an index knows of and that is gone was lost, like bytes of it.
  if (status.IsCorruption() || status.IsPathNotFound() || status.IsNotFound()) return ErrorCode::corruption;
  return ErrorCode::stopped;
}

}  // namespace

Status error_of(const rocksdb::Status& status, std::string_view what) {
  if (status.ok()) return {};
  return {code_of(status), std::string(what).append(": ").append(status.ToString())};
}

Status open_error_of(const rocksdb::Status& status, std::string_view directory) {
  if (status.ok()) return {};
  const std::string text = status.ToString();
  const bool lock = text.find("/LOCK: ") != std::string::npos;
  // An open that does not find what it wants finds another store than it wrote: a family is gone, or one too many is there.
  const ErrorCode code = status.IsIOError() && lock ? ErrorCode::already_open
                         : status.IsInvalidArgument() ? ErrorCode::corruption
                                                      : code_of(status);
  return {code, std::string(directory).append(": ").append(text)};
}

}  // namespace weir::store
