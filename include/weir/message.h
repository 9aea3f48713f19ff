// Messages: what a producer hands in, and what a consumer gets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/status.h"
#include "weir/types.h"

namespace weir {

/// Immutable, reference-counted bytes. Copying a Payload shares the bytes; it never copies them.
/// Thread safety: as a shared_ptr's: distinct objects may be used freely, also when they share bytes.
class Payload {
 public:
  Payload() noexcept = default;
  /// Takes the string over without copying its bytes.
  Payload(std::string&& text) {
    auto owned = std::make_shared<std::string>(std::move(text));
    data_ = reinterpret_cast<const std::byte*>(owned->data());
    size_ = owned->size();
    owner_ = std::move(owned);
  }
  /// Copies.
  Payload(const std::string& text) : Payload(std::string_view(text)) {}
  Payload(const char* text) : Payload(std::string_view(text)) {}
  Payload(std::string_view text) : Payload(copy(text.data(), text.size())) {}
  /// Takes the vector over without copying its bytes.
  Payload(std::vector<std::byte>&& bytes) {
    auto owned = std::make_shared<std::vector<std::byte>>(std::move(bytes));
    data_ = owned->data();
    size_ = owned->size();
    owner_ = std::move(owned);
  }

  /// Copies `size` bytes, with one allocation.
  static Payload copy(const void* data, std::size_t size) {
    Payload p;
    if (size == 0) return p;
    auto owned = std::make_shared_for_overwrite<std::byte[]>(size);
    std::memcpy(owned.get(), data, size);
    p.data_ = owned.get();
    p.size_ = size;
    p.owner_ = std::move(owned);
    return p;
  }
  /// Refers to bytes that `owner` keeps alive and that nobody changes any more.
  static Payload adopt(std::shared_ptr<const void> owner, const void* data, std::size_t size) noexcept {
    Payload p;
    p.owner_ = std::move(owner);
    p.data_ = static_cast<const std::byte*>(data);
    p.size_ = size;
    return p;
  }

  const std::byte* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  std::string_view text() const noexcept { return {reinterpret_cast<const char*>(data_), size_}; }
  std::string str() const { return std::string(text()); }

 private:
  std::shared_ptr<const void> owner_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// One header. Names are unique within a message, lower-case ASCII [a-z0-9._-], 1 to 255 bytes; values are UTF-8
/// without control characters.
struct Header {
  std::string name{};
  std::string value{};
  friend bool operator==(const Header&, const Header&) = default;
};
using Headers = std::vector<Header>;

/// What a producer hands in (S-1). Limits: payload 1 MiB (TopicOptions::payload_bytes_max raises it to 64 MiB at most),
/// key 1 KiB, id 128 bytes, content type 255 bytes, 64 headers of 16 KiB together. Key, id, content type and header values are
/// UTF-8 without control characters; only the payload is binary. A limit exceeded is `limit_exceeded`, other bad input
/// `invalid_argument`; nothing is stored then.
struct Message {
  std::string key{};           ///< the ordering key (S-13); empty: none
  Payload payload{};
  std::string id{};            ///< the dedup id (S-6); empty: none
  Headers headers{};
  std::string content_type{};  ///< empty: not said
  std::optional<Duration> ttl{};        ///< from commit, or from deliver_at; not delivered after it (S-8)
  std::optional<Time> deliver_at{};     ///< waits outside the log until then (S-7); up to 3,650 days ahead; not after now: at once
  /// A delete mark: the key has no value any more (S-10, TopicOptions::compact). Needs a key, and has no payload.
  bool tombstone = false;
  std::optional<Duration> delay{};      ///< instead of deliver_at: so long after the broker takes it; 0: at once
};

/// A header of a received message, seen in place.
struct HeaderView {
  std::string_view name;
  std::string_view value;
};

/// The headers of a received message, seen in place: a forward range of HeaderView.
/// The bytes are: for each header a length byte and the name, then a two-byte little-endian length and the value.
class HeadersView {
 public:
  class iterator {
   public:
    using value_type = HeaderView;
    using difference_type = std::ptrdiff_t;
    iterator() = default;
    explicit iterator(const unsigned char* at) : at_(at) {}
    HeaderView operator*() const {
      const std::size_t name = at_[0];
      const std::size_t value = at_[1 + name] | std::size_t{at_[2 + name]} << 8;
      const char* text = reinterpret_cast<const char*>(at_);
      return {{text + 1, name}, {text + 3 + name, value}};
    }
    iterator& operator++() {
      const HeaderView h = **this;
      at_ += 3 + h.name.size() + h.value.size();
      return *this;
    }
    iterator operator++(int) { iterator old = *this; ++*this; return old; }
    friend bool operator==(const iterator& a, const iterator& b) { return a.at_ == b.at_; }

   private:
    const unsigned char* at_ = nullptr;
  };

  HeadersView() = default;
  /// `encoded` must be well formed; valid as long as the bytes are.
  explicit HeadersView(std::string_view encoded) : encoded_(encoded) {}
  iterator begin() const { return iterator(first()); }
  iterator end() const { return iterator(last()); }
  bool empty() const noexcept { return encoded_.empty(); }
  /// The value of the header with that name.
  std::optional<std::string_view> find(std::string_view name) const {
    for (const HeaderView h : *this)
      if (h.name == name) return h.value;
    return std::nullopt;
  }
  /// An owned copy.
  Headers copy() const {
    Headers out;
    for (const HeaderView h : *this) out.push_back({std::string(h.name), std::string(h.value)});
    return out;
  }
  std::string_view encoded() const noexcept { return encoded_; }

 private:
  const unsigned char* first() const { return reinterpret_cast<const unsigned char*>(encoded_.data()); }
  const unsigned char* last() const { return first() + encoded_.size(); }
  std::string_view encoded_;
};

/// Where a dead letter comes from and how it died (S-24); empty for other messages.
struct DeadLetterInfo;

/// A message as the broker gives it out: by a delivery or by browse. The views stay valid as long as this object or a
/// copy of it lives; copying shares the bytes. A small message may share its buffer with its neighbours of the same
/// commit (at most 64 KiB, so a message kept for long pins no more than that).
struct StoredMessage {
  std::shared_ptr<const std::string> topic_name{};
  Offset offset{};            ///< its place in the topic; of a redriven message, the place it had originally
  Time time{};                ///< when it was committed
  std::optional<Time> expires_at{};
  bool tombstone = false;     ///< a delete mark: its key has no value any more
  std::string_view key;
  std::string_view id;
  std::string_view content_type;
  HeadersView headers{};
  Payload payload{};
  std::shared_ptr<const DeadLetterInfo> dead_letter{};  ///< set for messages of a `_dlq.` topic
  std::shared_ptr<const void> owner{};                  ///< keeps the views alive

  const std::string& topic() const noexcept { return *topic_name; }
};

/// What happened to one published message.
struct Published {
  Offset offset{};           ///< of a duplicate: the first one's, or kNoOffset when only the session still knows of it
  bool duplicate = false;  ///< it was stored before and not again (S-6)
  std::string schedule{};    ///< of a message that waits for its time (S-7): its schedule id; offset is kNoOffset then. Empty: it is in the log
};
inline constexpr Offset kNoOffset{~std::uint64_t{0}};

/// A message of a batch, with the topic it goes to.
struct TopicMessage {
  std::string topic{};
  Message message{};
};

/// A producer session (S-6): publishes carry the session's name and rising sequence numbers, so that a retry after
/// `outcome_unknown` stores nothing twice, and what one producer sends is committed in that order or not at all.
/// A session is of durable or of ephemeral topics: under one name those are two sessions.
struct SessionPosition {
  std::string session{};         ///< chosen by the producer, ≤ 128 bytes, unique to it
  std::uint64_t sequence = 0;  ///< of the first message of the request, from 1; its others count on from there
};

/// What is expected of a topic before a publish or a transaction: that its last message, or the last with some key, has this offset. If it is not so, the
/// answer is `conflict` and nothing is stored. A repetition of what is stored already (S-6) is a duplicate whatever it expects.
struct ExpectedLast {
  std::string topic{};
  /// Only messages with this key count. The topic must have TopicOptions::track_keys (`failed_precondition`).
  std::optional<std::string> key{};
  Offset last = kNoOffset;   ///< kNoOffset: there never was one
};

/// One publish: messages for one topic (`topic` and `messages`), or for several (`batch`). All of it is stored, or nothing (S-9).
/// Limits: 10,000 messages and 65 MiB a request.
struct PublishRequest {
  std::string topic{};
  std::vector<Message> messages{};
  std::vector<TopicMessage> batch{};
  std::optional<Durability> durability{};      ///< default: the topic's
  std::optional<SessionPosition> session{};
  std::vector<ExpectedLast> expected{};        ///< what must be so, or `conflict`; ≤ 1,000
};
struct PublishResult {
  std::vector<Published> messages{};  ///< in the order of the request: `messages` first, then `batch`
  Time time{};                        ///< when it was committed; of scheduled messages alone, when they were taken
};

}  // namespace weir
