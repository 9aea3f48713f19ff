// Handlers that settle their delivery in a transaction: consume, change state, publish, once (S-29).
#include <atomic>
#include <map>

#include "tests/contract/fixture.h"
#include "tests/support/collector.h"

namespace weir::test {
namespace {

CONTRACT_TEST("consume, change state, publish: each input has its effect once", "[S-28][S-29]") {
  f.topic("payments");
  f.topic("receipts");
  auto work = f->subscribe("payments", {.group = "books", .threads = 2}, [&](Delivery& d) {
    f->transact([&](Transaction& tx) {
      const std::optional<std::string> sum = tx.get("sum").value();
      tx.put("sum", std::to_string((sum ? std::stoi(*sum) : 0) + std::stoi(d.payload().str())));
      tx.publish("receipts", {.payload = d.payload()});
      tx.ack(d);
      return ok();
    }, {.attempts_max = 10'000}).value();
  }).value();
  int expected = 0;
  for (int i = 1; i <= 40; ++i) {
    f.publish("payments", {.key = "k" + std::to_string(i % 5), .payload = std::to_string(i)});
    expected += i;
  }
  expect_ok(f->drain());
  work.stop();   // until the last handler has its answer
  CHECK(f->get_state("sum").value() == std::to_string(expected));
  CHECK(f.browse("receipts").size() == 40);
  CHECK(f.stats("payments", "books").acked == 40);
  CHECK(f.stats("payments", "books").retried == 0);
}

/// One message, handled like this until it is settled; answers how often it was delivered.
struct Outcome {
  std::uint32_t calls = 0;
  GroupTopicStats stats{};
  std::vector<DeadLetter> letters{};
};

Outcome handle(Fixture& f, const std::function<void(Delivery&)>& handler) {
  f.topic("in");
  Collector<int> calls;
  auto work = f->subscribe("in", {.group = "g", .max_attempts = 2, .backoff = fixed_backoff(0ms)}, [&](Delivery& d) {
    calls.add(1);
    handler(d);
  }).value();
  f.publish_texts("in", {"1"});
  REQUIRE(calls.wait_for(1));
  DrainRequest drain;
  drain.include_waiting = true;
  expect_ok(f->drain(drain));
  work.stop();
  return {static_cast<std::uint32_t>(calls.size()), f.stats("in", "g"), f.letters("in", "g")};
}

/// In a handler, so without an assertion: a handler that throws is seen by what becomes of its message.
void settle(Fixture& f, const std::function<void(Transaction&)>& how) {
  Transaction tx = f->begin_transaction();
  how(tx);
  tx.commit().value();
}

CONTRACT_TEST_EVERY_TOPIC("throwing behind a committed ack does not fail the message", "[S-29][S-16]") {
  std::atomic<bool> known{false};
  const Outcome out = handle(f, [&](Delivery& d) {
    settle(f, [&](Transaction& tx) { tx.ack(d); });
    known = d.settled() == Settle::kAck;
    throw std::runtime_error("too late");
  });
  CHECK(known);
  CHECK(out.calls == 1);
  CHECK(out.stats.acked == 1);
  CHECK(out.stats.retried == 0);
  CHECK(out.letters.empty());
}

CONTRACT_TEST_EVERY_TOPIC("returning behind a committed rejection does not ack the message", "[S-29][S-16]") {
  const Outcome out = handle(f, [&](Delivery& d) { settle(f, [&](Transaction& tx) { tx.reject(d, "in a transaction"); }); });
  CHECK(out.calls == 1);
  CHECK(out.stats.acked == 0);
  REQUIRE(out.letters.size() == 1);
  CHECK(out.letters[0].message.dead_letter->error == "in a transaction");
}

CONTRACT_TEST_EVERY_TOPIC("a transaction may retry and release as well, and tries again later", "[S-29][S-16]") {
  const Outcome out = handle(f, [&, n = 0](Delivery& d) mutable {
    if (n++ == 0) return settle(f, [&](Transaction& tx) { tx.release(d); });
    if (d.failures() == 0) return settle(f, [&](Transaction& tx) { tx.retry(d, "once more", 0ms); });
    settle(f, [&](Transaction& tx) { tx.ack(d); });
  });
  CHECK(out.calls == 3);
  CHECK(out.stats.acked == 1);
  CHECK(out.stats.released == 1);
  CHECK(out.stats.retried == 1);
}

CONTRACT_TEST_EVERY_TOPIC("returning although the transaction did not commit asks for a retry, not for an ack", "[S-29][S-16]") {
  f.topic("out");
  const std::vector<std::function<void(Transaction&)>> ends = {
      [](Transaction&) {},                              // forgotten: rolled back with the object
      [](Transaction& tx) { tx.rollback(); },
      [](Transaction& tx) {
        tx.publish("nowhere", {.payload = "x"});
        (void)tx.commit();
      },
  };
  const auto end = GENERATE(0u, 1u, 2u);
  const Outcome out = handle(f, [&](Delivery& d) {
    Transaction tx = f->begin_transaction();
    tx.publish("out", {.payload = "x"});
    tx.ack(d);
    ends[end](tx);
  });
  CHECK(out.calls == 2);
  CHECK(out.stats.acked == 0);
  CHECK(f.browse("out").empty());
  REQUIRE(out.letters.size() == 1);
  CHECK(out.letters[0].message.dead_letter->error.find("not committed") != std::string::npos);
}

CONTRACT_TEST_EVERY_TOPIC("a word of the handler behind the transaction counts", "[S-29][S-16]") {
  const Outcome out = handle(f, [&](Delivery& d) {
    Transaction tx = f->begin_transaction();
    tx.reject(d);
    tx.rollback();
    d.ack();
  });
  CHECK(out.calls == 1);
  CHECK(out.stats.acked == 1);
  CHECK(out.letters.empty());
}

CONTRACT_TEST_EVERY_TOPIC("throwing before the commit is a retry like any other", "[S-29][S-16]") {
  const Outcome out = handle(f, [&](Delivery& d) {
    Transaction tx = f->begin_transaction();
    tx.ack(d);
    throw std::runtime_error("in the middle");
  });
  CHECK(out.calls == 2);
  REQUIRE(out.letters.size() == 1);
  CHECK(out.letters[0].message.dead_letter->error == "in the middle");
}

CONTRACT_TEST_EVERY_TOPIC("a second transaction on a settled delivery fails, and does not undo the first", "[S-29][S-14]") {
  Collector<ErrorCode> answers;
  const Outcome out = handle(f, [&](Delivery& d) {
    settle(f, [&](Transaction& tx) { tx.ack(d); });
    Transaction again = f->begin_transaction();
    again.ack(d);
    answers.add(again.commit().code());
  });
  CHECK(answers.items() == std::vector<ErrorCode>{ErrorCode::already_settled});
  CHECK(out.calls == 1);
  CHECK(out.stats.acked == 1);
}

CONTRACT_TEST("a key's messages go on in order behind those that transactions acked", "[S-29][S-13]") {
  f.topic("in");
  Collector<std::string> seen;
  for (int i = 0; i < 20; ++i) f.publish("in", {.key = "k", .payload = std::to_string(i)});
  auto work = f->subscribe("in", {.group = "g", .threads = 3}, [&](Delivery& d) {
    seen.add(d.payload().str());
    if (std::stoi(d.payload().str()) % 2 == 0) settle(f, [&](Transaction& tx) { tx.ack(d); });
  }).value();
  REQUIRE(seen.wait_for(20));
  expect_ok(f->drain());
  Texts expected;
  for (int i = 0; i < 20; ++i) expected.push_back(std::to_string(i));
  CHECK(seen.items() == expected);
}

CONTRACT_TEST("a delivery that expired meanwhile fails the whole transaction", "[S-29][S-14]") {
  f.topic("in");
  f.topic("out");
  f.group("in", "g", {.lease = 1s, .backoff = fixed_backoff(0ms)});
  f.publish_texts("in", {"1"});
  const Delivered slow = f.one("in", "g");
  f.advance(2s);
  const Delivered second = f.one("in", "g");
  Transaction late = f->begin_transaction();
  late.ack(slow.token);
  late.put("a", "from the slow one");
  late.publish("out", {.payload = "from the slow one"});
  expect_error(late.commit(), ErrorCode::lease_lost);
  Transaction tx = f->begin_transaction();
  tx.ack(second.token);
  tx.put("a", "from the second");
  tx.publish("out", {.payload = "from the second"});
  expect_ok(tx.commit());
  CHECK(f->get_state("a").value() == "from the second");
  CHECK(texts(f.browse("out")) == Texts{"from the second"});
}

}  // namespace
}  // namespace weir::test
