#include "broker/format/letter_records.h"

#include "broker/format/flat_records.h"
#include "broker/format/record_batch.h"

namespace weir::format {
namespace {

template <class Id>
flatbuffers::Optional<std::uint64_t> number_or_none(const std::optional<Id>& id) {
  return id ? flatbuffers::Optional<std::uint64_t>(id->value) : flatbuffers::nullopt;
}

flatbuffers::Offset<flat::LetterConditions> add_conditions(FlatBufferBuilder& to, const LetterConditions& where) {
  const auto error = where.error_contains ? to.CreateString(*where.error_contains) : 0;
  const auto key = where.key ? to.CreateString(*where.key) : 0;
  flatbuffers::Optional<std::uint8_t> reason;
  if (where.reason) reason = number_of(*where.reason);
  return flat::CreateLetterConditions(to, reason, error, key, milliseconds_of(where.since), milliseconds_of(where.until), where.redrives_min, where.redrives_max);
}

LetterConditions conditions_of(const flat::LetterConditions& stored) {
  LetterConditions out;
  if (const auto reason = stored.reason()) out.reason = static_cast<DeathReason>(*reason);
  if (stored.error_contains() != nullptr) out.error_contains = stored.error_contains()->str();
  if (stored.key() != nullptr) out.key = stored.key()->str();
  out.since = time_of(stored.since());
  out.until = time_of(stored.until());
  if (const auto min = stored.redrives_min()) out.redrives_min = *min;
  if (const auto max = stored.redrives_max()) out.redrives_max = *max;
  return out;
}

flatbuffers::Offset<flatbuffers::Vector<std::uint8_t>> add_bytes(FlatBufferBuilder& to, const std::string& bytes) {
  return to.CreateVector(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
}

std::string bytes_of(const flatbuffers::Vector<std::uint8_t>* bytes) {
  return bytes == nullptr ? std::string() : std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size());
}

}  // namespace

std::string encode(const LetterEventRecord& record) {
  FlatBufferBuilder flat(256);
  const auto who = add_string(flat, record.who);
  const auto why = add_string(flat, record.why);
  const auto to_topic = add_string(flat, record.to_topic);
  return finish(flat, flat::CreateLetterEvent(flat, number_of(record.act), milliseconds_of(record.time), who, why, record.job, to_topic,
                                              number_or_none(record.to_offset), number_or_none(record.edited_as)));
}

Result<LetterEventRecord> decode_letter_event(std::string_view bytes, std::string_view where) {
  const Verified<flat::LetterEvent> stored(bytes);
  if (!stored) return not_a("letter event", where);
  if (stored->act() > number_of(LetterAct::kRestored)) return unknown_value("act", where);
  LetterEventRecord record;
  record.act = static_cast<LetterAct>(stored->act());
  record.time = time_of(stored->time());
  record.who = string_of(stored->who());
  record.why = string_of(stored->why());
  record.job = stored->job();
  record.to_topic = string_of(stored->to_topic());
  if (const auto offset = stored->to_offset()) record.to_offset = Offset{*offset};
  if (const auto offset = stored->edited_as()) record.edited_as = Offset{*offset};
  return record;
}

std::string encode(const JobRecord& record) {
  FlatBufferBuilder flat(512 + 8 * record.chosen.size());
  const auto topic_name = add_string(flat, record.topic_name);
  const auto group_name = add_string(flat, record.group_name);
  const auto chosen = record.chosen.empty() ? 0 : flat.CreateVector(record.chosen);
  const auto filter = record.filter == Filter{} ? 0 : add_filter(flat, record.filter);
  const auto where = add_conditions(flat, record.where);
  const auto to_topic_name = add_string(flat, record.to_topic_name);
  flatbuffers::Offset<flat::EditedMessage> edited = 0;
  if (record.edited) {
    const auto payload = add_bytes(flat, record.edited->payload);
    const auto headers = add_bytes(flat, record.edited->headers);
    edited = flat::CreateEditedMessage(flat, payload, headers, add_string(flat, record.edited->content_type));
  }
  const auto why = add_string(flat, record.why);
  const auto who = add_string(flat, record.who);
  const auto request_id = add_string(flat, record.request_id);
  flat::JobRecordBuilder job(flat);
  job.add_kind(number_of(record.kind));
  job.add_group(record.group.value);
  job.add_topic(record.topic.value);
  job.add_letters(record.letters.value);
  job.add_topic_name(topic_name);
  job.add_group_name(group_name);
  job.add_chosen(chosen);
  job.add_end(record.end.value);
  job.add_filter(filter);
  job.add_where(where);
  job.add_rate(record.rate);
  job.add_force(record.force);
  job.add_redrives_max(record.redrives_max);
  job.add_to_topic(record.to_topic.value);
  job.add_to_topic_name(to_topic_name);
  job.add_edited(edited);
  job.add_why(why);
  job.add_who(who);
  job.add_request_id(request_id);
  job.add_request_high(record.request_high);
  job.add_request_low(record.request_low);
  job.add_started(milliseconds_of(record.started));
  job.add_total(record.total);
  return finish(flat, job.Finish());
}

Result<JobRecord> decode_job(std::string_view bytes, std::string_view where) {
  const Verified<flat::JobRecord> stored(bytes);
  if (!stored) return not_a("job record", where);
  if (stored->kind() > number_of(JobKind::kRestore)) return unknown_value("kind", where);
  JobRecord record;
  record.kind = static_cast<JobKind>(stored->kind());
  record.group = GroupId{stored->group()};
  record.topic = TopicId{stored->topic()};
  record.letters = TopicId{stored->letters()};
  record.topic_name = string_of(stored->topic_name());
  record.group_name = string_of(stored->group_name());
  if (const auto* chosen = stored->chosen()) record.chosen.assign(chosen->begin(), chosen->end());
  record.end = Offset{stored->end()};
  if (stored->filter() != nullptr && !read_filter(*stored->filter(), record.filter)) return unknown_value("filter.op", where);
  if (const auto* conditions = stored->where()) {
    if (const auto reason = conditions->reason(); reason && *reason > number_of(DeathReason::kExpired)) return unknown_value("where.reason", where);
    record.where = conditions_of(*conditions);
  }
  record.rate = stored->rate();
  record.force = stored->force();
  record.redrives_max = stored->redrives_max();
  record.to_topic = TopicId{stored->to_topic()};
  record.to_topic_name = string_of(stored->to_topic_name());
  if (const auto* edited = stored->edited(); edited != nullptr && !headers_valid(bytes_of(edited->headers()))) return corrupt(where, "headers of an edited message");
  if (const auto* edited = stored->edited()) record.edited = EditedMessage{bytes_of(edited->payload()), bytes_of(edited->headers()), string_of(edited->content_type())};
  record.why = string_of(stored->why());
  record.who = string_of(stored->who());
  record.request_id = string_of(stored->request_id());
  record.request_high = stored->request_high();
  record.request_low = stored->request_low();
  record.started = time_of(stored->started());
  record.total = stored->total();
  return record;
}

std::string encode(const JobProgress& progress) {
  FlatBufferBuilder flat(256);
  const auto error = add_string(flat, progress.error);
  return finish(flat, flat::CreateJobProgress(flat, number_of(progress.state), progress.position, progress.done, progress.failed, progress.skipped,
                                              progress.unmatched, progress.needs_force, progress.active.count(), milliseconds_of(progress.ended), error));
}

Result<JobProgress> decode_job_progress(std::string_view bytes, std::string_view where) {
  const Verified<flat::JobProgress> stored(bytes);
  if (!stored) return not_a("job progress", where);
  if (stored->state() > number_of(JobState::kFailed)) return unknown_value("state", where);
  JobProgress progress;
  progress.state = static_cast<JobState>(stored->state());
  progress.position = stored->position();
  progress.done = stored->done();
  progress.failed = stored->failed();
  progress.skipped = stored->skipped();
  progress.unmatched = stored->unmatched();
  progress.needs_force = stored->needs_force();
  progress.active = Duration{stored->active()};
  progress.ended = time_of(stored->ended());
  progress.error = string_of(stored->error());
  return progress;
}

}  // namespace weir::format
