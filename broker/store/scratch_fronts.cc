#include "broker/store/scratch_fronts.h"

#include <algorithm>

namespace weir::store {

ScratchFronts::Start ScratchFronts::from(std::string_view prefix) const {
  std::lock_guard lock(mutex_);
  for (const Front& front : fronts_)
    if (front.prefix == prefix) return {front.gone ? front.first + '\0' : front.first, puts_};
  return {std::string(prefix), puts_};
}

void ScratchFronts::found(std::string_view prefix, std::string_view key, std::uint64_t puts) {
  std::lock_guard lock(mutex_);
  if (puts != puts_) return;
  std::erase_if(fronts_, [&](const Front& front) { return front.prefix == prefix; });
  if (fronts_.size() == kPrefixesMax) fronts_.erase(fronts_.begin());
  fronts_.push_back({std::string(prefix), std::string(key), false});
}

void ScratchFronts::erased(std::string_view key) {
  std::lock_guard lock(mutex_);
  for (Front& front : fronts_)
    if (front.first == key) front.gone = true;
}

void ScratchFronts::put(std::string_view key) {
  std::lock_guard lock(mutex_);
  ++puts_;
  std::erase_if(fronts_, [&](const Front& front) { return key.starts_with(front.prefix) && key <= front.first; });
}

}  // namespace weir::store
