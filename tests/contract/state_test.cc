// Application state: what is read, of which moment, and what survives (S-28).
#include <filesystem>

#include "tests/contract/fixture.h"
#include "tests/support/temp_directory.h"

namespace weir::test {
namespace {

using Entries = std::vector<StatePut>;

void put(Broker& broker, Entries entries) {
  CommitRequest request;
  request.puts = std::move(entries);
  expect_ok(broker.commit(std::move(request)));
}

void erase(Broker& broker, const std::string& key) {
  CommitRequest request;
  request.erases = {key};
  expect_ok(broker.commit(std::move(request)));
}

std::optional<std::string> get(Broker& broker, const std::string& key) { return broker.get_state(key).value(); }

Entries scan(Broker& broker, StateRange range, std::uint32_t max = 1000) { return broker.scan_state(std::move(range), max).value().entries; }

/// The same story on the disk and without one.
void tell_of_state(Broker& broker) {
  CHECK(get(broker, "a") == std::nullopt);
  CHECK(scan(broker, {}).empty());
  put(broker, {{"b", "2"}, {"a", "1"}, {"c", ""}});
  CHECK(get(broker, "a") == "1");
  CHECK(get(broker, "c") == "");   // empty, and there
  CHECK(scan(broker, {}) == Entries{{"a", "1"}, {"b", "2"}, {"c", ""}});
  put(broker, {{"a", "one"}});
  erase(broker, "b");
  erase(broker, "never there");
  CHECK(scan(broker, {}) == Entries{{"a", "one"}, {"c", ""}});
  CHECK(scan(broker, {"a", "c"}) == Entries{{"a", "one"}});
  CHECK(scan(broker, {"b", ""}) == Entries{{"c", ""}});
  CHECK(scan(broker, {"b", "b"}).empty());
  // Any bytes, in their order.
  const std::string zero("z\0", 2), high("z\xff");
  put(broker, {{high, "high"}, {zero, "zero"}, {"z", std::string("\0\xff", 2)}});
  CHECK(scan(broker, StateRange::prefix("z")) == Entries{{"z", std::string("\0\xff", 2)}, {zero, "zero"}, {high, "high"}});
}

CONTRACT_TEST("state is put, erased, read and scanned in the order of its keys", "[S-28]") { tell_of_state(f.broker()); }

CONTRACT_TEST("a broker without a disk has state as well, in memory", "[S-28][S-4]") {
  OpenOptions options = f.options;
  options.ephemeral_bytes_max = 1u << 20;
  const auto broker = open("memory:", options).value();
  tell_of_state(*broker);
  CommitRequest large;
  large.puts = {{"large", std::string(2u << 20, 'x')}};
  expect_error(broker->commit(large), ErrorCode::full, "ephemeral_bytes_max");
  CHECK(get(*broker, "large") == std::nullopt);
  large.puts = {{"large", "small"}};
  large.durability = Durability::kPower;
  expect_error(broker->commit(large), ErrorCode::invalid_argument, "memory");
}

CONTRACT_TEST("a scan comes in pages that belong to one moment", "[S-28]") {
  Entries all;
  for (int i = 0; i < 25; ++i) all.push_back({"k" + std::to_string(100 + i), std::string(100, 'x')});
  put(f.broker(), all);
  ReadStateRequest request;
  request.range = StateRange::prefix("k");
  request.entries_max = 10;
  const ReadStateResult first = f->read_state(request).value();
  CHECK(first.entries == Entries(all.begin(), all.begin() + 10));
  CHECK_FALSE(first.end);
  request.at_version = first.version;
  request.range->begin = first.entries.back().key + '\0';
  put(f.broker(), {{"j", "before it"}, {"l", "behind it"}, {"k1", "in the part that was read"}});
  const ReadStateResult second = f->read_state(request).value();
  CHECK(second.entries == Entries(all.begin() + 10, all.begin() + 20));
  CHECK(second.version == first.version);
  put(f.broker(), {{"k124a", "in the rest"}});
  request.range->begin = second.entries.back().key + '\0';
  expect_error(f->read_state(request), ErrorCode::conflict, "overwritten");
  // Where nothing was written it is still as it was.
  request.range->end = "k124a";
  CHECK(f->read_state(request).value().entries == Entries(all.begin() + 20, all.end()));
}

CONTRACT_TEST("a scan is bounded by bytes as well, and the first entry always comes", "[S-28][S-33]") {
  put(f.broker(), {{"a", std::string(1000, 'x')}, {"b", std::string(1000, 'y')}, {"c", "z"}});
  ReadStateRequest request;
  request.range = StateRange{};
  request.bytes_max = 10;
  const ReadStateResult one = f->read_state(request).value();
  CHECK(one.entries.size() == 1);
  CHECK_FALSE(one.end);
  request.bytes_max = 2500;
  CHECK(f->read_state(request).value().entries.size() == 3);
  CHECK(f->read_state(request).value().end);
}

CONTRACT_TEST("a read at a version answers what was then, or conflict", "[S-28]") {
  put(f.broker(), {{"a", "1"}, {"b", "1"}});
  ReadStateRequest a, b;
  a.key = "a";
  b.key = "b";
  a.at_version = b.at_version = f->read_state(a).value().version;
  put(f.broker(), {{"b", "2"}});
  CHECK(f->read_state(a).value().entries == Entries{{"a", "1"}});
  expect_error(f->read_state(b), ErrorCode::conflict, "\"b\"");
  f.reopen();
  // Versions are of one opening: it cannot be told any more.
  expect_error(f->read_state(a), ErrorCode::conflict, "too old");
}

CONTRACT_TEST("limits of state are told by name, and nothing is stored", "[S-28][S-33]") {
  const auto commit = [&](auto change) {
    CommitRequest request;
    request.puts = {{"other", "value"}};
    change(request);
    return f->commit(request).status();
  };
  expect_error(commit([](CommitRequest& r) { r.puts.push_back({std::string(1025, 'k'), ""}); }), ErrorCode::limit_exceeded, "1024");
  expect_error(commit([](CommitRequest& r) { r.puts.push_back({"", "v"}); }), ErrorCode::invalid_argument, "empty");
  expect_error(commit([](CommitRequest& r) { r.puts.push_back({"k", std::string((16u << 20) + 1, 'v')}); }), ErrorCode::limit_exceeded, "16777216");
  expect_error(commit([](CommitRequest& r) { r.puts.push_back({"other", "again"}); }), ErrorCode::invalid_argument, "twice");
  expect_error(commit([](CommitRequest& r) { r.erases = {"other"}; }), ErrorCode::invalid_argument, "erases");
  expect_error(commit([](CommitRequest& r) { r.erases = {""}; }), ErrorCode::invalid_argument, "erases");
  expect_error(commit([](CommitRequest& r) { r.erases.assign(10'000, "k"); }), ErrorCode::limit_exceeded, "10000");
  expect_error(commit([](CommitRequest& r) { r.reads.assign(10'001, "k"), r.read_version = 1; }), ErrorCode::limit_exceeded, "reads");
  expect_error(commit([](CommitRequest& r) { r.scanned.assign(1001, {}), r.read_version = 1; }), ErrorCode::limit_exceeded, "scanned");
  expect_error(commit([](CommitRequest& r) { r.reads = {"a"}; }), ErrorCode::invalid_argument, "read_version");
  expect_error(commit([](CommitRequest& r) { r.scanned = {{"b", "a"}}, r.read_version = 1; }), ErrorCode::invalid_argument, "scanned");
  expect_error(commit([](CommitRequest& r) { r.request_id = std::string(129, 'r'); }), ErrorCode::limit_exceeded, "request_id");
  expect_error(commit([](CommitRequest& r) { r.request_id = "a\nb"; }), ErrorCode::invalid_argument, "request_id");
  expect_error(commit([](CommitRequest& r) { r.durability = Durability::kMemory; }), ErrorCode::invalid_argument, "durability");
  expect_error(commit([](CommitRequest& r) { r.idempotency_key = "k"; }), ErrorCode::unsupported, "idempotency_key");
  expect_error(commit([](CommitRequest& r) {
                 for (int i = 0; i < 5; ++i) r.puts.push_back({"k" + std::to_string(i), std::string(16u << 20, 'v')});
               }),
               ErrorCode::limit_exceeded, "kTransactionBytesMax");
  CHECK(scan(f.broker(), {}).empty());
  const auto read = [&](ReadStateRequest request) { return f->read_state(std::move(request)).status(); };
  expect_error(read({}), ErrorCode::invalid_argument, "key, range");
  expect_error(read({.key = "a", .range = StateRange{}}), ErrorCode::invalid_argument, "key, range");
  expect_error(read({.key = std::string(1025, 'k')}), ErrorCode::limit_exceeded, "1024");
  expect_error(read({.range = StateRange{}, .entries_max = 0}), ErrorCode::limit_exceeded, "entries_max");
  expect_error(read({.range = StateRange{}, .entries_max = 10'001}), ErrorCode::limit_exceeded, "10000");
  put(f.broker(), {{std::string(1024, '\xff'), std::string(16u << 20, 'v')}});   // as large as it may be
  CHECK(get(f.broker(), std::string(1024, '\xff')).value().size() == 16u << 20);
}

CONTRACT_TEST("asynchronous reads and commits answer by callback", "[S-28]") {
  CommitRequest request;
  request.puts = {{"a", "1"}};
  const auto committed = answer_of<CommitResult>([&](auto done) { f->async_commit(request, {}, std::move(done)); });
  expect_ok(committed);
  const auto read = answer_of<ReadStateResult>([&](auto done) { f->async_read_state({.key = "a", .range = {}}, {}, std::move(done)); });
  CHECK(read.value().entries == Entries{{"a", "1"}});
  CHECK(read.value().version >= committed.value().version);
}

CONTRACT_TEST("state survives reopening, backup and restore, and is verified", "[S-28]") {
  put(f.broker(), {{"kept", "1"}, {"erased", "2"}});
  erase(f.broker(), "erased");
  f.reopen();
  CHECK(scan(f.broker(), {}) == Entries{{"kept", "1"}});
  TempDirectory elsewhere;
  expect_ok(f->backup(elsewhere.file("backups")));
  put(f.broker(), {{"kept", "later"}});
  const VerifyReport report = f->verify().value();
  CHECK(report.problems.empty());
  f.close();
  expect_ok(restore_backup(elsewhere.file("backups"), elsewhere.file("restored")));
  const auto restored = open(elsewhere.file("restored"), f.options).value();
  CHECK(scan(*restored, {}) == Entries{{"kept", "1"}});
  CHECK(restored->verify().value().problems.empty());
}

}  // namespace
}  // namespace weir::test
