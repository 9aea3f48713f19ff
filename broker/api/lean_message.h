// A message that is kept for what it is rather than for what is in it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "weir/message.h"

namespace weir::api {

/// The message without its payload, in a buffer of its own.
inline StoredMessage without_payload(const StoredMessage& message) {
  StoredMessage out = message;
  auto own = std::make_shared<std::string>();
  own->append(message.key).append(message.id).append(message.content_type).append(message.headers.encoded());
  std::string_view rest = *own;
  const auto piece = [&](std::size_t size) {
    const std::string_view part = rest.substr(0, size);
    rest.remove_prefix(size);
    return part;
  };
  out.key = piece(message.key.size());
  out.id = piece(message.id.size());
  out.content_type = piece(message.content_type.size());
  out.headers = HeadersView(piece(message.headers.encoded().size()));
  out.payload = {};
  out.owner = std::move(own);
  return out;
}

}  // namespace weir::api
