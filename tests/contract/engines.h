// The engines that the contract suite runs on. A new engine registers itself here and runs every test unchanged.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "weir/broker.h"

namespace weir::test {

/// Where a broker's store is while one test lasts: opened, closed and opened again, always the same store.
class Place {
 public:
  virtual ~Place() = default;
  virtual Result<std::unique_ptr<Broker>> open(OpenOptions options) = 0;
  /// What weir::open() takes for it, for tests of a second owner; empty where that has no meaning.
  virtual std::string location() const { return {}; }
};

struct Engine {
  std::string name;
  std::function<std::unique_ptr<Place>()> make_place;   ///< a fresh, empty store
};

void register_engine(Engine engine);
const std::vector<Engine>& engines();

struct EngineRegistration {
  explicit EngineRegistration(Engine engine) { register_engine(std::move(engine)); }
};

}  // namespace weir::test
