#include "tests/model/driver.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace weir::model {

Driver::Driver(DriverOptions options)
    : options_(std::move(options)), dice_(options_.seed), clock_(std::make_shared<ManualClock>()) {
  reference_.now = clock_->now().time_since_epoch().count();
}

Driver::~Driver() = default;

const std::vector<Driver::Operation>& Driver::all_operations() {
  static const std::vector<Operation> all = {
      {12, &Driver::create_topic},  {1, &Driver::delete_topic},        {14, &Driver::create_group},        {2, &Driver::delete_group},
      {160, &Driver::publish},      {30, &Driver::publish_over_topics}, {30, &Driver::publish_in_session}, {60, &Driver::transact}, {220, &Driver::fetch},
      {60, &Driver::begin},         {240, &Driver::settle},            {60, &Driver::settle_many},         {60, &Driver::settle_stale},
      {20, &Driver::extend},        {90, &Driver::advance},            {12, &Driver::advance_far},         {30, &Driver::redrive},
      {14, &Driver::discard},
      {6, &Driver::seek},           {14, &Driver::pause},              {8, &Driver::alter_filter},         {14, &Driver::join},
      {10, &Driver::leave},         {8, &Driver::reopen},              {25, &Driver::browse},              {25, &Driver::check_figures},
      {25, &Driver::check_letters}, {6, &Driver::check_status},
  };
  return all;
}

void Driver::open() {
  OpenOptions options;
  options.clock = clock_;
  options.seed = options_.seed + 1;
  options.memtable_bytes = 1u << 20;
  options.reserve_bytes = 0;
  auto opened = weir::open(options_.location, options);
  MODEL_EXPECT(opened.ok(), "open: " << opened.status());
  broker_ = std::move(*opened);
}

void Driver::run() {
  open();
  std::uint64_t weights = 0;
  for (const Operation& operation : all_operations()) weights += operation.weight;
  create_topic(), create_topic(), create_group(), create_group();
  for (std::uint32_t step = 0; step < options_.operations; ++step) {
    std::uint64_t at = dice_.below(weights);
    for (const Operation& operation : all_operations()) {
      if (at < operation.weight) {
        (this->*operation.act)();
        break;
      }
      at -= operation.weight;
    }
    if (step % 16 == 0) reference_.check_invariants();
  }
  browse(), check_letters(), check_figures(), check_status();
  drain_all();
}

Message Driver::random_message(const RefTopic& topic) {
  Message message;
  message.payload = "m" + std::to_string(next_payload_++) + std::string(dice_.percent(3) ? dice_.below(20'000) : dice_.below(40), '.');
  if (dice_.percent(75)) message.key = "key" + std::to_string(dice_.below(6));
  if (dice_.percent(25)) message.id = "id" + std::to_string(dice_.below(40));
  if (dice_.percent(60)) message.headers.push_back({"kind", std::string(1, static_cast<char>('a' + dice_.below(3)))});
  if (dice_.percent(20)) message.headers.push_back({"x-note", "a note"});
  if (topic.options.dedup_window.count() == 0) message.id.clear();
  // Odd in the last digit, while the clock moves by tens: nothing happens at the very moment that the contract leaves open.
  if (dice_.percent(6)) message.ttl = Duration{dice_.between(1, 6000) * 10 + 7};
  return message;
}

RefMessage Driver::reference_of(const Message& message, std::int64_t time) const {
  RefMessage out;
  out.payload = message.payload.str();
  out.key = message.key;
  out.id = message.id;
  out.headers = message.headers;
  out.time = time;
  out.expires = message.ttl ? time + message.ttl->count() : 0;
  return out;
}

void Driver::store(PublishRequest request) {
  std::vector<TopicMessage> all;
  for (const Message& m : request.messages) all.push_back({request.topic, m});
  for (const TopicMessage& m : request.batch) all.push_back(m);
  const auto answer = broker_->publish(std::move(request));
  MODEL_EXPECT(answer.ok(), "publish: " << answer.status());
  stored(all, answer->messages, answer->time.time_since_epoch().count());
}

void Driver::stored(const std::vector<TopicMessage>& all, const std::vector<Published>& published, std::int64_t time) {
  MODEL_EXPECT(published.size() == all.size(), "an answer for each message");
  for (std::size_t i = 0; i < all.size(); ++i) {
    RefTopic& topic = reference_.topics.at(all[i].topic);
    const Published& got = published[i];
    if (const auto first = reference_.find_id(topic, all[i].message.id)) {
      MODEL_EXPECT(got.duplicate && got.offset.value == *first,
                   topic.name << ": id " << all[i].message.id << " stored again at " << got.offset << ", was at " << *first);
      continue;
    }
    MODEL_EXPECT(!got.duplicate, topic.name << ": no duplicate, id " << all[i].message.id);
    MODEL_EXPECT(got.offset.value == topic.messages.size(), topic.name << ": offset " << got.offset << " instead of " << topic.messages.size());
    MODEL_EXPECT(time == reference_.now, "commit time " << time << " instead of " << reference_.now);
    reference_.append(topic, reference_of(all[i].message, time));
  }
}

FetchResult Driver::do_fetch(RefGroup& group, FetchRequest request, const std::string& must) {
  Result<FetchResult> answer = FetchResult{};
  if (!must.empty()) {
    // The broker's clock stands still, so only a message can end the wait; the deadline is real time.
    struct Slot {
      std::mutex mutex;
      std::condition_variable done;
      std::optional<Result<FetchResult>> result;
    };
    const auto slot = std::make_shared<Slot>();
    request.wait = std::chrono::hours{1};
    CallContext context;
    context.cancellation = Cancellation::make();
    broker_->async_fetch(request, context, [slot](Result<FetchResult> r) {
      const std::scoped_lock lock(slot->mutex);
      slot->result.emplace(std::move(r));
      slot->done.notify_all();
    });
    std::unique_lock lock(slot->mutex);
    const bool came = slot->done.wait_for(lock, std::chrono::seconds{10}, [&] { return slot->result.has_value(); });
    if (!came) {
      lock.unlock();
      context.cancellation.cancel();
      MODEL_EXPECT(came, group.source << "/" << group.name << ": " << must << " is to be had and nothing is handed out");
    }
    answer = std::move(*slot->result);
  } else {
    answer = broker_->fetch(request);
  }
  MODEL_EXPECT(answer.ok(), "fetch: " << answer.status());
  std::string got = "  got";
  for (const Delivered& d : answer->deliveries)
    got += " " + d.message.topic() + ":" + std::to_string(d.message.offset.value) + (d.token.redrive ? "r" : "") + "@" + std::to_string(d.token.epoch.value & 0xffffffff);
  note(got);
  reference_.fetched(group, request, answer->deliveries, ++next_fetch_);
  return std::move(*answer);
}

void Driver::do_settle(std::vector<Settlement> settlements) {
  SettleRequest request;
  request.settlements = settlements;
  if (dice_.percent(10)) request.durability = options_.ephemeral_only ? Durability::kMemory : Durability::kPower;
  for (const Settlement& s : settlements) {
    const RefToken* token = reference_.find_token(s.token);
    note("  settle " + std::string(to_string(s.kind)) + " " + (token ? token->topic + "/" + token->group : "?") + ":" +
         std::to_string(s.token.offset.value) + (s.token.redrive ? "r" : "") + "@" + std::to_string(s.token.epoch.value & 0xffffffff) +
         (s.delay ? " delay " + std::to_string(s.delay->count()) : ""));
  }
  if (request.durability == Durability::kPower)
    for (const Settlement& s : settlements)
      if (const RefToken* token = reference_.find_token(s.token); !token || !reference_.topics.contains(token->topic) ||
                                                                  reference_.topics.at(token->topic).options.ephemeral)
        request.durability.reset();
  const auto answer = broker_->settle(std::move(request));
  MODEL_EXPECT(answer.ok(), "settle: " << answer.status());
  MODEL_EXPECT(answer->results.empty() || answer->results.size() == settlements.size(), "an answer for each settlement");
  for (std::size_t i = 0; i < settlements.size(); ++i)
    reference_.settled(settlements[i], answer->results.empty() ? Status{} : answer->results[i]);
}

std::vector<RefToken*> Driver::live_tokens() {
  std::vector<RefToken*> live;
  for (RefToken& token : reference_.tokens)
    if (token.state == TokenState::kLive && reference_.find_item(token)) live.push_back(&token);
  return live;
}

void Driver::move_clock(std::int64_t by) {
  clock_->advance(Duration{by});
  reference_.now += by;
  reference_.expire_leases();
  wait_for_expiries();
}

void Driver::wait_for_expiries() {
  for (auto& [key, group] : reference_.groups)
    eventually("leases of " + group.source + "/" + group.name, [&]() -> std::string {
      const auto info = broker_->group(group.source, group.name);
      if (!info.ok()) return info.status().to_string();
      const auto want = reference_.leased(group), have = info->total().in_flight;
      return have == want ? "" : "in flight " + std::to_string(have) + " instead of " + std::to_string(want);
    });
}

void Driver::eventually(const std::string& what, const std::function<std::string()>& holds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{10};
  std::string text = holds();
  while (!text.empty()) {
    MODEL_EXPECT(std::chrono::steady_clock::now() < deadline, what << ": " << text);
    std::this_thread::yield();
    text = holds();
  }
}

RefGroup* Driver::random_group() {
  if (reference_.groups.empty()) return nullptr;
  auto at = reference_.groups.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(dice_.below(reference_.groups.size())));
  return &at->second;
}

RefTopic* Driver::random_topic() {
  if (reference_.topics.empty()) return nullptr;
  auto at = reference_.topics.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(dice_.below(reference_.topics.size())));
  return &at->second;
}

}  // namespace weir::model
