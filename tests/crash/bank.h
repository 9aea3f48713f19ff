// A bank: transfers are consumed, balances changed and results published, all in one transaction each. What the child and its test share.
#pragma once

#include <cstdint>
#include <sstream>
#include <string>

namespace weir::crash::bank {

inline constexpr const char* kTransfers = "transfers";
inline constexpr const char* kResults = "results";
inline constexpr const char* kGroup = "bank";
inline constexpr const char* kAccountPrefix = "account/";
inline constexpr const char* kAppliedPrefix = "applied/";
inline constexpr int kAccounts = 8;
inline constexpr std::int64_t kOpening = 1000;   ///< of each account; it may go below nothing

inline std::string account(int number) { return kAccountPrefix + std::to_string(number); }
/// "once", when the transfer was applied.
inline std::string applied(std::uint64_t id) { return kAppliedPrefix + std::to_string(id); }

struct Transfer {
  std::uint64_t id = 0;
  int from = 0, to = 0;
  std::int64_t amount = 0;

  std::string text() const { return std::to_string(id) + " " + std::to_string(from) + " " + std::to_string(to) + " " + std::to_string(amount); }
  static Transfer parse(const std::string& text) {
    Transfer out;
    std::istringstream(text) >> out.id >> out.from >> out.to >> out.amount;
    return out;
  }
};

}  // namespace weir::crash::bank
