// A broker without a store, for what is written once on top of the virtual verbs: one topic, one group, and knobs for bad luck.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "broker/api/cancellation.h"
#include "weir/weir.h"

namespace weir::test {

/// Answers callbacks one after another on a thread of its own; can be held.
class CallbackThread {
 public:
  CallbackThread();
  ~CallbackThread();
  void post(UniqueFunction<void()> task);
  void hold(bool held);

 private:
  void run();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<UniqueFunction<void()>> tasks_;
  bool held_ = false, over_ = false;
  std::thread thread_;
};

/// Everything that the tests here do not need.
class UnsupportedBroker : public Broker {
 public:
  const Capabilities& capabilities() const noexcept override { return capabilities_; }
  Clock& clock() const noexcept override { return *clock_; }

#define WEIR_TEST_UNSUPPORTED(verb, request, result) \
  void verb(request, CallContext, Callback<result> done) override { done(Status(ErrorCode::unsupported, #verb)); }
  WEIR_TEST_UNSUPPORTED(async_create_topic, CreateTopicRequest, TopicInfo)
  WEIR_TEST_UNSUPPORTED(async_alter_topic, AlterTopicRequest, TopicInfo)
  WEIR_TEST_UNSUPPORTED(async_delete_topic, DeleteTopicRequest, Done)
  WEIR_TEST_UNSUPPORTED(async_get_topic, std::string, TopicInfo)
  WEIR_TEST_UNSUPPORTED(async_list_topics, ListTopicsRequest, ListTopicsResult)
  WEIR_TEST_UNSUPPORTED(async_publish, PublishRequest, PublishResult)
  WEIR_TEST_UNSUPPORTED(async_create_group, CreateGroupRequest, GroupInfo)
  WEIR_TEST_UNSUPPORTED(async_alter_group, AlterGroupRequest, GroupInfo)
  WEIR_TEST_UNSUPPORTED(async_delete_group, GroupRef, Done)
  WEIR_TEST_UNSUPPORTED(async_get_group, GroupRef, GroupInfo)
  WEIR_TEST_UNSUPPORTED(async_list_groups, ListGroupsRequest, ListGroupsResult)
  WEIR_TEST_UNSUPPORTED(async_pause_group, PauseGroupRequest, Done)
  WEIR_TEST_UNSUPPORTED(async_seek_group, SeekGroupRequest, SeekGroupResult)
  WEIR_TEST_UNSUPPORTED(async_join, JoinRequest, MemberId)
  WEIR_TEST_UNSUPPORTED(async_leave, MemberId, Done)
  WEIR_TEST_UNSUPPORTED(async_fetch, FetchRequest, FetchResult)
  WEIR_TEST_UNSUPPORTED(async_settle, SettleRequest, SettleResult)
  WEIR_TEST_UNSUPPORTED(async_settle_message, SettleMessageRequest, Done)
  WEIR_TEST_UNSUPPORTED(async_browse, BrowseRequest, BrowseResult)
  WEIR_TEST_UNSUPPORTED(async_list_dead_letters, ListDeadLettersRequest, ListDeadLettersResult)
  WEIR_TEST_UNSUPPORTED(async_redrive, RedriveRequest, RedriveResult)
  WEIR_TEST_UNSUPPORTED(async_discard, DiscardRequest, DiscardResult)
  WEIR_TEST_UNSUPPORTED(async_list_schedules, ListSchedulesRequest, ListSchedulesResult)
  WEIR_TEST_UNSUPPORTED(async_cancel_schedule, std::string, Done)
  WEIR_TEST_UNSUPPORTED(async_run_schedule, std::string, Done)
  WEIR_TEST_UNSUPPORTED(async_commit, CommitRequest, CommitResult)
  WEIR_TEST_UNSUPPORTED(async_read_state, ReadStateRequest, ReadStateResult)
  WEIR_TEST_UNSUPPORTED(async_unserve, std::uint64_t, Done)
  WEIR_TEST_UNSUPPORTED(async_call, Request, Reply)
  WEIR_TEST_UNSUPPORTED(async_backup, std::string, BackupInfo)
  WEIR_TEST_UNSUPPORTED(async_drain, DrainRequest, Done)
#undef WEIR_TEST_UNSUPPORTED
  void async_ready(CallContext, Callback<Done> done) override { done(Done{}); }
  void async_list_jobs(CallContext, Callback<std::vector<JobInfo>> done) override { done(Status(ErrorCode::unsupported, "")); }
  void async_control_job(std::string, std::string, CallContext, Callback<JobInfo> done) override { done(Status(ErrorCode::unsupported, "")); }
  void async_verify(CallContext, Callback<VerifyReport> done) override { done(Status(ErrorCode::unsupported, "")); }
  void async_status(CallContext, Callback<BrokerStatus> done) override { done(Status(ErrorCode::unsupported, "")); }
  void async_close(CallContext, Callback<Done> done) override { done(Done{}); }
  void async_serve(std::string, UniqueFunction<void(Request, Callback<Reply>)>, CallContext, Callback<std::uint64_t> done) override {
    done(Status(ErrorCode::unsupported, ""));
  }
  Status begin(const Token&) override { return Status(ErrorCode::unsupported, ""); }

 private:
  Capabilities capabilities_;
  std::shared_ptr<Clock> clock_ = system_clock();
};

/// The topic "t" with one group. Waiting fetches wait for ever, unless they are cancelled. Retries and releases come again at once.
class FakeBroker : public UnsupportedBroker {
 public:
  explicit FakeBroker(bool answers_inside = true) : answers_inside_(answers_inside) {}
  ~FakeBroker() override;

  // Knobs and instruments; the plain ones are set before use. Thread-safe where atomic or a function.
  GroupOptions group_options{};
  bool group_exists = false;
  bool order_keys = false;                ///< a key's messages are not handed out beside those that another fetch has
  bool hold_keys = false;                 ///< one message of a key at a time
  bool keep_settlements = true;
  std::atomic<int> settles_busy{0};       ///< so many settles that do not wait answer `busy`
  std::atomic<int> settles_requests{0};
  std::atomic<int> calls_after_close{0};
  CallbackThread callbacks;
  void lose(Offset offset);               ///< begin answers lease_lost for it
  void fail_fetches(Status status);       ///< with OK they work again
  std::vector<Settlement> settlements() const;
  std::vector<std::pair<Offset, Offset>> begun_after() const;   ///< (ended, next)
  std::size_t acked() const { return acked_.load(); }
  std::size_t members() const;
  std::size_t queued() const;
  std::size_t waiting_fetches() const;
  JoinRequest last_join() const;
  void fill(std::size_t count, std::function<std::string(std::size_t)> key = {});

  void async_get_topic(std::string, CallContext, Callback<TopicInfo>) override;
  void async_publish(PublishRequest, CallContext, Callback<PublishResult>) override;
  void async_create_group(CreateGroupRequest, CallContext, Callback<GroupInfo>) override;
  void async_get_group(GroupRef, CallContext, Callback<GroupInfo>) override;
  void async_join(JoinRequest, CallContext, Callback<MemberId>) override;
  void async_leave(MemberId, CallContext, Callback<Done>) override;
  void async_fetch(FetchRequest, CallContext, Callback<FetchResult>) override;
  Status begin(const Token&) override;
  Status begin_after(const Token& ended, const Token& next) override;
  void async_settle(SettleRequest, CallContext, Callback<SettleResult>) override;
  void async_close(CallContext, Callback<Done>) override;

 private:
  struct Stored {
    Offset offset;
    std::shared_ptr<const std::string> key;
    Payload payload;
    std::uint32_t failures = 0;
  };
  struct Waiting {
    FetchRequest request;
    Callback<FetchResult> done;
    bool inside = false;
    std::shared_ptr<Cancellation::State> cancellation;
    Cancellation::State::Id cancel_id = 0;
  };

  template <class T>
  void answer(bool caller_waits, Callback<T>& done, Result<T> result);
  std::vector<Delivered> take(const FetchRequest& request);
  void serve_waiting(std::unique_lock<std::mutex>& lock);
  void put(Message message);

  const bool answers_inside_;
  mutable std::mutex mutex_;
  std::deque<Stored> queue_;
  std::map<std::uint64_t, Stored> leased_;
  std::set<std::string> busy_keys_;
  std::map<std::uint64_t, Waiting> waiting_;
  std::set<std::uint64_t> lost_;
  std::atomic<bool> any_lost_{false};
  std::vector<Settlement> settlements_;
  std::vector<std::pair<Offset, Offset>> begun_after_;
  std::atomic<std::size_t> acked_{0};
  std::set<std::uint64_t> members_;
  JoinRequest last_join_;
  Status fetch_status_;
  std::uint64_t next_offset_ = 0, next_waiting_ = 0, next_member_ = 0, next_epoch_ = 0;
  bool closed_ = false;
  const std::shared_ptr<const std::string> topic_name_ = std::make_shared<std::string>("t");
  std::thread closer_;
};

}  // namespace weir::test
