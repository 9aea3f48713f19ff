// Transactions: all or nothing, over topics, deliveries and state (S-28).
#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

std::optional<std::string> state(Fixture& f, const std::string& key) { return f->get_state(key).value(); }

void put(Fixture& f, const std::string& key, const std::string& value) {
  CommitRequest request;
  request.puts = {{key, value}};
  expect_ok(f->commit(request));
}

/// A topic with a group and messages, and another topic.
void set_up(Fixture& f, const Texts& payloads, GroupOptions options = {}) {
  f.topic("in");
  f.topic("out");
  f.group("in", "g", std::move(options));
  f.publish_texts("in", payloads);
}

CONTRACT_TEST("publishes, settlements, puts and erases happen together", "[S-28]") {
  set_up(f, {"1", "2", "3", "4"});
  put(f, "old", "x");
  const std::vector<Delivered> got = f.fetch_all("in", "g", 4);
  Transaction tx = f->begin_transaction();
  tx.ack(got[0].token);
  tx.settle(Settlement::retry(got[1].token, "later", 5s));
  tx.settle(Settlement::reject(got[2].token, "never"));
  tx.settle(Settlement::release(got[3].token));
  tx.publish("out", {.payload = "a"});
  tx.publish("in", {.payload = "5"});
  tx.publish("out", {.payload = "b"});
  tx.put("new", "y");
  tx.erase("old");
  CHECK(state(f, "old") == "x");   // nothing has happened yet
  CHECK(f.browse("out").empty());
  const CommitResult result = tx.commit().value();
  REQUIRE(result.publishes.size() == 3);
  CHECK(result.publishes[0].offset == Offset{0});
  CHECK(result.publishes[1].offset == Offset{4});
  CHECK(result.publishes[2].offset == Offset{1});
  for (int opening = 0; opening < 2; ++opening) {
    CHECK(texts(f.browse("out")) == Texts{"a", "b"});
    CHECK(state(f, "new") == "y");
    CHECK(state(f, "old") == std::nullopt);
    CHECK(f.letters("in", "g").size() == 1);
    CHECK(f.letters("in", "g").at(0).message.dead_letter->error == "never");
    CHECK(f.stats("in", "g").waiting_retries == 1);
    if (opening == 0) f.reopen();
  }
  CHECK(sorted(texts(f.fetch_all("in", "g", 2))) == Texts{"4", "5"});
  f.advance(5s);
  CHECK(texts(f.fetch_all("in", "g", 1)) == Texts{"2"});
}

CONTRACT_TEST_EVERY_TOPIC("a transaction of messages alone works on every kind of topic", "[S-28][S-4]") {
  set_up(f, {"1", "2"});
  const std::vector<Delivered> got = f.fetch_all("in", "g", 2);
  Transaction tx = f->begin_transaction();
  tx.ack(got[0].token);
  tx.settle(Settlement::reject(got[1].token, "never"));
  tx.publish("out", {.payload = "a"});
  tx.publish("out", {.payload = "b", .id = "b"});
  tx.publish("out", {.payload = "b", .id = "b"});
  const CommitResult result = tx.commit().value();
  REQUIRE(result.publishes.size() == 3);
  CHECK(result.publishes[1].offset == Offset{1});
  CHECK_FALSE(result.publishes[1].duplicate);
  CHECK(result.publishes[2].offset == Offset{1});
  CHECK(result.publishes[2].duplicate);
  CHECK(texts(f.browse("out")) == Texts{"a", "b"});
  CHECK(f.letters("in", "g").size() == 1);
  CHECK(f.stats("in", "g").depth == 0);
}

/// A transaction with one thing of each kind, and `wrong` with it: it must be refused and nothing must have changed.
void expect_nothing_changed(Fixture& f, ErrorCode code, std::string_view words, const std::function<void(Transaction&)>& wrong) {
  const Delivered delivered = f.one("in", "g");
  const std::uint64_t in_flight = f.stats("in", "g").in_flight;
  Transaction tx = f->begin_transaction();
  tx.put("key", "value");
  tx.publish("out", {.payload = "never", .id = "never"});
  tx.ack(delivered.token);
  wrong(tx);
  expect_error(tx.commit(), code, words);
  expect_error(tx.commit(), ErrorCode::failed_precondition, "ended");
  CHECK(state(f, "key") == std::nullopt);
  CHECK(f.browse("out").empty());
  CHECK(f.topic_info("out").next == Offset{0});
  CHECK(f.stats("in", "g").in_flight == in_flight);
  f.release(delivered);   // its lease is as it was
}

CONTRACT_TEST("whatever is wrong with a part, nothing of the transaction happens", "[S-28]") {
  set_up(f, {"1", "2", "3"});
  f.topic("small", {.payload_bytes_max = 10});
  f.topic("capped", {.bytes_max = 100});
  f.topic("fleeting", {.ephemeral = true});
  f.group("fleeting", "g");
  const Delivered first = f.one("in", "g");
  const Delivered lost = f.one("in", "g");
  f.release(lost);
  f.ack(f.one("in", "g"));
  const auto refused = [&](ErrorCode code, std::string_view words, const std::function<void(Transaction&)>& wrong) {
    INFO(words);
    expect_nothing_changed(f, code, words, wrong);
  };
  refused(ErrorCode::lease_lost, "not the newest", [&](Transaction& tx) { tx.ack(lost.token); });
  f.ack(first);
  refused(ErrorCode::already_settled, "settled before", [&](Transaction& tx) { tx.settle(Settlement::retry(first.token)); });
  // The same settlement again is OK by itself (S-14), but what goes with it must not happen twice.
  refused(ErrorCode::already_settled, "settled before", [&](Transaction& tx) { tx.ack(first.token); });
  expect_ok(f->ack(first.token));
  refused(ErrorCode::lease_lost, "gone", [&](Transaction& tx) {
    Token token = first.token;
    token.group = GroupId{999};
    tx.ack(token);
  });
  refused(ErrorCode::invalid_argument, "settlements", [&](Transaction& tx) { tx.settle(Settlement::extend(first.token)); });
  refused(ErrorCode::limit_exceeded, "delay", [&](Transaction& tx) { tx.settle(Settlement::retry(lost.token, "", -1ms)); });
  refused(ErrorCode::topic_not_found, "did you mean \"out\"", [](Transaction& tx) { tx.publish("outt", {.payload = "1"}); });
  refused(ErrorCode::invalid_argument, "belongs to the broker", [&](Transaction& tx) {
    f.dead_letter("in", "g", {.payload = "dead"});
    tx.publish("_dlq.in.g", {.payload = "1"});
  });
  refused(ErrorCode::limit_exceeded, "payload_bytes_max", [](Transaction& tx) { tx.publish("small", {.payload = "more than ten bytes"}); });
  refused(ErrorCode::full, "capped", [](Transaction& tx) {
    for (int i = 0; i < 3; ++i) tx.publish("capped", {.payload = std::string(50, 'x')});
  });
  refused(ErrorCode::limit_exceeded, "key", [](Transaction& tx) { tx.publish("out", {.key = std::string(2000, 'k')}); });
  refused(ErrorCode::invalid_argument, "do not mix", [](Transaction& tx) { tx.publish("fleeting", {.payload = "1"}); });
  refused(ErrorCode::invalid_argument, "do not mix", [&](Transaction& tx) {
    f.publish("fleeting", {.payload = "1"});
    tx.ack(f.one("fleeting", "g").token);
  });
  refused(ErrorCode::limit_exceeded, "1024", [](Transaction& tx) { tx.put(std::string(1025, 'k'), ""); });
  refused(ErrorCode::limit_exceeded, "kStateValueBytesMax", [](Transaction& tx) { tx.put("k", std::string((16u << 20) + 1, 'v')); });
  refused(ErrorCode::limit_exceeded, "publishes", [](Transaction& tx) {
    for (int i = 0; i < 10'001; ++i) tx.publish("out", {});
  });
  refused(ErrorCode::conflict, "not 7", [](Transaction& tx) { tx.expect_last("in", Offset{7}); });
  expect_error(f->topic("outt"), ErrorCode::topic_not_found);
}

CONTRACT_TEST("a delivery can be settled once in a transaction", "[S-28]") {
  set_up(f, {"1"});
  const Delivered delivered = f.one("in", "g");
  Transaction tx = f->begin_transaction();
  tx.ack(delivered.token);
  tx.settle(Settlement::retry(delivered.token));
  expect_error(tx.commit(), ErrorCode::invalid_argument, "twice");
  CHECK(f.stats("in", "g").in_flight == 1);
}

CONTRACT_TEST_EVERY_TOPIC("who does not ack a message of a key gives those behind it back, and cannot settle them after it", "[S-28][S-13]") {
  f.topic("in");
  f.group("in", "g");
  for (const char* each : {"1", "2", "3"}) f.publish("in", {.key = "k", .payload = each});
  std::vector<Delivered> got = f.fetch_all("in", "g", 3);
  {
    Transaction tx = f->begin_transaction();
    tx.settle(Settlement::retry(got[0].token, "", 0ms));
    tx.ack(got[1].token);
    expect_error(tx.commit(), ErrorCode::lease_lost, "offset 1");
  }
  CHECK(f.stats("in", "g").in_flight == 3);   // nothing was given back
  Transaction tx = f->begin_transaction();
  tx.ack(got[0].token);
  tx.settle(Settlement::retry(got[1].token, "", 0ms));
  expect_ok(tx.commit());
  expect_error(f->ack(got[2].token), ErrorCode::lease_lost);
  CHECK(texts(f.fetch_all("in", "g", 2)) == Texts{"2", "3"});
}

CONTRACT_TEST("a rejected dead letter is retried, in a transaction as well", "[S-28][S-23]") {
  f.topic("in");
  f.group("in", "g");
  f.dead_letter("in", "g", {.payload = "1"});
  f.group("_dlq.in.g", "undertaker");
  Transaction tx = f->begin_transaction();
  tx.settle(Settlement::reject(f.one("_dlq.in.g", "undertaker").token));
  expect_ok(tx.commit());
  CHECK(f.stats("_dlq.in.g", "undertaker").waiting_retries == 1);
}

CONTRACT_TEST("a transaction may make its topics where that is wanted", "[S-28][S-2]") {
  f.options.auto_create_topics = true;
  Transaction tx = f->begin_transaction();
  tx.publish("made.now", {.payload = "1"});
  tx.publish("made.now", {.payload = "2"});
  tx.publish("made.too", {.payload = "3"});
  expect_ok(tx.commit());
  CHECK(texts(f.browse("made.now")) == Texts{"1", "2"});
  CHECK(texts(f.browse("made.too")) == Texts{"3"});
  Transaction refused = f->begin_transaction();
  refused.publish("made.never", {.payload = "1"});
  refused.expect_last("made.now", Offset{0});
  expect_error(refused.commit(), ErrorCode::conflict);
  expect_error(f->topic("made.never"), ErrorCode::topic_not_found);
}

CONTRACT_TEST("one level for all of it: the topics' highest, power for state, or the one that is chosen", "[S-28][S-4]") {
  set_up(f, {"1", "2", "3"});
  f.topic("quick", {.durability = Durability::kProcess});
  const auto syncs = [&] { return f->status().value().syncs; };
  const auto synced = [&](const std::function<void(Transaction&)>& body, std::optional<Durability> level = {}) {
    const std::uint64_t before = syncs();
    Transaction tx = f->begin_transaction({.durability = level});
    body(tx);
    expect_ok(tx.commit());
    return syncs() > before;
  };
  expect_ok(f->publish("out", {.payload = "all before is synced"}));
  CHECK_FALSE(synced([](Transaction& tx) { tx.publish("quick", {.payload = "1"}); }));
  CHECK(synced([](Transaction& tx) { tx.publish("quick", {.payload = "1"}), tx.publish("out", {.payload = "2"}); }));
  CHECK(synced([](Transaction& tx) { tx.put("k", "v"); }));
  CHECK_FALSE(synced([&](Transaction& tx) { tx.ack(f.one("in", "g").token); }));
  CHECK(synced([&](Transaction& tx) { tx.ack(f.one("in", "g").token); }, Durability::kPower));
  CHECK_FALSE(synced([&](Transaction& tx) { tx.put("k", "w"), tx.publish("out", {.payload = "3"}); }, Durability::kProcess));
  CHECK(f.topic_info("out").visible == f.topic_info("out").next);
}

CONTRACT_TEST("a nearly full disk refuses what makes the store larger; settlements and erases go on", "[S-28][S-32]") {
  set_up(f, {"1"});
  put(f, "old", "x");
  f.close();
  f.options.reserve_bytes = std::uint64_t{1} << 60;
  REQUIRE(eventually([&] { return f->status().value().state == StoreState::kStorageFull; }));
  const Delivered delivered = f.one("in", "g");
  Transaction publishing = f->begin_transaction();
  publishing.ack(delivered.token);
  publishing.publish("out", {.payload = "never"});
  expect_error(publishing.commit(), ErrorCode::storage_full);
  Transaction putting = f->begin_transaction();
  putting.ack(delivered.token);
  putting.put("new", "x");
  expect_error(putting.commit(), ErrorCode::storage_full);
  CHECK(f.stats("in", "g").in_flight == 1);
  Transaction smaller = f->begin_transaction();
  smaller.ack(delivered.token);
  smaller.erase("old");
  expect_ok(smaller.commit());
  f.options.reserve_bytes = 0;
  f.reopen();
  CHECK(state(f, "old") == std::nullopt);
  CHECK(state(f, "new") == std::nullopt);
  CHECK(f.stats("in", "g").depth == 0);
}

CONTRACT_TEST("an empty transaction is OK, an ended one is not used again", "[S-28]") {
  Transaction tx = f->begin_transaction();
  expect_ok(tx.commit());
  tx.put("a", "1");
  expect_error(tx.status(), ErrorCode::failed_precondition, "ended");
  expect_error(tx.commit(), ErrorCode::failed_precondition, "ended");
  Transaction back = f->begin_transaction();
  back.put("a", "1");
  back.rollback();
  expect_error(back.commit(), ErrorCode::failed_precondition);
  { f->begin_transaction().put("a", "1"); }
  CHECK(state(f, "a") == std::nullopt);
}

CONTRACT_TEST("a request id makes a repetition harmless, also after reopening", "[S-28][S-6]") {
  set_up(f, {"1"});
  CommitRequest request;
  request.request_id = "transfer-1";
  request.puts = {{"a", "1"}};
  request.publishes = {{"out", {.payload = "x"}}, {"out", {.payload = "y", .id = "y"}}};
  request.settlements = {Settlement::ack(f.one("in", "g").token)};
  const CommitResult first = f->commit(request).value();
  const auto expect_same = [&](const CommitRequest& again) {
    const CommitResult result = f->commit(again).value();
    CHECK(result.version == first.version);
    REQUIRE(result.publishes.size() == 2);
    CHECK(result.publishes[1].offset == first.publishes[1].offset);
    CHECK_FALSE(result.publishes[1].duplicate);
    CHECK(texts(f.browse("out")) == Texts{"x", "y"});
  };
  put(f, "a", "overwritten since");
  expect_same(request);
  CHECK(state(f, "a") == "overwritten since");
  CommitRequest read_anew = request;   // what it reads is no part of what it does
  read_anew.reads = {"a"};
  read_anew.read_version = 1;
  expect_same(read_anew);
  f.reopen();
  expect_same(request);
  f.advance(1h - 1ms);
  expect_same(request);

  for (const auto& change : std::vector<std::function<void(CommitRequest&)>>{
           [](CommitRequest& r) { r.puts[0].value = "2"; }, [](CommitRequest& r) { r.puts[0].key = "b"; }, [](CommitRequest& r) { r.puts.clear(); },
           [](CommitRequest& r) { r.erases = {"z"}; }, [](CommitRequest& r) { r.publishes[0].message.payload = "z"; },
           [](CommitRequest& r) { r.publishes[0].message.headers = {{"h", "v"}}; }, [](CommitRequest& r) { r.publishes[0].topic = "in"; },
           [](CommitRequest& r) { r.settlements[0].kind = Settle::kRelease; }, [](CommitRequest& r) { r.settlements.clear(); }}) {
    CommitRequest other = request;
    change(other);
    expect_error(f->commit(other), ErrorCode::invalid_argument, "transfer-1");
  }
  // Forgotten after an hour: the same is a new one then, and its delivery is settled.
  f.advance(1ms);
  expect_error(f->commit(request), ErrorCode::already_settled);
  request.settlements.clear();
  expect_ok(f->commit(request));
  CHECK(texts(f.browse("out")) == Texts{"x", "y", "x", "y"});   // the id's window is over as well
}

CONTRACT_TEST("a transaction that was refused is not remembered", "[S-28][S-6]") {
  set_up(f, {});
  CommitRequest request;
  request.request_id = "again";
  request.publishes = {{"nowhere", {.payload = "x"}}};
  expect_error(f->commit(request), ErrorCode::topic_not_found);
  request.publishes = {{"out", {.payload = "x"}}};
  expect_ok(f->commit(request));
  CHECK(texts(f.browse("out")) == Texts{"x"});
}

CONTRACT_TEST("a transaction is over before it begins when its deadline has passed or it is cancelled", "[S-28][S-5]") {
  CallContext late, cancelled;
  late.deadline = f.now();
  cancelled.cancellation = Cancellation::make();
  cancelled.cancellation.cancel();
  for (const auto& [context, code] : {std::pair(late, ErrorCode::deadline_exceeded), std::pair(cancelled, ErrorCode::cancelled)}) {
    Transaction tx = f->begin_transaction();
    tx.put("a", "1");
    expect_error(tx.commit(context), code);
  }
  CHECK(state(f, "a") == std::nullopt);
}

}  // namespace
}  // namespace weir::test
