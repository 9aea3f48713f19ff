// Subscribing: the group is found or made, joined, and gets its handler pool; and the broker's list of subscriptions.
#include <unistd.h>

#include <sstream>
#include <utility>

#include "broker/api/subscription_impl.h"
#include "weir/broker.h"

namespace weir {
namespace {

constexpr int kJoinsMax = 100;

GroupOptions group_options(const SubscribeOptions& asked) {
  GroupOptions options;
  const auto set = [](auto& to, const auto& from) {
    if (from) to = *from;
  };
  set(options.start, asked.start);
  set(options.order, asked.order);
  set(options.lease, asked.lease);
  set(options.max_attempts, asked.max_attempts);
  set(options.max_deliveries, asked.max_deliveries);
  set(options.backoff, asked.backoff);
  set(options.in_flight_max, asked.in_flight_max);
  set(options.filter, asked.filter);
  set(options.dead_letter_expired, asked.dead_letter_expired);
  set(options.is_volatile, asked.is_volatile);
  return options;
}

void print(std::ostream& out, Order order) { out << to_string(order); }
void print(std::ostream& out, Duration duration) { out << duration.count() << " ms"; }
void print(std::ostream& out, std::uint32_t number) { out << number; }
void print(std::ostream& out, bool flag) { out << (flag ? "true" : "false"); }
void print(std::ostream& out, const Filter& filter) { out << (filter.empty() ? "none" : "a filter"); }
void print(std::ostream& out, const StartPoint& start) {
  switch (start.kind) {
    case StartPoint::Kind::kEarliest: out << "earliest"; break;
    case StartPoint::Kind::kLatest: out << "latest"; break;
    case StartPoint::Kind::kOffset: out << "offset " << start.offset; break;
    case StartPoint::Kind::kTime: out << "time " << start.time.time_since_epoch().count(); break;
  }
}
void print(std::ostream& out, const Backoff& backoff) {
  out << backoff.first.count() << " ms * " << backoff.factor << " up to " << backoff.max.count() << " ms" << (backoff.jitter ? " with" : " without")
      << " jitter";
}

/// The differences between what is asked for and what the group has; empty when there is none (S-12).
std::string differences(const SubscribeOptions& asked, const GroupOptions& has) {
  std::ostringstream out;
  const auto compare = [&](const char* name, const auto& wanted, const auto& actual) {
    if (!wanted || *wanted == actual) return;
    if (out.tellp() > 0) out << "; ";
    out << name << " is ";
    print(out, actual);
    out << ", asked for ";
    print(out, *wanted);
  };
  compare("start", asked.start, has.start);
  compare("order", asked.order, has.order);
  compare("lease", asked.lease, has.lease);
  compare("max_attempts", asked.max_attempts, has.max_attempts);
  compare("max_deliveries", asked.max_deliveries, has.max_deliveries);
  compare("backoff", asked.backoff, has.backoff);
  compare("in_flight_max", asked.in_flight_max, has.in_flight_max);
  compare("filter", asked.filter, has.filter);
  compare("dead_letter_expired", asked.dead_letter_expired, has.dead_letter_expired);
  compare("is_volatile", asked.is_volatile, has.is_volatile);
  return out.str();
}

Status check(const SubscribeOptions& options, const Handler& handler) {
  if (!handler) return {ErrorCode::invalid_argument, "subscribe: the handler is empty"};
  if (options.threads < 1 || options.threads > 256) return {ErrorCode::limit_exceeded, "subscribe: threads must be 1 to 256"};
  if (options.prefetch < 1 || options.prefetch > 10'000) return {ErrorCode::limit_exceeded, "subscribe: prefetch must be 1 to 10000"};
  if (options.extend_until < Duration{0}) return {ErrorCode::invalid_argument, "subscribe: extend_until is negative"};
  return ok();
}

Result<GroupInfo> find_or_create(Broker& broker, const std::string& source, const SubscribeOptions& options) {
  Result<GroupInfo> found = broker.group(source, options.group);
  if (found.ok() || !(found.code() == ErrorCode::group_not_found || found.code() == ErrorCode::topic_not_found)) return found;
  Result<GroupInfo> created = broker.create_group(source, options.group, group_options(options));
  // Somebody else may have been quicker, with options that agree with ours as far as we ask for any.
  if (created.code() == ErrorCode::options_differ) return broker.group(source, options.group);
  return created;
}

std::string member_name(const std::string& asked) {
  if (!asked.empty()) return asked;
  char host[256] = "localhost";
  gethostname(host, sizeof host - 1);
  return std::string(host) + ":" + std::to_string(gettid());
}

}  // namespace

/// The subscriptions that may use the broker. Finished ones are forgotten when another comes.
struct Broker::Subscriptions {
  std::mutex mutex;
  bool ended = false;                                    // guarded by mutex
  std::vector<std::weak_ptr<Subscription::Impl>> alive;  // guarded by mutex
};

Broker::Broker() : subscriptions_(std::make_unique<Subscriptions>()) {}
Broker::~Broker() = default;

void Broker::end_subscriptions(Duration grace) {
  std::vector<std::shared_ptr<Subscription::Impl>> alive;
  {
    const std::lock_guard lock(subscriptions_->mutex);
    subscriptions_->ended = true;
    for (const auto& weak : subscriptions_->alive)
      if (auto one = weak.lock()) alive.push_back(std::move(one));
  }
  for (const auto& one : alive) one->request_stop(grace, {ErrorCode::closed, "the broker is closed"});
  for (const auto& one : alive) {
    if (one->own_thread()) one->will_not_return();
    one->wait_finished();
    one->abandon();
  }
}

Result<Subscription> Broker::subscribe(std::string source, SubscribeOptions options, Handler handler) {
  if (Status status = check(options, handler); !status.ok()) return status;
  Result<GroupInfo> group = GroupInfo{};
  Result<MemberId> member = MemberId{};
  // A volatile group goes with its last member, which may be between our finding it and our joining it.
  for (int i = 0; i < kJoinsMax; ++i) {
    group = find_or_create(*this, source, options);
    if (!group.ok()) return group.status();
    if (std::string text = differences(options, group->options); !text.empty())
      return Status(ErrorCode::options_differ, "group " + options.group + " on " + source + ": " + text);
    member = join({source, options.group, member_name(options.member)});
    if (!(member.code() == ErrorCode::group_not_found)) break;
  }
  if (!member.ok()) return member.status();

  Subscription::Impl::Plan plan;
  plan.fetch.source = std::move(source);
  plan.fetch.group = std::move(options.group);
  plan.fetch.messages_max = options.prefetch;
  plan.fetch.member = *member;
  plan.fetch.reports_begun = true;
  plan.fetch.extend_until = options.extend_until;
  plan.order = group->options.order;
  plan.threads = options.threads;
  plan.prefetch = options.prefetch;
  plan.handler = std::move(handler);
  plan.on_end = std::move(options.on_end);
  auto impl = std::make_shared<Subscription::Impl>(*this, std::move(plan));
  {
    // Held while the threads start, so that closing the broker sees a subscription either not at all or running.
    const std::lock_guard lock(subscriptions_->mutex);
    if (!subscriptions_->ended) {
      if (Status status = impl->start(); !status.ok()) return status;
      std::erase_if(subscriptions_->alive, [](const auto& weak) { return weak.expired(); });
      subscriptions_->alive.push_back(impl);
      return Subscription(std::move(impl));
    }
  }
  static_cast<void>(leave(*member));
  return Status(ErrorCode::closed, "subscribe: the broker is closed");
}

}  // namespace weir
