// The program that the crash tests kill.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "weir/broker.h"

namespace weir::crash {

/// Works a store with everything at once until it is killed: publishes, fetches, settles, redrives, from several threads.
int run_load(const std::string& store, const std::string& ledger, std::uint64_t seed);
/// Handlers of which one dies at the message "poison"; ends with 0 when everything is settled.
int run_handlers(const std::string& store, const std::string& ledger, const GroupOptions& group, std::uint32_t threads, std::uint32_t prefetch, int messages);
/// Hands a message of the topic "t" to each of the groups "a" and "b", and dies: both messages are suspects then.
int run_suspects(const std::string& store);
/// Consumes what a job of the store gives back to the group "g" on "t", and writes every delivery down before its ack and every ack behind it. Says "open",
/// and "done" when the job is.
int run_redrive(const std::string& store, const std::string& ledger);
/// A bank (bank.h) until it is killed; `finish`: works off what there is, and ends.
int run_bank(const std::string& store, std::uint64_t seed, bool finish);
/// Schedules, cancels and runs messages until it is killed.
int run_schedules(const std::string& store, const std::string& notes, std::uint64_t seed);
/// Publishes, and backs up again and again: says of each backup its number and how many messages were confirmed before it began.
int run_backups(const std::string& store, const std::string& backups);
/// Restores the newest backup.
int run_restore(const std::string& backups, const std::string& location);
/// Opens the store, says so, and waits for the end of its input.
int run_hold(const std::string& store);

}  // namespace weir::crash
