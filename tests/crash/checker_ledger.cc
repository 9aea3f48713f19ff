#include <algorithm>

#include "tests/crash/checker.h"

namespace weir::crash {
namespace {

constexpr std::size_t kProblemsMax = 10;

struct Problems {
  std::vector<std::string> texts;
  void add(std::string text) {
    if (texts.size() < kProblemsMax) texts.push_back(std::move(text));
  }
};

std::string name_of(const LedgerDelivery& d) {
  return d.topic + "/" + d.group + " offset " + std::to_string(d.offset) + (d.redrive ? " letter " + std::to_string(d.redrive - 1) : "") + " epoch " +
         std::to_string(d.epoch);
}

void check_epochs(const LedgerBook& book, Problems& problems) {
  for (std::size_t i = 1; i < book.incarnations.size(); ++i)
    if (book.incarnations[i] <= book.incarnations[i - 1]) problems.add("incarnation " + std::to_string(book.incarnations[i]) + " after " + std::to_string(book.incarnations[i - 1]));
  std::uint64_t run = 0;
  for (const auto& [epoch, d] : book.deliveries) {   // ascending
    if (d.run < run) problems.add("epochs went back: " + name_of(d) + " of run " + std::to_string(d.run) + " after run " + std::to_string(run));
    run = std::max(run, d.run);
  }
}

/// The deliveries of one message to one group, by epoch.
using Deliveries = std::vector<const LedgerDelivery*>;

void check_message(const Deliveries& all, Problems& problems) {
  std::uint32_t failed = 0, open = 0;
  const LedgerDelivery* end = nullptr;
  for (const LedgerDelivery* d : all) {
    if (end) problems.add("delivered again after its " + end->settle + " was confirmed: " + name_of(*d));
    // Group b does not report what it begins, and handlers begin before they can write it down.
    if (d->group != "b" && d->group != "handlers" && (d->failures < failed || d->failures + d->crashes > failed + open))
      problems.add("failures " + std::to_string(d->failures) + " and crashes " + std::to_string(d->crashes) + " with " + std::to_string(failed) +
                   " confirmed and " + std::to_string(open) + " open: " + name_of(*d));
    if (d->confirmed("ack") || d->confirmed("reject")) end = d;
    if (d->confirmed("retry")) ++failed;
    if (d->begin && !d->code) ++open;
  }
}

/// S-13: once an ack of a message is confirmed, no earlier one of its key is delivered any more.
void check_order(const std::string& key, const std::map<std::uint64_t, Deliveries>& by_offset, Problems& problems) {
  std::uint64_t newest = 0;
  for (const auto& [offset, all] : by_offset) {
    for (const LedgerDelivery* d : all)
      if (d->confirmed("ack") && d->epoch < newest) problems.add("key " + key + ": an earlier message was delivered after the ack of " + name_of(*d));
    for (const LedgerDelivery* d : all) newest = std::max(newest, d->epoch);
  }
}

}  // namespace

std::vector<std::string> check_ledger(const LedgerBook& book) {
  Problems problems;
  for (const std::string& text : book.bad) problems.add(text);
  check_epochs(book, problems);

  std::map<std::string, std::string> key_of_tag;
  for (const auto& [op, publish] : book.publishes)
    for (const LedgerMessage& m : publish.messages) key_of_tag[m.tag] = m.key;

  std::map<std::tuple<std::string, std::string, std::uint64_t, std::uint64_t>, Deliveries> by_message;
  std::map<std::string, std::map<std::uint64_t, Deliveries>> by_key;
  for (const auto& [epoch, d] : book.deliveries) {
    by_message[{d.topic, d.group, d.offset, d.redrive}].push_back(&d);
    const std::string key = d.group == "strict" ? "all" : key_of_tag[d.tag];
    if (d.redrive == 0 && d.group != "b" && !key.empty()) by_key[d.topic + "/" + d.group + "/" + key][d.offset].push_back(&d);
  }
  for (const auto& [message, all] : by_message) check_message(all, problems);
  for (const auto& [key, by_offset] : by_key) check_order(key, by_offset, problems);
  return problems.texts;
}

}  // namespace weir::crash
