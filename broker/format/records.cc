#include "broker/format/records.h"

#include "broker/format/flat_records.h"

namespace weir::format {

std::string encode(const StoreRecord& record) {
  FlatBufferBuilder flat(128);
  const auto created_by = add_string(flat, record.created_by);
  return finish(flat, flat::CreateStoreRecord(flat, record.version, record.incarnation, record.hash_seed, record.next_id, created_by));
}

Result<StoreRecord> decode_store(std::string_view bytes, std::string_view where) {
  const Verified<flat::StoreRecord> stored(bytes);
  if (!stored) return not_a("store record", where);
  if (stored->version() > kFormatVersion)
    return Status{ErrorCode::format_version, std::string(where) + " is of format " + std::to_string(stored->version()) + "; this version of weir reads formats up to " +
                                                 std::to_string(kFormatVersion)};
  return StoreRecord{stored->version(), stored->incarnation(), stored->hash_seed(), stored->next_id(), string_of(stored->created_by())};
}

std::string encode(const TopicRecord& record) {
  FlatBufferBuilder flat(256);
  const auto name = flat.CreateString(record.name);
  const TopicOptions& options = record.options;
  return finish(flat, flat::CreateTopicRecord(flat, name, milliseconds_of(record.created), options.ephemeral, number_of(options.durability),
                                              options.retention_age.count(), options.retention_bytes, options.discard_settled, options.bytes_max,
                                              number_of(options.cap_policy), options.payload_bytes_max, options.dedup_window.count(),
                                              record.dead_letters_of_group, record.dead_letters_of_topic, options.compact,
                                              options.tombstone_retention.count(), record.compacted, options.track_keys));
}

Result<TopicRecord> decode_topic(std::string_view bytes, std::string_view where) {
  const Verified<flat::TopicRecord> stored(bytes);
  if (!stored) return not_a("topic record", where);
  if (stored->durability() > number_of(Durability::kPower)) return unknown_value("durability", where);
  if (stored->cap_policy() > number_of(CapPolicy::kDropOldest)) return unknown_value("cap_policy", where);
  TopicRecord record;
  record.name = string_of(stored->name());
  record.created = time_of(stored->created());
  record.options.ephemeral = stored->ephemeral();
  record.options.durability = static_cast<Durability>(stored->durability());
  record.options.retention_age = Duration{stored->retention_age()};
  record.options.retention_bytes = stored->retention_bytes();
  record.options.discard_settled = stored->discard_settled();
  record.options.bytes_max = stored->bytes_max();
  record.options.cap_policy = static_cast<CapPolicy>(stored->cap_policy());
  record.options.payload_bytes_max = stored->payload_bytes_max();
  record.options.dedup_window = Duration{stored->dedup_window()};
  record.options.compact = stored->compact();
  record.options.tombstone_retention = Duration{stored->tombstone_retention()};
  record.compacted = stored->compacted();
  record.options.track_keys = stored->track_keys();
  record.dead_letters_of_group = stored->dead_letters_of_group();
  record.dead_letters_of_topic = stored->dead_letters_of_topic();
  return record;
}

std::string encode(const GroupRecord& record) {
  FlatBufferBuilder flat(512);
  const GroupOptions& options = record.options;
  const auto source = flat.CreateString(record.source);
  const auto name = flat.CreateString(record.name);
  const auto filter = options.filter == Filter{} ? 0 : add_filter(flat, options.filter);
  std::optional<std::int64_t> expire_idle;
  if (options.expire_idle) expire_idle.emplace(options.expire_idle->count());
  return finish(flat, flat::CreateGroupRecord(
                          flat, source, name, milliseconds_of(record.created), record.paused, number_of(options.start.kind),
                          options.start.offset.value, milliseconds_of(options.start.time), number_of(options.order), options.lease.count(),
                          options.max_attempts, options.max_deliveries, options.backoff.first.count(), options.backoff.factor,
                          options.backoff.max.count(), options.backoff.jitter, options.in_flight_max, options.member_in_flight_max,
                          options.waiting_max, filter, options.dead_letter_expired, options.is_volatile, expire_idle, options.hold_key));
}

Result<GroupRecord> decode_group(std::string_view bytes, std::string_view where) {
  const Verified<flat::GroupRecord> stored(bytes);
  if (!stored) return not_a("group record", where);
  if (stored->start_kind() > number_of(StartPoint::Kind::kTime)) return unknown_value("start_kind", where);
  if (stored->order() > number_of(Order::kTopic)) return unknown_value("order", where);
  GroupRecord record;
  record.source = string_of(stored->source());
  record.name = string_of(stored->name());
  record.created = time_of(stored->created());
  record.paused = stored->paused();
  GroupOptions& options = record.options;
  options.start = {static_cast<StartPoint::Kind>(stored->start_kind()), Offset{stored->start_offset()}, time_of(stored->start_time())};
  options.order = static_cast<Order>(stored->order());
  options.lease = Duration{stored->lease()};
  options.max_attempts = stored->max_attempts();
  options.max_deliveries = stored->max_deliveries();
  options.backoff = {Duration{stored->backoff_first()}, stored->backoff_factor(), Duration{stored->backoff_max()}, stored->backoff_jitter()};
  options.in_flight_max = stored->in_flight_max();
  options.member_in_flight_max = stored->member_in_flight_max();
  options.waiting_max = stored->waiting_max();
  if (stored->filter() != nullptr && !read_filter(*stored->filter(), options.filter)) return unknown_value("filter.op", where);
  options.dead_letter_expired = stored->dead_letter_expired();
  options.is_volatile = stored->is_volatile();
  if (const auto idle = stored->expire_idle()) options.expire_idle = Duration{*idle};
  options.hold_key = stored->hold_key();
  return record;
}

std::string encode(const RetryRecord& record) {
  FlatBufferBuilder flat(512);
  const auto error = add_string(flat, record.error);
  const auto attempts = add_attempts(flat, record.attempts);
  return finish(flat, flat::CreateRetryRecord(flat, milliseconds_of(record.due), record.deliveries, record.failures, record.crashes,
                                              record.crash_failures, record.redrives, record.last_epoch, record.letter,
                                              milliseconds_of(record.published), record.key_hash, milliseconds_of(record.first_failure),
                                              milliseconds_of(record.last_failure), error, attempts));
}

Result<RetryRecord> decode_retry(std::string_view bytes, std::string_view where) {
  const Verified<flat::RetryRecord> stored(bytes);
  if (!stored) return not_a("retry record", where);
  if (!attempts_valid(stored->attempts())) return unknown_value("attempts.outcome", where);
  RetryRecord record;
  record.due = time_of(stored->due());
  record.deliveries = stored->deliveries();
  record.failures = stored->failures();
  record.crashes = stored->crashes();
  record.crash_failures = stored->crash_failures();
  record.redrives = stored->redrives();
  record.last_epoch = stored->last_epoch();
  record.letter = stored->letter();
  record.published = time_of(stored->published());
  record.key_hash = stored->key_hash();
  record.first_failure = time_of(stored->first_failure());
  record.last_failure = time_of(stored->last_failure());
  record.error = string_of(stored->error());
  record.attempts = attempts_of(stored->attempts());
  return record;
}

std::string encode(const SessionRecord& record) {
  FlatBufferBuilder flat(256);
  const auto offsets = record.request_offsets.empty() ? 0 : flat.CreateVector(record.request_offsets);
  return finish(flat, flat::CreateSessionRecord(flat, record.last_sequence, milliseconds_of(record.last_used), record.request_sequence, offsets,
                                                milliseconds_of(record.request_time)));
}

Result<SessionRecord> decode_session(std::string_view bytes, std::string_view where) {
  const Verified<flat::SessionRecord> stored(bytes);
  if (!stored) return not_a("session record", where);
  SessionRecord record;
  record.last_sequence = stored->last_sequence();
  record.last_used = time_of(stored->last_used());
  record.request_sequence = stored->request_sequence();
  if (const auto* offsets = stored->request_offsets()) record.request_offsets.assign(offsets->begin(), offsets->end());
  record.request_time = time_of(stored->request_time());
  return record;
}

std::string encode(const DedupRecord& record) {
  FlatBufferBuilder flat(128 + record.entries.size() * sizeof(flat::DedupEntry));
  flat::DedupEntry* entries = nullptr;
  const auto made = flat.CreateUninitializedVectorOfStructs(record.entries.size(), &entries);
  for (const DedupEntry& entry : record.entries) *entries++ = flat::DedupEntry(entry.hash_high, entry.hash_low, entry.offset);
  return finish(flat, flat::CreateDedupRecord(flat, record.topic, milliseconds_of(record.time), made));
}

Result<DedupRecord> decode_dedup(std::string_view bytes, std::string_view where) {
  const Verified<flat::DedupRecord> stored(bytes);
  if (!stored) return not_a("dedup record", where);
  DedupRecord record;
  record.topic = stored->topic();
  record.time = time_of(stored->time());
  if (const auto* entries = stored->entries()) {
    record.entries.reserve(entries->size());
    for (const flat::DedupEntry* entry : *entries) record.entries.push_back({entry->hash_high(), entry->hash_low(), entry->offset()});
  }
  return record;
}

std::string encode(const RequestRecord& record) {
  FlatBufferBuilder flat(128 + 9 * record.publishes.size());
  std::vector<std::uint64_t> offsets;
  std::vector<bool> duplicates;
  std::vector<std::string> schedules;
  bool any = false, any_scheduled = false;
  for (const Published& each : record.publishes) {
    offsets.push_back(each.offset.value);
    duplicates.push_back(each.duplicate);
    any = any || each.duplicate;
    schedules.push_back(each.schedule);
    any_scheduled = any_scheduled || !each.schedule.empty();
  }
  const auto made_offsets = offsets.empty() ? 0 : flat.CreateVector(offsets);
  const auto made_duplicates = any ? flat.CreateVector(duplicates) : 0;
  const auto made_schedules = any_scheduled ? flat.CreateVectorOfStrings(schedules) : 0;
  return finish(flat, flat::CreateRequestRecord(flat, record.content_high, record.content_low, milliseconds_of(record.time), record.version, made_offsets,
                                                made_duplicates, made_schedules));
}

Result<RequestRecord> decode_request(std::string_view bytes, std::string_view where) {
  const Verified<flat::RequestRecord> stored(bytes);
  if (!stored) return not_a("request record", where);
  RequestRecord record{stored->content_high(), stored->content_low(), time_of(stored->time()), stored->version(), {}};
  if (const auto* offsets = stored->offsets())
    for (const std::uint64_t offset : *offsets) record.publishes.push_back({Offset{offset}, false, {}});
  if (const auto* duplicates = stored->duplicates()) {
    if (duplicates->size() != record.publishes.size()) return corrupt(where, "not a duplicate flag for each offset");
    for (flatbuffers::uoffset_t i = 0; i < duplicates->size(); ++i) record.publishes[i].duplicate = duplicates->Get(i) != 0;
  }
  if (const auto* schedules = stored->schedules()) {
    if (schedules->size() != record.publishes.size()) return corrupt(where, "not a schedule for each offset");
    for (flatbuffers::uoffset_t i = 0; i < schedules->size(); ++i) record.publishes[i].schedule = string_of(schedules->Get(i));
  }
  return record;
}

}  // namespace weir::format
