// A cursor with a log of its own: messages are keys, time is a number.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "broker/base/hash.h"
#include "broker/core/cursor.h"

namespace weir::core {

class MapSpill final : public SpillIndex {
 public:
  void append(std::uint64_t key, std::span<const std::uint64_t> offsets) override { chunks_[key].emplace_back(offsets.begin(), offsets.end()); }
  std::optional<std::vector<std::uint64_t>> take_first(std::uint64_t key) override {
    auto& queue = chunks_[key];
    if (queue.empty()) return std::nullopt;
    std::vector<std::uint64_t> out = std::move(queue.front());
    queue.erase(queue.begin());
    return out;
  }
  void clear() override { chunks_.clear(); }

 private:
  std::map<std::uint64_t, std::vector<std::vector<std::uint64_t>>> chunks_;
};

class NoMarks final : public MarkSink {
 public:
  void finished(std::uint32_t) override {}
};

struct Taken {
  std::uint32_t slot;
  Offset offset;
  Token token;
};

/// A log of keyed messages, a cursor on it, and a clock that is moved by hand.
struct CursorStory {
  GroupOptions options;
  MapSpill spill;
  NoMarks marks;
  SuspectGate gate;
  Flight flight;
  base::Prng random{1};
  std::uint64_t next_epoch = 1;
  std::uint64_t next_fetch = 1;
  std::int64_t now = 1'000'000;
  std::vector<LogMessage> log;
  Cursor cursor;

  explicit CursorStory(GroupOptions o = {}) : options(std::move(o)), cursor(environment(), Offset{}) { options.backoff.jitter = false; }

  Cursor::Environment environment() {
    Cursor::Environment e;
    e.options = &options;
    e.spill = &spill;
    e.gate = &gate;
    e.random = &random;
    e.flight = &flight;
    e.marks = &marks;
    e.next_epoch = &next_epoch;
    e.member_name = [](MemberId id) { return "member" + std::to_string(id.value); };
    return e;
  }
  void publish(std::string_view key = {}, std::int64_t expires_ms = 0, bool wanted = true) {
    log.push_back({Offset{log.size()}, key.empty() ? 0 : base::hash64(key, 7) | 1, expires_ms, 1, wanted});
  }
  /// What a reopened store knows of a message that failed once and is due.
  void load_due_retry(Offset offset) {
    Item item;
    item.id = {offset, 0};
    item.key_hash = log[offset.value].key_hash;
    item.failures = 1;
    item.due_ms = now - 1;
    cursor.load(std::move(item), now);
  }
  /// One fetch: what came back first, then the log.
  std::vector<Taken> fetch(std::uint32_t room = 100, bool begun = true) {
    cursor.tick(now);
    Taking taking;
    taking.fetch = next_fetch++;
    taking.begun = begun;
    taking.now_ms = now;
    taking.lease_ms = options.lease.count();
    taking.room = room;
    taking.bytes_room = 1u << 30;
    cursor.take_returned(taking);
    while (!taking.full() && cursor.may_look() && cursor.seek_unseen(Offset{log.size()}))
      if (!cursor.look(log[cursor.next().value], taking)) break;
    cursor.take_returned(taking);   // looking at the log may have reached what was loaded
    std::vector<Taken> out;
    for (const std::uint32_t slot : taking.slots) {
      const Item& item = cursor.item(slot);
      out.push_back({slot, item.id.offset, {GroupId{1}, TopicId{1}, item.id.offset, item.id.letter, Epoch{item.epoch}, slot}});
      if (begun) cursor.begin(slot, kNoSlot);
    }
    cursor.check_invariants();
    return out;
  }
  ErrorCode settle(Settlement settlement) {
    const ErrorCode code = cursor.settle(settlement, now);
    cursor.check_invariants();
    return code;
  }
  ErrorCode ack(const Taken& t) { return settle(Settlement::ack(t.token)); }
  ErrorCode retry(const Taken& t, std::optional<Duration> delay = {}) { return settle(Settlement::retry(t.token, "no", delay)); }
  void later(Duration by) { now += by.count(); }
};

}  // namespace weir::core
