// Tokens as text: a version byte, the fields as variable-length integers, and four bytes that check the rest; all of it in the
// URL-safe alphabet of base64 (RFC 4648, section 5) without padding. A typical token is about 24 characters.
#include <array>
#include <cstdint>
#include <string>

#include "weir/delivery.h"

namespace weir {
namespace {

constexpr char kVersion = 1;
constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::size_t kTextMax = 96;  // six integers of at most ten bytes, version and check, are 65 bytes, 87 characters

constexpr std::array<std::int8_t, 256> reverse_alphabet() {
  std::array<std::int8_t, 256> reverse{};
  for (auto& digit : reverse) digit = -1;
  for (std::size_t i = 0; i < kAlphabet.size(); ++i) reverse[static_cast<unsigned char>(kAlphabet[i])] = static_cast<std::int8_t>(i);
  return reverse;
}
constexpr auto kReverse = reverse_alphabet();

// FNV-1a with a final mix: it guards against slips of copying, not against forgers (a forged token names a delivery whose epoch must be right).
std::uint32_t check_of(std::string_view bytes) {
  std::uint32_t hash = 2166136261u;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  hash ^= hash >> 16;
  hash *= 0x85ebca6bu;
  return hash ^ hash >> 13;
}

void append_integer(std::string& bytes, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(value | 0x80));
  bytes.push_back(static_cast<char>(value));
}

bool take_integer(std::string_view& bytes, std::uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    value |= std::uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

std::string encode(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() * 4 + 2) / 3);
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : bytes) {
    bits = bits << 8 | static_cast<unsigned char>(c);
    for (count += 8; count >= 6; count -= 6) text.push_back(kAlphabet[bits >> (count - 6) & 63]);
  }
  if (count > 0) text.push_back(kAlphabet[bits << (6 - count) & 63]);
  return text;
}

bool decode(std::string_view text, std::string& bytes) {
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const int digit = kReverse[static_cast<unsigned char>(c)];
    if (digit < 0) return false;
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    count += 6;
    if (count >= 8) bytes.push_back(static_cast<char>(bits >> (count -= 8)));
  }
  return true;
}

Status malformed() { return {ErrorCode::invalid_argument, "token: this text is not a token"}; }

}  // namespace

std::string Token::to_string() const {
  std::string bytes(1, kVersion);
  for (const std::uint64_t field : {group.value, topic.value, offset.value, redrive, epoch.value, std::uint64_t{slot}})
    append_integer(bytes, field);
  const std::uint32_t check = check_of(bytes);
  for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(check >> shift));
  return encode(bytes);
}

Result<Token> Token::parse(std::string_view text) {
  std::string bytes;
  if (text.size() > kTextMax || !decode(text, bytes) || bytes.size() < 1 + 6 + 4 || bytes.front() != kVersion) return malformed();
  std::string_view rest(bytes);
  rest.remove_prefix(1);
  rest.remove_suffix(4);
  Token token;
  std::uint64_t slot = 0;
  for (std::uint64_t* field : {&token.group.value, &token.topic.value, &token.offset.value, &token.redrive, &token.epoch.value, &slot})
    if (!take_integer(rest, *field)) return malformed();
  token.slot = static_cast<std::uint32_t>(slot);
  // Writing it again checks everything at once: the check bytes, the range of `slot`, bytes left over, and that there is one text per token.
  if (token.to_string() != text) return malformed();
  return token;
}

}  // namespace weir
