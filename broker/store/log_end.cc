#include "broker/store/log_end.h"

#include <algorithm>
#include <cstddef>

namespace weir::store {

std::size_t LogEnd::take(std::string_view bytes) {
  if (state_ == State::kEnded) return 0;
  std::size_t at = 0;
  while (state_ == State::kRecords && at < bytes.size()) {
    if (skip_ > 0) {
      const auto step = static_cast<std::uint32_t>(std::min<std::size_t>(skip_, bytes.size() - at));
      skip_ -= step;
      in_block_ = (in_block_ + step) % kBlockBytes;
      at += step;
      continue;
    }
    if (header_bytes_ == 0 && kBlockBytes - in_block_ < kHeaderBytes) {
      skip_ = kBlockBytes - in_block_;
      continue;
    }
    header_[header_bytes_++] = static_cast<unsigned char>(bytes[at++]);
    ++in_block_;
    if (header_bytes_ < kHeaderBytes) continue;
    header_bytes_ = 0;
    const std::uint32_t length = header_[4] | std::uint32_t{header_[5]} << 8, type = header_[6];
    if (type == 0 && length == 0) {
      // Bytes of this header that an earlier call passed on are an incomplete record to RocksDB, which is the end as well.
      state_ = State::kEnded;
      return at < kHeaderBytes ? 0 : at - kHeaderBytes;
    }
    skip_ = length + (type >= 5 && type <= 8 ? 4 : 0);
    if (type == 0 || type > 9 || in_block_ + skip_ > kBlockBytes) state_ = State::kLost;
    in_block_ %= kBlockBytes;
  }
  return bytes.size();
}

}  // namespace weir::store
