// What an engine says that it can, and that it says no to the rest; nothing is weakened silently.
#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

// Tests of what an engine lacks run only on engines that lack it.
bool has(Fixture& f, std::initializer_list<int> numbers) {
  for (const int s : numbers)
    if (f->capabilities()[s] != Support::kAbsent) return true;
  return false;
}

CONTRACT_TEST("the embedded engine keeps what this version promises", "[capabilities]") {
  const Capabilities& c = f->capabilities();
  for (int s = 1; s <= 36; ++s) {
    INFO("S-" << s);
    const bool later = s == 30 || s == 31;
    CHECK((c[s] == Support::kAbsent) == later);
  }
  CHECK(c[0] == Support::kAbsent);
  CHECK(c[37] == Support::kAbsent);
}

CONTRACT_TEST("opening fails early when the program requires what the engine lacks", "[capabilities]") {
  std::vector<int> present, absent;
  for (int s = 1; s <= 36; ++s) (f->capabilities()[s] == Support::kAbsent ? absent : present).push_back(s);
  f.close();
  f.options.require = present;
  f.topic("orders");
  f.close();
  for (const int s : absent) {
    OpenOptions options = f.options;
    options.require = {1, s};
    expect_error(f.place().open(options), ErrorCode::unsupported, "S-" + std::to_string(s));
  }
  OpenOptions nonsense = f.options;
  nonsense.require = {99};
  CHECK_FALSE(f.place().open(nonsense).ok());
}

CONTRACT_TEST("scheduling is unsupported where it is absent", "[unsupported]") {
  if (has(f, {7})) return;
  f.topic("orders");
  expect_error(f->publish("orders", {.deliver_at = f.now() + 1h}), ErrorCode::unsupported);
  CHECK(f.topic_info("orders").next == Offset{0});
  expect_error(answer_of<ListSchedulesResult>([&](auto done) { f->async_list_schedules({.topic = "orders"}, {}, std::move(done)); }), ErrorCode::unsupported);
  expect_error(answer_of<Done>([&](auto done) { f->async_cancel_schedule("id", {}, std::move(done)); }), ErrorCode::unsupported);
  expect_error(answer_of<Done>([&](auto done) { f->async_run_schedule("id", {}, std::move(done)); }), ErrorCode::unsupported);
}

CONTRACT_TEST("discarding dead letters is unsupported where it is absent", "[unsupported]") {
  if (has(f, {27})) return;
  f.topic("orders");
  f.group("orders", "billing");
  f.dead_letter("orders", "billing", {.payload = "1"});
  expect_error(answer_of<DiscardResult>([&](auto done) { f->async_discard({.topic = "orders", .group = "billing"}, {}, std::move(done)); }),
               ErrorCode::unsupported);
  CHECK(f.letters("orders", "billing").size() == 1);
}

CONTRACT_TEST("the workbench's ways to redrive and list are unsupported, and nothing is moved", "[unsupported]") {
  if (has(f, {27})) return;
  f.topic("orders");
  f.group("orders", "billing");
  f.dead_letter("orders", "billing", {.payload = "1"});
  const auto redrive = [&](auto change) {
    RedriveRequest request{.topic = "orders", .group = "billing"};
    change(request);
    expect_error(f->redrive(request), ErrorCode::unsupported);
  };
  redrive([](RedriveRequest& r) { r.filter = Filter::present("h"); });
  redrive([](RedriveRequest& r) { r.to_topic = "orders"; });
  redrive([](RedriveRequest& r) { r.rate = 1.0; });
  redrive([](RedriveRequest& r) { r.dry_run = true; });
  redrive([](RedriveRequest& r) { r.edited = Message{}; });
  const auto list = [&](auto change) {
    ListDeadLettersRequest request{.topic = "orders", .group = "billing"};
    change(request);
    expect_error(f->dead_letters(request), ErrorCode::unsupported);
  };
  list([](ListDeadLettersRequest& r) { r.filter = Filter::present("h"); });
  list([](ListDeadLettersRequest& r) { r.reason = DeathReason::kRejected; });
  list([](ListDeadLettersRequest& r) { r.error_contains = "x"; });
  list([](ListDeadLettersRequest& r) { r.key = "k"; });
  list([](ListDeadLettersRequest& r) { r.since = Time{}; });
  list([](ListDeadLettersRequest& r) { r.until = Time{}; });
  CHECK(f.letters("orders", "billing").size() == 1);
  f.expect_nothing("orders", "billing");
}

CONTRACT_TEST("operators' acts on single messages, and jobs are unsupported where there are none", "[unsupported]") {
  if (has(f, {26, 27})) return;
  f.topic("orders");
  f.group("orders", "billing");
  f.publish_texts("orders", {"1"});
  expect_error(answer_of<Done>([&](auto done) {
                 f->async_settle_message({.topic = "orders", .group = "billing", .offset = Offset{0}, .act = MessageAct::kAck}, {}, std::move(done));
               }),
               ErrorCode::unsupported);
  CHECK(f.stats("orders", "billing").depth == 1);
  expect_error(answer_of<std::vector<JobInfo>>([&](auto done) { f->async_list_jobs({}, std::move(done)); }), ErrorCode::unsupported);
  expect_error(answer_of<JobInfo>([&](auto done) { f->async_control_job("id", "pause", {}, std::move(done)); }), ErrorCode::unsupported);
}

CONTRACT_TEST("transactions are unsupported where they are absent", "[unsupported]") {
  if (has(f, {28, 29})) return;
  f.topic("orders");
  CommitRequest request;
  request.publishes = {{"orders", {.payload = "1"}}};
  expect_error(answer_of<CommitResult>([&](auto done) { f->async_commit(request, {}, std::move(done)); }), ErrorCode::unsupported);
  expect_error(answer_of<ReadStateResult>([&](auto done) { f->async_read_state({.key = "k", .range = {}}, {}, std::move(done)); }),
               ErrorCode::unsupported);
  CHECK(f.browse("orders").empty());
}

CONTRACT_TEST("request and reply is unsupported where it is absent", "[unsupported]") {
  if (has(f, {30, 31})) return;
  expect_error(answer_of<std::uint64_t>([&](auto done) { f->async_serve("prices", [](Request, Callback<Reply>) {}, {}, std::move(done)); }),
               ErrorCode::unsupported);
  expect_error(answer_of<Done>([&](auto done) { f->async_unserve(1, {}, std::move(done)); }), ErrorCode::unsupported);
  expect_error(answer_of<Reply>([&](auto done) { f->async_call({.service = "prices"}, {}, std::move(done)); }), ErrorCode::unsupported);
}

}  // namespace
}  // namespace weir::test
