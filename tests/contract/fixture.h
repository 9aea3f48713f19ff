// The small language of the contract suite. A test is a story about one broker:
//
//   CONTRACT_TEST("a message that was acked is not delivered again", "[S-16]") {
//     f.topic("orders");
//     f.group("orders", "billing");
//     f.publish("orders", {.payload = "1"});
//     f.ack(f.one("orders", "billing"));
//     f.expect_nothing("orders", "billing");
//   }
//
// It runs once for every registered engine; engines that lack one of the S-numbers it is tagged with leave it out, and the run
// says so. CONTRACT_TEST_EVERY_TOPIC runs with durable and with ephemeral topics.
#pragma once

#include <catch2/catch.hpp>

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/contract/engines.h"
#include "tests/support/eventually.h"
#include "weir/weir.h"

namespace weir::test {

using namespace std::chrono_literals;
using Texts = std::vector<std::string>;

enum class TopicKind { kDurable, kEphemeral };

/// What a test asks for when it fetches; as FetchRequest.
struct Ask {
  std::uint32_t max = 100;
  std::uint64_t bytes_max = 16u << 20;
  MemberId member{};
  bool reports_begun = false;
  std::optional<Duration> lease{};
  Duration extend_until{0};
};

class Fixture {
 public:
  Fixture(const Engine& engine, TopicKind kind);
  ~Fixture();

  // --- The broker. It is opened at its first use, so a test can set `options` before.
  OpenOptions options{};
  std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>();
  Broker& broker();
  Broker* operator->() { return &broker(); }
  Place& place() { return *place_; }
  TopicKind kind() const { return kind_; }
  void close();    ///< closes and destroys it
  void reopen();   ///< closes it, and opens the same store again with `options`
  void advance(Duration by) { clock->advance(by); }
  Time now() const { return clock->now(); }

  // --- Each of these must succeed, or the test fails.
  TopicInfo topic(const std::string& name, TopicOptions topic_options = {});
  TopicInfo topic_info(const std::string& name) { return broker().topic(name).value(); }
  GroupInfo group(const std::string& source, const std::string& name, GroupOptions group_options = {});
  GroupInfo group_info(const std::string& source, const std::string& name) { return broker().group(source, name).value(); }
  GroupTopicStats stats(const std::string& source, const std::string& name) { return group_info(source, name).total(); }
  MemberId join(const std::string& source, const std::string& name, const std::string& member = {});
  Offset publish(const std::string& topic, Message message);
  /// One keyless message for each text, each in a commit of its own.
  void publish_texts(const std::string& topic, const Texts& texts);

  /// What is there to fetch; waits for the first message, and fails the test when none comes.
  std::vector<Delivered> fetch(const std::string& source, const std::string& group, Ask ask = {});
  /// Fetches until there are `count`, in as many fetches as it takes.
  std::vector<Delivered> fetch_all(const std::string& source, const std::string& group, std::size_t count, Ask ask = {});
  /// The next message alone.
  Delivered one(const std::string& source, const std::string& group, Ask ask = {});
  /// What can be fetched at once, perhaps nothing.
  std::vector<Delivered> fetch_now(const std::string& source, const std::string& group, Ask ask = {});
  void expect_nothing(const std::string& source, const std::string& group);

  void ack(const Delivered& delivered);
  void ack(const std::vector<Delivered>& deliveries);
  void retry(const Delivered& delivered, const std::string& error = {}, std::optional<Duration> delay = {});
  void reject(const Delivered& delivered, const std::string& error = {});
  void release(const Delivered& delivered);
  void extend(const Delivered& delivered, std::optional<Duration> lease = {});

  std::vector<StoredMessage> browse(const std::string& topic, StartPoint from = {});
  std::vector<DeadLetter> letters(const std::string& topic, const std::string& group);
  /// Publishes one message, lets the group reject it, and answers its dead letter.
  DeadLetter dead_letter(const std::string& topic, const std::string& group, Message message);
  RedriveResult redrive(const std::string& topic, const std::string& group, std::vector<Offset> letters = {}, bool force = false);

  /// Moves the clock on by `step` after each look, for what the broker does now and then.
  bool eventually_as_time_passes(Duration step, const std::function<bool()>& condition);

 private:
  std::unique_ptr<Place> place_;
  const TopicKind kind_;
  std::unique_ptr<Broker> broker_;
};

/// The payloads, as text.
Texts texts(const std::vector<Delivered>& deliveries);
Texts texts(const std::vector<StoredMessage>& messages);
Texts sorted(Texts texts);
std::string text(const Delivered& delivered);

/// A retry rule without chance: the same delay each time.
Backoff fixed_backoff(Duration delay);

inline Status status_of(Status status) { return status; }
template <class T>
Status status_of(const Result<T>& result) {
  return result.status();
}

/// The verb must have failed like this, with `words` in its message.
void expect_error(const Status& status, ErrorCode code, std::string_view words = {});
template <class T>
void expect_error(const Result<T>& result, ErrorCode code, std::string_view words = {}) {
  expect_error(result.status(), code, words);
}
/// The verb must have failed, in one of these ways.
void expect_one_of(const Status& status, std::initializer_list<ErrorCode> codes, std::string_view words = {});
template <class T>
void expect_one_of(const Result<T>& result, std::initializer_list<ErrorCode> codes, std::string_view words = {}) {
  expect_one_of(result.status(), codes, words);
}
void expect_ok(const Status& status);
template <class T>
void expect_ok(const Result<T>& result) {
  expect_ok(result.status());
}

/// The answer of an asynchronous verb: `call` is given the callback.
template <class T, class Call>
Result<T> answer_of(Call&& call) {
  auto answer = std::make_shared<std::promise<Result<T>>>();
  auto future = answer->get_future();
  call([answer](Result<T> result) { answer->set_value(std::move(result)); });
  if (future.wait_for(kPatience) != std::future_status::ready) return Status(ErrorCode::deadline_exceeded, "the test waited in vain");
  return future.get();
}

/// Calls `body` with a fixture on `engine`, or notes why not.
void run_contract(const Engine& engine, TopicKind kind, std::string_view tags, void (*body)(Fixture&));

}  // namespace weir::test

namespace Catch {
template <>
struct StringMaker<weir::ErrorCode> {
  static std::string convert(weir::ErrorCode code) { return std::string(weir::error_info(code).name); }
};
}  // namespace Catch

#define WEIR_CONTRACT_TEST(body, name, tags, ...)                                          \
  static void body(::weir::test::Fixture& f);                                             \
  TEST_CASE(name, tags) {                                                                 \
    const auto engine = GENERATE(range(std::size_t{0}, ::weir::test::engines().size()));  \
    const ::weir::test::TopicKind kind = GENERATE(__VA_ARGS__);                           \
    ::weir::test::run_contract(::weir::test::engines()[engine], kind, tags, &body);       \
  }                                                                                       \
  static void body([[maybe_unused]] ::weir::test::Fixture& f)

#define CONTRACT_TEST(name, tags) \
  WEIR_CONTRACT_TEST(INTERNAL_CATCH_UNIQUE_NAME(contract_body_), name, tags, ::weir::test::TopicKind::kDurable)

#define CONTRACT_TEST_EVERY_TOPIC(name, tags)                                                                         \
  WEIR_CONTRACT_TEST(INTERNAL_CATCH_UNIQUE_NAME(contract_body_), name, tags, ::weir::test::TopicKind::kDurable, \
                     ::weir::test::TopicKind::kEphemeral)
