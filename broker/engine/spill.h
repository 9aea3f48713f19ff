// The index of blocked messages of one cursor, in the store's scratch family (S-13): cursor, generation, key, first offset → offsets.
#pragma once

#include <map>
#include <string>

#include "broker/core/key_order.h"
#include "broker/store/store.h"

namespace weir::engine {

class Spill final : public core::SpillIndex {
 public:
  /// `store` may be null (a broker without a disk): then it is kept in memory.
  Spill(store::Store* store, GroupId group, TopicId topic);

  void append(std::uint64_t key, std::span<const std::uint64_t> offsets) override;
  std::optional<std::vector<std::uint64_t>> take_first(std::uint64_t key) override;
  void clear() override;

 private:
  std::string prefix_of(std::uint64_t key) const;

  void start_generation();

  store::Store* const store_;
  const GroupId group_;
  const TopicId topic_;
  std::uint64_t generation_ = 0;
  std::string prefix_;
  std::map<std::string, std::string> memory_;
};

}  // namespace weir::engine
