// Filters by headers: which messages a group wants (S-22).
#pragma once

#include <string>
#include <vector>

#include "weir/message.h"

namespace weir {

/// A condition on a message's headers, built from the named functions below. An empty Filter matches everything.
/// Limits: 64 conditions in all, nested at most 8 deep.
struct Filter {
  enum class Op : std::uint8_t { kEverything = 0, kExact = 1, kPrefix = 2, kSuffix = 3, kAll = 4, kAny = 5, kNot = 6, kPresent = 7 };
  Op op = Op::kEverything;
  std::string header{};
  std::string value{};
  std::vector<Filter> parts{};

  static Filter exact(std::string header, std::string value) { return {Op::kExact, std::move(header), std::move(value), {}}; }
  static Filter prefix(std::string header, std::string value) { return {Op::kPrefix, std::move(header), std::move(value), {}}; }
  static Filter suffix(std::string header, std::string value) { return {Op::kSuffix, std::move(header), std::move(value), {}}; }
  static Filter present(std::string header) { return {Op::kPresent, std::move(header), {}, {}}; }
  static Filter all(std::vector<Filter> parts) { return {Op::kAll, {}, {}, std::move(parts)}; }
  static Filter any(std::vector<Filter> parts) { return {Op::kAny, {}, {}, std::move(parts)}; }
  static Filter negate(Filter part) { return {Op::kNot, {}, {}, {std::move(part)}}; }

  bool empty() const noexcept { return op == Op::kEverything; }
  /// A header that is absent equals no value: exact, prefix and suffix are then false.
  bool matches(const HeadersView& headers) const;
  friend bool operator==(const Filter&, const Filter&) = default;
};

}  // namespace weir
