// Work that needs a process of its own: to be killed, or to have its memory and its writing counted alone.
#pragma once

#include <sys/types.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

namespace bench {

using Json = nlohmann::json;

/// What a task says to the process that started it: one JSON value, one line.
using Answer = std::function<void(const Json&)>;
/// Runs the task that `order` names with its arguments, in this process. Throws for a name that is not known.
void run_task(const Json& order, const Answer& answer);

/// This program again, running one task. It dies with its parent.
class Child {
 public:
  explicit Child(const Json& order);
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();

  /// Blocks for the task's answer; throws when the child ended without one.
  Json answer();
  /// kill -9, and waits until it is dead.
  void kill_hard();

 private:
  pid_t pid_ = -1;
  int from_child_ = -1;
};

// The tasks; what they take and answer is said where they are defined.
void fill_store_task(const Json& order, const Answer& answer);
void footprint_task(const Json& order, const Answer& answer);
void raw_footprint_task(const Json& order, const Answer& answer);
void stuck_key_task(const Json& order, const Answer& answer);
void fill_schedule_task(const Json& order, const Answer& answer);
void open_schedule_task(const Json& order, const Answer& answer);
void beside_schedule_task(const Json& order, const Answer& answer);
void enter_schedule_task(const Json& order, const Answer& answer);

}  // namespace bench
