// A group's progress on one topic: what is settled, leased, waiting, blocked, and what is handed out next.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "broker/base/prng.h"
#include "broker/core/item.h"
#include "broker/core/key_order.h"
#include "broker/core/settled_set.h"
#include "broker/core/suspect_gate.h"
#include "weir/admin.h"
#include "weir/delivery.h"
#include "weir/group.h"
#include "weir/types.h"

namespace weir::core {

/// What a cursor must know of a message in the log when it looks at it.
struct LogMessage {
  Offset offset;
  std::uint64_t key_hash = 0;     ///< 0: no order to keep (the engine maps Order to it)
  std::int64_t expires_ms = 0;    ///< 0: never
  std::uint64_t bytes = 0;
  bool wanted = true;             ///< passes the group's filter
  bool gone = false;              ///< not wanted since compaction took it: nobody filtered it out
};

/// Who fetches, and what it may still take.
struct Taking {
  std::uint64_t fetch = 0;        ///< unique to the call
  MemberId member;
  bool begun = false;             ///< hand-over is begun
  std::int64_t now_ms = 0;
  std::int64_t lease_ms = 0;
  std::int64_t extend_until_ms = 0;
  std::uint32_t room = 0;         ///< messages it may still take
  std::uint64_t bytes_room = 0;   ///< payload bytes likewise; the first message always goes
  bool alone = false;             ///< a suspect was taken: nothing else goes with it
  std::vector<std::uint32_t> slots;  ///< what was granted, in order

  bool full() const noexcept { return alone || room == 0; }
};

/// A message that the group gave up on: what the engine must write to the dead letters, with everything that belongs to it.
struct Death {
  ItemId id;
  DeathReason reason = DeathReason::kMaxAttempts;
  std::uint32_t deliveries = 0;
  std::uint32_t failures = 0;
  std::uint32_t redrives = 0;
  History history;
  std::uint64_t held_key = 0;   ///< it holds that key, from when it died (S-25); 0: none
};

/// What an operator does to one message.
struct Operation {
  Offset offset;
  MessageAct act = MessageAct::kAck;
  std::string error;
  std::string who;
  bool in_log = false;            ///< the message is in the log, and its key hash is this:
  std::uint64_t key_hash = 0;
};

/// A retry record that must be written or erased with the next commit.
struct RecordChange {
  ItemId id;
  const Item* item = nullptr;  ///< nullptr: erase
};

/// A record of a dead letter that holds its key, to be written or erased with the next commit.
struct HoldChange {
  std::uint64_t letter = 0;     ///< its offset in the dead-letter topic
  std::uint64_t key_hash = 0;   ///< 0: erase
};

/// How much a group has in flight, over all its topics.
struct Flight {
  std::uint64_t leased = 0;
  absl::flat_hash_map<std::uint64_t, std::uint32_t> by_member;  ///< joined members only
};

/// Where the begun marks are (engine/marks.h).
class MarkSink {
 public:
  virtual ~MarkSink() = default;
  /// The handler of this mark has ended; the mark stays until the settlement is written.
  virtual void finished(std::uint32_t mark) = 0;
};

/// Why a message that was leased is not delivered: it is past its ttl, retention took its body, or the filter was changed while it waited behind its key.
enum class Undeliverable : std::uint8_t { kExpired, kLost, kFiltered };

/// Totals since open.
struct CursorTotals {
  std::uint64_t delivered = 0, acked = 0, retried = 0, released = 0, expired_leases = 0, expired = 0, filtered = 0, dead_lettered = 0;
};

/// Operation. The engine shows it the log in order (look) and asks it for what came back (take_returned, take_blocked); the cursor decides and
/// leases. Settlements change it at once; what must be written is collected per commit (collect), always as absolute values, so
/// a write can be repeated. Time is an argument everywhere.
///
/// Invariants. (1) An offset below next() is settled, or an item, or blocked behind its key. (2) A key's messages are handed out in
/// offset order, and none while another is leased by a different fetch or waits. (3) A slot's epoch only rises.
///
/// Concurrency: none; the engine's lock guards it.
class Cursor {
 public:
  struct Environment {
    const GroupOptions* options = nullptr;             ///< the group's, as they stand
    SpillIndex* spill = nullptr;
    SuspectGate* gate = nullptr;
    base::Prng* random = nullptr;
    Flight* flight = nullptr;
    MarkSink* marks = nullptr;
    std::uint64_t* next_epoch = nullptr;               ///< the store's
    std::function<std::string(MemberId)> member_name;
  };

  explicit Cursor(Environment environment, Offset start) : env_(std::move(environment)), next_(start) { settled_.reset(start); }
  Cursor(const Cursor&) = delete;
  Cursor& operator=(const Cursor&) = delete;
  ~Cursor();

  // --- Handing out ---------------------------------------------------------------------------------------------------
  /// The first offset that was not looked at.
  Offset next() const noexcept { return next_; }
  /// Moves next() over what is settled or known already. True when there is something to look at before `end`.
  bool seek_unseen(Offset end);
  /// Looks at the message at next(): leases it to `taking`, blocks it behind its key, settles it (expired, unwanted), and moves on.
  /// False: `taking` is full, and the message was not looked at.
  bool look(const LogMessage& message, Taking& taking);
  /// True when new messages may be looked at: neither waiting_max nor kHoldsMax is reached.
  bool may_look() const noexcept { return waiting_.size() < env_.options->waiting_max && held_.size() < kHoldsMax; }
  /// Leases what came back and has no key to wait for, and the next messages of keys that became free.
  void take_returned(Taking& taking);
  /// True when take_returned would find something.
  bool has_returned() const noexcept { return !ready_items_.empty() || !ready_keys_.empty(); }

  // --- Deliveries ----------------------------------------------------------------------------------------------------
  const Item& item(std::uint32_t slot) const { return items_[slot]; }
  /// The leased item of a token, or why there is none: lease_lost, already_settled.
  ErrorCode find(const Token& token, std::uint32_t& slot) const;
  /// The handler starts: counts the delivery. `mark` is where the engine noted it.
  void begin(std::uint32_t slot, std::uint32_t mark);
  /// Ends a delivery, or extends it; ok, lease_lost or already_settled. A settlement that was made before is answered as it was (S-14).
  ErrorCode settle(const Settlement& settlement, std::int64_t now_ms);
  /// What settle() would do, if a repetition did not count: ok (the leased item is in `slot`), lease_lost or already_settled. Changes nothing.
  ErrorCode check_settle(const Token& token, Settle kind, std::int64_t now_ms, std::uint32_t& slot) const;
  /// A leased message turned out not to be for delivery.
  void drop(std::uint32_t slot, Undeliverable why, std::int64_t now_ms);
  /// A lease that nobody was told of ends as if it had not been. Of a key's, the last first.
  void take_back(std::uint32_t slot);
  /// Gives back what a member holds and has not begun (`all`: begun ones too), uncounted.
  void release_member(MemberId member, bool all, std::int64_t now_ms);
  void release_all(std::int64_t now_ms);

  // --- Time ----------------------------------------------------------------------------------------------------------
  /// When tick() has something to do; nothing: never.
  std::optional<std::int64_t> next_event_ms() const;
  /// Expires leases and makes waiting messages ready.
  void tick(std::int64_t now_ms);

  // --- Administration -------------------------------------------------------------------------------------------------
  /// Voids leases and waiting retries and goes to `offset`; what was redriven stays.
  void seek(Offset offset, std::int64_t now_ms);
  /// Messages before `first` are gone (drop_oldest); answers how many of them were unsettled.
  std::uint64_t lose_before(Offset first, std::int64_t now_ms);
  /// A dead letter is given back: ahead of its key's undelivered messages.
  void redrive(ItemId id, std::uint64_t key_hash, std::uint32_t redrives, Time published);
  /// Settles a message in whatever state it is, gives up on it, or ends its wait; its token is void then, and the rest of its key flows. A letter that was given
  /// back is found by the offset of its origin. ok; already_settled; not_found; failed_precondition: it does not wait, so it cannot be run now.
  ErrorCode operate(const Operation& operation, std::int64_t now_ms);
  /// At open: what a retry record says. Charges of a crash are already in it.
  void load(Item item, std::int64_t now_ms);
  /// The gate has opened: what waited for it may go.
  void gate_opened();

  // --- Dead letters that hold their key (S-25) --------------------------------------------------------------------------
  static constexpr std::size_t kHoldsMax = 100'000;   ///< past it nothing new is handed out until some are resolved
  /// The death that holds `key_hash` has become this letter.
  void held_by(std::uint64_t letter, std::uint64_t key_hash);
  /// At open: what a record says.
  void load_hold(std::uint64_t letter, std::uint64_t key_hash);
  /// The letter is redriven, discarded or gone: its key goes on, unless another one holds it.
  void release_hold(std::uint64_t letter);
  void release_holds_before(std::uint64_t letter);
  void release_holds();
  std::uint64_t holding() const noexcept { return held_.size(); }
  /// Records that changed since the last call.
  void collect_holds(const std::function<void(const HoldChange&)>& visit);

  // --- The death of the process: at open, after load -------------------------------------------------------------------
  /// Whether the hand-over with that epoch is neither settled nor counted in what was loaded.
  bool was_running(ItemId id, std::uint64_t epoch) const;
  std::uint32_t crashes_of(ItemId id) const;
  /// The handler had ended; only the delivery counts.
  void count_delivery(ItemId id, std::uint64_t epoch, std::uint64_t key_hash, std::int64_t now_ms);
  /// The handler was running: `alone`, or beside others; `named`: it has been there most often.
  void crash(ItemId id, std::uint64_t epoch, std::uint64_t key_hash, bool alone, bool named, std::int64_t now_ms);

  // --- What must be written -------------------------------------------------------------------------------------------
  bool dirty() const noexcept { return settled_.dirty() || !changed_records_.empty() || !changed_holds_.empty() || !deaths_.empty() || !finished_marks_.empty(); }
  /// Retry records that changed since the last call.
  void collect_records(const std::function<void(const RecordChange&)>& visit);
  std::vector<Death> take_deaths() { return std::exchange(deaths_, {}); }
  /// Begun marks whose settlement is part of what is collected now: free once that is written.
  std::vector<std::uint32_t> take_finished_marks() { return std::exchange(finished_marks_, {}); }
  bool has_deaths() const noexcept { return !deaths_.empty(); }
  /// The cursor is dropped: its marks are free at once.
  std::vector<std::uint32_t> drop_marks();
  SettledSet& settled() noexcept { return settled_; }
  const SettledSet& settled() const noexcept { return settled_; }

  // --- Figures ----------------------------------------------------------------------------------------------------------
  std::uint64_t leased() const noexcept { return leased_; }
  std::uint64_t waiting() const noexcept { return waiting_.size(); }
  std::uint64_t gated() const noexcept { return gated_.size(); }
  std::uint64_t redriven() const noexcept { return redriven_; }
  std::uint64_t blocked() const noexcept { return blocked_ + filling_ + spilled_; }
  std::uint64_t spilled() const noexcept { return spilled_; }
  std::optional<std::uint64_t> oldest_letter() const;   ///< offset of the oldest dead letter that is given back and not settled
  const CursorTotals& totals() const noexcept { return totals_; }
  Offset floor() const noexcept { return settled_.floor(); }
  /// Every invariant that can be checked cheaply; used by tests after each step.
  void check_invariants() const;

 private:
  static constexpr std::size_t kBlockedInMemoryMax = 8192;   ///< look-ahead bound per cursor
  static constexpr std::size_t kChunk = 512;                 ///< offsets per chunk of the spill index
  static constexpr std::int64_t kRepeatMs = 600'000;         ///< how long the same settlement again is OK
  static constexpr std::size_t kRecentMax = 100'000;

  struct Recent {
    std::uint64_t epoch;
    std::uint8_t kind;
    std::int64_t at_ms;
    std::int64_t listed_ms;   // its place in recent_order_
  };

  std::uint32_t new_slot();
  void free_slot(std::uint32_t slot);
  void grant(std::uint32_t slot, Taking& taking);
  void reach(std::uint32_t slot);
  bool suspect(const Item& item) const noexcept;
  bool gate_allows(const Item& item);
  void leave_gate(Item& item);
  void give_back(std::uint32_t slot, ItemState state);           // to kWaiting or kReady, in its key's place
  void make_ready(std::uint32_t slot);
  void end_lease(std::uint32_t slot);                            // counters, key, gate, mark
  void fail(std::uint32_t slot, Outcome outcome, std::string error, std::optional<Duration> delay, std::int64_t now_ms);
  void release(std::uint32_t slot, std::int64_t now_ms);
  void expire_leases(std::int64_t now_ms);
  void release_rest_of_chain(std::uint64_t key_hash, std::uint64_t after_epoch, std::int64_t now_ms);
  bool die_if_over(std::uint32_t slot, std::int64_t now_ms);
  void die(std::uint32_t slot, DeathReason reason, std::int64_t now_ms);
  void forget(std::uint32_t slot, std::uint8_t kind, std::int64_t now_ms);   // settled: the item goes
  void note_attempt(Item& item, Outcome outcome, std::string_view error, std::int64_t now_ms);
  static void add_attempt(History& history, Attempt attempt);
  void record_changed(Item& item);
  std::uint32_t slot_at(Offset offset) const;
  ErrorCode operate_on_item(std::uint32_t slot, const Operation& operation, std::int64_t now_ms);
  static void note_operator(Item& item, const Operation& operation, std::int64_t now_ms);
  std::uint32_t take_out(ItemId id, std::uint64_t key_hash);
  void remember(const ItemId& id, std::uint64_t epoch, std::uint8_t kind, std::int64_t now_ms);
  ErrorCode answer_past(const Token& token, Settle kind, std::int64_t now_ms) const;

  // key_order
  bool key_takes(const KeyState& state, const Taking& taking) const noexcept {
    return state.leased == 0 || state.fetch == taking.fetch;
  }
  std::uint64_t hold_key(std::uint64_t hash);
  void let_go(std::uint64_t hash);
  std::optional<std::uint32_t> next_returned(const KeyState& state) const;
  void block(std::uint64_t hash, Offset offset);
  std::optional<Offset> peek_blocked(std::uint64_t hash, Backlog& backlog);
  std::optional<Offset> next_blocked(std::uint64_t hash, Backlog& backlog);   // takes it out
  bool blocked_first(std::uint64_t hash, KeyState& state);
  void queue_key(std::uint64_t hash);
  void queue_key_if_free(std::uint64_t hash);
  void forget_key_if_idle(std::uint64_t hash);
  void take_key(std::uint64_t hash, Taking& taking);
  void insert_returned(std::uint32_t slot);
  void remove_returned(std::uint32_t slot);
  void key_leased(std::uint32_t slot, std::uint64_t fetch);
  void key_unleased(std::uint32_t slot);
  void flush_filling(std::uint64_t hash, Backlog& backlog);

  Environment env_;
  SettledSet settled_;
  Offset next_;
  std::vector<Item> items_;
  std::vector<std::uint32_t> free_;
  absl::flat_hash_map<ItemId, std::uint32_t> known_;      // items with a record, and all given back: found by id
  absl::flat_hash_map<std::uint64_t, KeyState> keys_;
  std::deque<std::uint32_t> ready_items_;                 // keyless items that came back
  std::deque<std::uint64_t> ready_keys_;
  std::vector<std::uint32_t> gated_;                      // ready, but the gate is taken
  std::set<std::pair<std::int64_t, std::uint32_t>> waiting_;
  std::set<std::uint64_t> letters_;                       // letters given back, by 1 + offset
  std::int64_t lease_check_ms_ = INT64_MAX;               // no lease ends before this
  std::uint64_t leased_ = 0, redriven_ = 0;
  std::uint64_t blocked_ = 0, filling_ = 0, spilled_ = 0;  // in memory, in chunks being filled, in the spill index
  std::uint64_t void_before_epoch_ = 0;                   // tokens before it are void by a seek
  absl::flat_hash_map<ItemId, Recent> recent_;            // settlements that the settled set cannot tell of
  std::deque<std::pair<std::int64_t, ItemId>> recent_order_;
  std::vector<ItemId> changed_records_;
  std::vector<Death> deaths_;
  std::map<std::uint64_t, std::uint64_t> held_;           // letters that hold their key → the key's hash
  std::set<std::uint64_t> changed_holds_;
  std::vector<std::uint32_t> finished_marks_;
  CursorTotals totals_;
};

}  // namespace weir::core
