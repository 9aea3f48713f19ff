// The records of the dead-letter workbench: what goes in comes out, and nothing else is believed.
#include <catch2/catch.hpp>

#include <string>

#include "broker/format/keys.h"
#include "broker/format/letter_records.h"

namespace weir::format {
namespace {
using namespace std::chrono_literals;

JobRecord full_job() {
  JobRecord job;
  job.kind = JobKind::kRestore;
  job.group = GroupId{3};
  job.topic = TopicId{4};
  job.letters = TopicId{5};
  job.topic_name = "orders";
  job.group_name = "billing";
  job.chosen = {1, 5, 9};
  job.end = Offset{77};
  job.filter = Filter::all({Filter::exact("h", "v"), Filter::negate(Filter::present("x"))});
  job.where = {DeathReason::kExpired, "text", "", Time{5ms}, Time{6ms}, 1u, 4u};
  job.rate = 0.25;
  job.force = true;
  job.redrives_max = 9;
  job.to_topic = TopicId{8};
  job.to_topic_name = "mended";
  job.edited = EditedMessage{std::string("\0\xff", 2), std::string("\1h\1\0v", 5), "text/plain"};
  job.why = "why";
  job.who = "who";
  job.request_id = "id";
  job.request_high = 1;
  job.request_low = 2;
  job.started = Time{123ms};
  job.total = 3;
  return job;
}

TEST_CASE("job records are read as they were written", "[format][S-26]") {
  const JobRecord job = full_job();
  const JobRecord read = decode_job(encode(job), "here").value();
  CHECK(read.kind == job.kind);
  CHECK(read.group == job.group);
  CHECK(read.topic == job.topic);
  CHECK(read.letters == job.letters);
  CHECK(read.topic_name == job.topic_name);
  CHECK(read.group_name == job.group_name);
  CHECK(read.chosen == job.chosen);
  CHECK(read.end == job.end);
  CHECK(read.filter == job.filter);
  CHECK(read.where == job.where);
  CHECK(read.rate == job.rate);
  CHECK(read.force);
  CHECK(read.redrives_max == 9);
  CHECK(read.to_topic == job.to_topic);
  CHECK(read.to_topic_name == "mended");
  CHECK(read.edited == job.edited);
  CHECK(read.why == "why");
  CHECK(read.who == "who");
  CHECK(read.request_id == "id");
  CHECK(read.request_high == 1);
  CHECK(read.request_low == 2);
  CHECK(read.started == job.started);
  CHECK(read.total == 3);
  const JobRecord empty = decode_job(encode(JobRecord{}), "here").value();
  CHECK(empty.where == LetterConditions{});
  CHECK_FALSE(empty.edited);
  CHECK(empty.filter == Filter{});
}

TEST_CASE("job progress and letter events are read as they were written", "[format][S-26][S-27]") {
  JobProgress progress{JobState::kCancelled, 7, 1, 2, 3, 4, 5, Duration{6}, Time{8ms}, "error"};
  const JobProgress read = decode_job_progress(encode(progress), "here").value();
  CHECK(read.state == JobState::kCancelled);
  CHECK(read.position == 7);
  CHECK(read.done == 1);
  CHECK(read.failed == 2);
  CHECK(read.skipped == 3);
  CHECK(read.unmatched == 4);
  CHECK(read.needs_force == 5);
  CHECK(read.active == 6ms);
  CHECK(read.ended == Time{8ms});
  CHECK(read.error == "error");
  CHECK_FALSE(decode_job_progress(encode(JobProgress{}), "here").value().ended);

  const LetterEventRecord event{LetterAct::kRestored, Time{1ms}, "who", "why", 9, "topic", Offset{0}, Offset{4}};
  const LetterEventRecord back = decode_letter_event(encode(event), "here").value();
  CHECK(back.act == LetterAct::kRestored);
  CHECK(back.time == Time{1ms});
  CHECK(back.who == "who");
  CHECK(back.why == "why");
  CHECK(back.job == 9);
  CHECK(back.to_topic == "topic");
  CHECK(back.to_offset == Offset{0});
  CHECK(back.edited_as == Offset{4});
  CHECK_FALSE(decode_letter_event(encode(LetterEventRecord{}), "here").value().to_offset);
}

TEST_CASE("records of the workbench that are cut or changed are corruption that names the place", "[format][S-32]") {
  const std::string whole = encode(full_job());
  for (std::size_t size = 0; size + 1 < whole.size(); size += 7) {
    const auto read = decode_job(std::string_view(whole).substr(0, size), "job 5");
    REQUIRE(read.code() == ErrorCode::corruption);
    REQUIRE_THAT(read.status().message(), Catch::Contains("job 5"));
  }
  CHECK(decode_job_progress("x", "job 5").code() == ErrorCode::corruption);
  CHECK(decode_letter_event("", "letter 5").code() == ErrorCode::corruption);
  JobRecord unknown = full_job();
  unknown.kind = static_cast<JobKind>(9);
  CHECK(decode_job(encode(unknown), "job 5").code() == ErrorCode::corruption);
  JobRecord headers = full_job();
  headers.edited->headers = "\5h";
  CHECK(decode_job(encode(headers), "job 5").code() == ErrorCode::corruption);
  JobProgress state;
  state.state = static_cast<JobState>(9);
  CHECK(decode_job_progress(encode(state), "job 5").code() == ErrorCode::corruption);
}

TEST_CASE("keys of the workbench sort as their numbers do", "[format]") {
  CHECK(letter_event_key(TopicId{1}, Offset{2}, 3, 4).size() == 29);
  CHECK(letter_event_key(TopicId{1}, Offset{2}, 3, 4) < letter_event_key(TopicId{1}, Offset{2}, 3, 5));
  CHECK(letter_event_key(TopicId{1}, Offset{2}, 300, 4) < letter_event_key(TopicId{1}, Offset{3}, 3, 4));
  CHECK(letter_event_key(TopicId{1}, Offset{2}, 3, 4).starts_with(letter_event_prefix(TopicId{1}, Offset{2})));
  CHECK(job_key(7, 0).size() == 10);
  CHECK(job_key(7, 0) < job_key(7, 1));
  CHECK(job_key(7, 1) < job_key(8, 0));
  CHECK(hold_key(GroupId{1}, TopicId{2}, 3).size() == 25);
  CHECK(hold_key(GroupId{1}, TopicId{2}, 3).starts_with(hold_prefix(GroupId{1}, TopicId{2})));
}

}  // namespace
}  // namespace weir::format
