// IdIndex: where ids stand in an array, found by their hash with one access to memory.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <unordered_map>

namespace weir::core {

/// Operation. A table of buckets, each one cache line of 16 entries, filled from the front. An entry is a slot of the caller's array and as many
/// bits of the hash as are left, so that the array is looked at only for what is almost surely the id. What a full bucket cannot hold stands in an
/// overflow, which has an entry of a bucket only while that bucket is full.
///
/// Concurrency. None: one thread at a time; prefetch() from any.
///
/// Limitations. Up to `slots_max` ids; the table never grows, and costs 8 to 16 bytes for each. Pages of it that are not used cost nothing.
class IdIndex {
 public:
  using Slot = std::uint32_t;

  /// slots_max: 1 to 2^32 - 2. Slots are below it.
  explicit IdIndex(std::size_t slots_max);

  /// The slot with that hash for which `is_it` answers true.
  template <class IsIt>
  std::optional<Slot> find(std::uint64_t hash, const IsIt& is_it) const {
    const std::uint32_t* entry = find_entry(hash, is_it);
    return entry == nullptr ? std::nullopt : std::optional(slot_of(*entry));
  }

  /// Puts `slot` in the place of the one that `is_it` answers true for, or else beside all others.
  template <class IsIt>
  void insert(std::uint64_t hash, Slot slot, const IsIt& is_it) {
    if (const std::uint32_t* known = find_entry(hash, is_it))
      *const_cast<std::uint32_t*>(known) = entry_of(hash, slot);
    else
      append(hash, slot);
  }

  /// Takes that very slot out; false when it is not in, because a newer one took its place.
  bool erase(std::uint64_t hash, Slot slot);

  /// Begins to bring the bucket into the cache: call it some ids ahead.
  void prefetch(std::uint64_t hash) const noexcept { __builtin_prefetch(&table_[hash & bucket_mask_]); }
  std::size_t size() const noexcept { return size_; }

 private:
  static constexpr std::size_t kBucketEntries = 16;
  struct Bucket {
    std::uint32_t entries[kBucketEntries];  // 0: free, as all behind it are
  };
  struct Free {
    void operator()(void* memory) const noexcept { std::free(memory); }
  };

  // An entry: the tag, then slot + 1 in the low slot_bits_.
  std::uint32_t entry_of(std::uint64_t hash, Slot slot) const noexcept { return tag_of(hash) | (slot + 1); }
  std::uint32_t tag_of(std::uint64_t hash) const noexcept { return static_cast<std::uint32_t>(hash >> 32 << slot_bits_); }
  std::uint32_t slot_mask() const noexcept { return static_cast<std::uint32_t>((std::uint64_t{1} << slot_bits_) - 1); }
  Slot slot_of(std::uint32_t entry) const noexcept { return (entry & slot_mask()) - 1; }

  template <class IsIt>
  const std::uint32_t* find_entry(std::uint64_t hash, const IsIt& is_it) const {
    const std::size_t number = hash & bucket_mask_;
    const std::uint32_t tag = tag_of(hash), mask = slot_mask();
    for (const std::uint32_t& entry : table_[number].entries) {
      if (entry == 0) return nullptr;
      if ((entry & ~mask) == tag && is_it(slot_of(entry))) return &entry;
    }
    if (overflow_.empty()) return nullptr;
    const auto [begin, end] = overflow_.equal_range(number);
    for (auto at = begin; at != end; ++at)
      if ((at->second & ~mask) == tag && is_it(slot_of(at->second))) return &at->second;
    return nullptr;
  }
  void append(std::uint64_t hash, Slot slot);

  const int slot_bits_;
  const std::size_t bucket_mask_;
  const std::unique_ptr<void, Free> memory_;  // zeroed by the system, so that pages of it cost nothing until they are used
  Bucket* const table_;                       // in memory_, where a cache line begins
  std::unordered_multimap<std::size_t, std::uint32_t> overflow_;  // bucket number → entry
  std::size_t size_ = 0;
};

}  // namespace weir::core
