// Schedule ids, due times, who takes what out first, and the schedule in memory.
#include "broker/core/schedule.h"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

namespace weir::core {
namespace {

using namespace std::chrono_literals;

Time at(std::int64_t ms) { return Time{Duration{ms}}; }

TEST_CASE("a schedule id comes back from its text, and nothing else passes for one", "[core][S-7]") {
  for (const ScheduleKey key : {ScheduleKey{TopicId{1}, 1}, ScheduleKey{TopicId{0xabcdef}, first_schedule(70'000)}, ScheduleKey{TopicId{~0ull}, ~0ull}})
    CHECK(parse_schedule(to_text(key)) == key);
  for (const char* wrong : {"", "-", "1", "1-", "-1", "01-1", "1-01", "1-1 ", " 1-1", "A-1", "1-g", "1-1-1", "+1-1", "0-1", "1-0", "10000000000000000-1"})
    CHECK_FALSE(parse_schedule(wrong).has_value());
}

TEST_CASE("numbers of later openings are higher, and are told from offsets", "[core][S-7]") {
  CHECK(first_schedule(1) < first_schedule(2));
  CHECK(first_schedule(2) - first_schedule(1) == std::uint64_t{1} << kScheduleBits);
  const std::uint64_t highest = first_schedule((std::uint64_t{1} << 24) - 1) + (std::uint64_t{1} << kScheduleBits) - 3;
  for (const std::uint64_t number : {first_schedule(1), first_schedule(77), highest}) {
    const Offset place = place_of_schedule(number);
    CHECK(is_scheduled(place));
    CHECK(schedule_at(place) == number);
    const Published published = published_at(TopicId{3}, place, true);
    CHECK(published.duplicate);
    CHECK(published.offset == kNoOffset);
    CHECK(published.schedule == to_text({TopicId{3}, number}));
    CHECK(place_of(published) == place);
  }
  CHECK_FALSE(is_scheduled(Offset{0}));
  CHECK_FALSE(is_scheduled(kNoOffset));
  CHECK(published_at(TopicId{3}, Offset{17}, false).offset == Offset{17});
  CHECK(published_at(TopicId{3}, Offset{17}, false).schedule.empty());
  CHECK(place_of({Offset{17}, true, {}}) == Offset{17});
}

TEST_CASE("when a message is due", "[core][S-7]") {
  const Time now = at(1'000'000);
  const auto due = [&](Message message) { return due_time(message, now).value(); };
  CHECK_FALSE(due({}).has_value());
  CHECK(due({.deliver_at = now + 1ms}) == now + 1ms);
  CHECK(due({.delay = 5s}) == now + 5s);
  CHECK_FALSE(due({.deliver_at = now}).has_value());
  CHECK_FALSE(due({.deliver_at = now - 1h}).has_value());
  CHECK_FALSE(due({.delay = 0ms}).has_value());
  CHECK(due({.deliver_at = now + kScheduleAheadMax}) == now + kScheduleAheadMax);
  CHECK(due_time({.delay = -1ms}, now).code() == ErrorCode::invalid_argument);
  CHECK(due_time({.deliver_at = now, .delay = 1ms}, now).code() == ErrorCode::invalid_argument);
  CHECK(due_time({.deliver_at = now + kScheduleAheadMax + 1ms}, now).code() == ErrorCode::limit_exceeded);
  CHECK(due_time({.delay = kScheduleAheadMax + 1ms}, now).code() == ErrorCode::limit_exceeded);
  CHECK(due_time({.deliver_at = Time::max()}, now).code() == ErrorCode::limit_exceeded);
  CHECK(due_time({.delay = Duration::max()}, now).code() == ErrorCode::limit_exceeded);
}

TEST_CASE("a removal is known until it is written and nobody reads from before", "[core][S-7]") {
  RecentRemovals removals;
  removals.written(5);
  const std::uint64_t first = removals.begin_reading();
  removals.add(100, 6);
  CHECK(removals.contains(100));
  removals.written(6);
  CHECK(removals.contains(100));   // the first reader may have read it
  const std::uint64_t second = removals.begin_reading();
  removals.add(200, 7);
  removals.end_reading(first);
  CHECK_FALSE(removals.contains(100));
  CHECK(removals.contains(200));
  removals.end_reading(second);
  CHECK(removals.contains(200));   // not written yet: who reads now still finds it
  removals.written(8);
  CHECK_FALSE(removals.contains(200));
  CHECK(removals.size() == 0);
}

TEST_CASE("two readers that began alike both count", "[core][S-7]") {
  RecentRemovals removals;
  const std::uint64_t a = removals.begin_reading();
  const std::uint64_t b = removals.begin_reading();
  removals.add(1, 1);
  removals.written(1);
  removals.end_reading(a);
  CHECK(removals.contains(1));
  removals.end_reading(b);
  CHECK_FALSE(removals.contains(1));
}

MemorySchedule::Entry entry(std::int64_t due, std::string text) { return {at(due), at(0), text.size(), Message{.payload = std::move(text)}}; }

std::vector<std::string> take_all(MemorySchedule& schedule, std::int64_t now) {
  std::vector<std::string> out;
  while (auto due = schedule.take_due(at(now))) out.push_back(due->second.message.payload.str());
  return out;
}

TEST_CASE("the schedule in memory gives what is due, in the order of due time and publishing", "[core][S-7]") {
  MemorySchedule schedule;
  CHECK_FALSE(schedule.next_due().has_value());
  schedule.add({TopicId{1}, 1}, entry(30, "a"));
  schedule.add({TopicId{2}, 2}, entry(10, "b"));
  schedule.add({TopicId{1}, 3}, entry(10, "c"));
  schedule.add({TopicId{1}, 4}, entry(20, "d"));
  CHECK(schedule.next_due() == at(10));
  CHECK(take_all(schedule, 9).empty());
  CHECK(take_all(schedule, 20) == std::vector<std::string>{"b", "c", "d"});
  CHECK(schedule.next_due() == at(30));
  CHECK(schedule.find({TopicId{1}, 1}) != nullptr);
  CHECK(schedule.find({TopicId{2}, 1}) == nullptr);
  CHECK(schedule.find({TopicId{1}, 4}) == nullptr);
  CHECK(schedule.take({TopicId{1}, 1})->message.payload.text() == "a");
  CHECK_FALSE(schedule.take({TopicId{1}, 1}).has_value());
  CHECK(schedule.size() == 0);
}

TEST_CASE("the schedule in memory is listed by topic and by due time, and forgets a topic", "[core][S-7]") {
  MemorySchedule schedule;
  schedule.add({TopicId{1}, 1}, entry(30, "a"));
  schedule.add({TopicId{2}, 2}, entry(10, "bb"));
  schedule.add({TopicId{1}, 3}, entry(10, "ccc"));
  std::vector<std::uint64_t> seen;
  const auto note = [&](const ScheduleKey& key, const MemorySchedule::Entry&) { return seen.push_back(key.number), true; };
  schedule.list(TopicId{1}, 0, note);
  CHECK(seen == std::vector<std::uint64_t>{1, 3});
  seen.clear();
  schedule.list(TopicId{1}, 1, note);
  CHECK(seen == std::vector<std::uint64_t>{3});
  seen.clear();
  schedule.list_by_due({at(0), 0}, note);
  CHECK(seen == std::vector<std::uint64_t>{2, 3, 1});
  seen.clear();
  schedule.list_by_due({at(10), 2}, note);
  CHECK(seen == std::vector<std::uint64_t>{3, 1});
  CHECK(schedule.drop_topic(TopicId{1}) == 4);
  CHECK(schedule.drop_topic(TopicId{1}) == 0);
  CHECK(schedule.size() == 1);
  CHECK(schedule.next_due() == at(10));
}

}  // namespace
}  // namespace weir::core
