// Opening: one owner, forks, places that are no stores (S-32, S-34).
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <atomic>
#include <thread>

#include "tests/contract/fixture.h"
#include "tests/support/child.h"
#include "tests/support/temp_directory.h"

namespace weir::test {
namespace {

// --- One owner (S-34) -------------------------------------------------------------------------------------------------------------

TEST_CASE("child: the store of $WEIR_TEST_STORE belongs to process $WEIR_TEST_OWNER", "[.]") {
  const auto second = weir::open(std::getenv("WEIR_TEST_STORE"));
  expect_error(second, ErrorCode::already_open, std::getenv("WEIR_TEST_OWNER"));
}

TEST_CASE("child: the store of $WEIR_TEST_STORE is free", "[.]") {
  const auto broker = weir::open(std::getenv("WEIR_TEST_STORE"));
  REQUIRE(broker.ok());
  CHECK((*broker)->publish("orders", {.payload = "from the child"}).ok());
}

CONTRACT_TEST("another process gets already_open with the owner's pid, and may have the store later", "[S-34]") {
  if (f.place().location().empty()) return;
  f.topic("orders");
  const std::vector<std::pair<std::string, std::string>> environment = {{"WEIR_TEST_STORE", f.place().location()},
                                                                        {"WEIR_TEST_OWNER", std::to_string(getpid())}};
  CHECK(run_child("child: the store of $WEIR_TEST_STORE belongs to process $WEIR_TEST_OWNER", environment) == 0);
  f.publish_texts("orders", {"1"});  // the owner did not notice
  f.close();
  CHECK(run_child("child: the store of $WEIR_TEST_STORE is free", environment) == 0);
  CHECK(texts(f.browse("orders")) == Texts{"1", "from the child"});
}

CONTRACT_TEST("opening twice in one process is refused as well", "[S-34]") {
  f.topic("orders");
  const auto second = f.place().open(f.options);
  expect_error(second, ErrorCode::already_open, std::to_string(getpid()));
  f.publish_texts("orders", {"1"});
  f.reopen();
  CHECK(f.browse("orders").size() == 1);
}

// Forks, and answers what the child makes of `verb`: 0 when it got the error `forked`.
int in_a_forked_child(const std::function<Status()>& verb) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);  // a child that hangs is a failure, not a test that never ends
    _exit(verb().code() == ErrorCode::forked ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

CONTRACT_TEST_EVERY_TOPIC("using a store after fork is an error, and the parent goes on", "[S-34]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish_texts("orders", {"1"});
  const Delivered d = f.one("orders", "billing");
  Broker& broker = f.broker();
  CHECK(in_a_forked_child([&] { return broker.publish("orders", {.payload = "x"}).status(); }) == 0);
  CHECK(in_a_forked_child([&] { return broker.fetch({.source = "orders", .group = "billing"}).status(); }) == 0);
  CHECK(in_a_forked_child([&] { return broker.ack(d.token); }) == 0);
  CHECK(in_a_forked_child([&] { return broker.topic("orders").status(); }) == 0);
  CHECK(in_a_forked_child([&] { return broker.begin(d.token); }) == 0);
  f.ack(d);
  f.publish_texts("orders", {"2"});
  CHECK(text(f.one("orders", "billing")) == "2");
}

// --- Places ------------------------------------------------------------------------------------------------------------------------

TEST_CASE("a store that is missing is created only when that is wanted", "[S-34]") {
  TempDirectory directory;
  const std::string path = directory.file("deep/below/store");
  OpenOptions options;
  options.create_if_missing = false;
  CHECK_FALSE(weir::open(path, options).ok());
  CHECK_FALSE(std::filesystem::exists(path));
  CHECK(weir::open(path).ok());
  CHECK(weir::open(path, options).ok());
}

TEST_CASE("a scheme that no engine has is unsupported", "[S-34]") {
  expect_error(weir::open("carrier-pigeon://coop"), ErrorCode::unsupported, "carrier-pigeon");
  CHECK_FALSE(weir::open("").ok());
}

TEST_CASE("a path that is a file is no store", "[S-32]") {
  TempDirectory directory;
  std::ofstream(directory.file("file")) << "not a store";
  CHECK_FALSE(weir::open(directory.file("file")).ok());
  CHECK(std::filesystem::file_size(directory.file("file")) == 11);
}

TEST_CASE("memory: is a broker without a disk, for ephemeral topics only", "[S-4]") {
  auto opened = weir::open("memory:");
  REQUIRE(opened.ok());
  Broker& broker = **opened;
  CHECK_FALSE(broker.create_topic("orders").ok());
  TopicOptions ephemeral;
  ephemeral.ephemeral = true;
  expect_ok(broker.create_topic("events", ephemeral));
  expect_ok(broker.create_group("events", "view"));
  expect_ok(broker.publish("events", {.payload = "1"}));
  const auto got = broker.fetch({.source = "events", .group = "view"});
  REQUIRE(got.ok());
  REQUIRE(got->deliveries.size() == 1);
  expect_ok(broker.settle(Settlement::reject(got->deliveries[0].token, "no")));
  CHECK(broker.dead_letters({.topic = "events", .group = "view"}).value().letters.size() == 1);
  CHECK(weir::open("memory:").ok());  // as many as one likes
}

// --- Storage (S-32), as far as it shows without faults ----------------------------------------------------------------------------

CONTRACT_TEST("a healthy store verifies", "[S-32]") {
  f.options.events = false;   // what is counted is the test's own
  f.topic("orders");
  f.publish_texts("orders", {"1", "2"});
  const auto report = answer_of<VerifyReport>([&](auto done) { f->async_verify({}, std::move(done)); });
  expect_ok(report);
  CHECK(report->problems.empty());
  CHECK(report->messages == 2);
  CHECK(f->verify().value().batches == 2);
}

CONTRACT_TEST("when less than the reserve is free, publishes get storage_full and everything else goes on", "[S-32]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish_texts("orders", {"1", "2", "3"});
  f.close();
  f.options.reserve_bytes = ~0ull >> 1;  // more than any disk has free
  expect_error(f->publish("orders", {.payload = "4"}), ErrorCode::storage_full);
  CHECK(f->status().value().state == StoreState::kStorageFull);
  CHECK_FALSE(f->status().value().reason.empty());
  const std::vector<Delivered> got = f.fetch_all("orders", "billing", 3);
  f.ack(got[0]);
  f.reject(got[1], "no");
  f.retry(got[2], "no", 0ms);
  CHECK(f.letters("orders", "billing").size() == 1);
  f.ack(f.one("orders", "billing"));

  f.close();
  f.options.reserve_bytes = 0;
  CHECK(f.publish("orders", {.payload = "4"}) == Offset{3});
  CHECK(f->status().value().state == StoreState::kRunning);
}

CONTRACT_TEST("closing while other threads use the broker ends every call, with an answer", "[S-35]") {
  for (int round = 0; round < 5; ++round) {
    f.topic("orders");
    f.group("orders", "billing");
    std::vector<std::thread> threads;
    std::atomic<int> answered{0};
    const auto until_closed = [&](auto call) {
      threads.emplace_back([&answered, call] {
        while (call() != ErrorCode::closed) ++answered;
      });
    };
    Broker* broker = &f.broker();
    for (int i = 0; i < 2; ++i) until_closed([=] { return broker->publish("orders", {.payload = "1"}, Durability::kProcess).code(); });
    until_closed([=] { return broker->browse({.topic = "orders"}).code(); });
    until_closed([=] { return broker->group("orders", "billing").code(); });
    until_closed([=] {
      const auto got = broker->fetch({.source = "orders", .group = "billing"});
      if (got.ok() && !got->deliveries.empty()) return broker->ack(got->deliveries[0].token).code();
      return got.code();
    });
    while (answered < 200) std::this_thread::yield();
    expect_ok(f->close());
    for (std::thread& thread : threads) thread.join();
    f.reopen();
    expect_ok(f->delete_topic("orders"));
  }
}

}  // namespace
}  // namespace weir::test
