// What comes between retention's look at a topic and its commit.
#include <catch2/catch.hpp>

#include <pthread.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "tests/support/eventually.h"
#include "tests/support/temp_directory.h"
#include "weir/broker.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

/// Driven by hand. Once armed, the `turn`th time that the broker's workshop asks what time it is it is held up until go_on(), or for a while: where it asks
/// under a lock, what the test wants to do meanwhile waits for it.
class HoldingClock final : public Clock {
 public:
  Time now() const override {
    char name[16] = {};
    ::pthread_getname_np(::pthread_self(), name, sizeof name);
    std::unique_lock lock(mutex_);
    if (turn_ > 0 && std::string_view(name) == "weir-workshop" && --turn_ == 0) {
      held_ = true;
      changed_.notify_all();
      changed_.wait_for(lock, 300ms, [this] { return !held_; });
      held_ = false;
    }
    return manual_.now();
  }
  std::optional<Duration> real_time_until(Time when) const override { return manual_.real_time_until(when); }
  void watch(const void* watcher, std::function<void()> changed) override { manual_.watch(watcher, std::move(changed)); }
  void unwatch(const void* watcher) override { manual_.unwatch(watcher); }

  void advance(Duration by) { manual_.advance(by); }
  void arm(int turn) {
    std::lock_guard lock(mutex_);
    turn_ = turn;
  }
  bool held() const {
    std::lock_guard lock(mutex_);
    return held_;
  }
  void go_on() {
    std::lock_guard lock(mutex_);
    turn_ = 0;
    held_ = false;
    changed_.notify_all();
  }

 private:
  ManualClock manual_;
  mutable std::mutex mutex_;   ///< guards what follows
  mutable std::condition_variable changed_;
  mutable int turn_ = 0;
  mutable bool held_ = false;
};

TEST_CASE("a group that comes while retention is at work keeps all that was there when it came", "[engine][S-10][S-12]") {
  int held = 0;
  for (int turn = 1; turn <= 8; ++turn) {
    INFO("turn " << turn);
    TempDirectory directory;
    const auto clock = std::make_shared<HoldingClock>();
    OpenOptions options;
    options.clock = clock;
    options.reserve_bytes = 0;
    options.events = false;
    const auto broker = open(directory.file("store"), options).value();
    for (const char* topic : {"orders", "last"}) {
      broker->create_topic(topic, {.durability = Durability::kProcess, .retention_age = 1h}).value();
      for (const char* text : {"1", "2", "3"}) broker->publish(topic, Message{.payload = text}).value();
    }
    const auto gone = [&](const char* topic) { return broker->topic(topic).value().first == Offset{3}; };
    clock->arm(turn);
    clock->advance(2h);
    REQUIRE(eventually([&] { return clock->held() || gone("last"); }));
    held += clock->held();
    broker->create_group("orders", "late").value();
    const Offset first = broker->topic("orders").value().first;
    clock->go_on();
    // Topics are gone through in the order of their making, so that what retention did to this one is done when it has been at the other.
    REQUIRE(eventually([&] {
      clock->advance(1s);
      return gone("last");
    }));
    CHECK(broker->topic("orders").value().first == first);
    FetchRequest request{.source = "orders", .group = "late"};
    CHECK(broker->fetch(request).value().deliveries.size() == 3 - first.value);
  }
  CHECK(held > 0);
}

}  // namespace
}  // namespace weir::test
