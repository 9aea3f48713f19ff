// Of the messages charged with a crash, one runs at a time per store, so that the next crash names the guilty one (S-19).
#pragma once

#include <vector>

namespace weir::core {

class Cursor;

/// Shared by all cursors of a store. Who finds it taken is remembered, and told by the engine when it opens.
struct SuspectGate {
  const Cursor* holder = nullptr;
  std::vector<Cursor*> waiting;
};

}  // namespace weir::core
