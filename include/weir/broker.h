// The broker: topics, consumer groups, retries and dead letters behind one interface, whatever engine does the work.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "weir/admin.h"
#include "weir/callback.h"
#include "weir/care.h"
#include "weir/dead_letter.h"
#include "weir/delivery.h"
#include "weir/group.h"
#include "weir/message.h"
#include "weir/options.h"
#include "weir/service.h"
#include "weir/status.h"
#include "weir/subscription.h"
#include "weir/topic.h"
#include "weir/transaction.h"

namespace weir {

/// A broker.
///
/// Operation. Open one with weir::open() and keep it for the life of the program. Every verb exists once as an asynchronous,
/// virtual function (`async_…`: an engine implements these), and once as a blocking form that is written on top and is what most
/// programs call. Handlers (`subscribe`), futures, typed topics (typed.h) and producer sessions (producer.h) are
/// written on top as well, so they behave alike on every engine.
///
/// Concurrency. All functions may be called from any thread at any time. What one thread publishes is taken in that order; what
/// builds on an admin act waits for its answer. A callback is called exactly once, never inside the call that initiated it, and never on a thread that the broker
/// itself needs: it runs on OpenOptions::executor, by default one thread of the broker that runs all callbacks one after another,
/// so a callback that blocks delays other callbacks and nothing else. (The blocking forms set CallContext::caller_waits and
/// are exempt.) A callback may call the asynchronous verbs. It must not throw, and not destroy the broker.
///
/// Back-pressure. A verb that finds its queue full answers `busy` at once; async_ready calls back when there is room again. The blocking forms
/// wait for room by themselves, up to their deadline.
///
/// Cancellation and deadlines. Before a request is taken into the pipeline they end it with `cancelled` or `deadline_exceeded`, and nothing
/// happened; later, a publish or settlement whose caller stops waiting is `outcome_unknown` (S-5).
///
/// Limitations. After fork() the child must not use the broker (`forked`). Destroying it closes it (S-35).
class Broker {
 public:
  virtual ~Broker();
  Broker(const Broker&) = delete;
  Broker& operator=(const Broker&) = delete;

  // --- What an engine implements ------------------------------------------------------------------------------------

  virtual const Capabilities& capabilities() const noexcept = 0;
  /// The clock this broker goes by.
  virtual Clock& clock() const noexcept = 0;

  virtual void async_create_topic(CreateTopicRequest, CallContext, Callback<TopicInfo>) = 0;
  virtual void async_alter_topic(AlterTopicRequest, CallContext, Callback<TopicInfo>) = 0;
  virtual void async_delete_topic(DeleteTopicRequest, CallContext, Callback<Done>) = 0;
  virtual void async_get_topic(std::string name, CallContext, Callback<TopicInfo>) = 0;
  virtual void async_list_topics(ListTopicsRequest, CallContext, Callback<ListTopicsResult>) = 0;

  /// Stores messages (S-3 to S-6, S-9). OK means: all of them are committed and their level holds. `busy`, `full`, `storage_full`, `stopped`,
  /// `limit_exceeded`, `topic_not_found`, `sequence_gap`, `conflict`: nothing was stored. `outcome_unknown`: retry with the same ids.
  virtual void async_publish(PublishRequest, CallContext, Callback<PublishResult>) = 0;
  /// Calls back when a request that was answered `busy` may be tried again.
  virtual void async_ready(CallContext, Callback<Done>) = 0;

  virtual void async_create_group(CreateGroupRequest, CallContext, Callback<GroupInfo>) = 0;
  virtual void async_alter_group(AlterGroupRequest, CallContext, Callback<GroupInfo>) = 0;
  virtual void async_delete_group(GroupRef, CallContext, Callback<Done>) = 0;
  virtual void async_get_group(GroupRef, CallContext, Callback<GroupInfo>) = 0;
  virtual void async_list_groups(ListGroupsRequest, CallContext, Callback<ListGroupsResult>) = 0;
  virtual void async_pause_group(PauseGroupRequest, CallContext, Callback<Done>) = 0;
  virtual void async_seek_group(SeekGroupRequest, CallContext, Callback<SeekGroupResult>) = 0;

  /// A member joins, and leaves: leaving gives its unbegun leases back at once, uncounted (S-21); begun ones keep their deadline.
  virtual void async_join(JoinRequest, CallContext, Callback<MemberId>) = 0;
  virtual void async_leave(MemberId, CallContext, Callback<Done>) = 0;
  /// Leases messages (S-14, S-19, S-20). Waits up to FetchRequest::wait for the first one.
  virtual void async_fetch(FetchRequest, CallContext, Callback<FetchResult>) = 0;
  /// The handler of this delivery starts now; returns once that would survive the death of this process (S-17). Does not block.
  /// lease_lost: somebody else has the message; do not work on it.
  virtual Status begin(const Token&) = 0;
  /// As begin(next), by a thread that has ended the handler of `ended` and has not settled it yet: a death of this process from now on is not
  /// charged to that one.
  virtual Status begin_after(const Token& ended, const Token& next);
  virtual void async_settle(SettleRequest, CallContext, Callback<SettleResult>) = 0;
  /// An operator settles one message of a group, gives up on it, or ends its wait; kept at `power` when it is answered. The same act again is `already_settled`.
  /// Errors: topic_not_found, group_not_found, not_found (no such message, or an id outside the dedup window), already_settled, failed_precondition
  /// (run now: it does not wait), invalid_argument (dead-lettering a dead letter), outcome_unknown.
  virtual void async_settle_message(SettleMessageRequest, CallContext, Callback<Done>) = 0;
  virtual void async_browse(BrowseRequest, CallContext, Callback<BrowseResult>) = 0;

  virtual void async_list_dead_letters(ListDeadLettersRequest, CallContext, Callback<ListDeadLettersResult>) = 0;
  virtual void async_redrive(RedriveRequest, CallContext, Callback<RedriveResult>) = 0;
  virtual void async_discard(DiscardRequest, CallContext, Callback<DiscardResult>) = 0;

  /// All jobs that are kept, the oldest first.
  virtual void async_list_jobs(CallContext, Callback<std::vector<JobInfo>>) = 0;
  /// `act` is show, pause, resume or cancel. The job as it is then; what a pause or cancel finds done stays done, and nothing is begun after its answer.
  /// Errors: not_found; failed_precondition (it has ended); invalid_argument (another act).
  virtual void async_control_job(std::string id, std::string act, CallContext, Callback<JobInfo>) = 0;
  /// What waits for its time (S-7). A message that is published, cancelled or due meanwhile is in the list or not. Errors: topic_not_found,
  /// limit_exceeded, invalid_argument (`after` is no position).
  virtual void async_list_schedules(ListSchedulesRequest, CallContext, Callback<ListSchedulesResult>) = 0;
  /// Takes a message out of the schedule for good; OK means that it will not be delivered, also across a power loss. Errors: not_found (it is in the log,
  /// or was cancelled), invalid_argument (no schedule id), outcome_unknown.
  virtual void async_cancel_schedule(std::string id, CallContext, Callback<Done>) = 0;
  /// Puts a message into the log now instead of when it is due; its ttl runs from now. Errors: not_found (it is there, or was cancelled),
  /// invalid_argument, storage_full, outcome_unknown.
  virtual void async_run_schedule(std::string id, CallContext, Callback<Done>) = 0;

  /// A transaction (S-28). `busy`, `conflict`, `lease_lost`, `already_settled`, `full`, `storage_full`, `stopped`, `limit_exceeded`, `invalid_argument`,
  /// `topic_not_found`: nothing has changed. `outcome_unknown`: ask again with the same request id.
  virtual void async_commit(CommitRequest, CallContext, Callback<CommitResult>) = 0;
  /// Reads the application's state, of committed transactions only. Errors: conflict (what is asked for at a version is not known any more).
  virtual void async_read_state(ReadStateRequest, CallContext, Callback<ReadStateResult>) = 0;

  virtual void async_serve(std::string service, UniqueFunction<void(Request, Callback<Reply>)>, CallContext, Callback<std::uint64_t> responder) = 0;
  virtual void async_unserve(std::uint64_t responder, CallContext, Callback<Done>) = 0;
  virtual void async_call(Request, CallContext, Callback<Reply>) = 0;

  /// Adds a backup of the whole store to a directory of backups (care.h), while work goes on. What was answered before is in it, and of what comes
  /// meanwhile a part without gaps. The first to a directory copies everything, later ones what is new. Errors: busy (one is under way), storage_full,
  /// invalid_argument (a directory that cannot be made), failed_precondition (it has backups of another store), cancelled (the broker is being closed),
  /// corruption (of the directory).
  virtual void async_backup(std::string directory, CallContext, Callback<BackupInfo>) = 0;
  /// Reads the whole store and checks every checksum, batch and record. Takes as long as reading it takes, and finds it whole when the report has no
  /// problems. Errors: cancelled (the broker is being closed).
  virtual void async_verify(CallContext, Callback<VerifyReport>) = 0;

  virtual void async_drain(DrainRequest, CallContext, Callback<Done>) = 0;
  virtual void async_status(CallContext, Callback<BrokerStatus>) = 0;
  /// Stops taking work, gives running handlers up to OpenOptions::close_grace, releases the rest (S-35). Later verbs answer `closed`.
  virtual void async_close(CallContext, Callback<Done>) = 0;

  // --- Blocking forms, written once on top ---------------------------------------------------------------------------

  Result<TopicInfo> create_topic(std::string name, TopicOptions options = {}, CallContext = {});
  Result<TopicInfo> alter_topic(std::string name, TopicOptions options, CallContext = {});
  Status delete_topic(std::string name, CallContext = {});
  Result<TopicInfo> topic(std::string name, CallContext = {});
  Result<ListTopicsResult> list_topics(ListTopicsRequest = {}, CallContext = {});

  /// One message, at the topic's durability level or the given one.
  Result<Published> publish(std::string_view topic, Message message, std::optional<Durability> = {}, CallContext = {});
  /// Several messages for one topic, all or nothing.
  Result<PublishResult> publish_all(std::string_view topic, std::vector<Message> messages, std::optional<Durability> = {}, CallContext = {});
  /// Any publish: over several topics, in a session.
  Result<PublishResult> publish(PublishRequest request, CallContext = {});
  /// As async_publish, with a future.
  std::future<Result<PublishResult>> publish_future(PublishRequest request, CallContext = {});

  Result<GroupInfo> create_group(std::string source, std::string group, GroupOptions options = {}, CallContext = {});
  Result<GroupInfo> alter_group(std::string source, std::string group, GroupOptions options, CallContext = {});
  Status delete_group(std::string source, std::string group, CallContext = {});
  Result<GroupInfo> group(std::string source, std::string group, CallContext = {});
  Result<ListGroupsResult> list_groups(ListGroupsRequest = {}, CallContext = {});
  Status pause_group(std::string source, std::string group, CallContext = {});
  Status resume_group(std::string source, std::string group, CallContext = {});
  Result<SeekGroupResult> seek_group(std::string source, std::string group, StartPoint to, CallContext = {});

  Result<MemberId> join(JoinRequest request, CallContext = {});
  Status leave(MemberId member, CallContext = {});
  Result<FetchResult> fetch(FetchRequest request, CallContext = {});
  Result<SettleResult> settle(SettleRequest request, CallContext = {});
  /// One settlement; its own result.
  Status settle(Settlement settlement, CallContext = {});
  Status ack(const Token& token, CallContext = {});
  Status settle_message(SettleMessageRequest request, CallContext = {});
  Result<BrowseResult> browse(BrowseRequest request, CallContext = {});

  Result<ListDeadLettersResult> dead_letters(ListDeadLettersRequest request, CallContext = {});
  /// One letter with its whole history; not_found when it is not there (any more).
  Result<DeadLetter> dead_letter(std::string topic, std::string group, Offset letter, CallContext = {});
  /// All of them, grouped by error, the largest group first: pages of async_list_dead_letters added up. At most messages_max groups.
  Result<ListDeadLettersResult> dead_letter_groups(ListDeadLettersRequest request, CallContext = {});
  Result<RedriveResult> redrive(RedriveRequest request, CallContext = {});
  Result<DiscardResult> discard(DiscardRequest request, CallContext = {});
  /// Writes letters as NDJSON (S-27), one object a line, in the order of their offsets, and answers how many. Memory is bounded by a page of letters (16 MiB
  /// of payload, or one letter). The members of an object: docs/SEMANTICS.md, "Export". cancelled: `line` answered false.
  Result<std::uint64_t> export_dead_letters(ExportDeadLettersRequest request, const LineSink& line, CallContext = {});

  Result<std::vector<JobInfo>> jobs(CallContext = {});
  Result<JobInfo> job(std::string id, CallContext = {});
  Result<JobInfo> pause_job(std::string id, CallContext = {});
  Result<JobInfo> resume_job(std::string id, CallContext = {});
  Result<JobInfo> cancel_job(std::string id, CallContext = {});

  /// One atomic commit (S-28).
  Result<CommitResult> commit(CommitRequest request, CallContext = {});
  /// A transaction, to be committed by its own commit().
  Transaction begin_transaction(TransactionOptions options = {});
  /// Calls `body` with a transaction and commits what it put together. A conflict is tried again, from the beginning, after a short random wait:
  /// so `body` may be called several times. What is not OK of what `body` returns ends it with that answer, and nothing has happened; so does
  /// BadResult, which Result::value() throws, with its status; other exceptions roll back and pass. Errors: those of Transaction::commit; conflict: after
  /// TransactionOptions::attempts_max times; deadline_exceeded, cancelled: nothing has happened.
  Result<CommitResult> transact(const std::function<Status(Transaction&)>& body, TransactionOptions options = {}, CallContext = {});
  /// The value of a key of the application's state; nothing: it is not there.
  Result<std::optional<std::string>> get_state(std::string key, CallContext = {});
  /// The first entries of a range of keys.
  Result<ReadStateResult> scan_state(StateRange range, std::uint32_t entries_max = 1000, CallContext = {});
  Result<ReadStateResult> read_state(ReadStateRequest request, CallContext = {});
  Result<ListSchedulesResult> list_schedules(ListSchedulesRequest request = {}, CallContext = {});
  Status cancel_schedule(std::string id, CallContext = {});
  Status run_schedule(std::string id, CallContext = {});

  Result<BackupInfo> backup(std::string directory, CallContext = {});
  Result<VerifyReport> verify(CallContext = {});

  Status drain(DrainRequest request = {}, CallContext = {});
  Result<BrokerStatus> status(CallContext = {});
  Status close(CallContext = {});

  /// Calls `handler` for the messages of a group, on threads of the subscription (subscription.h).
  Result<Subscription> subscribe(std::string source, SubscribeOptions options, Handler handler);

 protected:
  Broker();

  /// For engines (and for what passes verbs on): the first step of async_close, and of a destructor that nobody closed before. Stops all
  /// subscriptions made by subscribe(), giving running handlers up to `grace`; on return none of them uses this broker any more, and subscribe()
  /// answers `closed`. It calls the blocking forms of settle and leave on other threads and waits for them, so the engine must still answer these,
  /// and the calling thread must be neither one that the engine needs for answering nor one that runs callbacks. Idempotent.
  void end_subscriptions(Duration grace);

 private:
  struct Subscriptions;
  std::unique_ptr<Subscriptions> subscriptions_;
};

/// Opens a broker. The location chooses the engine:
///   a path             the embedded engine on that directory, which it creates when OpenOptions::create_if_missing
///   "memory:"          the embedded engine without a disk: ephemeral topics only
///   "weir://host:port" a remote broker (needs the client library; `unsupported` without)
/// Errors: already_open (S-34, names the owner's pid), corruption (names the place), format_version, storage_full, stopped (other
/// I/O errors), unsupported (a promise in OpenOptions::require that the engine lacks; an unknown scheme), invalid_argument.
Result<std::unique_ptr<Broker>> open(std::string_view location, OpenOptions options = {});

}  // namespace weir
