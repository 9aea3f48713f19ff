#include "tests/unit/api_fake_broker.h"

#include <algorithm>
#include <utility>

namespace weir::test {

CallbackThread::CallbackThread() : thread_([this] { run(); }) {}

CallbackThread::~CallbackThread() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void CallbackThread::post(UniqueFunction<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  changed_.notify_all();
}

void CallbackThread::hold(bool held) {
  {
    const std::lock_guard lock(mutex_);
    held_ = held;
  }
  changed_.notify_all();
}

void CallbackThread::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return over_ || (!held_ && !tasks_.empty()); });
    if (tasks_.empty()) return;
    UniqueFunction<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    task.reset();
    lock.lock();
  }
}

FakeBroker::~FakeBroker() {
  end_subscriptions(Duration{0});
  if (closer_.joinable()) closer_.join();
}

template <class T>
void FakeBroker::answer(bool caller_waits, Callback<T>& done, Result<T> result) {
  if (caller_waits && answers_inside_) return done(std::move(result));
  callbacks.post([done = std::move(done), result = std::move(result)]() mutable { done(std::move(result)); });
}

void FakeBroker::lose(Offset offset) {
  const std::lock_guard lock(mutex_);
  lost_.insert(offset.value);
  any_lost_ = true;
}

void FakeBroker::fail_fetches(Status status) {
  std::map<std::uint64_t, Waiting> waiting;
  {
    const std::lock_guard lock(mutex_);
    fetch_status_ = status;
    if (!status.ok()) waiting.swap(waiting_);
  }
  for (auto& [id, one] : waiting) answer<FetchResult>(one.inside, one.done, status);
}

std::vector<Settlement> FakeBroker::settlements() const {
  const std::lock_guard lock(mutex_);
  return settlements_;
}
std::size_t FakeBroker::members() const {
  const std::lock_guard lock(mutex_);
  return members_.size();
}
std::size_t FakeBroker::queued() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}
std::size_t FakeBroker::waiting_fetches() const {
  const std::lock_guard lock(mutex_);
  return waiting_.size();
}
JoinRequest FakeBroker::last_join() const {
  const std::lock_guard lock(mutex_);
  return last_join_;
}

void FakeBroker::put(Message message) {
  queue_.push_back({Offset{next_offset_++}, std::make_shared<std::string>(std::move(message.key)), std::move(message.payload), 0});
}

void FakeBroker::fill(std::size_t count, std::function<std::string(std::size_t)> key) {
  std::unique_lock lock(mutex_);
  for (std::size_t i = 0; i < count; ++i) put({.key = key ? key(i) : std::string(), .payload = "p"});
  serve_waiting(lock);
}

std::vector<Delivered> FakeBroker::take(const FetchRequest& request) {
  std::vector<Delivered> out;
  std::set<std::string> held;
  for (const auto& [offset, stored] : leased_)
    if (order_keys) held.insert(*stored.key);
  for (auto at = queue_.begin(); at != queue_.end() && out.size() < request.messages_max;) {
    if (held.contains(*at->key)) {
      ++at;
      continue;
    }
    if (hold_keys && !at->key->empty() && !busy_keys_.insert(*at->key).second) {
      ++at;
      continue;
    }
    Delivered& d = out.emplace_back();
    d.message.topic_name = topic_name_;
    d.message.offset = at->offset;
    d.message.owner = at->key;
    d.message.key = *at->key;
    d.message.payload = at->payload;
    d.failures = at->failures;
    d.token.offset = at->offset;
    d.token.epoch = Epoch{++next_epoch_};
    if (keep_settlements) leased_.emplace(at->offset.value, *at);
    at = queue_.erase(at);
  }
  return out;
}

// Unlocks around the callbacks.
void FakeBroker::serve_waiting(std::unique_lock<std::mutex>& lock) {
  while (!waiting_.empty()) {
    std::vector<Delivered> deliveries = take(waiting_.begin()->second.request);
    if (deliveries.empty()) return;
    Waiting one = std::move(waiting_.extract(waiting_.begin()).mapped());
    lock.unlock();
    if (one.cancellation) one.cancellation->unsubscribe(one.cancel_id);
    answer<FetchResult>(one.inside, one.done, FetchResult{std::move(deliveries)});
    lock.lock();
  }
}

void FakeBroker::async_get_topic(std::string name, CallContext context, Callback<TopicInfo> done) {
  TopicInfo info;
  info.name = std::move(name);
  answer<TopicInfo>(context.caller_waits, done, info);
}

void FakeBroker::async_publish(PublishRequest request, CallContext context, Callback<PublishResult> done) {
  PublishResult result;
  {
    std::unique_lock lock(mutex_);
    for (Message& message : request.messages) {
      result.messages.push_back({Offset{next_offset_}, false});
      put(std::move(message));
    }
    serve_waiting(lock);
  }
  answer<PublishResult>(context.caller_waits, done, std::move(result));
}

void FakeBroker::async_create_group(CreateGroupRequest request, CallContext context, Callback<GroupInfo> done) {
  group_options = request.options;
  group_exists = true;
  async_get_group({request.source, request.group}, std::move(context), std::move(done));
}

void FakeBroker::async_get_group(GroupRef ref, CallContext context, Callback<GroupInfo> done) {
  if (!group_exists) return answer<GroupInfo>(context.caller_waits, done, Status(ErrorCode::group_not_found, "no such group"));
  GroupInfo info;
  info.source = ref.source;
  info.name = ref.group;
  info.options = group_options;
  answer<GroupInfo>(context.caller_waits, done, info);
}

void FakeBroker::async_join(JoinRequest request, CallContext context, Callback<MemberId> done) {
  MemberId id;
  {
    const std::lock_guard lock(mutex_);
    last_join_ = std::move(request);
    id = MemberId{++next_member_};
    members_.insert(id.value);
  }
  answer<MemberId>(context.caller_waits, done, id);
}

void FakeBroker::async_leave(MemberId member, CallContext context, Callback<Done> done) {
  {
    const std::lock_guard lock(mutex_);
    members_.erase(member.value);
  }
  answer<Done>(context.caller_waits, done, Done{});
}

void FakeBroker::async_fetch(FetchRequest request, CallContext context, Callback<FetchResult> done) {
  std::unique_lock lock(mutex_);
  if (closed_) {
    ++calls_after_close;
    lock.unlock();
    return answer<FetchResult>(context.caller_waits, done, Status(ErrorCode::closed, "closed"));
  }
  if (!fetch_status_.ok()) {
    const Status status = fetch_status_;
    lock.unlock();
    return answer<FetchResult>(context.caller_waits, done, status);
  }
  std::vector<Delivered> deliveries = take(request);
  if (!deliveries.empty() || request.wait == Duration{0}) {
    lock.unlock();
    return answer<FetchResult>(context.caller_waits, done, FetchResult{std::move(deliveries)});
  }
  const std::uint64_t id = ++next_waiting_;
  waiting_[id] = {std::move(request), std::move(done), context.caller_waits, nullptr, 0};
  lock.unlock();
  if (!context.cancellation) return;
  const auto cancel = [this, id] {
    std::unique_lock cancel_lock(mutex_);
    auto node = waiting_.extract(id);
    cancel_lock.unlock();
    if (!node.empty()) answer<FetchResult>(node.mapped().inside, node.mapped().done, Status(ErrorCode::cancelled, "cancelled"));
  };
  const auto state = context.cancellation.state();
  const Cancellation::State::Id cancel_id = state->subscribe(cancel);
  if (cancel_id == 0) return cancel();
  lock.lock();
  const auto waiting = waiting_.find(id);
  if (waiting == waiting_.end()) {
    state->unsubscribe(cancel_id);
  } else {
    waiting->second.cancellation = state;
    waiting->second.cancel_id = cancel_id;
  }
}

Status FakeBroker::begin(const Token& token) {
  if (!any_lost_.load(std::memory_order_relaxed)) return ok();
  const std::lock_guard lock(mutex_);
  return lost_.contains(token.offset.value) ? Status(ErrorCode::lease_lost, "lost") : ok();
}

Status FakeBroker::begin_after(const Token& ended, const Token& next) {
  if (keep_settlements) {
    const std::lock_guard lock(mutex_);
    begun_after_.emplace_back(ended.offset, next.offset);
  }
  return begin(next);
}

std::vector<std::pair<Offset, Offset>> FakeBroker::begun_after() const {
  const std::lock_guard lock(mutex_);
  return begun_after_;
}

void FakeBroker::async_settle(SettleRequest request, CallContext context, Callback<SettleResult> done) {
  ++settles_requests;
  if (!context.caller_waits && settles_busy.load() > 0) {
    --settles_busy;
    return answer<SettleResult>(false, done, Status(ErrorCode::busy, "no room"));
  }
  SettleResult result;
  std::unique_lock lock(mutex_);
  if (closed_) ++calls_after_close;
  for (std::size_t i = 0; keep_settlements && i < request.settlements.size(); ++i) {
    const Settlement& s = request.settlements[i];
    auto leased = leased_.extract(s.token.offset.value);
    if (leased.empty()) {  // the same again is OK (S-14), as far as this one can tell
      continue;
    }
    if (hold_keys) busy_keys_.erase(*leased.mapped().key);
    settlements_.push_back(s);
    if (s.kind == Settle::kRetry || s.kind == Settle::kRelease) {
      leased.mapped().failures += s.kind == Settle::kRetry;
      const auto place = std::ranges::lower_bound(queue_, leased.mapped().offset, {}, &Stored::offset);
      queue_.insert(place, std::move(leased.mapped()));
    }
  }
  for (const Settlement& s : request.settlements) acked_ += s.kind == Settle::kAck;
  serve_waiting(lock);
  lock.unlock();
  answer<SettleResult>(context.caller_waits, done, std::move(result));
}

void FakeBroker::async_close(CallContext context, Callback<Done> done) {
  closer_ = std::thread([this, caller_waits = context.caller_waits, done = std::move(done)]() mutable {
    end_subscriptions(Duration{200});
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    answer<Done>(caller_waits, done, Done{});
  });
}

}  // namespace weir::test
