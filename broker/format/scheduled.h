// Messages that wait outside the log for their time (S-7), as they lie in the column family "schedule" (docs/FORMAT.md).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "weir/message.h"
#include "weir/status.h"
#include "weir/types.h"

namespace weir::format {

struct ScheduledRecord {
  Time due;
  Time published;               ///< when it was taken
  std::uint64_t bytes = 0;      ///< what it counts for in its topic
  Durability durability = Durability::kPower;
  Message message;              ///< without deliver_at and delay; ttl is from due time
  std::uint64_t payload_bytes = 0;
};

/// `message` has the parts that record.message would have.
std::string encode_scheduled(const ScheduledRecord& record, const Message& message, std::string_view encoded_headers);
/// The payload is copied, or left out. Verifies before it reads; `corruption` names `where`.
Result<ScheduledRecord> decode_scheduled(std::string_view bytes, std::string_view where, bool with_payload = true);

}  // namespace weir::format
