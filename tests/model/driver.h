// Does random things to a broker and to the reference side by side, and compares.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/model/dice.h"
#include "tests/model/reference.h"
#include "weir/broker.h"

namespace weir::model {

struct DriverOptions {
  std::string location;          ///< "memory:" or a directory
  std::uint64_t seed = 0;
  std::uint32_t operations = 2000;
  bool reopens = true;
  bool ephemeral_only = false;
};

/// One run. Not thread-safe. run() throws Mismatch; operations() then tells what was done.
class Driver {
 public:
  explicit Driver(DriverOptions options);
  ~Driver();
  void run();
  const std::vector<std::string>& operations() const { return log_; }

 private:
  struct Operation {
    std::uint64_t weight;
    void (Driver::*act)();
  };
  static const std::vector<Operation>& all_operations();

  void note(std::string text) { log_.push_back(std::move(text)); }

  // Operations (driver_operations.cc).
  void create_topic();
  void delete_topic();
  void create_group();
  void delete_group();
  void publish();
  void publish_over_topics();
  void publish_in_session();
  void transact();
  void fetch();
  void begin();
  void settle();
  void settle_many();
  void settle_stale();
  void extend();
  void advance();
  void advance_far();
  void redrive();
  void discard();
  void free_keys(RefGroup& group);
  void seek();
  void pause();
  void alter_filter();
  void join();
  void leave();
  void reopen();

  // Comparisons (driver_checks.cc).
  void browse();
  void check_figures();
  void check_letters();
  void check_status();
  void drain_all();
  void check_state();   // driver_transactions.cc

  void open();
  Message random_message(const RefTopic& topic);
  RefMessage reference_of(const Message& message, std::int64_t time) const;
  void store(PublishRequest request);
  /// What a publish or a transaction was answered for its messages.
  void stored(const std::vector<TopicMessage>& all, const std::vector<Published>& published, std::int64_t time);
  /// The whole request is a repetition: nothing is stored.
  FetchResult do_fetch(RefGroup& group, FetchRequest request, const std::string& must);
  void do_settle(std::vector<Settlement> settlements);
  Settlement random_settlement(const Token& token);
  std::vector<RefToken*> live_tokens();
  void compare_letters(RefGroup& group, const std::string& topic);
  void compare_figures(RefGroup& group);
  void move_clock(std::int64_t by);
  void wait_for_expiries();
  /// Asks again until `holds` answers an empty text; its last text is the mismatch after ten real seconds.
  void eventually(const std::string& what, const std::function<std::string()>& holds);
  RefGroup* random_group();
  RefTopic* random_topic();

  DriverOptions options_;
  Dice dice_;
  std::shared_ptr<ManualClock> clock_;
  std::unique_ptr<Broker> broker_;
  Reference reference_;
  std::vector<std::string> log_;
  struct Member {
    MemberId id;
    std::string source, group;
    GroupId group_id;
  };
  std::vector<Member> members_;
  std::map<std::string, std::string> state_;   // the application's
  std::uint64_t next_payload_ = 0, next_fetch_ = 0, next_name_ = 0, last_incarnation_ = 0;
};

}  // namespace weir::model
