// The blocking forms of the verbs, and the future.
#include "weir/broker.h"

#include <utility>

#include "broker/api/blocking.h"

namespace weir {

using api::call;
using api::change;

Result<TopicInfo> Broker::create_topic(std::string name, TopicOptions options, CallContext context) {
  return change(*this, &Broker::async_create_topic, CreateTopicRequest{std::move(name), options, true}, std::move(context));
}

Result<TopicInfo> Broker::alter_topic(std::string name, TopicOptions options, CallContext context) {
  return change(*this, &Broker::async_alter_topic, AlterTopicRequest{std::move(name), options}, std::move(context));
}

Status Broker::delete_topic(std::string name, CallContext context) {
  return change(*this, &Broker::async_delete_topic, DeleteTopicRequest{std::move(name)}, std::move(context)).status();
}

Result<TopicInfo> Broker::topic(std::string name, CallContext context) {
  return call(*this, &Broker::async_get_topic, std::move(name), std::move(context));
}

Result<ListTopicsResult> Broker::list_topics(ListTopicsRequest request, CallContext context) {
  return call(*this, &Broker::async_list_topics, std::move(request), std::move(context));
}

Status Broker::begin_after(const Token&, const Token& next) { return begin(next); }

Result<Published> Broker::publish(std::string_view topic, Message message, std::optional<Durability> durability, CallContext context) {
  PublishRequest request;
  request.topic = topic;
  request.messages.push_back(std::move(message));
  request.durability = durability;
  Result<PublishResult> result = publish(std::move(request), std::move(context));
  if (!result.ok()) return result.status();
  if (result->messages.size() != 1) return Status(ErrorCode::internal, "publish: the engine did not answer for the one message");
  return result->messages.front();
}

Result<PublishResult> Broker::publish_all(std::string_view topic, std::vector<Message> messages, std::optional<Durability> durability,
                                          CallContext context) {
  PublishRequest request;
  request.topic = topic;
  request.messages = std::move(messages);
  request.durability = durability;
  return publish(std::move(request), std::move(context));
}

Result<PublishResult> Broker::publish(PublishRequest request, CallContext context) {
  return change(*this, &Broker::async_publish, std::move(request), std::move(context));
}

std::future<Result<PublishResult>> Broker::publish_future(PublishRequest request, CallContext context) {
  std::promise<Result<PublishResult>> promise;
  std::future<Result<PublishResult>> future = promise.get_future();
  async_publish(std::move(request), std::move(context),
                [promise = std::move(promise)](Result<PublishResult> result) mutable { promise.set_value(std::move(result)); });
  return future;
}

Result<GroupInfo> Broker::create_group(std::string source, std::string group, GroupOptions options, CallContext context) {
  return change(*this, &Broker::async_create_group, CreateGroupRequest{std::move(source), std::move(group), std::move(options), true},
              std::move(context));
}

Result<GroupInfo> Broker::alter_group(std::string source, std::string group, GroupOptions options, CallContext context) {
  return change(*this, &Broker::async_alter_group, AlterGroupRequest{std::move(source), std::move(group), std::move(options)}, std::move(context));
}

Status Broker::delete_group(std::string source, std::string group, CallContext context) {
  return change(*this, &Broker::async_delete_group, GroupRef{std::move(source), std::move(group)}, std::move(context)).status();
}

Result<GroupInfo> Broker::group(std::string source, std::string group, CallContext context) {
  return call(*this, &Broker::async_get_group, GroupRef{std::move(source), std::move(group)}, std::move(context));
}

Result<ListGroupsResult> Broker::list_groups(ListGroupsRequest request, CallContext context) {
  return call(*this, &Broker::async_list_groups, std::move(request), std::move(context));
}

Status Broker::pause_group(std::string source, std::string group, CallContext context) {
  return change(*this, &Broker::async_pause_group, PauseGroupRequest{std::move(source), std::move(group), true}, std::move(context)).status();
}

Status Broker::resume_group(std::string source, std::string group, CallContext context) {
  return change(*this, &Broker::async_pause_group, PauseGroupRequest{std::move(source), std::move(group), false}, std::move(context)).status();
}

Result<SeekGroupResult> Broker::seek_group(std::string source, std::string group, StartPoint to, CallContext context) {
  return change(*this, &Broker::async_seek_group, SeekGroupRequest{std::move(source), std::move(group), to}, std::move(context));
}

Result<MemberId> Broker::join(JoinRequest request, CallContext context) {
  return call(*this, &Broker::async_join, std::move(request), std::move(context));
}

Status Broker::leave(MemberId member, CallContext context) {
  return change(*this, &Broker::async_leave, member, std::move(context)).status();
}

Result<FetchResult> Broker::fetch(FetchRequest request, CallContext context) {
  return call(*this, &Broker::async_fetch, std::move(request), std::move(context));
}

Result<SettleResult> Broker::settle(SettleRequest request, CallContext context) {
  return change(*this, &Broker::async_settle, std::move(request), std::move(context));
}

Status Broker::settle(Settlement settlement, CallContext context) {
  SettleRequest request;
  request.settlements.push_back(std::move(settlement));
  Result<SettleResult> result = settle(std::move(request), std::move(context));
  if (!result.ok()) return result.status();
  return result->results.empty() ? ok() : std::move(result->results.front());
}

Status Broker::ack(const Token& token, CallContext context) { return settle(Settlement::ack(token), std::move(context)); }

Result<BrowseResult> Broker::browse(BrowseRequest request, CallContext context) {
  return call(*this, &Broker::async_browse, std::move(request), std::move(context));
}

Result<ListDeadLettersResult> Broker::dead_letters(ListDeadLettersRequest request, CallContext context) {
  return call(*this, &Broker::async_list_dead_letters, std::move(request), std::move(context));
}

Result<RedriveResult> Broker::redrive(RedriveRequest request, CallContext context) {
  return call(*this, &Broker::async_redrive, std::move(request), std::move(context));
}

Status Broker::settle_message(SettleMessageRequest request, CallContext context) {
  return change(*this, &Broker::async_settle_message, std::move(request), std::move(context)).status();
}

Result<ListSchedulesResult> Broker::list_schedules(ListSchedulesRequest request, CallContext context) {
  return call(*this, &Broker::async_list_schedules, std::move(request), std::move(context));
}

Status Broker::cancel_schedule(std::string id, CallContext context) {
  return change(*this, &Broker::async_cancel_schedule, std::move(id), std::move(context)).status();
}

Status Broker::run_schedule(std::string id, CallContext context) {
  return change(*this, &Broker::async_run_schedule, std::move(id), std::move(context)).status();
}

Result<BackupInfo> Broker::backup(std::string directory, CallContext context) {
  return call(*this, &Broker::async_backup, std::move(directory), std::move(context));
}

Result<VerifyReport> Broker::verify(CallContext context) { return call(*this, &Broker::async_verify, std::move(context)); }

Status Broker::drain(DrainRequest request, CallContext context) {
  return call(*this, &Broker::async_drain, std::move(request), std::move(context)).status();
}

Result<BrokerStatus> Broker::status(CallContext context) { return call(*this, &Broker::async_status, std::move(context)); }

Status Broker::close(CallContext context) { return call(*this, &Broker::async_close, std::move(context)).status(); }

Status Delivery::extend(std::optional<Duration> lease) { return broker_->settle(Settlement::extend(delivered_.token, lease)); }

}  // namespace weir
