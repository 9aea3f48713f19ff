// LetterSet: which letters of a dead-letter topic are in a state that they may leave again, as pages of bits.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/types.h"

namespace weir::core {

/// Operation. insert() and erase() change a bit; collect() says which pages have to be written or erased, load_page() takes them back.
///
/// Concurrency. None: one thread at a time.
///
/// Limitations. Memory is a page (about 320 bytes) for each 2,048 offsets of which one is in the set.
class LetterSet {
 public:
  static constexpr std::uint64_t kPageOffsets = 2048;
  static constexpr std::size_t kPageBytes = kPageOffsets / 8;

  /// What has to be written to the disk, in one atomic write.
  struct Changes {
    std::vector<std::pair<std::uint64_t, std::string>> put;  ///< page number, bitmap of kPageBytes
    std::vector<std::uint64_t> erase;
  };

  bool contains(Offset offset) const noexcept;
  std::uint64_t size() const noexcept { return size_; }
  /// False: it was in (not in) before.
  bool insert(Offset offset);
  bool erase(Offset offset);
  /// Takes everything below `first` out: it is gone.
  void erase_before(Offset first);

  bool dirty() const noexcept { return !dirty_.empty(); }
  /// Pages that changed since the last time.
  Changes collect();
  /// False: wrong size.
  bool load_page(std::uint64_t page, std::string_view bytes);

 private:
  using Page = std::array<std::uint64_t, kPageOffsets / 64>;
  static std::size_t word_of(Offset offset) noexcept { return offset.value % kPageOffsets / 64; }
  static std::uint64_t bit_of(Offset offset) noexcept { return std::uint64_t{1} << (offset.value % 64); }

  std::map<std::uint64_t, Page> pages_;   // none is empty
  std::set<std::uint64_t> dirty_;
  std::uint64_t size_ = 0;
};

}  // namespace weir::core
