#include "tests/contract/fixture.h"

#include <algorithm>
#include <cstdlib>
#include <future>
#include <map>

#include "tests/support/skips.h"

namespace weir::test {
namespace {

std::vector<Engine>& registry() {
  static std::vector<Engine> all;
  return all;
}

const Capabilities& capabilities_of(const Engine& engine) {
  static std::map<std::string, Capabilities> known;
  const auto at = known.find(engine.name);
  if (at != known.end()) return at->second;
  Fixture probe(engine, TopicKind::kDurable);
  return known.emplace(engine.name, probe->capabilities()).first->second;
}

void must(const Status& status) {
  if (!status.ok()) throw BadResult(status);
}

FetchRequest request_of(const std::string& source, const std::string& group, const Ask& ask) {
  FetchRequest request{.source = source, .group = group};
  request.messages_max = ask.max;
  request.bytes_max = ask.bytes_max;
  request.member = ask.member;
  request.reports_begun = ask.reports_begun;
  request.lease = ask.lease;
  request.extend_until = ask.extend_until;
  return request;
}

}  // namespace

void register_engine(Engine engine) { registry().push_back(std::move(engine)); }
const std::vector<Engine>& engines() { return registry(); }

Fixture::Fixture(const Engine& engine, TopicKind kind) : place_(engine.make_place()), kind_(kind) {
  options.clock = clock;
  options.seed = 1;
}

Fixture::~Fixture() = default;

Broker& Fixture::broker() {
  if (!broker_) broker_ = place_->open(options).value();
  return *broker_;
}

void Fixture::close() {
  if (!broker_) return;
  must(broker_->close());
  broker_.reset();
}

void Fixture::reopen() {
  close();
  broker();
}

TopicInfo Fixture::topic(const std::string& name, TopicOptions topic_options) {
  if (kind_ == TopicKind::kEphemeral) topic_options.ephemeral = true;
  return broker().create_topic(name, topic_options).value();
}

GroupInfo Fixture::group(const std::string& source, const std::string& name, GroupOptions group_options) {
  return broker().create_group(source, name, std::move(group_options)).value();
}

MemberId Fixture::join(const std::string& source, const std::string& name, const std::string& member) {
  return broker().join({.source = source, .group = name, .name = member}).value();
}

Offset Fixture::publish(const std::string& topic, Message message) {
  return broker().publish(topic, std::move(message)).value().offset;
}

void Fixture::publish_texts(const std::string& topic, const Texts& all) {
  for (const std::string& each : all) publish(topic, {.payload = each});
}

std::vector<Delivered> Fixture::fetch(const std::string& source, const std::string& group, Ask ask) {
  // The wait is by the broker's clock, which stands still: so the patience of the test ends it by cancelling.
  FetchRequest request = request_of(source, group, ask);
  request.wait = std::chrono::hours{1};
  CallContext context;
  context.cancellation = Cancellation::make();
  auto answer = std::make_shared<std::promise<Result<FetchResult>>>();
  auto future = answer->get_future();
  broker().async_fetch(std::move(request), context, [answer](Result<FetchResult> result) { answer->set_value(std::move(result)); });
  if (future.wait_for(kPatience) != std::future_status::ready) {
    context.cancellation.cancel();
    throw BadResult({ErrorCode::deadline_exceeded, "nothing came for " + group + " on " + source});
  }
  return future.get().value().deliveries;
}

std::vector<Delivered> Fixture::fetch_all(const std::string& source, const std::string& group, std::size_t count, Ask ask) {
  std::vector<Delivered> all;
  while (all.size() < count) {
    ask.max = static_cast<std::uint32_t>(std::min<std::size_t>(count - all.size(), 10'000));
    for (Delivered& each : fetch(source, group, ask)) all.push_back(std::move(each));
  }
  return all;
}

Delivered Fixture::one(const std::string& source, const std::string& group, Ask ask) {
  ask.max = 1;
  std::vector<Delivered> got = fetch(source, group, ask);
  REQUIRE(got.size() == 1);
  return std::move(got.front());
}

std::vector<Delivered> Fixture::fetch_now(const std::string& source, const std::string& group, Ask ask) {
  return broker().fetch(request_of(source, group, ask)).value().deliveries;
}

void Fixture::expect_nothing(const std::string& source, const std::string& group) {
  CHECK(texts(fetch_now(source, group)) == Texts{});
}

void Fixture::ack(const Delivered& delivered) { must(broker().ack(delivered.token)); }
void Fixture::ack(const std::vector<Delivered>& deliveries) {
  for (const Delivered& each : deliveries) ack(each);
}
void Fixture::retry(const Delivered& delivered, const std::string& error, std::optional<Duration> delay) {
  must(broker().settle(Settlement::retry(delivered.token, error, delay)));
}
void Fixture::reject(const Delivered& delivered, const std::string& error) {
  must(broker().settle(Settlement::reject(delivered.token, error)));
}
void Fixture::release(const Delivered& delivered) { must(broker().settle(Settlement::release(delivered.token))); }
void Fixture::extend(const Delivered& delivered, std::optional<Duration> lease) {
  must(broker().settle(Settlement::extend(delivered.token, lease)));
}

std::vector<StoredMessage> Fixture::browse(const std::string& topic, StartPoint from) {
  return broker().browse({.topic = topic, .from = from}).value().messages;
}

std::vector<DeadLetter> Fixture::letters(const std::string& topic, const std::string& group) {
  return broker().dead_letters({.topic = topic, .group = group}).value().letters;
}

DeadLetter Fixture::dead_letter(const std::string& topic, const std::string& group, Message message) {
  publish(topic, std::move(message));
  reject(one(topic, group), "rejected by the test");
  std::vector<DeadLetter> all = letters(topic, group);
  REQUIRE_FALSE(all.empty());
  return all.back();
}

RedriveResult Fixture::redrive(const std::string& topic, const std::string& group, std::vector<Offset> ids, bool force) {
  RedriveRequest request{.topic = topic, .group = group};
  request.letters = std::move(ids);
  request.force = force;
  return broker().redrive(std::move(request)).value();
}

bool Fixture::eventually_as_time_passes(Duration step, const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < deadline) {
    if (eventually(condition, 20ms)) return true;
    advance(step);
  }
  return condition();
}

Texts texts(const std::vector<Delivered>& deliveries) {
  Texts all;
  for (const Delivered& each : deliveries) all.push_back(text(each));
  return all;
}
Texts texts(const std::vector<StoredMessage>& messages) {
  Texts all;
  for (const StoredMessage& each : messages) all.push_back(each.payload.str());
  return all;
}
Texts sorted(Texts all) {
  std::sort(all.begin(), all.end());
  return all;
}
std::string text(const Delivered& delivered) { return delivered.message.payload.str(); }

Backoff fixed_backoff(Duration delay) {
  Backoff backoff;
  backoff.first = delay;
  backoff.factor = 1.0;
  backoff.max = delay;
  backoff.jitter = false;
  return backoff;
}

void expect_error(const Status& status, ErrorCode code, std::string_view words) { expect_one_of(status, {code}, words); }

void expect_one_of(const Status& status, std::initializer_list<ErrorCode> codes, std::string_view words) {
  INFO("the status is " << status);
  const bool among = std::find(codes.begin(), codes.end(), status.code()) != codes.end();
  INFO("the first code expected is " << error_info(*codes.begin()).name);
  CHECK(among);
  if (!words.empty()) CHECK_THAT(status.message(), Catch::Contains(std::string(words)));
}

void expect_ok(const Status& status) {
  INFO("the status is " << status);
  CHECK(status.ok());
}

void run_contract(const Engine& engine, TopicKind kind, std::string_view tags, void (*body)(Fixture&)) {
  INFO("engine " << engine.name << (kind == TopicKind::kEphemeral ? ", ephemeral topics" : ""));
  for (std::size_t at = tags.find("[S-"); at != std::string_view::npos; at = tags.find("[S-", at + 1)) {
    const int number = std::atoi(std::string(tags.substr(at + 3)).c_str());
    if (capabilities_of(engine)[number] != Support::kAbsent) continue;
    note_skip(engine.name + " lacks S-" + std::to_string(number));
    return;
  }
  note_run();
  Fixture fixture(engine, kind);
  body(fixture);
}

}  // namespace weir::test
