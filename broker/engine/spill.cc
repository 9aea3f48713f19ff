#include "broker/engine/spill.h"

namespace weir::engine {

using format::append_u64;
using format::read_u64;

namespace {
std::vector<std::uint64_t> offsets_of(std::string_view chunk) {
  std::vector<std::uint64_t> out;
  for (std::size_t i = 0; i + 8 <= chunk.size(); i += 8) out.push_back(read_u64(chunk.substr(i)));
  return out;
}
}  // namespace

Spill::Spill(store::Store* store, GroupId group, TopicId topic) : store_(store), group_(group), topic_(topic) { start_generation(); }

void Spill::start_generation() {
  prefix_.clear();
  append_u64(prefix_, group_.value);
  append_u64(prefix_, topic_.value);
  append_u64(prefix_, generation_);
}

std::string Spill::prefix_of(std::uint64_t key) const {
  std::string out = prefix_;
  append_u64(out, key);
  return out;
}

void Spill::append(std::uint64_t key, std::span<const std::uint64_t> offsets) {
  std::string at = prefix_of(key);
  append_u64(at, offsets.front());
  std::string value;
  value.reserve(offsets.size() * 8);
  for (const std::uint64_t offset : offsets) append_u64(value, offset);
  // A scratch write that fails loses nothing but this index: keep the chunk in memory instead.
  if (store_ == nullptr || !store_->scratch_put(at, value).ok()) memory_[std::move(at)] = std::move(value);
}

std::optional<std::vector<std::uint64_t>> Spill::take_first(std::uint64_t key) {
  const std::string prefix = prefix_of(key);
  std::optional<std::pair<std::string, std::string>> found;
  const auto kept = memory_.lower_bound(prefix);
  if (kept != memory_.end() && kept->first.starts_with(prefix)) found = *kept;
  if (store_ != nullptr) {
    auto stored = store_->scratch_first(prefix);
    if (!stored.ok()) return std::nullopt;
    if (*stored && (!found || (*stored)->first < found->first)) {
      found = **stored;
      if (!store_->scratch_erase(found->first).ok()) return std::nullopt;
      return offsets_of(found->second);
    }
  }
  if (!found) return std::nullopt;
  memory_.erase(kept);
  return offsets_of(found->second);
}

void Spill::clear() {
  memory_.clear();
  // What cannot be erased now is never read: the next generation has keys of its own.
  if (store_ != nullptr) (void)store_->scratch_erase_prefix(prefix_);
  ++generation_;
  start_generation();
}

}  // namespace weir::engine
