// What is written once on top of the verbs about dead letters and jobs: one letter, all groups, exports.
#include <algorithm>
#include <map>

#include "broker/api/blocking.h"
#include "broker/api/json.h"
#include "broker/api/lean_message.h"
#include "weir/broker.h"

namespace weir {
namespace {

using api::JsonObject;

constexpr std::uint32_t kExportPage = 1000;

/// An array of objects: `write` writes one.
template <class Items, class Write>
void write_array(std::string& out, const Items& items, Write write) {
  out += '[';
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i != 0) out += ',';
    JsonObject object(out);
    write(object, items[i]);
    object.end();
  }
  out += ']';
}

void write_attempt(JsonObject& object, const Attempt& attempt) {
  object.time("time", attempt.time);
  object.text("member", attempt.member);
  object.text("outcome", to_string(attempt.outcome));
  object.text("error", attempt.error);
}

void write_event(JsonObject& object, const LetterEvent& event) {
  object.text("act", to_string(event.act));
  object.time("time", event.time);
  object.text("who", event.who);
  object.text("why", event.why);
  if (!event.job.empty()) object.text("job", event.job);
  if (!event.to_topic.empty()) object.text("toTopic", event.to_topic);
  if (event.to_offset) object.number64("toOffset", event.to_offset->value);
  if (event.edited_as) object.number64("editedAs", event.edited_as->value);
}

void write_letter(JsonObject& object, const DeadLetter& letter) {
  const StoredMessage& message = letter.message;
  object.number64("offset", letter.offset.value);
  object.text("state", to_string(letter.state));
  object.time("died", message.time);
  if (const DeadLetterInfo* info = message.dead_letter.get()) {
    object.text("topic", info->origin_topic);
    object.text("group", info->group);
    object.text("source", info->source);
    object.number64("originOffset", info->origin_offset.value);
    object.time("published", info->published);
    object.text("reason", to_string(info->reason));
    object.text("error", info->error);
    object.number("deliveries", info->deliveries);
    object.number("failures", info->failures);
    if (info->first_failure) object.time("firstFailure", *info->first_failure);
    if (info->last_failure) object.time("lastFailure", *info->last_failure);
    write_array(object.member("attempts"), info->attempts, write_attempt);
    object.number("redrives", info->redrives);
    if (info->previous) object.number64("previous", info->previous->value);
    if (info->edited_of) object.number64("editedOf", info->edited_of->value);
  }
  if (!message.key.empty()) object.text("key", message.key);
  if (!message.id.empty()) object.text("id", message.id);
  if (!message.content_type.empty()) object.text("contentType", message.content_type);
  if (message.tombstone) object.member("tombstone") += "true";
  std::string& out = object.member("headers");
  JsonObject headers(out);
  for (const HeaderView header : message.headers) headers.text(header.name, header.value);
  headers.end();
  if (api::is_utf8(message.payload.text())) {
    object.text("payload", message.payload.text());
  } else {
    object.member("payloadBase64") += '"';
    api::append_base64(out, message.payload.text());
    out += '"';
  }
  if (!letter.events.empty()) write_array(object.member("events"), letter.events, write_event);
  if (!letter.earlier.empty()) write_array(object.member("earlier"), letter.earlier, write_letter);
}

}  // namespace

Result<DeadLetter> Broker::dead_letter(std::string topic, std::string group, Offset letter, CallContext context) {
  ListDeadLettersRequest request;
  request.topic = std::move(topic);
  request.group = std::move(group);
  request.letters = {letter};
  request.include_resolved = true;
  request.with_history = true;
  Result<ListDeadLettersResult> found = dead_letters(std::move(request), std::move(context));
  if (!found.ok()) return found.status();
  if (found->letters.empty()) return Status{ErrorCode::not_found, "no letter " + std::to_string(letter.value) + " (any more)"};
  return std::move(found->letters.front());
}

Result<ListDeadLettersResult> Broker::dead_letter_groups(ListDeadLettersRequest request, CallContext context) {
  request.group_by_error = true;
  std::map<std::string, DeadLetterGroup> groups;
  ListDeadLettersResult out;
  std::uint64_t bytes = 0;
  while (true) {
    Result<ListDeadLettersResult> page = dead_letters(request, context);
    if (!page.ok()) return page.status();
    out.ungrouped += page->ungrouped;
    for (DeadLetterGroup& group : page->groups) {
      auto at = groups.find(group.error);
      if (at == groups.end()) {
        if (groups.size() == request.messages_max) {
          out.ungrouped += group.count;
          continue;
        }
        at = groups.emplace(group.error, DeadLetterGroup{}).first;
        at->second.error = group.error;
        at->second.first = group.first;
      }
      at->second.count += group.count;
      at->second.last = group.last;
      // What all samples together hold is bounded as in a page.
      bytes -= at->second.sample.message.payload.size();
      at->second.sample = std::move(group.sample);
      StoredMessage& sample = at->second.sample.message;
      if (bytes + sample.payload.size() > request.bytes_max) sample = api::without_payload(sample);
      bytes += sample.payload.size();
    }
    out.next = page->next;
    if (page->end) break;
    request.from = page->next;
  }
  out.end = true;
  for (auto& [error, group] : groups) out.groups.push_back(std::move(group));
  std::stable_sort(out.groups.begin(), out.groups.end(), [](const auto& a, const auto& b) { return a.count > b.count; });
  return out;
}

Result<std::uint64_t> Broker::export_dead_letters(ExportDeadLettersRequest request, const LineSink& line, CallContext context) {
  ListDeadLettersRequest page;
  page.topic = std::move(request.topic);
  page.group = std::move(request.group);
  page.letters = std::move(request.letters);
  page.include_resolved = request.include_resolved;
  page.filter = std::move(request.filter);
  page.reason = request.where.reason;
  page.error_contains = std::move(request.where.error_contains);
  page.key = std::move(request.where.key);
  page.since = request.where.since;
  page.until = request.where.until;
  page.redrives_min = request.where.redrives_min;
  page.redrives_max = request.where.redrives_max;
  page.with_history = request.with_history;
  page.messages_max = kExportPage;
  std::uint64_t count = 0;
  std::string text;
  while (true) {
    Result<ListDeadLettersResult> letters = dead_letters(page, context);
    if (!letters.ok()) return letters.status();
    for (const DeadLetter& letter : letters->letters) {
      text.clear();
      JsonObject object(text);
      write_letter(object, letter);
      object.end();
      text += '\n';
      if (!line(text)) return Status{ErrorCode::cancelled, "the export was stopped after " + std::to_string(count) + " letters"};
      ++count;
    }
    if (letters->end) return count;
    page.from = letters->next;
  }
}

Result<DiscardResult> Broker::discard(DiscardRequest request, CallContext context) {
  return api::change(*this, &Broker::async_discard, std::move(request), std::move(context));
}

Result<std::vector<JobInfo>> Broker::jobs(CallContext context) { return api::call(*this, &Broker::async_list_jobs, std::move(context)); }

namespace {

Result<JobInfo> control(Broker& broker, std::string id, std::string act, CallContext context) {
  context.caller_waits = true;
  api::Waiter<JobInfo> waiter;
  broker.async_control_job(std::move(id), std::move(act), std::move(context), waiter.callback());
  return waiter.take();
}

}  // namespace

Result<JobInfo> Broker::job(std::string id, CallContext context) { return control(*this, std::move(id), "show", std::move(context)); }
Result<JobInfo> Broker::pause_job(std::string id, CallContext context) { return control(*this, std::move(id), "pause", std::move(context)); }
Result<JobInfo> Broker::resume_job(std::string id, CallContext context) { return control(*this, std::move(id), "resume", std::move(context)); }
Result<JobInfo> Broker::cancel_job(std::string id, CallContext context) { return control(*this, std::move(id), "cancel", std::move(context)); }

}  // namespace weir
