// Reading records as of one moment.
#include <rocksdb/snapshot.h>

#include "broker/store/errors.h"
#include "broker/store/store_impl.h"

namespace weir::store {

struct Snapshot::Impl {
  explicit Impl(const Store::Impl& s) : store(s), moment(s.db) {}
  const Store::Impl& store;
  rocksdb::ManagedSnapshot moment;
};

Snapshot::Snapshot(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Snapshot::~Snapshot() = default;

Result<std::optional<std::string>> Snapshot::get(std::string_view key) const {
  rocksdb::ReadOptions options;
  options.snapshot = impl_->moment.snapshot();
  std::string value;
  const rocksdb::Status status = impl_->store.db->Get(options, impl_->store.records, slice(key), &value);
  if (status.ok()) return std::optional(std::move(value));
  if (status.IsNotFound()) return std::optional<std::string>();
  return error_of(status, "reading a record");
}

Status Snapshot::scan(std::string_view begin, std::string_view end,
                      const std::function<bool(std::string_view key, std::string_view value)>& visit) const {
  const rocksdb::Slice upper = slice(end);
  rocksdb::ReadOptions options;
  options.snapshot = impl_->moment.snapshot();
  options.iterate_upper_bound = &upper;
  const std::unique_ptr<rocksdb::Iterator> at(impl_->store.db->NewIterator(options, impl_->store.records));
  for (at->Seek(slice(begin)); at->Valid(); at->Next())
    if (!visit(view(at->key()), view(at->value()))) return {};
  return error_of(at->status(), "reading records");
}

std::unique_ptr<Snapshot> Store::snapshot() const { return std::make_unique<Snapshot>(std::make_unique<Snapshot::Impl>(*impl_)); }

}  // namespace weir::store
