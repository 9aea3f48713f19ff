// Typed topics: publish a T, handle a T.
#pragma once

#include <string>
#include <utility>

#include "weir/broker.h"

namespace weir {

/// How a T becomes bytes and comes back. Specialize it for your types:
///   static Payload encode(const T&);
///   static Result<T> decode(const Payload&);       // an error sends the message straight to the dead letters
///   static constexpr std::string_view content_type = "…";
template <class T>
struct Codec;

template <>
struct Codec<std::string> {
  static Payload encode(const std::string& text) { return Payload(text); }
  static Result<std::string> decode(const Payload& payload) { return payload.str(); }
  static constexpr std::string_view content_type = "text/plain; charset=utf-8";
};

template <>
struct Codec<Payload> {
  static Payload encode(const Payload& payload) { return payload; }
  static Result<Payload> decode(const Payload& payload) { return payload; }
  static constexpr std::string_view content_type = "application/octet-stream";
};

/// A topic of Ts. A thin view: copies freely, must not outlive the broker. Thread safety: as the broker's.
template <class T, class C = Codec<T>>
class Topic {
 public:
  Topic(Broker& broker, std::string name) : broker_(&broker), name_(std::move(name)) {}
  const std::string& name() const noexcept { return name_; }

  /// `message` carries key, id, headers, ttl; its payload and content type are set from the value.
  Result<Published> publish(const T& value, Message message = {}, std::optional<Durability> level = {}) {
    message.payload = C::encode(value);
    if (message.content_type.empty()) message.content_type = std::string(C::content_type);
    return broker_->publish(name_, std::move(message), level);
  }

  /// `handler(const T&)` or `handler(const T&, Delivery&)`. What cannot be decoded is rejected with the codec's error.
  template <class F>
  Result<Subscription> subscribe(SubscribeOptions options, F handler) {
    return broker_->subscribe(name_, std::move(options), [handler = std::move(handler)](Delivery& d) mutable {
      Result<T> value = C::decode(d.payload());
      if (!value.ok()) throw Reject("cannot decode: " + value.status().to_string());
      if constexpr (std::is_invocable_v<F&, const T&, Delivery&>)
        handler(*value, d);
      else
        handler(*value);
    });
  }

 private:
  Broker* broker_;
  std::string name_;
};

}  // namespace weir
