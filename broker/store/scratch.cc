// The scratch family: never in the write-ahead log, emptied at open.
#include "broker/store/errors.h"
#include "broker/store/store_impl.h"

namespace weir::store {
namespace {

rocksdb::WriteOptions without_log() {
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  return options;
}

}  // namespace

Status Store::scratch_put(std::string_view key, std::string_view value) {
  const rocksdb::Status status = impl_->db->Put(without_log(), impl_->scratch, slice(key), slice(value));
  impl_->fronts.put(key);
  return error_of(status, "writing scratch");
}

Status Store::scratch_erase(std::string_view key) {
  const rocksdb::Status status = impl_->db->Delete(without_log(), impl_->scratch, slice(key));
  if (status.ok()) impl_->fronts.erased(key);
  return error_of(status, "writing scratch");
}

Result<std::optional<std::pair<std::string, std::string>>> Store::scratch_first(std::string_view prefix) const {
  const std::string end = format::prefix_end(std::string(prefix));
  const rocksdb::Slice upper(end);
  const ScratchFronts::Start start = impl_->fronts.from(prefix);
  const auto at = impl_->iterator(impl_->scratch, nullptr, end.empty() ? nullptr : &upper);
  at->Seek(start.key);
  std::optional<std::pair<std::string, std::string>> found;
  if (at->Valid()) {
    impl_->fronts.found(prefix, view(at->key()), start.puts);
    found.emplace(at->key().ToString(), at->value().ToString());
  } else if (!at->status().ok()) {
    return error_of(at->status(), "reading scratch");
  }
  return found;
}

Status Store::scratch_erase_prefix(std::string_view prefix) {
  const std::string end = format::prefix_end(std::string(prefix));
  return error_of(impl_->db->DeleteRange(without_log(), impl_->scratch, slice(prefix), slice(end)), "writing scratch");
}

}  // namespace weir::store
