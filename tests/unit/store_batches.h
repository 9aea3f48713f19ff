// Batches for tests of the store: record i has the payload "payload <offset>".
#pragma once

#include <memory>
#include <string>

#include "broker/format/record_batch.h"
#include "broker/store/store.h"

namespace weir::test {

struct StoredBatch {
  format::IndexEntry entry;
  std::shared_ptr<const std::string> bytes;
};

inline StoredBatch batch_of(Offset first, std::uint32_t count, format::LogPosition position, std::size_t padding = 0) {
  format::BatchBuilder builder;
  for (std::uint32_t i = 0; i < count; ++i)
    builder.add({"payload " + std::to_string(first.value + i) + std::string(padding, '.'), {}, {}, {}, {}, 0});
  StoredBatch out;
  const Time time{Duration{static_cast<std::int64_t>(position.commit)}};
  out.bytes = builder.finish(first, time);
  out.entry = {first, count, position, time, static_cast<std::uint32_t>(out.bytes->size()), 0};
  return out;
}

inline void put(store::WriteSet& set, TopicId topic, const StoredBatch& batch) { set.put_batch(topic, batch.entry, *batch.bytes); }

}  // namespace weir::test
