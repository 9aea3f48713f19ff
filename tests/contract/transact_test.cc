// Transactions that read: conflicts, one moment for all reads, and the form that tries again (S-28).
#include <atomic>
#include <thread>

#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

using Entries = std::vector<StatePut>;

void put(Fixture& f, const std::string& key, const std::string& value) {
  expect_ok(f->transact([&](Transaction& tx) {
    tx.put(key, value);
    return ok();
  }));
}

void erase(Fixture& f, const std::string& key) {
  Transaction tx = f->begin_transaction();
  tx.erase(key);
  expect_ok(tx.commit());
}

std::optional<std::string> get(Fixture& f, const std::string& key) { return f->get_state(key).value(); }

CONTRACT_TEST("reads see the transaction's own puts and erases", "[S-28]") {
  put(f, "b", "1");
  put(f, "d", "1");
  put(f, "e", "1");
  Transaction tx = f->begin_transaction();
  tx.put("a", "own");
  tx.put("c", "own");
  tx.put("d", "own");
  tx.erase("e");
  tx.put("f", "own");
  tx.erase("f");
  CHECK(tx.get("a").value() == "own");
  CHECK(tx.get("b").value() == "1");
  CHECK(tx.get("d").value() == "own");
  CHECK(tx.get("e").value() == std::nullopt);
  CHECK(tx.get("z").value() == std::nullopt);
  CHECK(tx.scan({}).value() == Entries{{"a", "own"}, {"b", "1"}, {"c", "own"}, {"d", "own"}});
  CHECK(tx.scan({"b", "d"}).value() == Entries{{"b", "1"}, {"c", "own"}});
  CHECK(tx.scan({}, 2).value() == Entries{{"a", "own"}, {"b", "1"}});
  CHECK(tx.scan_prefix("c").value() == Entries{{"c", "own"}});
  expect_ok(tx.commit());
  CHECK(f->scan_state({}).value().entries == Entries{{"a", "own"}, {"b", "1"}, {"c", "own"}, {"d", "own"}});
}

CONTRACT_TEST("a scan finds all of a long range, and as many as were asked for though some are erased", "[S-28]") {
  Transaction fill = f->begin_transaction();
  for (int i = 0; i < 2500; ++i) fill.put("k" + std::to_string(10'000 + i), "v");
  expect_ok(fill.commit());
  Transaction tx = f->begin_transaction();
  CHECK(tx.scan({}).value().size() == 2500);
  for (int i = 0; i < 1500; ++i) tx.erase("k" + std::to_string(10'000 + i));
  const Entries rest = tx.scan({}, 700).value();
  REQUIRE(rest.size() == 700);
  CHECK(rest.front().key == "k11500");
  CHECK(rest.back().key == "k12199");
  CHECK(tx.scan({}, 0).value().empty());
}

/// A transaction reads in some way, something else happens, and it commits a put.
Status after(Fixture& f, const std::function<void(Transaction&)>& read, const std::function<void()>& meanwhile) {
  Transaction tx = f->begin_transaction();
  read(tx);
  meanwhile();
  tx.put("result", "x");
  const Status status = tx.commit().status();
  CHECK(get(f, "result").has_value() == status.ok());
  erase(f, "result");
  return status;
}

CONTRACT_TEST("conflict when a key that was read was overwritten, erased or made", "[S-28]") {
  put(f, "a", "1");
  const auto read_a = [](Transaction& tx) { CHECK(tx.get("a").value() == "1"); };
  expect_error(after(f, read_a, [&] { put(f, "a", "2"); }), ErrorCode::conflict, "\"a\"");
  put(f, "a", "1");
  expect_error(after(f, read_a, [&] { put(f, "a", "1"); }), ErrorCode::conflict);   // the same value is a write as well
  expect_error(after(f, read_a, [&] { erase(f, "a"); }), ErrorCode::conflict);
  put(f, "a", "1");
  expect_ok(after(f, read_a, [&] { put(f, "b", "1"); }));
  expect_error(after(f, [](Transaction& tx) { CHECK_FALSE(tx.get("none").value()); }, [&] { put(f, "none", "some"); }), ErrorCode::conflict);
  // Who did not read it does not mind.
  expect_ok(after(f, [](Transaction& tx) { tx.put("a", "blind"); }, [&] { put(f, "a", "2"); }));
  CHECK(get(f, "a") == "blind");
}

CONTRACT_TEST("conflict when something came into a scanned range, or went from it: no phantoms", "[S-28]") {
  put(f, "order/1", "x");
  put(f, "order/5", "x");
  const auto scan = [](Transaction& tx) { CHECK(tx.scan_prefix("order/").value().size() == 2); };
  expect_error(after(f, scan, [&] { put(f, "order/3", "x"); }), ErrorCode::conflict, "order/3");
  erase(f, "order/3");
  expect_error(after(f, scan, [&] { put(f, "order/1", "y"); }), ErrorCode::conflict);
  expect_ok(after(f, scan, [&] { put(f, "order", "x"), put(f, "order0", "x"); }));
  expect_error(after(f, scan, [&] { erase(f, "order/5"); }), ErrorCode::conflict);
  expect_error(after(f, [](Transaction& tx) { CHECK(tx.scan_prefix("none/").value().empty()); }, [&] { put(f, "none/1", "x"); }), ErrorCode::conflict);
  // Only as far as the answer went.
  put(f, "order/5", "x");
  const auto first = [](Transaction& tx) { CHECK(tx.scan_prefix("order/", 1).value().size() == 1); };
  expect_ok(after(f, first, [&] { put(f, "order/4", "x"); }));
  expect_error(after(f, first, [&] { put(f, "order/0", "x"); }), ErrorCode::conflict);
  // An entry of its own does not hide what comes in behind it.
  const auto own = [](Transaction& tx) {
    tx.put("mine/5", "x");
    CHECK(tx.scan_prefix("mine/").value().size() == 1);
  };
  expect_error(after(f, own, [&] { put(f, "mine/7", "x"); }), ErrorCode::conflict);
}

CONTRACT_TEST("all reads of a transaction are of one moment, or it ends with conflict", "[S-28]") {
  put(f, "a", "1");
  put(f, "b", "1");
  Transaction tx = f->begin_transaction();
  CHECK(tx.get("a").value() == "1");
  put(f, "c", "later");
  CHECK(tx.get("b").value() == "1");   // untouched since
  put(f, "b", "2");
  Transaction other = f->begin_transaction();
  CHECK(other.get("a").value() == "1");
  put(f, "b", "3");
  expect_error(other.get("b"), ErrorCode::conflict);   // the b of a's moment is gone
  expect_error(other.get("a"), ErrorCode::conflict);   // and so is the transaction
  expect_error(other.commit(), ErrorCode::conflict);
  Transaction scanning = f->begin_transaction();
  CHECK(scanning.get("a").value() == "1");
  put(f, "d", "1");
  expect_error(scanning.scan({}), ErrorCode::conflict);
}

CONTRACT_TEST("of two that read and write the same only one commits, whichever comes first", "[S-28]") {
  put(f, "a", "0");
  for (const bool first_begins : {true, false}) {
    Transaction one = f->begin_transaction(), two = f->begin_transaction();
    CHECK(one.get("a").value() == two.get("a").value());
    one.put("a", "1");
    two.put("a", "2");
    Transaction& winner = first_begins ? one : two;
    Transaction& loser = first_begins ? two : one;
    expect_ok(winner.commit());
    expect_error(loser.commit(), ErrorCode::conflict);
    CHECK(get(f, "a") == (first_begins ? "1" : "2"));
  }
  // Write skew: each reads what the other writes.
  Transaction one = f->begin_transaction(), two = f->begin_transaction();
  (void)one.get("x"), (void)two.get("y");
  one.put("y", "1");
  two.put("x", "1");
  expect_ok(one.commit());
  expect_error(two.commit(), ErrorCode::conflict);
}

CONTRACT_TEST("what was read too long ago to tell is a conflict", "[S-28][S-33]") {
  put(f, "a", "1");
  Transaction tx = f->begin_transaction();
  CHECK(tx.get("a").value() == "1");
  for (int round = 0; round < 7; ++round) {
    Transaction many = f->begin_transaction({.durability = Durability::kProcess});
    for (int i = 0; i < 9999; ++i) many.put("other/" + std::to_string(i), "x");
    expect_ok(many.commit());
  }
  tx.put("b", "1");
  expect_error(tx.commit(), ErrorCode::conflict, "too old");

  Transaction old = f->begin_transaction();
  CHECK(old.get("a").value() == "1");
  f.advance(kTransactionAgeMax + 1ms);
  expect_error(old.get("b"), ErrorCode::conflict, "kTransactionAgeMax");
  expect_error(old.commit(), ErrorCode::conflict, "kTransactionAgeMax");
}

CONTRACT_TEST("transact commits what its body put together, and answers what it returns otherwise", "[S-28]") {
  f.topic("out");
  const CommitResult result = f->transact([&](Transaction& tx) {
    tx.put("a", "1");
    tx.publish("out", {.payload = "x"});
    return ok();
  }).value();
  CHECK(result.publishes.size() == 1);
  CHECK(get(f, "a") == "1");
  int calls = 0;
  const auto failing = [&](auto body) {
    return f->transact([&, body](Transaction& tx) -> Status {
      ++calls;
      tx.put("a", "2");
      return body(tx);
    });
  };
  expect_error(failing([](Transaction&) { return Status{ErrorCode::failed_precondition, "too poor"}; }), ErrorCode::failed_precondition, "too poor");
  expect_error(failing([&](Transaction&) -> Status { return f->topic("nowhere").value(), ok(); }), ErrorCode::topic_not_found);   // BadResult
  CHECK_THROWS_AS(failing([](Transaction&) -> Status { throw std::logic_error("a bug"); }), std::logic_error);
  CHECK(calls == 3);   // none of these is tried again
  CHECK(get(f, "a") == "1");
  expect_error(f->transact([](Transaction&) { return ok(); }, {.attempts_max = 0}), ErrorCode::invalid_argument, "attempts_max");
}

CONTRACT_TEST("transact begins anew after a conflict, and gives up in the end", "[S-28]") {
  put(f, "n", "0");
  int calls = 0;
  expect_ok(f->transact([&](Transaction& tx) {
    const int n = std::stoi(*tx.get("n").value());
    if (++calls <= 3) put(f, "n", std::to_string(n + 10));   // somebody is always quicker, at first
    tx.put("n", std::to_string(n + 1));
    return ok();
  }));
  CHECK(calls == 4);
  CHECK(get(f, "n") == "31");
  calls = 0;
  const auto never = [&](Transaction& tx) {
    ++calls;
    (void)tx.get("n").value();
    put(f, "n", std::to_string(calls));
    (void)tx.get("n");   // a body that looks away changes nothing
    return ok();
  };
  expect_error(f->transact(never, {.attempts_max = 5}), ErrorCode::conflict, "after 5 attempts");
  CHECK(calls == 5);
  calls = 0;
  CallContext context;
  context.deadline = f.now() + 1s;
  expect_error(f->transact([&](Transaction& tx) { return f.advance(1s), never(tx); }, {}, context), ErrorCode::deadline_exceeded, "conflict");
  CHECK(calls == 1);
  context = {};
  context.cancellation = Cancellation::make();
  calls = 0;
  expect_error(f->transact([&](Transaction& tx) { return context.cancellation.cancel(), never(tx); }, {}, context), ErrorCode::cancelled, "conflict");
  CHECK(calls == 1);
}

CONTRACT_TEST("a counter that many threads raise loses nothing", "[S-28]") {
  constexpr int kThreads = 4, kEach = 50;
  std::atomic<int> failed{0};
  Broker& broker = f.broker();
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i)
    threads.emplace_back([&] {
      for (int n = 0; n < kEach; ++n) {
        const auto done = broker.transact(
            [&](Transaction& tx) {
              const std::optional<std::string> now = tx.get("count").value();
              tx.put("count", std::to_string(now ? std::stoi(*now) + 1 : 1));
              return ok();
            },
            {.durability = Durability::kProcess, .attempts_max = 10'000});
        if (!done.ok()) ++failed;
      }
    });
  for (std::thread& each : threads) each.join();
  CHECK(failed == 0);
  CHECK(get(f, "count") == std::to_string(kThreads * kEach));
}

CONTRACT_TEST("transactions read and conflict without a disk as well", "[S-28]") {
  const auto broker = open("memory:", f.options).value();
  broker->create_topic("t", {.ephemeral = true}).value();
  Transaction one = broker->begin_transaction(), two = broker->begin_transaction();
  CHECK(one.get("a").value() == std::nullopt);
  CHECK(two.scan({}).value().empty());
  one.put("a", "1");
  one.publish("t", {.payload = "one"});
  two.put("b", "1");
  two.publish("t", {.payload = "two"});
  expect_ok(one.commit());
  expect_error(two.commit(), ErrorCode::conflict);
  CHECK(texts(broker->browse({.topic = "t"}).value().messages) == Texts{"one"});
  CommitRequest request;
  request.request_id = "r";
  request.publishes = {{"t", {.payload = "three"}}};
  const CommitResult first = broker->commit(request).value();
  CHECK(broker->commit(request).value().publishes.at(0).offset == first.publishes.at(0).offset);
  CHECK(broker->topic("t").value().next == Offset{2});
}

}  // namespace
}  // namespace weir::test
