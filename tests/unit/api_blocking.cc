// The blocking forms, the future and the producer session.
#include <catch2/catch.hpp>

#include <atomic>
#include <thread>
#include <vector>

#include "broker/api/blocking.h"
#include "tests/support/eventually.h"
#include "tests/unit/api_fake_broker.h"

namespace weir::test {
namespace {

TEST_CASE("a blocking form gets its answer, given inside the call or later", "[api]") {
  const bool inside = GENERATE(true, false);
  FakeBroker broker(inside);
  CHECK(broker.topic("orders").value().name == "orders");
  for (std::uint64_t i = 0; i < 1000; ++i) REQUIRE(broker.publish("t", {.payload = "x"}).value().offset == Offset{i});
  CHECK(broker.publish_all("t", {{.payload = "a"}, {.payload = "b"}}).value().messages.size() == 2);
  CHECK(broker.alter_topic("t", {}).code() == ErrorCode::unsupported);
  CHECK(broker.delete_topic("t") == ErrorCode::unsupported);
  CHECK(broker.status().code() == ErrorCode::unsupported);
}

TEST_CASE("no answer is lost between many threads that wait", "[api]") {
  FakeBroker broker(false);
  std::atomic<int> answered{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) answered += broker.publish("t", {.payload = "x"}).ok();
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(answered == 8000);
}

TEST_CASE("a gate may be opened before, while and after its waiter goes to sleep", "[api]") {
  for (int i = 0; i < 5000; ++i) {
    auto* gate = new api::OneShot;
    std::thread opener([gate] { gate->open(); });
    if (i % 3 == 0) std::this_thread::yield();
    gate->wait();
    opener.join();
    delete gate;
  }
}

TEST_CASE("a blocking fetch is woken by the message that comes, and by cancelling", "[api]") {
  FakeBroker broker;
  Result<FetchResult> fetched = Status(ErrorCode::internal, "");
  std::thread fetcher([&] { fetched = broker.fetch({.source = "t", .group = "g", .wait = std::chrono::hours{1}}); });
  CHECK(eventually([&] { return broker.waiting_fetches() == 1; }));
  broker.publish("t", {.payload = "hello"}).value();
  fetcher.join();
  REQUIRE(fetched.ok());
  CHECK(fetched->deliveries.at(0).message.payload.text() == "hello");

  CallContext context;
  context.cancellation = Cancellation::make();
  Cancellation cancellation = context.cancellation;
  fetcher = std::thread([&] { fetched = broker.fetch({.source = "t", .group = "g", .wait = std::chrono::hours{1}}, context); });
  CHECK(eventually([&] { return broker.waiting_fetches() == 1; }));
  cancellation.cancel();
  fetcher.join();
  CHECK(fetched.code() == ErrorCode::cancelled);
}

TEST_CASE("settling one delivery answers with its own result", "[api]") {
  struct Refusing : FakeBroker {
    void async_settle(SettleRequest request, CallContext, Callback<SettleResult> done) override {
      SettleResult result;
      if (request.settlements.front().token.offset == Offset{7}) result.results.emplace_back(ErrorCode::lease_lost, "gone");
      done(std::move(result));
    }
  } broker;
  CHECK(broker.ack({.offset = Offset{1}}).ok());
  CHECK(broker.ack({.offset = Offset{7}}) == ErrorCode::lease_lost);
}

TEST_CASE("a future gets the answer of its publish", "[api]") {
  FakeBroker broker;
  PublishRequest request;
  request.topic = "t";
  request.messages.push_back({.payload = "x"});
  CHECK(broker.publish_future(std::move(request)).get().value().messages.size() == 1);
}

/// A log that keeps sessions as S-6 says, and can lose the request or the answer.
struct SessionBroker : UnsupportedBroker {
  enum Luck { kGood, kRequestLost, kAnswerLost };
  std::vector<Luck> luck;
  std::vector<std::string> log;
  std::uint64_t high = 0;
  int tries = 0;

  void async_publish(PublishRequest request, CallContext, Callback<PublishResult> done) override {
    ++tries;
    Luck now = kGood;
    if (!luck.empty()) {
      now = luck.front();
      luck.erase(luck.begin());
    }
    if (now == kRequestLost) return done(Status(ErrorCode::outcome_unknown, "lost"));
    if (request.session->sequence > high + 1) return done(Status(ErrorCode::sequence_gap, "gap"));
    PublishResult result;
    for (std::size_t i = 0; i < request.messages.size(); ++i) {
      const bool duplicate = request.session->sequence + i <= high;
      if (!duplicate) log.push_back(request.messages[i].payload.str()), ++high;
      result.messages.push_back({Offset{}, duplicate});
    }
    if (now == kAnswerLost) return done(Status(ErrorCode::outcome_unknown, "lost"));
    done(std::move(result));
  }
  Status send(Producer& producer, const char* text, int attempts = 1) {
    PublishRequest request;
    request.topic = "t";
    request.messages.push_back({.payload = text});
    return producer.publish(std::move(request), attempts).status();
  }
};

TEST_CASE("a producer repeats a publish of unknown outcome, and it is stored once", "[api][S-6]") {
  SessionBroker broker;
  Producer producer(broker, "session");
  broker.luck = {SessionBroker::kAnswerLost, SessionBroker::kRequestLost};
  CHECK(broker.send(producer, "a", 3).ok());
  CHECK(broker.tries == 3);
  CHECK(broker.send(producer, "b", 3).ok());
  CHECK(broker.log == std::vector<std::string>{"a", "b"});
  CHECK(producer.next_sequence() == 3);
}

TEST_CASE("after publishes of unknown outcome the next is stored once, whatever became of them", "[api][S-6]") {
  const auto first = GENERATE(SessionBroker::kRequestLost, SessionBroker::kAnswerLost);
  const auto second = GENERATE(SessionBroker::kRequestLost, SessionBroker::kAnswerLost);
  SessionBroker broker;
  Producer producer(broker, "session");
  broker.luck = {SessionBroker::kGood, first, second};
  CHECK(broker.send(producer, "a").ok());
  CHECK(broker.send(producer, "b") == ErrorCode::outcome_unknown);
  const Status c = broker.send(producer, "c");
  CHECK((c == ErrorCode::outcome_unknown || c.ok()));
  CHECK(broker.send(producer, "d").ok());
  CHECK(broker.send(producer, "e").ok());
  std::vector<std::string> expected{"a"};
  if (first == SessionBroker::kAnswerLost) expected.push_back("b");
  if (second == SessionBroker::kAnswerLost || c.ok()) expected.push_back("c");
  expected.insert(expected.end(), {"d", "e"});
  CHECK(broker.log == expected);
}

}  // namespace
}  // namespace weir::test
