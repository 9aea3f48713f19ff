// The reference: what a broker must answer, kept in plain maps and vectors so that it can be seen to be right.
// Where the contract leaves something open (which key comes first, how long a jittered delay is), the reference keeps the range of
// what is allowed and takes over what the broker chose.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "weir/broker.h"

namespace weir::model {

/// The broker did what the reference forbids.
class Mismatch : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Throws Mismatch with a streamed text.
#define MODEL_EXPECT(condition, text)                                                     \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      std::ostringstream model_expect_out;                                                \
      model_expect_out << text << "  [" #condition "]";                                   \
      throw ::weir::model::Mismatch(model_expect_out.str());                              \
    }                                                                                     \
  } while (false)

inline std::int64_t ms(Time time) { return time.time_since_epoch().count(); }

struct RefMessage {
  std::string payload, key, id;
  Headers headers;
  std::int64_t time = 0;
  std::int64_t expires = 0;  ///< 0: never
};

struct RefTopic {
  std::string name;
  TopicId id;
  TopicOptions options;
  std::vector<RefMessage> messages;                                       ///< by offset: dense by construction
  std::map<std::string, std::pair<std::uint64_t, std::int64_t>> ids;       ///< id → offset and time of the last storing
  std::uint64_t first_seen = 0;                                            ///< TopicInfo::first never goes back
};

enum class RefState { kReady, kLeased, kWaiting, kDone, kDead, kUnwanted };

/// A message in a group's eyes; `letter` is 0, or 1 + the dead letter that was given back.
struct RefItem {
  std::uint64_t offset = 0, letter = 0;
  std::string key;               ///< what orders it; empty: nothing
  RefState state = RefState::kReady;
  bool optional = false;         ///< the contract leaves open whether it is still delivered
  bool handed_out = false;       ///< at least once
  std::uint32_t failures = 0, deliveries_min = 0, deliveries_max = 0, redrives = 0;
  std::int64_t due_min = 0, due_max = 0;
  std::int64_t expires = 0;
  std::string error;             ///< the last one; empty: the broker's own words
  // While leased.
  std::uint64_t epoch = 0, fetch = 0, place = 0, member = 0;
  std::int64_t lease_until = 0;
  bool begun = false;

  bool settled() const { return state == RefState::kDone || state == RefState::kDead || state == RefState::kUnwanted; }
  bool expired(std::int64_t now) const { return expires != 0 && expires <= now; }
};

struct RefLetter {
  std::uint64_t origin = 0;
  DeathReason reason{};
  std::uint32_t failures_min = 0, failures_max = 0, deliveries_min = 0, deliveries_max = 0, redrives = 0;
  std::string error;            ///< empty: not checked
  LetterState state = LetterState::kDead;
  std::string key;              ///< what orders it
  bool holds = false;           ///< while it is dead, its key waits (S-25)
};

using ItemKey = std::pair<std::uint64_t, std::uint64_t>;  ///< offset, letter

/// A group's progress on one topic.
struct RefProgress {
  std::map<ItemKey, RefItem> items;
  std::vector<RefLetter> letters;        ///< by their offset in the dead-letter topic
  std::vector<RefLetter> deaths;         ///< that happened and whose letter has not been seen yet
  std::uint64_t acked = 0;               ///< since open
};

struct RefGroup {
  std::string source, name;
  GroupId id;
  GroupOptions options;
  bool paused = false;
  std::map<std::string, RefProgress> topics;
};

enum class TokenState { kLive, kSettled, kVoid };
/// Every token that was ever given out.
struct RefToken {
  Token token;
  std::string source, group, topic;
  GroupId group_id;
  ItemKey item;
  TokenState state = TokenState::kLive;
  Settle kind{};
  std::int64_t settled_at = 0;
  bool overtaken = false;   ///< a newer delivery of the message exists, or the store was reopened
};

/// The whole broker. Not thread-safe; all times are milliseconds of the broker's clock.
class Reference {
 public:
  std::map<std::string, RefTopic> topics;
  std::map<std::pair<std::string, std::string>, RefGroup> groups;   ///< by source and name
  std::map<std::string, std::uint64_t> sessions;                    ///< the last sequence number
  std::vector<RefToken> tokens;
  std::uint64_t last_epoch = 0;
  std::int64_t now = 0;

  static bool source_matches(const std::string& source, const std::string& topic);

  void add_topic(const TopicInfo& info);
  void remove_topic(const std::string& name);
  /// Start offsets by topic, as the broker chose them within what is allowed.
  RefGroup& add_group(const GroupInfo& info, const std::map<std::string, std::uint64_t>& starts);
  void append(RefTopic& topic, RefMessage message);
  /// The offset of the message with that id inside the dedup window.
  std::optional<std::uint64_t> find_id(const RefTopic& topic, const std::string& id) const;

  /// One fetch's deliveries, in their order: each must be allowed.
  void fetched(RefGroup& group, const FetchRequest& request, const std::vector<Delivered>& deliveries, std::uint64_t fetch);
  /// A message that there is to be had: a fetch must be answered with at least one. Empty: none.
  std::string must_deliver(const RefGroup& group, std::uint64_t member) const;
  void begun(RefToken& token);
  /// What the broker answered to a settlement; changes the state when it is OK.
  void settled(const Settlement& settlement, const Status& answer);
  /// Leases that are over by now. The broker has done the same already.
  void expire_leases();
  void leave(RefGroup& group, std::uint64_t member);
  void seek(RefGroup& group, const std::string& topic, std::uint64_t to);
  void change_filter(RefGroup& group, const Filter& filter);
  /// New letters as the broker lists them; each must be a death that happened, or a message that expired.
  void letter_seen(RefGroup& group, const std::string& topic, const DeadLetter& letter);
  void redrive(RefGroup& group, const std::string& topic, std::uint64_t letter);
  void discard(RefGroup& group, const std::string& topic, std::uint64_t letter, bool restore);
  /// The option is turned off, or the group was sought: what is dead holds nothing any more.
  static void free_keys(RefProgress& progress);
  static std::uint64_t holding(const RefProgress& progress);
  /// A clean close and an open.
  void reopened();

  std::uint64_t leased(const RefGroup& group, const std::string* topic = nullptr) const;
  std::uint64_t leased_by(const RefGroup& group, std::uint64_t member) const;
  /// Every message of every group is in exactly one state, and the counters agree with each other.
  void check_invariants() const;
  RefItem* find_item(const RefToken& token);
  RefToken* find_token(const Token& token);

 private:
  bool acknowledged(const RefToken& token) const;
  static bool held(const RefProgress& progress, const std::string& key);
  const RefItem* in_the_way(const RefProgress& progress, const RefItem& item, std::uint64_t fetch) const;
  void void_chain(RefGroup& group, RefProgress& progress, const RefItem& behind);
  void fail(RefGroup& group, RefProgress& progress, RefItem& item, std::optional<Duration> delay, std::int64_t at, const std::string& error);
  void die(const RefGroup& group, RefProgress& progress, RefItem& item, DeathReason reason, const std::string& error);
  void end_token(std::uint64_t epoch, TokenState state, Settle kind = {});
  std::string order_key(const RefGroup& group, const RefTopic& topic, const RefMessage& message) const;
  void add_item(RefGroup& group, RefProgress& progress, const RefTopic& topic, std::uint64_t offset);

  std::map<std::uint64_t, std::size_t> token_of_epoch_;
};

}  // namespace weir::model
