// What the files of small records share: making a FlatBuffer, the check before reading, filters.
#pragma once

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "broker/format/flat.h"
#include "weir/filter.h"

namespace weir::format {

using flatbuffers::FlatBufferBuilder;

template <class Enum>
constexpr std::uint8_t number_of(Enum value) { return static_cast<std::uint8_t>(value); }

template <class Table>
std::string finish(FlatBufferBuilder& flat, flatbuffers::Offset<Table> root) {
  flat.Finish(root);
  return {reinterpret_cast<const char*>(flat.GetBufferPointer()), flat.GetSize()};
}

/// A verified table over bytes of any alignment.
template <class Table>
class Verified {
 public:
  explicit Verified(std::string_view bytes) {
    // FlatBuffers reads numbers in place, so the bytes must lie where numbers may lie.
    if (reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(std::uint64_t) != 0) {
      aligned_.resize((bytes.size() + 7) / 8);
      std::memcpy(aligned_.data(), bytes.data(), bytes.size());
      bytes = {reinterpret_cast<const char*>(aligned_.data()), bytes.size()};
    }
    const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
    flatbuffers::Verifier verifier(data, bytes.size());
    if (verifier.VerifyBuffer<Table>(nullptr)) table_ = flatbuffers::GetRoot<Table>(data);
  }
  explicit operator bool() const noexcept { return table_ != nullptr; }
  const Table* operator->() const noexcept { return table_; }

 private:
  std::vector<std::uint64_t> aligned_;
  const Table* table_ = nullptr;
};

inline Status not_a(const char* kind, std::string_view where) { return corrupt(where, std::string("not a whole ").append(kind)); }
inline Status unknown_value(const char* field, std::string_view where) { return corrupt(where, std::string("unknown value of ").append(field)); }

inline flatbuffers::Offset<flat::Filter> add_filter(FlatBufferBuilder& to, const Filter& filter) {
  std::vector<flatbuffers::Offset<flat::Filter>> parts;
  for (const Filter& part : filter.parts) parts.push_back(add_filter(to, part));
  const auto header = add_string(to, filter.header);
  const auto value = add_string(to, filter.value);
  return flat::CreateFilter(to, number_of(filter.op), header, value, parts.empty() ? 0 : to.CreateVector(parts));
}

/// False for an unknown operation. The verifier has bounded the depth.
inline bool read_filter(const flat::Filter& stored, Filter& out) {
  if (stored.op() > number_of(Filter::Op::kPresent)) return false;
  out.op = static_cast<Filter::Op>(stored.op());
  out.header = string_of(stored.header());
  out.value = string_of(stored.value());
  if (stored.parts() == nullptr) return true;
  for (const flat::Filter* part : *stored.parts())
    if (!read_filter(*part, out.parts.emplace_back())) return false;
  return true;
}

}  // namespace weir::format
