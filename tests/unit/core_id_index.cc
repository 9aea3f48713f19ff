// The index of ids, against a std::map; few hash bits make every bucket overflow.
#include "broker/core/id_index.h"

#include <catch2/catch.hpp>

#include <map>
#include <vector>

#include "broker/base/prng.h"

namespace weir::core {
namespace {

TEST_CASE("random ids agree with a std::map, also when buckets overflow", "[core][S-6]") {
  const std::uint64_t seed = GENERATE(1, 2, 3);
  // How many hashes there are: so many ids share a bucket, or a hash.
  const std::uint64_t hashes = GENERATE(std::uint64_t{1}, std::uint64_t{3}, std::uint64_t{40}, std::uint64_t{1} << 62);
  CAPTURE(seed, hashes);
  base::Prng random(seed);
  constexpr std::size_t kSlots = 64;
  IdIndex index(kSlots);
  std::vector<std::uint64_t> id_in(kSlots, 0);           // by slot; 0: free
  std::map<std::uint64_t, IdIndex::Slot> model;           // id → slot
  const auto hash_of = [&](std::uint64_t id) { return base::mix64(id) % hashes * 0x100000001u; };
  const auto is = [&](std::uint64_t id) { return [&id_in, id](IdIndex::Slot slot) { return id_in[slot] == id; }; };
  for (int step = 0; step < 5000; ++step) {
    const std::uint64_t id = 1 + random.below(100);
    const auto slot = static_cast<IdIndex::Slot>(random.below(kSlots));
    const auto known = model.find(id);
    const std::optional<IdIndex::Slot> found = index.find(hash_of(id), is(id));
    REQUIRE(found == (known == model.end() ? std::nullopt : std::optional(known->second)));
    if (id_in[slot] == 0) {
      // A new place for a new id or, as after its window, for one that is known.
      index.insert(hash_of(id), slot, is(id));
      if (known != model.end()) id_in[known->second] = 0;
      id_in[slot] = id;
      model[id] = slot;
    } else if (random.below(2) == 0) {
      REQUIRE(index.erase(hash_of(id_in[slot]), slot));
      REQUIRE_FALSE(index.erase(hash_of(id_in[slot]), slot));
      model.erase(id_in[slot]);
      id_in[slot] = 0;
    }
    REQUIRE(index.size() == model.size());
  }
}

TEST_CASE("an index may be of any size", "[core][S-33]") {
  for (const std::size_t slots : {std::size_t{1}, std::size_t{2}, std::size_t{1000}, std::size_t{1} << 20}) {
    IdIndex index(slots);
    const auto last = static_cast<IdIndex::Slot>(slots - 1);
    const auto any = [](IdIndex::Slot) { return true; };
    CHECK(index.find(7, any) == std::nullopt);
    index.insert(7, last, any);
    CHECK(index.find(7, any) == last);
    CHECK(index.erase(7, last));
    CHECK(index.size() == 0);
  }
}

}  // namespace
}  // namespace weir::core
