// Topics that keep the last message of each key (S-10): what goes, what stays, and who still gets it.
#include <map>
#include <random>

#include "tests/contract/fixture.h"

namespace weir::test {
namespace {

TopicOptions last_of_each_key() {
  TopicOptions options;
  options.compact = true;
  options.durability = Durability::kProcess;
  return options;
}

Message value(const std::string& key, const std::string& payload) { return {.key = key, .payload = payload}; }
Message tombstone(const std::string& key) { return {.key = key, .tombstone = true}; }

/// In steps that come to an hour well before the end: what is new may wait that long when a pass has just been.
bool left_are(Fixture& f, const Texts& wanted) {
  return f.eventually_as_time_passes(1min, [&] { return texts(f.browse("prices")) == wanted; });
}

/// The newest batch is never compacted; this one lets go of what was before it.
void publish_end(Fixture& f) { f.publish("prices", value("end", "end")); }

}  // namespace

CONTRACT_TEST("of each key the last message stays, with its offset and time", "[S-10]") {
  f.topic("prices", last_of_each_key());
  f.publish("prices", value("a", "a1"));
  f.publish("prices", value("b", "b1"));
  f.advance(5s);
  f.publish("prices", value("a", "a2"));
  const Time time = f.browse("prices").at(2).time;
  f.advance(5s);
  f.publish("prices", value("c", "c1"));
  f.publish("prices", value("c", "c2"));
  publish_end(f);
  REQUIRE(left_are(f, {"b1", "a2", "c2", "end"}));
  for (int i = 0; i < 2; ++i) {
    const auto messages = f.browse("prices");
    CHECK(messages.at(1).offset == Offset{2});
    CHECK(messages.at(1).time == time);
    CHECK(messages.at(1).key == "a");
    CHECK(messages.at(2).offset == Offset{4});
    CHECK(f.topic_info("prices").next == Offset{6});
    CHECK(texts(f.browse("prices", StartPoint::at(time))) == Texts{"a2", "c2", "end"});
    CHECK(texts(f.browse("prices", StartPoint::at(Offset{3}))) == Texts{"c2", "end"});
    f.reopen();
  }
  CHECK(f->verify().value().problems.empty());
}

CONTRACT_TEST("only what every group settled is compacted, and every group gets all that it has not settled", "[S-10][S-12]") {
  f.topic("prices", last_of_each_key());
  f.group("prices", "fast");
  f.group("prices", "slow");
  for (const char* text : {"1", "2", "3", "4"}) f.publish("prices", value("a", text));
  publish_end(f);
  f.ack(f.fetch_all("prices", "fast", 5));
  for (int i = 0; i < 2; ++i) f.ack(f.one("prices", "slow"));
  f.advance(2h);
  REQUIRE(left_are(f, {"2", "3", "4", "end"}));
  f.advance(2h);
  CHECK(texts(f.fetch_all("prices", "slow", 3)) == Texts{"3", "4", "end"});
  CHECK(texts(f.browse("prices")) == Texts{"2", "3", "4", "end"});
}

CONTRACT_TEST("a group that comes later gets the last message of each key, once, and its place in the log", "[S-10][S-12][S-22]") {
  f.topic("prices", last_of_each_key());
  for (int round = 0; round < 50; ++round)
    for (const char* key : {"a", "b", "c"}) f.publish("prices", value(key, key + std::to_string(round)));
  publish_end(f);
  REQUIRE(left_are(f, {"a49", "b49", "c49", "end"}));
  CHECK(eventually([&] { return f.topic_info("prices").compacted == 147; }));
  f.group("prices", "late");
  const auto got = f.fetch_all("prices", "late", 4);
  CHECK(sorted(texts(got)) == Texts{"a49", "b49", "c49", "end"});
  f.retry(got[0], "again", 0ms);
  f.ack(std::vector<Delivered>(got.begin() + 1, got.end()));
  f.reopen();
  const Delivered again = f.one("prices", "late");
  CHECK(text(again) == text(got[0]));
  f.ack(again);
  CHECK(f.stats("prices", "late").depth == 0);
  CHECK(f.stats("prices", "late").filtered == 0);
  f->seek_group("prices", "late", StartPoint::earliest()).value();
  CHECK(f.fetch_all("prices", "late", 4).size() == 4);
}

CONTRACT_TEST("a tombstone takes its key's messages away, and goes itself when readers had time to see it", "[S-10]") {
  TopicOptions options = last_of_each_key();
  options.tombstone_retention = 48h;
  f.topic("prices", options);
  f.group("prices", "g");
  f.publish("prices", value("a", "a1"));
  f.publish("prices", value("b", "b1"));
  f.publish("prices", tombstone("a"));
  publish_end(f);
  const auto got = f.fetch_all("prices", "g", 4);
  for (const Delivered& delivered : got) CHECK(delivered.message.tombstone == (delivered.message.offset == Offset{2}));
  f.ack(got);
  REQUIRE(left_are(f, {"b1", "", "end"}));
  CHECK(f.browse("prices").at(1).tombstone);
  f.reopen();
  CHECK(f.browse("prices").at(1).tombstone);
  f.advance(48h);
  REQUIRE(left_are(f, {"b1", "end"}));
}

CONTRACT_TEST("age and bytes remove nothing of a compacted topic", "[S-10]") {
  TopicOptions options = last_of_each_key();
  options.retention_age = 1h;
  options.retention_bytes = 1;
  f.topic("prices", options);
  f.publish("prices", value("a", "1"));
  publish_end(f);
  f.advance(48h);
  f.topic("other", {.retention_age = 1h});
  f.publish("other", {.payload = "x"});
  f.advance(2h);
  CHECK(f.eventually_as_time_passes(1s, [&] { return f.topic_info("other").first == Offset{1}; }));
  CHECK(texts(f.browse("prices")) == Texts{"1", "end"});
}

CONTRACT_TEST("what compaction cannot work with is refused, by name", "[S-10]") {
  TopicOptions options = last_of_each_key();
  f.topic("prices", options);
  expect_error(f->publish("prices", {.payload = "1"}), ErrorCode::invalid_argument, "key");
  expect_error(f->publish("prices", {.key = "a", .payload = "1", .tombstone = true}), ErrorCode::invalid_argument, "tombstone");
  expect_error(f->publish("prices", {.tombstone = true}), ErrorCode::invalid_argument, "tombstone");
  CHECK(f.browse("prices").empty());
  options.discard_settled = true;
  expect_error(f->create_topic("p1", options), ErrorCode::invalid_argument, "discard_settled");
  options = last_of_each_key();
  options.bytes_max = 1000;
  options.cap_policy = CapPolicy::kDropOldest;
  expect_error(f->create_topic("p2", options), ErrorCode::invalid_argument, "drop_oldest");
  options = last_of_each_key();
  options.tombstone_retention = -1s;
  expect_error(f->create_topic("p3", options), ErrorCode::invalid_argument, "tombstone_retention");
  options = {};
  options.ephemeral = true;
  options.compact = true;
  expect_error(f->create_topic("p4", options), ErrorCode::invalid_argument, "compact");
}

CONTRACT_TEST("a dead letter of a compacted topic keeps its message", "[S-10][S-23]") {
  f.topic("prices", last_of_each_key());
  f.group("prices", "g");
  f.publish("prices", value("a", "a1"));
  f.publish("prices", tombstone("a"));
  f.publish("prices", value("a", "a2"));
  publish_end(f);
  for (int i = 0; i < 2; ++i) f.reject(f.one("prices", "g"), "no");
  f.ack(f.fetch_all("prices", "g", 2));
  // Letters that may be redriven hold nothing back: they have the whole message.
  REQUIRE(left_are(f, {"a2", "end"}));
  CHECK(f.redrive("prices", "g").redriven == 2);
  const auto again = f.fetch_all("prices", "g", 2);
  CHECK(text(again[0]) == "a1");
  CHECK(again[1].message.tombstone);
}

CONTRACT_TEST("compaction against a plain map, with reopening", "[S-10]") {
  const auto seed = static_cast<std::uint32_t>(std::random_device{}());
  INFO("seed " << seed);
  std::mt19937 random(seed);
  f.topic("prices", last_of_each_key());
  f.group("prices", "g");
  std::map<std::string, std::string> last;
  int n = 0;
  for (int round = 0; round < 6; ++round) {
    for (int i = 0; i < 120; ++i) {
      std::vector<Message> batch;
      for (auto left = 1 + random() % 4; left > 0; --left) {
        const std::string key = "k" + std::to_string(random() % 30);
        last[key] = std::to_string(n++);
        batch.push_back(value(key, last[key]));
      }
      f->publish_all("prices", batch).value();
    }
    publish_end(f);
    last["end"] = "end";
    while (true) {
      const auto got = f.fetch_now("prices", "g", {.max = 1000});
      if (got.empty()) break;
      f.ack(got);
    }
    REQUIRE(f.eventually_as_time_passes(1s, [&] { return f.browse("prices").size() <= last.size() * 2; }));
    if (random() % 2 == 0) f.reopen();
    std::map<std::string, std::string> seen;
    Offset before{};
    for (const StoredMessage& message : f.browse("prices")) {
      CHECK((message.offset > before || seen.empty()));
      before = message.offset;
      seen[std::string(message.key)] = message.payload.str();
    }
    CHECK(seen == last);
  }
  CHECK(f->verify().value().problems.empty());
  CHECK(f.topic_info("prices").next == Offset{static_cast<std::uint64_t>(n) + 6});
}

}  // namespace weir::test
