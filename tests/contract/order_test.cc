// The order inside a group (S-13).
#include <algorithm>
#include <map>
#include <random>

#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

void publish_keyed(Fixture& f, std::initializer_list<std::pair<const char*, const char*>> messages) {
  for (const auto& [key, payload] : messages) f.publish("orders", {.key = key, .payload = payload});
}

GroupOptions ordered(Order order) {
  GroupOptions options;
  options.order = order;
  return options;
}

CONTRACT_TEST_EVERY_TOPIC("while a message is in delivery, later ones of its key wait and the others flow", "[S-13]") {
  f.topic("orders");
  f.group("orders", "billing");
  publish_keyed(f, {{"k", "k1"}, {"k", "k2"}, {"other", "o1"}, {"", "free"}});
  const Delivered k1 = f.one("orders", "billing");
  CHECK(text(k1) == "k1");
  CHECK(sorted(texts(f.fetch_all("orders", "billing", 2))) == Texts{"free", "o1"});
  f.expect_nothing("orders", "billing");
  f.ack(k1);
  CHECK(texts(f.fetch("orders", "billing")) == Texts{"k2"});
}

CONTRACT_TEST_EVERY_TOPIC("while a message waits for its retry, later ones of its key wait and the others flow", "[S-13]") {
  f.topic("orders");
  f.group("orders", "billing");
  publish_keyed(f, {{"k", "k1"}, {"k", "k2"}, {"other", "o1"}, {"", "free"}});
  f.retry(f.one("orders", "billing"), "not yet", 10s);
  CHECK(sorted(texts(f.fetch_all("orders", "billing", 2))) == Texts{"free", "o1"});
  f.advance(9s);
  f.expect_nothing("orders", "billing");
  f.advance(1s);
  const Delivered again = f.one("orders", "billing");
  CHECK(text(again) == "k1");
  f.expect_nothing("orders", "billing");
  f.ack(again);
  CHECK(texts(f.fetch("orders", "billing")) == Texts{"k2"});
}

CONTRACT_TEST_EVERY_TOPIC("keyless messages wait for nobody", "[S-13]") {
  f.topic("orders");
  f.group("orders", "billing");
  f.publish_texts("orders", {"1", "2", "3"});
  f.retry(f.one("orders", "billing"), "later", 1h);
  CHECK(text(f.one("orders", "billing")) == "2");
  CHECK(text(f.one("orders", "billing")) == "3");
}

CONTRACT_TEST_EVERY_TOPIC("a message that was released, or whose lease expired, comes before the later ones of its key", "[S-13]") {
  f.topic("orders");
  GroupOptions options;
  options.backoff = fixed_backoff(1s);
  f.group("orders", "billing", options);
  publish_keyed(f, {{"k", "k1"}, {"k", "k2"}});
  f.release(f.one("orders", "billing"));
  CHECK(text(f.one("orders", "billing")) == "k1");
  f.advance(30s);
  REQUIRE(eventually([&] { return f.stats("orders", "billing").expired_leases == 1; }));
  f.advance(1s);
  CHECK(text(f.one("orders", "billing")) == "k1");
  f.expect_nothing("orders", "billing");
}

CONTRACT_TEST_EVERY_TOPIC("a dead message lets its key go on", "[S-13]") {
  f.topic("orders");
  f.group("orders", "billing");
  publish_keyed(f, {{"k", "k1"}, {"k", "k2"}});
  f.reject(f.one("orders", "billing"));
  CHECK(text(f.one("orders", "billing")) == "k2");
}

CONTRACT_TEST_EVERY_TOPIC("order none: nothing waits for anything", "[S-13]") {
  f.topic("orders");
  f.group("orders", "billing", ordered(Order::kNone));
  publish_keyed(f, {{"k", "k1"}, {"k", "k2"}, {"k", "k3"}});
  const Delivered k1 = f.one("orders", "billing");
  CHECK(text(f.one("orders", "billing")) == "k2");
  f.retry(k1, "later", 1h);
  CHECK(text(f.one("orders", "billing")) == "k3");
}

CONTRACT_TEST_EVERY_TOPIC("order topic: strictly one after another", "[S-13]") {
  f.topic("orders");
  f.group("orders", "billing", ordered(Order::kTopic));
  publish_keyed(f, {{"a", "1"}, {"b", "2"}, {"", "3"}});
  const Delivered first = f.one("orders", "billing");
  CHECK(text(first) == "1");
  f.expect_nothing("orders", "billing");
  f.retry(first, "later", 10s);
  f.expect_nothing("orders", "billing");
  f.advance(10s);
  const Delivered again = f.one("orders", "billing");
  CHECK(text(again) == "1");
  f.ack(again);
  const Delivered second = f.one("orders", "billing");
  CHECK(text(second) == "2");
  f.reject(second);
  CHECK(text(f.one("orders", "billing")) == "3");
}

// --- Several messages of a key in one fetch --------------------------------------------------------------------------------

CONTRACT_TEST_EVERY_TOPIC("consecutive messages of a key in one fetch come in order, and the key is theirs", "[S-13]") {
  f.topic("orders");
  f.group("orders", "billing");
  publish_keyed(f, {{"k", "1"}, {"k", "2"}, {"k", "3"}, {"k", "4"}});
  const std::vector<Delivered> run = f.fetch("orders", "billing", {.max = 3});
  REQUIRE_FALSE(run.empty());
  for (std::size_t i = 0; i < run.size(); ++i) CHECK(text(run[i]) == std::to_string(i + 1));
  f.expect_nothing("orders", "billing");
  for (const Delivered& each : run) {
    f.expect_nothing("orders", "billing");
    f.ack(each);
  }
  CHECK(text(f.one("orders", "billing")) == std::to_string(run.size() + 1));
}

void one_of_a_run_is_not_acked(Fixture& f, const std::function<void(const Delivered&)>& end) {
  f.topic("orders");
  f.group("orders", "billing");
  publish_keyed(f, {{"k", "1"}, {"k", "2"}, {"other", "x"}, {"k", "3"}});
  std::vector<Delivered> run;
  for (Delivered& each : f.fetch("orders", "billing"))
    if (each.message.key == "k") run.push_back(std::move(each));
  if (run.size() < 3) return;  // "may hand": an engine that hands out one at a time keeps the promise too

  f.ack(run[0]);
  end(run[1]);
  for (const Settlement& late : {Settlement::ack(run[2].token), Settlement::retry(run[2].token), Settlement::reject(run[2].token)})
    expect_error(f->settle(late), ErrorCode::lease_lost);
  CHECK(f->begin(run[2].token).code() == ErrorCode::lease_lost);
  f.advance(1h);
  const Delivered two = f.one("orders", "billing");
  CHECK(text(two) == "2");
  f.ack(two);
  const Delivered three = f.one("orders", "billing");
  CHECK(text(three) == "3");
  CHECK(three.failures == 0);  // released uncounted
}

CONTRACT_TEST_EVERY_TOPIC("when one of a run is retried, the rest are released uncounted and their tokens void", "[S-13]") {
  one_of_a_run_is_not_acked(f, [&](const Delivered& d) { f.retry(d, "no", 1min); });
}

CONTRACT_TEST_EVERY_TOPIC("when one of a run is released, the rest are too", "[S-13]") {
  one_of_a_run_is_not_acked(f, [&](const Delivered& d) { f.release(d); });
}

void the_leases_of_a_run_expire(Fixture& f, bool reports_begun) {
  f.topic("orders");
  GroupOptions options;
  options.backoff = fixed_backoff(1s);
  f.group("orders", "billing", options);
  publish_keyed(f, {{"k", "1"}, {"k", "2"}, {"k", "3"}});
  REQUIRE_FALSE(f.fetch("orders", "billing", {.reports_begun = reports_begun}).empty());
  f.advance(30s);
  REQUIRE(eventually([&] { return f.stats("orders", "billing").in_flight == 0; }));
  f.advance(1s);
  for (const char* expected : {"1", "2", "3"}) {
    const Delivered d = f.one("orders", "billing");
    CHECK(text(d) == expected);
    CHECK(d.failures == (text(d) == "1" && !reports_begun ? 1 : 0));
    f.ack(d);
  }
}

CONTRACT_TEST_EVERY_TOPIC("when the leases of a run expire, its first is charged and the rest are not", "[S-13][S-17]") {
  the_leases_of_a_run_expire(f, false);
}

CONTRACT_TEST_EVERY_TOPIC("when the leases of a run expire and none was begun, nobody is charged", "[S-13][S-17]") {
  the_leases_of_a_run_expire(f, true);
}

// --- Many messages behind one ----------------------------------------------------------------------------------------------

void publish_many(Fixture& f, const std::string& key, int count) {
  for (int done = 0; done < count;) {
    std::vector<Message> batch;
    for (; batch.size() < 1000 && done < count; ++done) batch.push_back({.key = key, .payload = std::to_string(done)});
    expect_ok(f->publish_all("orders", std::move(batch)));
  }
}

CONTRACT_TEST_EVERY_TOPIC("a stuck key with many messages behind it holds up no other key, and keeps its order", "[S-13]") {
  constexpr int kBehind = 20'000;
  f.topic("orders");
  f.group("orders", "billing");
  publish_many(f, "stuck", kBehind);
  f.publish("orders", {.key = "other", .payload = "through"});
  f.retry(f.one("orders", "billing"), "stuck", 1h);
  CHECK(text(f.one("orders", "billing")) == "through");
  CHECK(f.stats("orders", "billing").depth == kBehind + 1);

  f.advance(1h);
  int next = 0;
  while (next < kBehind) {
    const std::vector<Delivered> run = f.fetch("orders", "billing", {.max = 1000});
    std::vector<Settlement> acks;
    for (const Delivered& each : run) {
      REQUIRE(text(each) == std::to_string(next++));
      acks.push_back(Settlement::ack(each.token));
    }
    CHECK(f->settle(SettleRequest{.settlements = std::move(acks), .durability = {}}).value().results.empty());
  }
}

CONTRACT_TEST_EVERY_TOPIC("no key starves the others, however much waits behind it", "[S-13]") {
  f.topic("orders");
  GroupOptions options;
  options.in_flight_max = 10;
  f.group("orders", "billing", options);
  for (const char* key : {"a", "b", "c"}) {
    publish_many(f, key, 1);
    f.retry(f.one("orders", "billing"), "later", 1h);
    publish_many(f, key, 500);
  }
  f.expect_nothing("orders", "billing");
  f.advance(1h);
  std::map<std::string, int> worked;
  for (int fetches = 0; fetches < 30; ++fetches)
    for (const Delivered& each : f.fetch("orders", "billing", {.max = 10})) {
      ++worked[std::string(each.message.key)];
      f.ack(each);
    }
  for (const char* key : {"a", "b", "c"}) CHECK(worked[key] > 0);
}

CONTRACT_TEST("the messages behind a stuck key are still there and in order after reopening", "[S-13]") {
  constexpr int kBehind = 5'000;
  f.topic("orders");
  f.group("orders", "billing");
  publish_many(f, "stuck", kBehind);
  f.publish("orders", {.key = "other", .payload = "through"});
  f.retry(f.one("orders", "billing"), "stuck", 1h);
  f.ack(f.one("orders", "billing"));
  f.reopen();
  f.expect_nothing("orders", "billing");  // the key still waits for its first
  f.advance(1h);
  int next = 0;
  while (next < kBehind)
    for (const Delivered& each : f.fetch("orders", "billing", {.max = 1000})) {
      REQUIRE(text(each) == std::to_string(next++));
      f.ack(each);
    }
  f.expect_nothing("orders", "billing");
}

CONTRACT_TEST_EVERY_TOPIC("no key is ever out of order or worked twice at once, whatever fails", "[S-13]") {
  constexpr int kKeys = 5, kEach = 20;
  f.topic("orders");
  GroupOptions options;
  options.max_attempts = 1000;
  options.max_deliveries = 10'000;
  f.group("orders", "billing", options);
  for (int i = 0; i < kEach; ++i)
    for (int key = 0; key < kKeys; ++key) f.publish("orders", {.key = std::to_string(key), .payload = std::to_string(i)});

  std::mt19937 random(42);
  std::map<std::string, int> next;       // by key: the next message to be acked
  std::vector<Delivered> held;           // by one member each; the first of a key is worked first
  int acked = 0;
  while (acked < kKeys * kEach) {
    for (Delivered& each : f.fetch_now("orders", "billing", {.max = static_cast<std::uint32_t>(1 + random() % 7)})) {
      const std::string key(each.message.key);
      int expected = next[key];
      for (const Delivered& other : held)
        if (other.message.key == key) ++expected;
      REQUIRE(text(each) == std::to_string(expected));
      held.push_back(std::move(each));
    }
    if (held.empty()) {
      f.advance(1s);
      continue;
    }
    const std::string key(held[random() % held.size()].message.key);
    const auto first = std::find_if(held.begin(), held.end(), [&](const Delivered& d) { return d.message.key == key; });
    const unsigned dice = random() % 10;
    if (dice < 6) {
      f.ack(*first);
      ++next[key];
      ++acked;
      held.erase(first);
    } else {
      if (dice < 9) f.retry(*first, "no", Duration{random() % 3000});
      else f.release(*first);
      std::erase_if(held, [&](const Delivered& d) { return d.message.key == key; });  // the rest of the run is void
    }
  }
  f.advance(1h);
  f.expect_nothing("orders", "billing");
}

}  // namespace
}  // namespace weir::test
