// One process opens a store (S-34).
#include <catch2/catch.hpp>

#include <algorithm>
#include <filesystem>
#include <future>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

#include "tests/crash/process.h"
#include "tests/support/temp_directory.h"
#include "weir/broker.h"

namespace {

using namespace weir;
using namespace weir::crash;

OpenOptions plain() {
  OpenOptions options;
  options.reserve_bytes = 0;
  return options;
}

}  // namespace

TEST_CASE("a second process is told who has the store, and gets it once the owner was killed", "[crash][S-34]") {
  test::TempDirectory directory;
  const std::string store = directory.file("store");
  Process owner({"hold", store});
  REQUIRE(owner.read_line() == "open");

  const auto second = open(store, plain());
  REQUIRE(second.code() == ErrorCode::already_open);
  CHECK_THAT(second.status().message(), Catch::Contains(std::to_string(owner.pid())));

  owner.kill_hard();
  const auto third = open(store, plain());
  INFO(third.status());
  CHECK(third.ok());
}

TEST_CASE("an owner that reads or copies its own store keeps its lock", "[crash][S-34]") {
  test::TempDirectory directory;
  const auto broker = open(directory.file("store"), plain());
  REQUIRE(broker.ok());
  std::filesystem::copy(directory.file("store"), directory.file("copy"), std::filesystem::copy_options::recursive);
  Process other({"hold", directory.file("store")});
  const std::string answer = other.read_line();
  CHECK_THAT(answer, Catch::StartsWith("already_open"));
  CHECK_THAT(answer, Catch::Contains(std::to_string(::getpid())));
}

TEST_CASE("the same process cannot open a store twice", "[crash][S-34]") {
  test::TempDirectory directory;
  const auto first = open(directory.file("store"), plain());
  REQUIRE(first.ok());
  const auto second = open(directory.file("store"), plain());
  REQUIRE(second.code() == ErrorCode::already_open);
  CHECK_THAT(second.status().message(), Catch::Contains(std::to_string(::getpid())));
  Process other({"hold", directory.file("store")});
  CHECK_THAT(other.read_line(), Catch::StartsWith("already_open"));
}

#if !defined(__SANITIZE_THREAD__)   // whose runtime ends a child of a fork that starts a thread ("dup thread with used id"); answers come on one
TEST_CASE("the child of a fork may let go of what it was left, asks in vain, and holds no lock", "[crash][S-34]") {
  test::TempDirectory directory;
  auto broker = open(directory.file("store"), plain()).value();
  broker->create_topic("t").value();
  Subscription subscription = broker->subscribe("t", {.group = "g"}, [](Delivery&) {}).value();
  int answers[2], hold[2];
  REQUIRE((::pipe(answers) == 0 && ::pipe(hold) == 0));

  const pid_t child = ::fork();
  if (child == 0) {
    // No assertions here: the child writes what it finds. An alarm ends it should it hang.
    ::alarm(60);
    ::close(hold[1]);
    const auto say = [&](const std::string& line) { [[maybe_unused]] const auto written = ::write(answers[1], (line + "\n").data(), line.size() + 1); };
    std::promise<ErrorCode> answered;
    PublishRequest request;
    request.topic = "t";
    request.messages.push_back({.payload = "child"});
    broker->async_publish(std::move(request), {}, [&](Result<PublishResult> result) { answered.set_value(result.code()); });
    say(answered.get_future().get() == ErrorCode::forked ? "forked" : "another answer");
    const auto second = open(directory.file("store"), plain());
    say(second.code() == ErrorCode::already_open ? second.status().message() : "opened");
    subscription = {};
    broker.reset();
    say("let go");
    char byte;
    [[maybe_unused]] const auto end = ::read(hold[0], &byte, 1);   // until the parent is done
    ::_exit(0);
  }
  ::close(answers[1]);
  std::string said;
  for (char c; std::count(said.begin(), said.end(), '\n') < 3 && ::read(answers[0], &c, 1) == 1;) said.push_back(c);
  CHECK_THAT(said, Catch::StartsWith("forked\nthe store is open in process " + std::to_string(::getpid()) + " "));
  CHECK_THAT(said, Catch::EndsWith("\nlet go\n"));
  // The child lives, and the store is the next one's all the same.
  subscription.stop();
  REQUIRE(broker->close().ok());
  broker.reset();
  Process other({"hold", directory.file("store")});
  CHECK(other.read_line() == "open");
  other.kill_hard();
  ::close(hold[1]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  ::close(answers[0]);
  ::close(hold[0]);
}
#endif

TEST_CASE("after fork the child is told so, and the parent goes on", "[crash][S-34]") {
  test::TempDirectory directory;
  auto broker = open(directory.file("store"), plain()).value();
  broker->create_topic("t").value();
  broker->publish("t", Message{.payload = "before"}).value();

  const pid_t child = ::fork();
  if (child == 0) {
    // No assertions here: the child answers with its exit code, and neither destroys the broker nor runs exit handlers.
    const bool publish = broker->publish("t", Message{.payload = "child"}).code() == ErrorCode::forked;
    FetchRequest request;
    request.source = "t";
    request.group = "g";
    const bool fetch = broker->fetch(request).code() == ErrorCode::forked;
    const bool status = broker->status().code() == ErrorCode::forked;
    const bool close = broker->close().code() == ErrorCode::forked;
    ::_exit((publish ? 0 : 1) + (fetch ? 0 : 2) + (status ? 0 : 4) + (close ? 0 : 8));
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);

  CHECK(broker->publish("t", Message{.payload = "after"}).value().offset.value == 1);
  REQUIRE(broker->close().ok());
  broker.reset();
  CHECK(open(directory.file("store"), plain()).value()->topic("t").value().next.value == 2);
}
