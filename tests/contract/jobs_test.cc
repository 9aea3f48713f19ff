// Redrive as a durable job (S-26): its pace, its progress, and how it is steered.
#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

/// So many dead letters of a group, each with its number as payload and a key of its own.
void make_letters(Fixture& f, std::size_t count) {
  f.topic("orders");
  GroupOptions options;
  options.in_flight_max = 100'000;
  f.group("orders", "billing", options);
  std::vector<Message> messages(count);
  for (std::size_t i = 0; i < count; ++i) messages[i] = {.key = "k" + std::to_string(i), .payload = std::to_string(i), .headers = {{"even", i % 2 == 0 ? "yes" : "no"}}};
  expect_ok(f->publish_all("orders", std::move(messages)));
  SettleRequest settle;
  for (const Delivered& d : f.fetch_all("orders", "billing", count)) settle.settlements.push_back(Settlement::reject(d.token, "no"));
  CHECK(f->settle(settle).value().results.empty());
  CHECK(f.stats("orders", "billing").dead == count);
}

RedriveRequest at_rate(double rate) {
  RedriveRequest request{.topic = "orders", .group = "billing"};
  request.rate = rate;
  return request;
}

std::string begin(Fixture& f, const RedriveRequest& request) {
  const RedriveResult r = f->redrive(request).value();
  REQUIRE_FALSE(r.job.empty());
  CHECK(r.redriven == 0);
  return r.job;
}

/// It has done so many, and does no more while the clock stands still.
void expect_done(Fixture& f, const std::string& id, std::uint64_t count) {
  INFO("done " << f->job(id).value().done << " instead of " << count << " " << f->job(id).value().error);
  REQUIRE(eventually([&] { return f->job(id).value().done >= count; }));
  CHECK(f->job(id).value().done == count);
  CHECK(f.stats("orders", "billing").redriven == count);
}

void expect_state(Fixture& f, const std::string& id, const std::string& state) {
  INFO("state " << f->job(id).value().state << " instead of " << state << " " << f->job(id).value().error);
  REQUIRE(eventually([&] { return f->job(id).value().state == state; }));
}

CONTRACT_TEST_EVERY_TOPIC("a job keeps its rate by the broker's clock", "[S-26]") {
  make_letters(f, 30);
  const std::string id = begin(f, at_rate(2));
  CHECK(f->job(id).value().state == "running");
  CHECK(f->job(id).value().total == 30);
  expect_done(f, id, 0);
  f.advance(500ms);
  expect_done(f, id, 1);
  f.advance(499ms);
  expect_done(f, id, 1);
  f.advance(1ms);
  expect_done(f, id, 2);
  f.advance(10s);
  expect_done(f, id, 22);
  f.advance(1min);
  expect_state(f, id, "done");
  const JobInfo job = f->job(id).value();
  CHECK(job.done == 30);
  CHECK(job.ended == f.now());
  CHECK(job.rate == 2.0);
  CHECK(f.fetch_all("orders", "billing", 30).size() == 30);
  CHECK(f.stats("orders", "billing").dead == 0);
}

CONTRACT_TEST_EVERY_TOPIC("a rate may be a fraction", "[S-26]") {
  make_letters(f, 3);
  const std::string id = begin(f, at_rate(0.25));
  f.advance(3999ms);
  expect_done(f, id, 0);
  f.advance(1ms);
  expect_done(f, id, 1);
  f.advance(4s);
  expect_done(f, id, 2);
  f.advance(4s);
  expect_state(f, id, "done");
  CHECK(f->job(id).value().active == 12s);
}

CONTRACT_TEST_EVERY_TOPIC("a job in the background runs through at once, in many commits, and each letter comes once", "[S-26]") {
  make_letters(f, 3000);
  RedriveRequest request{.topic = "orders", .group = "billing"};
  request.background = true;
  request.filter = Filter::exact("even", "yes");
  const std::string id = begin(f, request);
  expect_state(f, id, "done");
  const JobInfo job = f->job(id).value();
  CHECK(job.kind == "redrive");
  CHECK(job.total == 3000);
  CHECK(job.done == 1500);
  CHECK(job.unmatched == 1500);
  CHECK(job.skipped == 0);
  CHECK(job.topic == "orders");
  CHECK(job.group == "billing");
  Texts got = texts(f.fetch_all("orders", "billing", 1500));
  std::sort(got.begin(), got.end());
  CHECK(std::unique(got.begin(), got.end()) == got.end());
  for (const std::string& each : got) CHECK(std::stoi(each) % 2 == 0);
  f.expect_nothing("orders", "billing");
}

CONTRACT_TEST_EVERY_TOPIC("a job moves what existed when it was asked for, and not what dies later", "[S-26]") {
  make_letters(f, 4);
  const std::string id = begin(f, at_rate(1));
  f.advance(2s);
  expect_done(f, id, 2);
  f.ack(f.fetch_all("orders", "billing", 2));
  f.dead_letter("orders", "billing", {.payload = "late"});
  f.advance(1min);
  expect_state(f, id, "done");
  CHECK(f->job(id).value().done == 4);
  REQUIRE(f.letters("orders", "billing").size() == 1);
  CHECK(f.letters("orders", "billing")[0].message.payload.text() == "late");
}

CONTRACT_TEST_EVERY_TOPIC("what somebody else resolves meanwhile is skipped", "[S-26]") {
  make_letters(f, 4);
  const std::string id = begin(f, at_rate(1));
  CHECK(f.redrive("orders", "billing", {Offset{1}, Offset{2}}).redriven == 2);
  f.advance(1min);
  expect_state(f, id, "done");
  CHECK(f->job(id).value().done == 2);
  CHECK(f->job(id).value().skipped == 2);
  CHECK(f.fetch_all("orders", "billing", 4).size() == 4);
  f.expect_nothing("orders", "billing");
}

CONTRACT_TEST_EVERY_TOPIC("a job by id says how each letter fared", "[S-26]") {
  make_letters(f, 4);
  RedriveRequest request = at_rate(100);
  request.letters = {Offset{3}, Offset{0}, Offset{9}, Offset{0}};
  request.where.key = "k3";
  const std::string id = begin(f, request);
  CHECK(f->job(id).value().total == 3);
  f.advance(10s);
  expect_state(f, id, "done");
  const JobInfo job = f->job(id).value();
  CHECK(job.done == 1);
  CHECK(job.unmatched == 1);
  CHECK(job.skipped == 1);
  CHECK(text(f.one("orders", "billing")) == "3");
}

CONTRACT_TEST_EVERY_TOPIC("a job is paused, resumed and cancelled", "[S-26]") {
  make_letters(f, 10);
  const std::string id = begin(f, at_rate(1));
  f.advance(2s);
  expect_done(f, id, 2);
  CHECK(f->pause_job(id).value().state == "paused");
  CHECK(f->pause_job(id).value().state == "paused");
  f.advance(1h);
  expect_done(f, id, 2);
  CHECK(f->resume_job(id).value().state == "running");
  expect_done(f, id, 2);   // a pause is not made up for
  f.advance(1s);
  expect_done(f, id, 3);
  CHECK(f->job(id).value().active == 3s);
  CHECK(f->cancel_job(id).value().state == "cancelled");
  CHECK(f->cancel_job(id).value().state == "cancelled");
  f.advance(1h);
  expect_done(f, id, 3);
  expect_error(f->resume_job(id), ErrorCode::failed_precondition, "cancelled");
  expect_error(f->pause_job(id), ErrorCode::failed_precondition, id);
  CHECK(f.stats("orders", "billing").dead == 7);
  CHECK(f.redrive("orders", "billing").redriven == 7);
}

CONTRACT_TEST_EVERY_TOPIC("jobs are listed and found, and one that is not there is an error", "[S-26]") {
  make_letters(f, 3);
  CHECK(f->jobs().value().empty());
  RedriveRequest request = at_rate(1);
  request.reason = "because";
  CallContext context;
  context.principal = "ops";
  const std::string first = f->redrive(request, context).value().job;
  const std::string second = begin(f, at_rate(0.5));
  const std::vector<JobInfo> all = f->jobs().value();
  REQUIRE(all.size() == 2);
  CHECK(all[0].id == first);
  CHECK(all[0].who == "ops");
  CHECK(all[0].reason == "because");
  CHECK(all[0].started == f.now());
  CHECK(all[1].id == second);
  expect_error(f->job("job-999"), ErrorCode::not_found, "job-999");
  expect_error(f->pause_job("nonsense"), ErrorCode::not_found, "nonsense");
  expect_error(answer_of<JobInfo>([&](auto done) { f->async_control_job(first, "explode", {}, std::move(done)); }), ErrorCode::invalid_argument, "explode");
}

CONTRACT_TEST_EVERY_TOPIC("a letter's history names the job that moved it", "[S-26][S-24]") {
  make_letters(f, 1);
  RedriveRequest request{.topic = "orders", .group = "billing"};
  request.background = true;
  const std::string id = begin(f, request);
  expect_state(f, id, "done");
  const DeadLetter letter = f->dead_letter("orders", "billing", Offset{0}).value();
  REQUIRE(letter.events.size() == 1);
  CHECK(letter.events[0].job == id);
}

CONTRACT_TEST_EVERY_TOPIC("the same request id is the same job, and with another request an error", "[S-26][S-6]") {
  make_letters(f, 4);
  RedriveRequest request{.topic = "orders", .group = "billing"};
  request.request_id = "monday";
  const std::string id = begin(f, request);
  expect_state(f, id, "done");
  const RedriveResult again = f->redrive(request).value();
  CHECK(again.job == id);
  CHECK(again.redriven == 4);
  CHECK(f->jobs().value().size() == 1);
  request.redrives_max = 7;
  expect_error(f->redrive(request), ErrorCode::failed_precondition, "monday");
  CHECK(f.fetch_all("orders", "billing", 4).size() == 4);
  f.expect_nothing("orders", "billing");
}

CONTRACT_TEST("a job goes on after a reopen, at its pace, and its end is kept", "[S-26]") {
  make_letters(f, 10);
  RedriveRequest request = at_rate(1);
  request.request_id = "once";
  const std::string id = begin(f, request);
  f.advance(4s);
  expect_done(f, id, 4);
  f.reopen();
  CHECK(f->job(id).value().state == "running");
  expect_done(f, id, 4);
  f.close();
  f.advance(1h);   // it does not make up for the time when the store was closed
  f.reopen();
  expect_done(f, id, 4);
  f.advance(3s);
  expect_done(f, id, 7);
  CHECK(f->pause_job(id).value().done == 7);
  f.reopen();
  CHECK(f->job(id).value().state == "paused");
  f.advance(1h);
  expect_done(f, id, 7);
  expect_ok(f->resume_job(id));
  f.advance(1h);
  expect_state(f, id, "done");
  f.reopen();
  const JobInfo job = f->job(id).value();
  CHECK(job.state == "done");
  CHECK(job.done == 10);
  CHECK(job.request_id == "once");
  CHECK(f->redrive(request).value().job == id);
  CHECK(f.fetch_all("orders", "billing", 10).size() == 10);
  f.expect_nothing("orders", "billing");
}

CONTRACT_TEST_EVERY_TOPIC("deleting the group, its topic, or the target topic ends its jobs as failed", "[S-26][S-22]") {
  make_letters(f, 3);
  f.topic("mended");
  RedriveRequest to = at_rate(1);
  to.to_topic = "mended";
  const std::string sending = begin(f, to);
  const std::string giving_back = begin(f, at_rate(1));
  CHECK(f->job(sending).value().to_topic == "mended");
  expect_ok(f->delete_topic("mended"));
  CHECK(f->job(sending).value().state == "failed");
  CHECK_THAT(f->job(sending).value().error, Catch::Contains("mended"));
  CHECK(f->job(giving_back).value().state == "running");
  expect_ok(f->delete_group("orders", "billing"));
  const JobInfo job = f->job(giving_back).value();
  CHECK(job.state == "failed");
  CHECK_THAT(job.error, Catch::Contains("deleted"));
  CHECK(job.ended.has_value());
  f.group("orders", "billing");
  const std::string other = begin(f, at_rate(1));
  expect_ok(f->delete_topic("orders"));
  CHECK(f->job(other).value().state == "failed");
}

CONTRACT_TEST("a job to a topic that is full waits for room, and goes on", "[S-26][S-10]") {
  f.topic("orders");
  f.group("orders", "billing");
  for (int i = 0; i < 4; ++i) f.dead_letter("orders", "billing", {.payload = std::string(600, 'x')});
  TopicOptions capped;
  capped.bytes_max = 1500;
  f.topic("capped", capped);
  RedriveRequest request{.topic = "orders", .group = "billing"};
  request.to_topic = "capped";
  request.background = true;
  const std::string id = begin(f, request);
  REQUIRE(eventually([&] { return f->job(id).value().error.starts_with("waits: "); }));
  CHECK(f->job(id).value().done == 2);
  CHECK(f->job(id).value().state == "running");
  capped.bytes_max = 0;
  expect_ok(f->alter_topic("capped", capped));
  REQUIRE(f.eventually_as_time_passes(1s, [&] { return f->job(id).value().state == "done"; }));   // it tries again each second
  CHECK(f->job(id).value().done == 4);
  CHECK(f->job(id).value().error.empty());
  CHECK(eventually([&] { return f.browse("capped").size() == 4; }));   // seen once synced, as the topic asks
}

CONTRACT_TEST_EVERY_TOPIC("a job that ended is kept for seven days", "[S-26][S-33]") {
  make_letters(f, 1);
  RedriveRequest request{.topic = "orders", .group = "billing"};
  request.request_id = "kept";
  const std::string id = begin(f, request);
  expect_state(f, id, "done");
  f.advance(std::chrono::hours{24 * 7} - 1ms);
  expect_ok(f->job(id));
  REQUIRE(f.eventually_as_time_passes(1h, [&] { return f->job(id).code() == ErrorCode::not_found; }));
  CHECK(f->jobs().value().empty());
  CHECK(f->redrive(request).value().job != id);
}

CONTRACT_TEST_EVERY_TOPIC("a thousand jobs may be open, and one more is told to wait", "[S-26][S-33]") {
  make_letters(f, 1);
  RedriveRequest request = at_rate(0.001);
  if (f.kind() == TopicKind::kDurable) {
    // Each takes a sync: in a few at a time.
    std::vector<std::future<Result<RedriveResult>>> answers;
    for (int i = 0; i < 1000; ++i) {
      auto answer = std::make_shared<std::promise<Result<RedriveResult>>>();
      answers.push_back(answer->get_future());
      f->async_redrive(request, {}, [answer](Result<RedriveResult> r) { answer->set_value(std::move(r)); });
    }
    for (auto& answer : answers) {
      REQUIRE(answer.wait_for(kPatience) == std::future_status::ready);
      expect_ok(answer.get());
    }
  } else {
    for (int i = 0; i < 1000; ++i) expect_ok(f->redrive(request));
  }
  expect_error(f->redrive(request), ErrorCode::busy, "1000");
  const std::vector<JobInfo> all = f->jobs().value();
  REQUIRE(all.size() == 1000);
  expect_ok(f->cancel_job(all[500].id));
  expect_ok(f->redrive(request));
}

CONTRACT_TEST_EVERY_TOPIC("only the failing group sees what a job gives back", "[S-26]") {
  make_letters(f, 5);
  f.group("orders", "audit");
  f.ack(f.fetch_all("orders", "audit", 5));
  RedriveRequest request{.topic = "orders", .group = "billing"};
  request.background = true;
  expect_state(f, begin(f, request), "done");
  CHECK(f.fetch_all("orders", "billing", 5).size() == 5);
  f.expect_nothing("orders", "audit");
}

}  // namespace
}  // namespace weir::test
