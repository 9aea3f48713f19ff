// Transactions of the driver: messages, settlements and state in one commit, or none of it.
#include "tests/model/driver.h"

namespace weir::model {

void Driver::transact() {
  const RefTopic* any = random_topic();
  if (!any) return;
  const bool ephemeral = any->options.ephemeral;
  CommitRequest request;
  for (std::uint64_t i = dice_.below(5); i > 0; --i) {
    const RefTopic* topic = random_topic();
    if (topic->options.ephemeral == ephemeral) request.publishes.push_back({topic->name, random_message(*topic)});
  }
  std::vector<RefToken*> live;
  for (RefToken* token : live_tokens())
    if (const auto topic = reference_.topics.find(token->topic); topic != reference_.topics.end() && topic->second.options.ephemeral == ephemeral) live.push_back(token);
  // Acks first: what is not acked gives later messages of its key back, and nothing behind it shall be lost by that.
  for (std::uint64_t i = dice_.below(4); i > 0 && !live.empty(); --i) {
    const std::size_t at = dice_.below(live.size());
    request.settlements.push_back(i == 1 ? random_settlement(live[at]->token) : Settlement::ack(live[at]->token));
    live.erase(live.begin() + static_cast<std::ptrdiff_t>(at));
  }
  const bool with_state = !ephemeral || options_.ephemeral_only;
  const std::string key = "key " + std::to_string(dice_.below(20)), value = std::to_string(next_payload_++);
  const bool erases = dice_.percent(25);
  if (with_state && erases) request.erases = {key};
  if (with_state && !erases) request.puts = {{key, value}};
  if (!ephemeral) request.durability = dice_.percent(20) ? Durability::kPower : Durability::kProcess;
  const bool wrong = dice_.percent(20);
  if (wrong) request.publishes.insert(request.publishes.begin() + static_cast<std::ptrdiff_t>(dice_.below(request.publishes.size() + 1)), {"nowhere", {}});
  note("transaction of " + std::to_string(request.publishes.size()) + " messages, " + std::to_string(request.settlements.size()) + " settlements" + (wrong ? ", to be refused" : ""));
  for (const Settlement& s : request.settlements)
    note("  settle " + std::string(to_string(s.kind)) + " " + std::to_string(s.token.offset.value) + (s.token.redrive ? "r" : "") + "@" + std::to_string(s.token.epoch.value & 0xffffffff));
  const auto answer = broker_->commit(request);
  if (wrong) {
    MODEL_EXPECT(answer.code() == ErrorCode::topic_not_found, "a transaction to nowhere: " << answer.status());
    return check_state();
  }
  MODEL_EXPECT(answer.ok(), "transaction: " << answer.status());
  for (const Settlement& s : request.settlements) reference_.settled(s, {});
  stored(request.publishes, answer->publishes, reference_.now);
  if (with_state && erases) state_.erase(key);
  if (with_state && !erases) state_[key] = value;
  if (dice_.percent(20)) check_state();
}

void Driver::check_state() {
  const auto all = broker_->scan_state({});
  MODEL_EXPECT(all.ok() && all->end, "scan of the state: " << all.status());
  MODEL_EXPECT(all->entries.size() == state_.size(), all->entries.size() << " entries of state instead of " << state_.size());
  for (const StatePut& entry : all->entries) {
    const auto at = state_.find(entry.key);
    MODEL_EXPECT(at != state_.end() && at->second == entry.value, "state: " << entry.key << " is " << entry.value);
  }
}

}  // namespace weir::model
