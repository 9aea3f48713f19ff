// The list of each public struct's fields is whole: a field that is forgotten there would be lost on the network and in JSON.
#include <catch2/catch.hpp>

#include <cstddef>
#include <string>
#include <vector>

#include "weir/fields.h"

namespace weir {
namespace {

/// Becomes whatever a field wants.
struct Any {
  template <class T>
  operator T() const;
};

/// How many fields an aggregate has: the most values that it can be made of.
template <class T, class... Args>
constexpr std::size_t fields_in() {
  if constexpr (requires { T{Args{}..., Any{}}; })
    return fields_in<T, Args..., Any>();
  else
    return sizeof...(Args);
}
template <class T>
constexpr std::size_t listed = std::tuple_size_v<decltype(Fields<T>::list)>;

template <class... T>
void check_all() {
  static_assert(((fields_in<T>() == listed<T>) && ...));
}

TEST_CASE("every field of every public struct is listed", "[api]") {
  check_all<TopicOptions, TopicInfo, StartPoint, Backoff, GroupOptions, GroupRef, GroupTopicStats, GroupInfo, Filter, Header, Message, Published,
            TopicMessage, SessionPosition, ExpectedLast, PublishRequest, PublishResult>();
  check_all<Token, Delivered, Settlement, FetchRequest, FetchResult, SettleRequest, SettleResult, JoinRequest, BrowseRequest, BrowseResult>();
  check_all<CreateTopicRequest, AlterTopicRequest, DeleteTopicRequest, ListTopicsRequest, ListTopicsResult, CreateGroupRequest, AlterGroupRequest,
            ListGroupsRequest, ListGroupsResult, PauseGroupRequest, SeekGroupRequest, SeekGroupResult::Position, SeekGroupResult,
            SettleMessageRequest, ScheduleInfo, ListSchedulesRequest, ListSchedulesResult, DrainRequest, BrokerStatus>();
  check_all<Attempt, DeadLetterInfo, LetterEvent, DeadLetter, LetterConditions, ListDeadLettersRequest, DeadLetterGroup, ListDeadLettersResult,
            RedriveRequest, RedriveResult, DiscardRequest, DiscardResult, JobInfo>();
  check_all<StatePut, StateRange, CommitRequest, CommitResult, ReadStateRequest, ReadStateResult, BackupInfo, Problem, VerifyReport, Request, Reply>();
  static_assert(fields_in<StoredMessage>() == listed<StoredMessage> + 1);   // without its owner
  SUCCEED();
}

TEST_CASE("fields are visited in their order, by name", "[api]") {
  TopicOptions options;
  std::vector<std::string> names;
  for_each_field(options, [&](std::string_view name, auto&) { names.emplace_back(name); });
  REQUIRE(names.size() == 12);
  CHECK(names.front() == "ephemeral");
  CHECK(names.back() == "track_keys");
  for_each_field(options, [](std::string_view name, auto& value) {
    if constexpr (std::is_same_v<std::remove_reference_t<decltype(value)>, bool>) {
      if (name == "compact") value = true;
    }
  });
  CHECK(options.compact);
}

TEST_CASE("enumerators have names, and are found by them", "[api]") {
  CHECK(enum_name(Durability::kPower) == "power");
  CHECK(enum_of<Durability>("process") == Durability::kProcess);
  CHECK_FALSE(enum_of<Durability>("disk").has_value());
  CHECK(enum_name(static_cast<Durability>(9)) == "unknown");
  CHECK(to_string(LetterAct::kSentToTopic) == "sent_to_topic");
  CHECK(enum_of<Filter::Op>("not") == Filter::Op::kNot);
}

}  // namespace
}  // namespace weir
