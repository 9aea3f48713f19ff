// Where the records of a RocksDB log file end, found while it is read.
#pragma once

#include <cstdint>
#include <string_view>

namespace weir::store {

/// Follows the frames of a log: blocks of 32 KiB, in them records of a header (checksum 4, length 2, type 1; types 5 to 8 have 4 bytes
/// more) and their bytes; less than a header at a block's end is padding. A header of zeros is none: the file ends before it.
/// What makes no sense is passed on, since RocksDB's checksums have the say on it.
class LogEnd {
 public:
  /// How many of these next bytes belong to the log: all of them until the end, then none.
  std::size_t take(std::string_view bytes);
  /// Bytes were not shown: from here on everything is passed on.
  void lost() noexcept { state_ = State::kLost; }

 private:
  enum class State { kRecords, kLost, kEnded };
  static constexpr std::uint32_t kBlockBytes = 32768;
  static constexpr std::uint32_t kHeaderBytes = 7;

  State state_ = State::kRecords;
  std::uint32_t in_block_ = 0;        ///< bytes of the block so far
  std::uint32_t skip_ = 0;            ///< bytes of the record or the padding that are still to come
  std::uint32_t header_bytes_ = 0;    ///< of header_
  unsigned char header_[kHeaderBytes] = {};
};

}  // namespace weir::store
