// What a WriteSet holds until it is written.
#pragma once

#include <cstring>
#include <string>
#include <string_view>

#include "broker/store/store.h"

namespace weir::store {

enum class Family : unsigned char { kRecords, kLog, kIndex, kSchedule };
enum class Action : unsigned char { kPut, kErase, kErasePrefix, kEraseRange };

/// The operations, one behind the other: the families' handles are known only to the store that writes them.
struct WriteSet::Impl {
  std::string operations;

  void add(Family family, Action action, std::string_view key, std::string_view value = {});
  /// Calls visit(family, action, key, value) for each operation, in order.
  template <class Visit>
  void for_each(Visit&& visit) const;
};

namespace write_set {
struct Head {
  Family family;
  Action action;
  std::uint32_t key_bytes;
  std::uint32_t value_bytes;
};
}  // namespace write_set

template <class Visit>
void WriteSet::Impl::for_each(Visit&& visit) const {
  for (std::string_view rest = operations; !rest.empty();) {
    write_set::Head head;
    std::memcpy(&head, rest.data(), sizeof head);
    rest.remove_prefix(sizeof head);
    visit(head.family, head.action, rest.substr(0, head.key_bytes), rest.substr(head.key_bytes, head.value_bytes));
    rest.remove_prefix(std::size_t{head.key_bytes} + head.value_bytes);
  }
}

}  // namespace weir::store
