#include "broker/core/letter_set.h"

#include <algorithm>
#include <bit>

namespace weir::core {

bool LetterSet::contains(Offset offset) const noexcept {
  const auto page = pages_.find(offset.value / kPageOffsets);
  return page != pages_.end() && (page->second[word_of(offset)] & bit_of(offset)) != 0;
}

bool LetterSet::insert(Offset offset) {
  std::uint64_t& word = pages_[offset.value / kPageOffsets][word_of(offset)];
  if ((word & bit_of(offset)) != 0) return false;
  word |= bit_of(offset);
  ++size_;
  dirty_.insert(offset.value / kPageOffsets);
  return true;
}

bool LetterSet::erase(Offset offset) {
  const auto page = pages_.find(offset.value / kPageOffsets);
  if (page == pages_.end() || (page->second[word_of(offset)] & bit_of(offset)) == 0) return false;
  page->second[word_of(offset)] &= ~bit_of(offset);
  --size_;
  dirty_.insert(page->first);
  if (std::all_of(page->second.begin(), page->second.end(), [](std::uint64_t word) { return word == 0; })) pages_.erase(page);
  return true;
}

void LetterSet::erase_before(Offset first) {
  while (!pages_.empty() && (pages_.begin()->first + 1) * kPageOffsets <= first.value) {
    for (const std::uint64_t word : pages_.begin()->second) size_ -= static_cast<std::uint64_t>(std::popcount(word));
    dirty_.insert(pages_.begin()->first);
    pages_.erase(pages_.begin());
  }
  if (pages_.empty() || pages_.begin()->first * kPageOffsets >= first.value) return;
  for (std::uint64_t at = pages_.begin()->first * kPageOffsets; at < first.value; ++at) erase(Offset{at});
}

LetterSet::Changes LetterSet::collect() {
  Changes out;
  for (const std::uint64_t number : dirty_) {
    const auto page = pages_.find(number);
    if (page == pages_.end()) {
      out.erase.push_back(number);
      continue;
    }
    std::string bytes;
    bytes.reserve(kPageBytes);
    for (const std::uint64_t word : page->second)
      for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(word >> (8 * i)));
    out.put.emplace_back(number, std::move(bytes));
  }
  dirty_.clear();
  return out;
}

bool LetterSet::load_page(std::uint64_t number, std::string_view bytes) {
  if (bytes.size() != kPageBytes) return false;
  Page page{};
  for (std::size_t i = 0; i < kPageBytes; ++i) page[i / 8] |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * (i % 8));
  std::uint64_t bits = 0;
  for (const std::uint64_t word : page) bits += static_cast<std::uint64_t>(std::popcount(word));
  if (bits == 0) return true;
  pages_[number] = page;
  size_ += bits;
  return true;
}

}  // namespace weir::core
