#include "broker/core/settled_set.h"

#include <algorithm>
#include <bit>

namespace weir::core {
namespace {

constexpr std::uint64_t kAll = ~std::uint64_t{0};

// Bits [begin, end) of a word; end is 1 to 64.
constexpr std::uint64_t bits_between(std::uint64_t begin, std::uint64_t end) { return (kAll << begin) & (kAll >> (64 - end)); }

}  // namespace

SettledSet::Page& SettledSet::make_page(std::uint64_t number) {
  const std::uint64_t index = number - first_page();
  while (pages_.size() <= index) pages_.emplace_back();
  std::unique_ptr<Page>& page = pages_[index];
  if (page == nullptr) page = std::make_unique<Page>();
  return *page;
}

void SettledSet::mark_dirty(Page& page, std::uint64_t number) {
  if (page.dirty) return;
  page.dirty = true;
  dirty_pages_.push_back(number);
}

Offset SettledSet::next_unsettled(Offset from) const noexcept {
  if (from <= floor_) return floor_;
  for (std::uint64_t at = from.value;;) {
    const Page* page = page_at(at / kPageOffsets);
    if (page == nullptr) return Offset{at};
    std::size_t word = word_of(Offset{at});
    std::uint64_t open = ~page->words[word] & (kAll << (at % 64));
    while (open == 0 && ++word < kWords) open = ~page->words[word];
    const std::uint64_t page_begin = at - at % kPageOffsets;
    if (open != 0) return Offset{page_begin + word * 64 + static_cast<std::uint64_t>(std::countr_zero(open))};
    at = page_begin + kPageOffsets;
  }
}

bool SettledSet::insert_at(Offset offset, const Time* now) {
  if (offset < floor_) return false;
  if (offset == floor_) {
    settle_floor(now);
    return true;
  }
  const std::uint64_t number = offset.value / kPageOffsets;
  Page& page = make_page(number);
  std::uint64_t& word = page.words[word_of(offset)];
  if ((word & bit_of(offset)) != 0) return false;
  word |= bit_of(offset);
  ++above_floor_;
  if (now != nullptr) page.settled = *now;
  mark_dirty(page, number);
  return true;
}

void SettledSet::settle_floor(const Time* now) {
  if (now != nullptr) remember_time(first_page(), *now);
  const Offset next = next_unsettled(floor_ + 1);
  above_floor_ -= next - floor_ - 1;
  move_floor(next);
}

void SettledSet::raise_floor(Offset floor) {
  if (floor <= floor_) return;
  const Offset next = next_unsettled(floor);
  above_floor_ -= count_bits(floor_, next);
  move_floor(next);
}

void SettledSet::insert_range(Offset begin, Offset end) {
  if (end <= floor_ || begin >= end) return;
  if (begin <= floor_) return raise_floor(end);
  for (std::uint64_t at = begin.value; at < end.value;) {
    const std::uint64_t number = at / kPageOffsets;
    const std::uint64_t page_end = std::min((number + 1) * kPageOffsets, end.value);
    Page& page = make_page(number);
    std::uint64_t added = 0;
    while (at < page_end) {
      const std::uint64_t word_end = std::min(at - at % 64 + 64, page_end);
      std::uint64_t& word = page.words[word_of(Offset{at})];
      const std::uint64_t fresh = bits_between(at % 64, (word_end - 1) % 64 + 1) & ~word;
      word |= fresh;
      added += static_cast<std::uint64_t>(std::popcount(fresh));
      at = word_end;
    }
    above_floor_ += added;
    if (added != 0) mark_dirty(page, number);
  }
}

void SettledSet::move_floor(Offset floor) {
  const std::uint64_t first = first_page();
  const std::uint64_t passed = floor.value / kPageOffsets - first;
  for (std::uint64_t i = 0; i < passed && !pages_.empty(); ++i) drop_front_page(first + i);
  floor_ = floor;
}

void SettledSet::drop_front_page(std::uint64_t number) {
  if (const Page* page = pages_.front().get(); page != nullptr) {
    if (page->on_disk) garbage_.push_back(number);
    if (page->settled) remember_time(number, *page->settled);
  }
  pages_.pop_front();
}

std::uint64_t SettledSet::count_bits(Offset begin, Offset end) const noexcept {
  std::uint64_t count = 0;
  const std::uint64_t known = std::min(end.value, (first_page() + pages_.size()) * kPageOffsets);
  for (std::uint64_t at = begin.value; at < known;) {
    const Page* page = page_at(at / kPageOffsets);
    if (page == nullptr) {
      at = at - at % kPageOffsets + kPageOffsets;
      continue;
    }
    const std::uint64_t word_end = std::min(at - at % 64 + 64, known);
    const std::uint64_t word = page->words[word_of(Offset{at})] & bits_between(at % 64, (word_end - 1) % 64 + 1);
    count += static_cast<std::uint64_t>(std::popcount(word));
    at = word_end;
  }
  return count;
}

void SettledSet::reset(Offset floor) {
  for (std::size_t i = 0; i < pages_.size(); ++i)
    if (pages_[i] != nullptr && pages_[i]->on_disk) garbage_.push_back(first_page() + i);
  pages_.clear();
  dirty_pages_.clear();
  passed_times_.clear();
  above_floor_ = 0;
  floor_ = floor;
}

void SettledSet::remember_time(std::uint64_t page, Time settled) {
  // The floor only rises until a reset forgets all times, so pages come in order.
  if (!passed_times_.empty() && passed_times_.back().page == page)
    passed_times_.back().settled = std::max(passed_times_.back().settled, settled);
  else
    passed_times_.push_back({page, settled});
}

std::optional<Time> SettledSet::last_settled(Offset offset) const {
  if (!contains(offset)) return std::nullopt;
  const std::uint64_t number = offset.value / kPageOffsets;
  std::optional<Time> settled;
  if (const Page* page = page_at(number); page != nullptr) settled = page->settled;
  const auto passed = std::lower_bound(passed_times_.begin(), passed_times_.end(), number,
                                       [](const PageTime& time, std::uint64_t wanted) { return time.page < wanted; });
  if (passed != passed_times_.end() && passed->page == number && (!settled || *settled < passed->settled)) settled = passed->settled;
  return settled;
}

void SettledSet::prune(Time older_than) {
  while (!passed_times_.empty() && passed_times_.front().settled < older_than) passed_times_.pop_front();
}

void SettledSet::collect(Changes& changes) {
  changes.clear();
  if (stored_floor_ != floor_) stored_floor_ = changes.floor = floor_;
  for (const std::uint64_t number : dirty_pages_) {
    if (page_at(number) == nullptr) continue;  // the floor has passed it
    Page& page = *pages_[number - first_page()];
    if (!page.dirty) continue;
    page.dirty = false;
    const Offset page_end{(number + 1) * kPageOffsets};
    if (number == first_page() && count_bits(floor_, page_end) == 0) continue;  // the floor says it all
    page.on_disk = true;
    std::string& bitmap = changes.put.emplace_back(number, std::string(kPageBytes, '\0')).second;
    for (std::size_t byte = 0; byte < kPageBytes; ++byte)
      bitmap[byte] = static_cast<char>(page.words[byte / 8] >> (byte % 8 * 8) & 0xff);
  }
  dirty_pages_.clear();
  for (const std::uint64_t number : garbage_)
    if (const Page* page = page_at(number); page == nullptr || !page->on_disk) changes.erase.push_back(number);
  garbage_.clear();
}

void SettledSet::load(Offset floor) {
  *this = SettledSet(floor);
  stored_floor_ = floor;
}

bool SettledSet::load_page(std::uint64_t number, std::string_view bytes) {
  if (bytes.size() != kPageBytes) return false;
  if (number < first_page()) {
    garbage_.push_back(number);
    return true;
  }
  if (number - first_page() > kPagesMax) return false;
  Page& page = make_page(number);
  page.on_disk = true;
  for (std::size_t w = 0; w < kWords; ++w) {
    std::uint64_t word = 0;
    for (std::size_t byte = 0; byte < 8; ++byte)
      word |= std::uint64_t{static_cast<unsigned char>(bytes[w * 8 + byte])} << (byte * 8);
    const std::uint64_t word_begin = number * kPageOffsets + w * 64;
    if (word_begin + 64 <= floor_.value) continue;
    if (word_begin < floor_.value) word &= kAll << (floor_.value % 64);
    above_floor_ += static_cast<std::uint64_t>(std::popcount(word & ~page.words[w]));
    page.words[w] |= word;
  }
  // A floor that is itself settled can only be a page newer than its floor; what the bits say is true.
  if ((page.words[word_of(floor_)] & bit_of(floor_)) != 0 && number == first_page()) {
    const Offset next = next_unsettled(floor_ + 1);
    above_floor_ -= next - floor_;
    move_floor(next);
  }
  return true;
}

}  // namespace weir::core
