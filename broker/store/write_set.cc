#include "broker/store/write_set.h"

#include "broker/base/check.h"

namespace weir::store {
namespace {

/// A buffer larger than this is not kept by clear().
constexpr std::size_t kKeptBytes = std::size_t{4} << 20;

}  // namespace

void WriteSet::Impl::add(Family family, Action action, std::string_view key, std::string_view value) {
  write_set::Head head{};
  head.family = family;
  head.action = action;
  head.key_bytes = static_cast<std::uint32_t>(key.size());
  head.value_bytes = static_cast<std::uint32_t>(value.size());
  operations.append(reinterpret_cast<const char*>(&head), sizeof head);
  operations.append(key);
  operations.append(value);
}

WriteSet::WriteSet() : impl_(std::make_unique<Impl>()) {}
WriteSet::~WriteSet() = default;
WriteSet::WriteSet(WriteSet&&) noexcept = default;
WriteSet& WriteSet::operator=(WriteSet&&) noexcept = default;

void WriteSet::put(std::string_view key, std::string_view value) { impl_->add(Family::kRecords, Action::kPut, key, value); }
void WriteSet::erase(std::string_view key) { impl_->add(Family::kRecords, Action::kErase, key); }

void WriteSet::erase_prefix(std::string_view prefix) {
  WEIR_CHECK(!format::prefix_end(std::string(prefix)).empty(), "a prefix of " << prefix.size() << " bytes has no end");
  impl_->add(Family::kRecords, Action::kErasePrefix, prefix);
}

void WriteSet::erase_range(std::string_view begin, std::string_view end) { impl_->add(Family::kRecords, Action::kEraseRange, begin, end); }

void WriteSet::put_batch(TopicId topic, const format::IndexEntry& entry, std::string_view bytes) {
  impl_->add(Family::kLog, Action::kPut, format::log_key(entry.position), bytes);
  impl_->add(Family::kIndex, Action::kPut, format::index_key(topic, entry.first), format::encode(entry));
}

void WriteSet::erase_batch(TopicId topic, const format::IndexEntry& entry) {
  impl_->add(Family::kLog, Action::kErase, format::log_key(entry.position));
  impl_->add(Family::kIndex, Action::kErase, format::index_key(topic, entry.first));
}

void WriteSet::put_scheduled(const format::DueKey& due, std::string_view record) {
  impl_->add(Family::kSchedule, Action::kPut, format::scheduled_key(due.topic, due.number), record);
  impl_->add(Family::kSchedule, Action::kPut, format::due_key(due));
}

void WriteSet::erase_scheduled(const format::DueKey& due) {
  impl_->add(Family::kSchedule, Action::kErase, format::scheduled_key(due.topic, due.number));
  impl_->add(Family::kSchedule, Action::kErase, format::due_key(due));
}

bool WriteSet::empty() const noexcept { return impl_->operations.empty(); }
std::size_t WriteSet::bytes() const noexcept { return impl_->operations.size(); }

void WriteSet::clear() {
  if (impl_->operations.capacity() > kKeptBytes) impl_->operations = {};
  impl_->operations.clear();
}

}  // namespace weir::store
