// Request and reply (S-30): named services, answered by responders, not stored.
#pragma once

#include <string>

#include "weir/message.h"

namespace weir {

struct Request {
  std::string service{};
  Payload payload{};
  Headers headers{};
  std::optional<Time> deadline{};
};

struct Reply {
  Payload payload{};
  Headers headers{};
  std::vector<TopicMessage> events{};  ///< committed before the caller sees the reply (S-31)
  std::string error{};                 ///< the responder's own error; empty: none
};

}  // namespace weir
