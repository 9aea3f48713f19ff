// SettledSet: which offsets of a topic a group has settled: a floor, below which all are, and pages of bits above it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/types.h"

namespace weir::core {

/// Operation. The floor is always the first offset that is not settled. Offsets settled in order only move the floor; out of order they
/// set bits in a page, which goes when the floor has passed it. collect() says what has to be written, load() and load_page() take it back.
///
/// Concurrency. None: one thread at a time.
///
/// Limitations. Memory is a page (about 280 bytes) for each 2,048 offsets above the floor of which one is settled, and a pointer for those
/// between. Times are kept per page, so `last_settled` answers too late a time rather than too early a one.
class SettledSet {
 public:
  static constexpr std::uint64_t kPageOffsets = 2048;
  static constexpr std::size_t kPageBytes = kPageOffsets / 8;
  /// Pages further above the floor than this are refused by load_page: their number is not to be believed.
  static constexpr std::uint64_t kPagesMax = std::uint64_t{1} << 24;

  /// What has to be written to the disk, in one atomic write.
  struct Changes {
    std::optional<Offset> floor;
    std::vector<std::pair<std::uint64_t, std::string>> put;  ///< page number, bitmap of kPageBytes: offset & 7 within byte
    std::vector<std::uint64_t> erase;                        ///< page numbers; none of them is in `put`
    void clear() { floor.reset(), put.clear(), erase.clear(); }
  };

  /// A new set, of which nothing is on disk: its first collect() gives the floor.
  explicit SettledSet(Offset floor = Offset{}) : floor_(floor) {}

  Offset floor() const noexcept { return floor_; }
  bool contains(Offset offset) const noexcept {
    if (offset < floor_) return true;
    const Page* page = page_at(offset.value / kPageOffsets);
    return page != nullptr && (page->words[word_of(offset)] & bit_of(offset)) != 0;
  }
  /// The first offset at or behind `from` that is not settled.
  Offset next_unsettled(Offset from) const noexcept;
  /// How many offsets above the floor are settled.
  std::uint64_t count_above_floor() const noexcept { return above_floor_; }

  /// Settles one offset; false when it was settled before (then nothing changes, its time neither).
  bool insert(Offset offset, Time now) { return insert_at(offset, &now); }
  bool insert(Offset offset) { return insert_at(offset, nullptr); }
  /// Settles [begin, end): filtered and expired runs. Their times are not remembered.
  void insert_range(Offset begin, Offset end);
  /// Settles everything below `floor`: what retention and caps took. A lower floor changes nothing.
  void raise_floor(Offset floor);
  /// A seek: settled is what is below `floor`, and nothing else, be it forward or backward. Times are forgotten.
  void reset(Offset floor);

  /// About when a settled offset was settled: the time of the last settlement in its page. Nothing when it is not settled, or its time is not known
  /// (any more).
  std::optional<Time> last_settled(Offset offset) const;
  /// Forgets times before `older_than` of pages that the floor has passed.
  void prune(Time older_than);

  /// True when collect() would give something.
  bool dirty() const noexcept { return stored_floor_ != floor_ || !dirty_pages_.empty() || !garbage_.empty(); }
  /// Gives what changed since the last time, and takes it as written. `changes` is cleared first.
  void collect(Changes& changes);

  /// What is on disk: first the floor, then each page. Replaces everything.
  void load(Offset floor);
  /// False: wrong size, or a page number that cannot be. Bits below the floor are ignored; a page that is wholly below is erased by the next collect().
  bool load_page(std::uint64_t page, std::string_view bytes);

 private:
  static constexpr std::size_t kWords = kPageOffsets / 64;
  struct Page {
    std::array<std::uint64_t, kWords> words{};  // bits below the floor may be either
    std::optional<Time> settled;                // the last settlement in it whose time is known
    bool dirty = false;                         // is in dirty_pages_
    bool on_disk = false;
  };
  struct PageTime {
    std::uint64_t page;
    Time settled;
  };

  static std::size_t word_of(Offset offset) noexcept { return offset.value % kPageOffsets / 64; }
  static std::uint64_t bit_of(Offset offset) noexcept { return std::uint64_t{1} << (offset.value % 64); }
  std::uint64_t first_page() const noexcept { return floor_.value / kPageOffsets; }
  const Page* page_at(std::uint64_t number) const noexcept {
    const std::uint64_t index = number - first_page();
    return index < pages_.size() ? pages_[index].get() : nullptr;
  }
  Page& make_page(std::uint64_t number);
  void mark_dirty(Page& page, std::uint64_t number);
  bool insert_at(Offset offset, const Time* now);
  void settle_floor(const Time* now);
  void move_floor(Offset floor);
  void drop_front_page(std::uint64_t number);
  void remember_time(std::uint64_t page, Time settled);
  std::uint64_t count_bits(Offset begin, Offset end) const noexcept;

  Offset floor_;
  std::optional<Offset> stored_floor_;           // nothing: none is on disk
  std::deque<std::unique_ptr<Page>> pages_;      // from the page of the floor on; null: nothing settled in it
  std::uint64_t above_floor_ = 0;
  std::vector<std::uint64_t> dirty_pages_;       // may name pages that the floor has passed since
  std::vector<std::uint64_t> garbage_;           // pages on disk that are not needed any more
  std::deque<PageTime> passed_times_;            // by page: those that the floor has passed or is in
};

}  // namespace weir::core
