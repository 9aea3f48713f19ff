// Transactions (S-28, S-29): planned, so that whatever is wrong with one changes nothing; then applied, in the commit that holds all of it.
#include "broker/base/check.h"
#include "broker/core/limits.h"
#include "broker/core/names.h"
#include "broker/core/schedule.h"
#include "broker/engine/answer.h"

namespace weir::engine {
namespace {

/// Limits that do not depend on the topic.
Status check_message(const Message& message, const Clock& clock) {
  static const TopicOptions widest{.payload_bytes_max = static_cast<std::uint32_t>(core::kPayloadBytesMax)};
  if (message.deliver_at || message.delay)
    if (const auto due = core::due_time(message, clock.now()); !due.ok()) return due.status();
  return core::validate_message(message, widest);
}

/// What the transaction writes, so that its request id is not used for another one. What it read does not count: a repetition may have read anew.
base::Hash128 content_of(const CommitRequest& request, std::uint64_t seed) {
  std::string all;
  const auto number = [&](std::uint64_t n) { format::append_u64(all, n); };
  const auto text = [&](std::string_view t) {
    const base::Hash128 hash = base::hash128(t, seed);
    number(hash.high);
    number(hash.low);
  };
  number(request.puts.size());
  for (const StatePut& put : request.puts) text(put.key), text(put.value);
  number(request.erases.size());
  for (const std::string& key : request.erases) text(key);
  number(request.publishes.size());
  for (const auto& [topic, message] : request.publishes) {
    text(topic), text(message.key), text(message.payload.text()), text(message.id), text(message.content_type);
    number(message.tombstone);
    number(message.headers.size());
    for (const Header& header : message.headers) text(header.name), text(header.value);
    number(message.ttl ? 1 + static_cast<std::uint64_t>(message.ttl->count()) : 0);
    number(message.delay ? 1 + static_cast<std::uint64_t>(message.delay->count()) : 0);
    number(message.deliver_at ? 1 + static_cast<std::uint64_t>(message.deliver_at->time_since_epoch().count()) : 0);
    number(message.delay ? 1 + static_cast<std::uint64_t>(message.delay->count()) : 0);
    number(message.tombstone);
  }
  number(request.settlements.size());
  for (const Settlement& each : request.settlements) {
    for (const std::uint64_t n : {each.token.group.value, each.token.topic.value, each.token.offset.value, each.token.redrive, each.token.epoch.value}) number(n);
    number(static_cast<std::uint64_t>(each.kind));
    number(each.delay ? 1 + static_cast<std::uint64_t>(each.delay->count()) : 0);
    text(each.error);
  }
  return base::hash128(all, seed);
}

}  // namespace

/// What planning has found.
struct Engine::Plan {
  Time now;
  const core::RequestState* before = nullptr;   ///< it has happened already
  const std::string* ephemeral = nullptr;       ///< one of the ephemeral topics in it
  const std::string* durable = nullptr;         ///< one of the durable ones
  std::uint64_t ephemeral_bytes = 0;
  Durability level = Durability::kProcess;
};

IdHashes Engine::hash_ids(const CommitRequest& request) const {
  IdHashes hashes;
  for (std::size_t i = 0; i < request.publishes.size(); ++i) {
    const std::string& id = request.publishes[i].message.id;
    if (id.empty()) continue;
    if (hashes.empty()) hashes.resize(request.publishes.size());
    hashes[i] = base::hash128(id, hash_seed_);
  }
  return hashes;
}

/// The level of a transaction that chooses none.
Durability Engine::default_level(const CommitRequest& request) const {
  if (!store_) return Durability::kMemory;
  Durability level = request.puts.empty() && request.erases.empty() ? Durability::kProcess : Durability::kPower;
  const TopicState* last = nullptr;
  for (const TopicMessage& each : request.publishes) {
    if (last == nullptr || *last->name != each.topic) last = find_topic(each.topic);
    level = std::max(level, last != nullptr ? last->options.durability : options_.topic_defaults.durability);
  }
  return level;
}

void Engine::async_commit(CommitRequest request, CallContext context, Callback<CommitResult> done) {
  const Use use(*this);
  Status usable = check_usable();
  std::size_t bytes = 0;
  if (usable.ok()) usable = core::validate(request, bytes);
  for (std::size_t i = 0; usable.ok() && i < request.publishes.size(); ++i) usable = check_message(request.publishes[i].message, *options_.clock);
  if (usable.ok()) usable = check_in_time(context);
  if (usable.ok() && state_ == StoreState::kStopped) usable = stopped_status();
  if (!usable.ok()) return answer<CommitResult>(std::move(done), usable, context);
  Result<std::unique_ptr<KeyLasts>> lasts = look_up_keys(request.expected);
  if (!lasts.ok()) return answer<CommitResult>(std::move(done), lasts.status(), context);
  auto op = std::make_unique<Op>();
  op->transaction = std::make_unique<TransactionOp>();
  TransactionOp& transaction = *op->transaction;
  transaction.request = std::move(request);
  transaction.done = std::move(done);
  transaction.ids = hash_ids(transaction.request);
  if (!transaction.request.request_id.empty()) transaction.content = content_of(transaction.request, hash_seed_);
  op->key_lasts = std::move(*lasts);
  op->bytes = bytes;
  op->caller_waits = context.caller_waits;
  if (transaction.request.durability) {
    op->level = *transaction.request.durability;
  } else {
    Lock lock(core_);
    op->level = default_level(transaction.request);
  }
  submit(std::move(op), context);
}

/// Decides a transaction: all of it happens in this commit, or it is refused and nothing has changed.
Status Engine::decide_transaction(Op& op, Commit& commit, After& after) {
  TransactionOp& transaction = *op.transaction;
  CommitRequest& request = transaction.request;
  Plan plan;
  plan.now = options_.clock->now();
  if (Status planned = plan_transaction(op, plan); !planned.ok()) return planned;
  if (plan.before != nullptr) {
    transaction.result.publishes = plan.before->publishes;
    transaction.result.version = plan.before->version;
    return {};
  }
  if (!store_) plan.ephemeral_bytes += memory_needed(request);
  if (plan.ephemeral_bytes > 0 && ephemeral_bytes_ + plan.ephemeral_bytes > options_.ephemeral_bytes_max && !make_ephemeral_room(plan.ephemeral_bytes))
    return {ErrorCode::full, "ephemeral topics and state hold " + std::to_string(ephemeral_bytes_) + " bytes that are needed still; ephemeral_bytes_max is " +
                                 std::to_string(options_.ephemeral_bytes_max)};
  op.level = plan.level;

  // From here on nothing is refused. Settlements go first: what is published may push an ephemeral topic over its cap, and void their leases.
  bool durable = false;
  for (const Settlement& settlement : request.settlements) {
    const Status settled = settle_one(settlement, plan.now.time_since_epoch().count(), durable, after);
    WEIR_CHECK(settled.ok(), "a settlement that was planned was refused: " << settled);
  }
  transaction.result.version = version_of(commit.number);
  const Status published = apply_publishes(transaction, plan, commit, after);
  WEIR_CHECK(published.ok(), "a publish that was planned was refused: " << published);
  if (!request.request_id.empty()) remember_request(transaction, plan, commit, plan.now);
  write_state(request, commit);
  return {};
}

/// Everything that can be wrong. Changes nothing.
Status Engine::plan_transaction(const Op& op, Plan& plan) const {
  const TransactionOp& transaction = *op.transaction;
  const CommitRequest& request = transaction.request;
  const Status room = publishable();
  if (!room.ok() && room.code() != ErrorCode::storage_full) return room;
  if (!request.request_id.empty()) {
    plan.before = requests_.find(request.request_id, plan.now);
    if (plan.before != nullptr && plan.before->content == transaction.content) return {};
    if (plan.before != nullptr) return {ErrorCode::invalid_argument, "request_id: \"" + request.request_id + "\" was used for a transaction that wrote something else"};
  }
  // What makes nothing larger goes on from the reserve (S-32).
  if (!room.ok() && (!request.publishes.empty() || !request.puts.empty())) return room;
  if (Status unchanged = check_unchanged(request.read_version, request.reads, request.scanned); !unchanged.ok()) return unchanged;
  if (Status planned = plan_settlements(request, plan); !planned.ok()) return planned;
  if (Status planned = plan_publishes(request, plan); !planned.ok()) return planned;
  if (Status expected = check_expected(request.expected, op.key_lasts.get()); !expected.ok()) return expected;

  static const std::string kState = "the application's state";
  const bool state = !(request.puts.empty() && request.erases.empty() && request.reads.empty() && request.scanned.empty());
  if (state && store_) plan.durable = &kState;
  if (plan.ephemeral != nullptr && plan.durable != nullptr)
    return {ErrorCode::invalid_argument, "topic: durable (" + *plan.durable + ") and ephemeral (" + *plan.ephemeral + ") do not mix in one transaction"};
  if (plan.ephemeral != nullptr || !store_) {
    if (request.durability && *request.durability != Durability::kMemory)
      return {ErrorCode::invalid_argument, "durability: ephemeral topics have `memory` only"};
    plan.level = Durability::kMemory;
    return {};
  }
  plan.level = request.durability.value_or(default_level(request));
  if (plan.level == Durability::kMemory) return {ErrorCode::invalid_argument, "durability: memory is for ephemeral topics; choose process or power"};
  return {};
}

Status Engine::plan_settlements(const CommitRequest& request, Plan& plan) const {
  const std::int64_t now = plan.now.time_since_epoch().count();
  // Of a key's messages that one fetch took, those behind one that is not acked go back (S-13): from which epoch on.
  absl::flat_hash_map<std::pair<const CursorState*, std::uint64_t>, std::uint64_t> given_back;
  for (const Settlement& each : request.settlements) {
    const std::string offset = "offset " + std::to_string(each.token.offset.value);
    const CursorState* state = cursor_of(each.token);
    if (state == nullptr) return {ErrorCode::lease_lost, offset + ": the group or the topic is gone"};
    std::uint32_t slot = 0;
    const ErrorCode code = state->cursor->check_settle(each.token, each.kind, now, slot);
    if (code == ErrorCode::already_settled) return {code, offset + " was settled before"};
    if (code != ErrorCode::ok) return {code, offset + ": the token is not the newest any more"};
    (state->topic->options.ephemeral ? plan.ephemeral : plan.durable) = state->topic->name.get();
    const core::Item& item = state->cursor->item(slot);
    if (item.key_hash == 0) continue;
    const auto found = given_back.find({state, item.key_hash});
    if (found != given_back.end() && item.epoch > found->second)
      return {ErrorCode::lease_lost, offset + ": a settlement before it in the transaction does not ack an earlier message of its key, and so gives this one back"};
    if (each.kind != Settle::kAck) given_back[{state, item.key_hash}] = item.epoch;
  }
  return {};
}

Status Engine::plan_publishes(const CommitRequest& request, Plan& plan) const {
  const TopicState* topic = nullptr;
  absl::flat_hash_map<std::string_view, std::uint64_t> bytes_more;   // for each topic that has a cap
  std::optional<TopicState> made;   // stands for one that will be
  for (const auto& [name, message] : request.publishes) {
    if (topic == nullptr || *topic->name != name) topic = find_topic(name);
    if (topic == nullptr) {
      Status missing = topic_missing(name);
      if (!options_.auto_create_topics || missing.code() != ErrorCode::topic_not_found || core::is_internal(name)) return missing;
      if (!store_ && !options_.topic_defaults.ephemeral) return {ErrorCode::invalid_argument, "ephemeral: a broker without a disk has ephemeral topics only"};
      made.emplace();
      made->name = std::make_shared<const std::string>(name);
      made->options = options_.topic_defaults;
    }
    const TopicState& to = topic != nullptr ? *topic : *made;
    const std::uint64_t bytes = core::message_bytes(message) + (to.options.ephemeral ? sizeof(Message) : 0);
    const std::uint64_t more = to.options.bytes_max == 0 ? 0 : bytes_more[name] += bytes;
    if (Status checked = check_for_topic(to, message, more); !checked.ok()) return checked;
    (to.options.ephemeral ? plan.ephemeral : plan.durable) = &name;
    if (to.options.ephemeral) plan.ephemeral_bytes += bytes;
  }
  return {};
}

/// Each message gets its place. Messages of ephemeral topics are handed over; those of durable ones stay in the request until they are written.
Status Engine::apply_publishes(TransactionOp& transaction, const Plan& plan, Commit& commit, After& after) {
  std::vector<TopicMessage>& publishes = transaction.request.publishes;
  transaction.result.publishes.reserve(publishes.size());
  PublishResult ephemeral;
  TopicState* topic = nullptr;
  for (std::size_t i = 0; i < publishes.size(); ++i) {
    const std::string& name = publishes[i].topic;
    if (topic == nullptr || *topic->name != name) topic = find_topic(name);
    if (topic == nullptr) {
      Result<TopicPtr> made = make_topic(name, options_.topic_defaults, {}, {}, commit.set, after);
      if (!made.ok()) return made.status();
      topic = made->get();
    }
    if (topic->options.ephemeral) {
      std::vector<Message> one;
      one.push_back(std::move(publishes[i].message));
      add_ephemeral(*topic, std::move(one), plan.now, ephemeral, after);
      transaction.result.publishes.push_back(ephemeral.messages.back());
      continue;
    }
    const Message& message = publishes[i].message;
    const bool has_id = !message.id.empty() && topic->options.dedup_window.count() > 0;
    transaction.result.publishes.push_back(place(*topic, message, has_id ? &transaction.ids[i] : nullptr, plan.level, commit, plan.now));
  }
  return {};
}

/// With the commit that it is of.
void Engine::remember_request(const TransactionOp& transaction, const Plan& plan, Commit& commit, Time now) {
  const std::string& id = transaction.request.request_id;
  core::RequestState state{transaction.content, now, transaction.result.version, transaction.result.publishes};
  if (plan.ephemeral == nullptr && store_)
    commit.set.put(format::request_key(id), format::encode(format::RequestRecord{state.content.high, state.content.low, now, state.version, state.publishes}));
  for (const std::string& forgotten : requests_.record(id, std::move(state)))
    if (store_ && forgotten != id) commit.set.erase(format::request_key(forgotten));
}

}  // namespace weir::engine
