// Filters over headers, seen in place: nothing is copied and nothing is allocated.
#include <algorithm>

#include "weir/filter.h"

namespace weir {

bool Filter::matches(const HeadersView& headers) const {
  const auto part_matches = [&](const Filter& part) { return part.matches(headers); };
  switch (op) {
    case Op::kEverything: return true;
    case Op::kExact: {
      const auto found = headers.find(header);
      return found && *found == value;
    }
    case Op::kPrefix: {
      const auto found = headers.find(header);
      return found && found->starts_with(value);
    }
    case Op::kSuffix: {
      const auto found = headers.find(header);
      return found && found->ends_with(value);
    }
    case Op::kPresent: return headers.find(header).has_value();
    case Op::kAll: return std::ranges::all_of(parts, part_matches);
    case Op::kAny: return std::ranges::any_of(parts, part_matches);
    case Op::kNot: return std::ranges::none_of(parts, part_matches);
  }
  return false;
}

}  // namespace weir
