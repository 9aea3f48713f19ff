// A transaction as it is put together: what it writes gathers here, what it read is noted for the commit.
#include "weir/transaction.h"

#include <algorithm>
#include <utility>

#include "weir/broker.h"

namespace weir {

StateRange StateRange::prefix(std::string_view text) {
  StateRange range{std::string(text), std::string(text)};
  while (!range.end.empty() && range.end.back() == '\xff') range.end.pop_back();
  if (!range.end.empty()) range.end.back() = static_cast<char>(static_cast<unsigned char>(range.end.back()) + 1);
  return range;
}

struct Transaction::Impl {
  using Writes = std::map<std::string, std::optional<std::string>, std::less<>>;   // key → value; nothing: erased
  using Joined = std::shared_ptr<Delivery::Joined>;

  Impl(Broker& b, TransactionOptions o) : broker(b), options(std::move(o)), begun(b.clock().now()) {}

  Broker& broker;
  const TransactionOptions options;
  const Time begun;
  bool ended = false;
  Status wrong;                       // the first thing that was
  std::size_t bytes = 0;
  Writes writes;
  std::vector<TopicMessage> publishes;
  std::vector<Settlement> settlements;
  std::vector<ExpectedLast> expected;
  std::vector<Joined> joined;         // the deliveries that it settles
  std::optional<std::uint64_t> version;   // of the first read
  std::vector<std::string> reads;
  std::vector<StateRange> scanned;

  bool open() {
    if (ended && wrong.ok()) fail({ErrorCode::failed_precondition, "the transaction has ended"});
    return wrong.ok();
  }
  void fail(Status status) {
    if (wrong.ok()) wrong = std::move(status);
  }
  /// Whether there is room for one more in a list of `count`, and for its bytes.
  bool room(const char* what, std::size_t count, std::size_t more, std::size_t count_max = kTransactionOperationsMax) {
    if (!open()) return false;
    bytes += more;
    if (count >= count_max)
      fail({ErrorCode::limit_exceeded, std::string(what) + ": more than " + std::to_string(count_max) + " in one transaction"});
    else if (bytes > kTransactionBytesMax)
      fail({ErrorCode::limit_exceeded, "the transaction: more than " + std::to_string(kTransactionBytesMax) + " bytes (kTransactionBytesMax)"});
    return wrong.ok();
  }
  bool young() {
    if (broker.clock().now() - begun > kTransactionAgeMax)
      fail({ErrorCode::conflict, "the transaction is older than " + std::to_string(kTransactionAgeMax.count()) + " ms (kTransactionAgeMax): what it read is too old to tell"});
    return wrong.ok();
  }
  void settle(Settlement settlement) {
    if (room("settlements", settlements.size(), settlement.error.size())) settlements.push_back(std::move(settlement));
  }
  void settle(Delivery& delivery, Settlement settlement) {
    joined.push_back(delivery.join(settlement.kind));
    settle(std::move(settlement));
  }
  void end(Delivery::Joined::State state, const Status& why) {
    ended = true;
    for (const Joined& each : joined) {
      each->state = state;
      each->status = why;
    }
    joined.clear();
  }
  Result<ReadStateResult> read(ReadStateRequest request, CallContext context) {
    if (!open() || !young()) return wrong;
    request.at_version = version;
    Result<ReadStateResult> result = broker.read_state(std::move(request), std::move(context));
    if (!result.ok())
      fail(result.status());
    else if (!version)
      version = result->version;
    return result;
  }
  std::vector<StatePut> with_own(std::vector<StatePut> stored, const std::string& begin, const std::string& end) const;
  CommitRequest take_request();
};

/// The entries from `begin` to `end` as the transaction sees them.
std::vector<StatePut> Transaction::Impl::with_own(std::vector<StatePut> stored, const std::string& begin, const std::string& end) const {
  const auto from = writes.lower_bound(begin);
  const auto to = end.empty() ? writes.end() : writes.lower_bound(end);
  if (from == to) return stored;
  std::vector<StatePut> all;
  auto at = stored.begin();
  for (auto own = from; own != to; ++own) {
    for (; at != stored.end() && at->key < own->first; ++at) all.push_back(std::move(*at));
    if (at != stored.end() && at->key == own->first) ++at;
    if (own->second) all.push_back({own->first, *own->second});
  }
  std::move(at, stored.end(), std::back_inserter(all));
  return all;
}

CommitRequest Transaction::Impl::take_request() {
  CommitRequest request;
  request.request_id = options.request_id;
  request.durability = options.durability;
  request.read_version = version.value_or(0);
  std::sort(reads.begin(), reads.end());
  reads.erase(std::unique(reads.begin(), reads.end()), reads.end());
  request.reads = std::move(reads);
  request.scanned = std::move(scanned);
  while (!writes.empty()) {
    auto write = writes.extract(writes.begin());
    if (write.mapped())
      request.puts.push_back({std::move(write.key()), std::move(*write.mapped())});
    else
      request.erases.push_back(std::move(write.key()));
  }
  request.publishes = std::move(publishes);
  request.settlements = std::move(settlements);
  request.expected = std::move(expected);
  return request;
}

Transaction::Transaction(Broker& broker, TransactionOptions options) : impl_(std::make_unique<Impl>(broker, std::move(options))) {}
Transaction::Transaction(Transaction&&) noexcept = default;

Transaction& Transaction::operator=(Transaction&& other) noexcept {
  if (this != &other) {
    if (impl_) rollback();
    impl_ = std::move(other.impl_);
  }
  return *this;
}

Transaction::~Transaction() {
  if (impl_) rollback();
}

void Transaction::put(std::string key, std::string value) {
  if (!impl_->room("puts and erases", impl_->writes.size(), key.size() + value.size())) return;
  if (value.size() > kStateValueBytesMax)
    return impl_->fail({ErrorCode::limit_exceeded, "puts: " + std::to_string(value.size()) + " bytes of a value; kStateValueBytesMax is " + std::to_string(kStateValueBytesMax)});
  impl_->writes.insert_or_assign(std::move(key), std::move(value));
}

void Transaction::erase(std::string key) {
  if (impl_->room("puts and erases", impl_->writes.size(), key.size())) impl_->writes.insert_or_assign(std::move(key), std::nullopt);
}

Result<std::optional<std::string>> Transaction::get(std::string_view key, CallContext context) {
  if (!impl_->open()) return impl_->wrong;
  if (const auto own = impl_->writes.find(key); own != impl_->writes.end()) return own->second;
  if (!impl_->room("reads", impl_->reads.size(), key.size())) return impl_->wrong;
  ReadStateRequest request;
  request.key = std::string(key);
  Result<ReadStateResult> result = impl_->read(std::move(request), std::move(context));
  if (!result.ok()) return result.status();
  impl_->reads.emplace_back(key);
  if (result->entries.empty()) return std::optional<std::string>();
  return std::optional(std::move(result->entries.front().value));
}

Result<std::vector<StatePut>> Transaction::scan(StateRange range, std::uint32_t entries_max, CallContext context) {
  constexpr std::uint32_t kPage = 1000;
  if (!impl_->room("scanned", impl_->scanned.size(), range.begin.size() + range.end.size(), kTransactionRangesMax)) return impl_->wrong;
  std::vector<StatePut> stored;
  std::size_t read_bytes = 0;
  StateRange rest = range;
  while (true) {
    ReadStateRequest request;
    request.range = rest;
    request.entries_max = kPage;
    Result<ReadStateResult> page = impl_->read(std::move(request), context);
    if (!page.ok()) return page.status();
    const bool end = page->end || page->entries.empty();
    for (StatePut& entry : page->entries) {
      read_bytes += entry.key.size() + entry.value.size();
      stored.push_back(std::move(entry));
    }
    if (!stored.empty()) rest.begin = stored.back().key + '\0';
    // What is erased here does not count for what was asked for, so more may be needed than that many entries.
    std::vector<StatePut> seen = impl_->with_own(stored, range.begin, end ? range.end : rest.begin);
    if (seen.size() > entries_max) {
      seen.resize(entries_max);
      range.end = entries_max == 0 ? range.begin : seen.back().key + '\0';
    } else if (!end && seen.size() == entries_max) {
      range.end = rest.begin;
    } else if (!end) {
      if (read_bytes <= kTransactionBytesMax) continue;
      Status over{ErrorCode::limit_exceeded, "scanned: the range holds more than " + std::to_string(kTransactionBytesMax) + " bytes (kTransactionBytesMax)"};
      impl_->fail(over);
      return over;
    }
    if (range.end.empty() || range.begin < range.end) impl_->scanned.push_back(std::move(range));
    return seen;
  }
}

Result<std::vector<StatePut>> Transaction::scan_prefix(std::string_view prefix, std::uint32_t entries_max, CallContext context) {
  return scan(StateRange::prefix(prefix), entries_max, std::move(context));
}

void Transaction::publish(std::string topic, Message message) {
  std::size_t more = topic.size() + message.payload.size() + message.key.size() + message.id.size() + message.content_type.size();
  for (const Header& header : message.headers) more += header.name.size() + header.value.size();
  if (impl_->room("publishes", impl_->publishes.size(), more)) impl_->publishes.push_back({std::move(topic), std::move(message)});
}

void Transaction::expect_last(std::string topic, Offset last) {
  if (impl_->room("expected", impl_->expected.size(), topic.size())) impl_->expected.push_back({std::move(topic), std::nullopt, last});
}

void Transaction::expect_last_of_key(std::string topic, std::string key, Offset last) {
  if (impl_->room("expected", impl_->expected.size(), topic.size() + key.size())) impl_->expected.push_back({std::move(topic), std::move(key), last});
}

void Transaction::ack(Delivery& delivery) { impl_->settle(delivery, Settlement::ack(delivery.token())); }
void Transaction::retry(Delivery& delivery, std::string error, std::optional<Duration> delay) {
  impl_->settle(delivery, Settlement::retry(delivery.token(), std::move(error), delay));
}
void Transaction::reject(Delivery& delivery, std::string error) { impl_->settle(delivery, Settlement::reject(delivery.token(), std::move(error))); }
void Transaction::release(Delivery& delivery) { impl_->settle(delivery, Settlement::release(delivery.token())); }
void Transaction::ack(const Token& token) { impl_->settle(Settlement::ack(token)); }
void Transaction::settle(Settlement settlement) { impl_->settle(std::move(settlement)); }

Result<CommitResult> Transaction::commit(CallContext context) {
  if (impl_->ended) return Status(ErrorCode::failed_precondition, "the transaction has ended");
  if (!impl_->open() || !impl_->young()) {
    impl_->end(Delivery::Joined::State::kNotCommitted, impl_->wrong);
    return impl_->wrong;
  }
  Result<CommitResult> result = impl_->broker.commit(impl_->take_request(), std::move(context));
  impl_->end(result.ok() ? Delivery::Joined::State::kCommitted : Delivery::Joined::State::kNotCommitted, result.status());
  return result;
}

void Transaction::rollback() {
  if (!impl_->ended) impl_->end(Delivery::Joined::State::kNotCommitted, {ErrorCode::failed_precondition, "it was rolled back"});
}

const Status& Transaction::status() const noexcept { return impl_->wrong; }

}  // namespace weir
