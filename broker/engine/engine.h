// The embedded engine: the shell with the threads round the pure core and the store (docs/ARCHITECTURE.md, "The life of a message").
//
// Threads. The caller of a blocking verb may become the writer for one commit (leader); else the writer thread is. The syncer syncs the log; the timer
// thread fires leases, retries and housekeeping; the workshop does slow things (async fetches, redrives); the callback thread calls back.
//
// Locks, in this order: core_ (topics, groups, cursors, marks) before queue_mutex_ (what waits for a commit) and sync_mutex_. Who
// leads (leading_) alone decides and writes; disk is never touched under core_ but for the scratch index of blocked messages.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "broker/api/cancellation.h"
#include "broker/base/prng.h"
#include "broker/base/spinning_lock.h"
#include "broker/core/dedup.h"
#include "broker/core/recent_writes.h"
#include "broker/core/requests.h"
#include "broker/core/sessions.h"
#include "broker/engine/commit.h"
#include "broker/engine/events.h"
#include "broker/engine/marks.h"
#include "broker/engine/open.h"
#include "broker/engine/owner.h"
#include "broker/engine/runner.h"
#include "broker/engine/schedules.h"
#include "broker/engine/state.h"
#include "broker/engine/workbench.h"
#include "broker/store/store.h"
#include "weir/broker.h"

namespace weir::engine {

class CompactionPass;

class Engine final : public Broker {
 public:
  static Result<std::unique_ptr<Broker>> open(const std::string& location, OpenOptions options, Hooks hooks);
  ~Engine() override;

  const Capabilities& capabilities() const noexcept override;
  Clock& clock() const noexcept override { return *options_.clock; }

  void async_create_topic(CreateTopicRequest, CallContext, Callback<TopicInfo>) override;
  void async_alter_topic(AlterTopicRequest, CallContext, Callback<TopicInfo>) override;
  void async_delete_topic(DeleteTopicRequest, CallContext, Callback<Done>) override;
  void async_get_topic(std::string name, CallContext, Callback<TopicInfo>) override;
  void async_list_topics(ListTopicsRequest, CallContext, Callback<ListTopicsResult>) override;
  void async_publish(PublishRequest, CallContext, Callback<PublishResult>) override;
  void async_ready(CallContext, Callback<Done>) override;
  void async_create_group(CreateGroupRequest, CallContext, Callback<GroupInfo>) override;
  void async_alter_group(AlterGroupRequest, CallContext, Callback<GroupInfo>) override;
  void async_delete_group(GroupRef, CallContext, Callback<Done>) override;
  void async_get_group(GroupRef, CallContext, Callback<GroupInfo>) override;
  void async_list_groups(ListGroupsRequest, CallContext, Callback<ListGroupsResult>) override;
  void async_pause_group(PauseGroupRequest, CallContext, Callback<Done>) override;
  void async_seek_group(SeekGroupRequest, CallContext, Callback<SeekGroupResult>) override;
  void async_join(JoinRequest, CallContext, Callback<MemberId>) override;
  void async_leave(MemberId, CallContext, Callback<Done>) override;
  void async_fetch(FetchRequest, CallContext, Callback<FetchResult>) override;
  Status begin(const Token&) override;
  Status begin_after(const Token& ended, const Token& next) override;
  void async_settle(SettleRequest, CallContext, Callback<SettleResult>) override;
  void async_settle_message(SettleMessageRequest, CallContext, Callback<Done>) override;
  void async_browse(BrowseRequest, CallContext, Callback<BrowseResult>) override;
  void async_list_dead_letters(ListDeadLettersRequest, CallContext, Callback<ListDeadLettersResult>) override;
  void async_redrive(RedriveRequest, CallContext, Callback<RedriveResult>) override;
  void async_discard(DiscardRequest, CallContext, Callback<DiscardResult>) override;
  void async_list_jobs(CallContext, Callback<std::vector<JobInfo>>) override;
  void async_control_job(std::string id, std::string act, CallContext, Callback<JobInfo>) override;
  void async_list_schedules(ListSchedulesRequest, CallContext, Callback<ListSchedulesResult>) override;
  void async_cancel_schedule(std::string id, CallContext, Callback<Done>) override;
  void async_run_schedule(std::string id, CallContext, Callback<Done>) override;
  void async_commit(CommitRequest, CallContext, Callback<CommitResult>) override;
  void async_read_state(ReadStateRequest, CallContext, Callback<ReadStateResult>) override;
  void async_serve(std::string service, UniqueFunction<void(Request, Callback<Reply>)>, CallContext, Callback<std::uint64_t>) override;
  void async_unserve(std::uint64_t responder, CallContext, Callback<Done>) override;
  void async_call(Request, CallContext, Callback<Reply>) override;
  void async_backup(std::string directory, CallContext, Callback<BackupInfo>) override;
  void async_verify(CallContext, Callback<VerifyReport>) override;
  void async_drain(DrainRequest, CallContext, Callback<Done>) override;
  void async_status(CallContext, Callback<BrokerStatus>) override;
  void async_close(CallContext, Callback<Done>) override;

 private:
  friend class Workbench;
  using Lock = base::SpinningLock;

  // One message on its way out of a fetch.
  struct Grant {
    CursorPtr cursor;
    std::uint32_t slot = 0;
    ChunkPtr chunk;               ///< nullptr: must be read
    TopicPtr body;                ///< the topic whose log has it: the cursor's, or its dead letters
    Offset place;                 ///< in the chunk: the offset, or the letter's
    bool dispatched = false;      ///< it was handed out before
    Delivered delivered;
  };

  /// What a fetch has to read from the log, and what it read last.
  struct Missing {
    TopicPtr topic;
    Offset at;
    TopicPtr read_of;
    ChunkPtr read;
  };

  /// How callbacks of cancellations find the engine: one may run while, or after, the engine ends.
  struct Reach {
    std::shared_mutex mutex;
    Engine* engine = nullptr;   ///< guarded by mutex
  };
  /// `visit` is called with the engine if it is there, which then stays until it returns.
  static void with(const std::weak_ptr<Reach>& reach, const std::function<void(Engine&)>& visit);

  /// A verb is under way: closing keeps the store until it has ended.
  class Use {
   public:
    explicit Use(const Engine& engine) noexcept : count_(engine.uses_[stripe()].count) { count_.fetch_add(1), ++mine_; }
    ~Use() { count_.fetch_sub(1), --mine_; }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    /// Of this thread, on any engine: a callback inside a verb may close the broker.
    static std::int64_t mine() noexcept { return mine_; }

   private:
    static std::size_t stripe() noexcept;
    static thread_local std::int64_t mine_;
    std::atomic<std::int64_t>& count_;
  };
  friend class Use;
  friend class Schedules;
  friend class Events;

  template <class T>
  void answer(Callback<T> done, Result<T> result, const CallContext& context);
  template <class T>
  void submit_admin(CallContext context, Callback<T> done, UniqueFunction<Result<T>(store::WriteSet&, After&)> decide);

  Engine(std::string location, OpenOptions options, Hooks hooks);

  // app_state.cc
  std::uint64_t version_of(std::uint64_t commit) const;
  std::optional<std::uint64_t> commit_of(std::uint64_t version) const;
  Status check_unchanged(std::uint64_t version, std::span<const std::string> keys, std::span<const StateRange> ranges) const;
  Result<ReadStateResult> read_state(const ReadStateRequest& request) const;
  void read_state_in_memory(const ReadStateRequest& request, ReadStateResult& out) const;
  std::uint64_t memory_needed(const CommitRequest& request) const;
  void write_state(CommitRequest& request, Commit& commit);
  Status load_requests();

  // expected.cc
  Result<std::unique_ptr<KeyLasts>> look_up_keys(std::span<const ExpectedLast> expected) const;
  Status check_expected(std::span<const ExpectedLast> expected, const KeyLasts* lasts) const;

  // transaction.cc
  struct Plan;
  IdHashes hash_ids(const CommitRequest& request) const;
  Durability default_level(const CommitRequest& request) const;
  Status decide_transaction(Op& op, Commit& commit, After& after);
  Status plan_transaction(const Op& op, Plan& plan) const;
  Status plan_publishes(const CommitRequest& request, Plan& plan) const;
  Status plan_settlements(const CommitRequest& request, Plan& plan) const;
  Status apply_publishes(TransactionOp& transaction, const Plan& plan, Commit& commit, After& after);
  void remember_request(const TransactionOp& transaction, const Plan& plan, Commit& commit, Time now);

  // care.cc
  void take_care(UniqueFunction<void()> task);

  // engine.cc
  void start_threads();
  void close_now(Duration grace);
  void end_writer();
  void break_circles();
  void leak();

  // recover.cc
  Status recover();
  Status load_topics();
  Status check_last_batch();
  Status load_groups();
  Status load_cursors();
  Status load_letters(const TopicPtr& topic);
  void load_record(CursorState& state, Offset offset, std::uint64_t letter, format::RetryRecord& record, std::int64_t now);
  Status load_dedup_and_sessions();
  void charge_crash(std::uint64_t last_incarnation);
  std::uint64_t key_of_log(const CursorState& state, const Mark& mark);
  void put_store_record(store::WriteSet& set) const;

  // helpers.cc; all but the first four under core_
  Status check_usable() const;
  Status check_in_time(const CallContext& context) const;
  Status check_room(const CallContext& context) const;
  void pass_gate();
  void wait_for_uses();
  void log(LogLevel level, const std::string& line) const;
  void finish(After after);
  std::int64_t now_ms() const { return options_.clock->now().time_since_epoch().count(); }
  TopicState* find_topic(std::string_view name) const;
  Status topic_missing(std::string_view name) const;
  GroupPtr find_group(std::string_view source, std::string_view name) const;
  CursorState* cursor_of(const Token& token) const;   // while the lock is held
  CursorPtr find_cursor(std::string_view topic, std::string_view group) const;
  std::string member_name(MemberId member) const;
  void wake_one(GroupState& group, After& after);
  void activate(CursorState& cursor, After& after);
  void changed(CursorState& state, After& after);
  void mark_dirty(CursorState& state, After& after);
  void open_gate(After& after);
  bool drained(const GroupState& group, bool include_waiting) const;
  void check_drains(After& after);

  // topics.cc
  TopicInfo info(const TopicState& topic) const;
  void put_topic(store::WriteSet& set, TopicState& topic) const;
  Offset first_shown(const TopicState& topic) const;
  Result<TopicPtr> make_topic(std::string name, TopicOptions options, GroupId letters_of_group, TopicId letters_of_topic, store::WriteSet& set, After& after);
  void drop_topic(const TopicPtr& topic, store::WriteSet& set, After& after);
  Result<BrowseResult> browse_now(const BrowseRequest& request);
  Result<ChunkPtr> chunk_at(const TopicPtr& topic, Offset offset);
  Result<Offset> offset_at(const TopicPtr& topic, const StartPoint& start);

  // groups.cc
  CursorPtr attach_cursor(GroupState& group, TopicState& topic, Offset start);
  CursorPtr make_cursor(GroupState& group, TopicState& topic, Offset start, After& after);
  void drop_cursor(CursorPtr cursor, store::WriteSet& set);
  void drop_group(GroupPtr group, store::WriteSet& set, After& after, const Status& why);
  void delete_unused_group(GroupRef ref, GroupId id, CallContext context, Callback<Done> done);
  void put_group(store::WriteSet& set, const GroupState& group) const;
  Status find_starts(const std::string& source, const StartPoint& start, std::map<TopicId, Offset>& out);
  GroupInfo info(const GroupState& group) const;
  void add_ages(std::vector<GroupInfo>& groups);

  // publish.cc
  void expect(const Op& op) const;
  IdHashes hash_ids(const PublishRequest& request) const;
  Durability default_level(const PublishRequest& request) const;
  Status decide_publish(Op& op, Commit& commit, After& after);
  bool all_known(const PublishRequest& request, const IdHashes& ids, Time now) const;
  Status check_for_topic(const TopicState& topic, const Message& message, std::uint64_t bytes_more) const;
  Status check_for_topics(const PublishRequest& request, const IdHashes& ids, TopicState& future, Time now) const;
  Status check_ephemeral_room(const PublishRequest& request, const IdHashes* ids, const TopicState* future, Time now);
  Published place(TopicState& topic, const Message& message, const base::Hash128* id, Durability level, Commit& commit, Time now);
  Build& build_of(TopicState& topic, Commit& commit, Time now);
  bool try_publish_ephemeral(PublishRequest& request, const CallContext& context, Callback<PublishResult>& done);
  Status decide_ephemeral(PublishRequest& request, PublishResult& result, After& after, const TopicState* future = nullptr, const std::function<void()>& make = {});
  void repeat_answers(const PublishRequest& request, const core::Sessions::Answer& answer, PublishResult& result) const;
  void add_ephemeral(TopicState& topic, std::vector<Message> messages, Time now, PublishResult& result, After& after);
  void append_chunk(TopicState& topic, ChunkPtr chunk, After& after);
  bool make_ephemeral_room(std::uint64_t bytes);

  // commit.cc
  void call_back(UniqueFunction<void()> function);
  void submit(std::unique_ptr<Op> op, const CallContext& context);
  Status wait_for_room(Lock& lock, const Op& op, const CallContext& context);
  void lead_once(Lock& lock);
  void writer_loop();
  void request_commit();
  std::unique_ptr<Commit> run_commit(std::unique_ptr<Commit> commit);
  void collect(Commit& commit, After& after);
  void write_record(store::WriteSet& set, GroupId group, TopicId topic, const core::RecordChange& change);
  void leave_out_released(FetchResult& out) const;
  void write_hold(store::WriteSet& set, GroupId group, TopicId topic, const core::HoldChange& change);
  Status encode(Commit& commit);
  void put_commit_record(Commit& commit);
  std::unique_ptr<Commit> write_and_finish(std::unique_ptr<Commit> commit);
  void answer_unknown(Commit& commit, const Status& status);
  void apply(Commit& commit, After& after);
  void make_visible(TopicState& topic, After& after);
  void keep_in_tail(TopicState& topic, const Build& build);
  void finish_commit(std::unique_ptr<Commit> commit);
  void complete_one(std::unique_ptr<Op> op);
  void complete(std::vector<std::unique_ptr<Op>> ops);

  // sync.cc
  void syncer_loop();
  void sync_here_if_idle();
  void sync_round(Lock& lock);
  Status stopped_status() const;
  Status publishable() const;
  bool writable() const { return state_.load(std::memory_order_relaxed) != StoreState::kStopped; }
  void stop_writes(const Status& status);
  void enter_storage_full(const std::string& reason);
  void check_disk_space(bool force, std::uint64_t bytes = 0);

  // fetch.cc
  Result<GroupPtr> group_of_fetch(const FetchRequest& request);
  ChunkPtr chunk_in_memory(const TopicState& topic, Offset offset) const;
  Result<ChunkPtr> load_chunk(TopicState& topic, Offset offset);
  void keep_read(TopicState& topic, ChunkPtr chunk);
  bool gather(const GroupPtr& group, const FetchRequest& request, std::vector<Grant>& grants, Missing& missing, After& after);
  bool look_at_log(const CursorPtr& state, core::Taking& taking, std::vector<Grant>& grants, Missing& missing);
  void note_grant(const CursorPtr& state, std::uint32_t slot, ChunkPtr chunk, bool begun, std::vector<Grant>& grants);
  void start(CursorState& state, std::uint32_t slot);
  Status deliver(std::vector<Grant> grants, std::uint64_t bytes_max, const Filter* new_filter, FetchResult& out);
  bool fetch_step(const FetchRequest& request, Lock& lock, Result<FetchResult>& out, After& after);
  void wait_for_wake(FetchWaiter& waiter, Lock& lock);
  void fetch_blocking(FetchRequest request, CallContext context, FetchWaiterPtr waiter, Callback<FetchResult> done);
  void fetch_async(FetchWaiterPtr waiter);
  void leave_queue(const GroupPtr& group, const FetchWaiterPtr& waiter, After& after);
  void wake_waiter(const FetchWaiterPtr& waiter, After& after);
  void answer_waiters(GroupState& group, After& after);

  // settle.cc
  Status begin_locked(const Token& token);
  // operate.cc
  Result<Offset> place_of_message(const TopicState& topic, const SettleMessageRequest& request) const;
  void settle_message_now(SettleMessageRequest request, CallContext context, Callback<Done> done);
  Status settle_one(const Settlement& settlement, std::int64_t now, bool& durable, After& after);

  // dead_letters.cc
  static TopicOptions letters_options(const CursorState& state);
  TopicPtr letters_topic(const CursorState& state, store::WriteSet& set, After& after);
  CursorPtr cursor_of_letters(std::string_view name) const;
  TopicState* find_or_make_letters(std::string_view name, store::WriteSet& set, After& after);
  void bury(CursorState& state, Commit* commit, After& after);

  // timers.cc
  void reschedule(CursorState& state);
  void fire_timers(After& after);
  void timer_before(std::int64_t when_ms);
  void timer_loop();
  void housekeep();
  void forget_changes(CursorState& state);

  // compaction.cc
  friend class CompactionPass;
  void compact_one_of(const std::vector<TopicPtr>& topics);
  void compact_step();

  // retention.cc
  Offset settled_by_all(const TopicState& topic) const;
  void forget_before(TopicState& topic, Offset first, std::uint64_t bytes, After& after);
  void retain();
  void retain_ephemeral(TopicState& topic, std::int64_t now, After& after);
  void retain_topic(const TopicPtr& topic);
  void put_head(store::WriteSet& set, const TopicState& topic) const;
  void give_space_back();
  void compact_erased();
  void purge_deleted_topic(TopicId topic);
  std::optional<bool> purge_step(TopicId topic);

  const std::string location_;
  OpenOptions options_;
  const Hooks hooks_;
  const pid_t pid_;
  const std::uint64_t fork_generation_;
  const std::shared_ptr<Reach> reach_ = std::make_shared<Reach>();
  std::unique_ptr<Owner> owner_;
  std::unique_ptr<Marks> marks_;               // null without a disk
  std::unique_ptr<store::Store> store_;        // null without a disk
  std::uint64_t incarnation_ = 1;
  std::uint64_t hash_seed_ = 0;
  Time opened_{};
  std::uint64_t opened_commit_ = 0;            // the last commit of the opening: versions of the state count from there
  std::string boot_id_;

  mutable std::mutex core_;
  // guarded by core_:
  absl::flat_hash_map<std::string, TopicPtr> topics_;
  absl::flat_hash_map<std::uint64_t, TopicPtr> topics_by_id_;
  std::map<std::pair<std::string, std::string>, GroupPtr> groups_;   // by source and name
  absl::flat_hash_map<std::uint64_t, GroupPtr> groups_by_id_;
  absl::flat_hash_map<std::pair<std::uint64_t, std::uint64_t>, CursorPtr> cursors_;   // by group and topic id
  absl::flat_hash_map<std::uint64_t, MemberState> members_;
  std::uint64_t next_id_ = 1;
  std::uint64_t next_member_ = 1;
  bool waits_are_short_ = false;          // the last blocking fetch did not wait long: the next looks before it sleeps
  struct alignas(64) Uses {
    std::atomic<std::int64_t> count{0};
  };
  mutable std::array<Uses, 8> uses_;
  bool marks_short_ = false;              // a fetch took less for want of begun marks
  std::vector<ChunkPtr> garbage_;   // of ephemeral topics, until the next publish
  std::uint64_t next_fetch_ = 1;
  std::uint64_t next_epoch_ = 1;
  Events events_{*this};
  Schedules schedules_{*this};   // what waits for its time
  core::SuspectGate gate_;
  base::Prng random_{0};
  core::Dedup dedup_;
  core::Sessions sessions_;
  core::Sessions ephemeral_sessions_;   // a session is of durable or of ephemeral topics: the latter's are gone when the process ends
  core::RecentWrites state_writes_;   // of the application's state, by its keys
  core::RecentWrites key_writes_;     // of last offsets of keys, by their keys in the store
  core::Requests requests_;           // those of ephemeral topics too, which are not on disk
  std::map<std::string, std::string, std::less<>> memory_state_;   // the application's state, without a disk
  std::vector<CursorPtr> dirty_;
  Commit* deciding_ = nullptr;             // the commit that is being decided, for the functions that decide it
  std::set<std::pair<std::int64_t, CursorState*>> timers_;
  std::deque<std::pair<TopicPtr, ChunkPtr>> tail_order_;
  std::uint64_t tail_bytes_ = 0;
  std::deque<std::tuple<std::weak_ptr<TopicState>, std::uint64_t, std::size_t>> read_order_;
  std::uint64_t read_bytes_ = 0;
  std::uint64_t ephemeral_bytes_ = 0;
  std::uint64_t messages_ = 0;
  std::uint64_t crash_charges_ = 0;
  std::list<std::pair<GroupPtr, FetchWaiterPtr>> async_waiters_;
  std::vector<TopicPtr> unseen_topics_;
  std::uint64_t visible_commit_ = 0;           // synced, as far as visibility knows
  bool retaining_ = false;
  std::unique_ptr<CompactionPass> compaction_;   ///< the workshop's alone
  struct Drain {
    DrainRequest request;
    CallContext context;
    UniqueFunction<void(Status)> done;
  };
  std::list<Drain> drains_;
  bool timer_changed_ = false;
  bool clock_jumped_ = false;
  std::int64_t timer_sleeps_until_ = INT64_MAX;
  std::vector<UniqueFunction<void()>> deferred_;
  std::condition_variable timer_wake_;

  std::mutex queue_mutex_;
  // guarded by queue_mutex_:
  std::vector<std::unique_ptr<Op>> queue_;
  std::uint64_t queue_bytes_ = 0;
  std::uint64_t refused_bytes_ = 0;            // the largest publish that was told `busy` since the queue was empty
  std::atomic<std::size_t> queue_size_{0};     // as queue_.size(), for those who only look
  bool leading_ = false;
  bool commit_wanted_ = false;
  bool writer_asleep_ = false;
  bool leader_syncs_ = false;                  // the leader is a caller that will sync by itself
  std::unique_ptr<Commit> stuck_;              // written in part or not at all, for want of room
  std::vector<UniqueFunction<void()>> ready_waiters_;
  bool writer_ends_ = false;
  std::condition_variable writer_wake_;
  std::condition_variable room_;
  std::uint32_t room_waiters_ = 0;

  // the leader's alone:
  std::uint64_t commit_ = 0;                   // the last commit number that was given out
  TopicId last_batch_topic_;                   // the newest batch of the store
  Offset last_batch_first_;
  std::vector<std::unique_ptr<format::BatchBuilder>> builders_;

  std::mutex sync_mutex_;
  // guarded by sync_mutex_:
  std::vector<std::unique_ptr<Op>> unsynced_;
  std::uint64_t written_commit_ = 0;
  std::uint64_t sync_wanted_ = 0;              // some message waits to be visible until this commit is synced
  std::uint64_t synced_commit_ = 0;
  bool syncing_ = false;
  bool syncer_ends_ = false;
  std::condition_variable syncer_wake_;

  std::atomic<StoreState> state_{StoreState::kRunning};
  mutable std::mutex reason_mutex_;
  std::string reason_;                          // guarded by reason_mutex_
  std::chrono::steady_clock::time_point space_checked_{};   // likewise
  std::atomic<std::uint64_t> written_unchecked_{0};         // bytes written since the room on the disk was looked at
  std::atomic<bool> has_stuck_commit_{false};
  std::atomic<bool> closing_{false};
  std::atomic<bool> closed_{false};
  std::atomic<std::uint64_t> ephemeral_topics_{0};
  std::atomic<std::uint64_t> commits_{0}, syncs_{0};
  mutable std::mutex log_mutex_;

  std::unique_ptr<Runner> callbacks_;           // unless the program has an executor
  std::unique_ptr<Runner> workshop_;
  std::unique_ptr<Workbench> workbench_ = std::make_unique<Workbench>(*this);
  std::thread writer_, syncer_, timer_, closer_;
  std::mutex close_mutex_;                      // guards closer_ and care_
  std::unique_ptr<Runner> care_;                // backups and the great check: nullptr until there is one
  std::mutex closing_mutex_;                    // held while it closes
  bool running_ = false;                        // constant once open
  std::vector<std::unique_ptr<Build>> recovered_;   // at open only
  std::vector<TopicId> deleted_topics_;             // at open only
  std::uint64_t trimmed_commit_ = 0;            // the workshop's alone
  std::atomic<bool> erased_{false};               // something was, and the log was not compacted since
  std::atomic<bool> compacting_log_{false};
  std::atomic<std::uint64_t> erased_left_{0};   // bytes beside the kept that the last compaction of the log left
  std::vector<TopicId> purge_later_;            // guarded by core_
  bool timer_ends_ = false;                     // guarded by core_
};

}  // namespace weir::engine
