// The table of errors, as data.
#include <array>

#include "weir/status.h"

namespace weir {
namespace {

constexpr std::array kTable = {
#define WEIR_ERROR(name, number, http, grpc, retryable, meaning) ErrorInfo{ErrorCode::name, #name, http, #grpc, retryable, meaning},
#include "weir/error_codes.def"
#undef WEIR_ERROR
};

// The rows stand in the order of their numbers, without a gap, so that a code is its own index.
constexpr bool dense() {
  for (std::size_t i = 0; i < kTable.size(); ++i)
    if (static_cast<std::size_t>(kTable[i].code) != i) return false;
  return true;
}
static_assert(dense());

}  // namespace

const ErrorInfo& error_info(ErrorCode code) noexcept {
  const auto index = static_cast<std::size_t>(code);
  return kTable[index < kTable.size() ? index : static_cast<std::size_t>(ErrorCode::internal)];
}

const ErrorInfo* find_error(std::string_view name) noexcept {
  for (const ErrorInfo& row : kTable)
    if (row.name == name) return &row;
  return nullptr;
}

}  // namespace weir
