// The fields of the public structs by name, so that one description serves every form they are written in: the native protocol, JSON, tables of a
// command line, a program's own logs.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>
#include <tuple>
#include <type_traits>

#include "weir/admin.h"
#include "weir/care.h"
#include "weir/dead_letter.h"
#include "weir/delivery.h"
#include "weir/filter.h"
#include "weir/group.h"
#include "weir/message.h"
#include "weir/options.h"
#include "weir/service.h"
#include "weir/topic.h"
#include "weir/transaction.h"

namespace weir {

/// One field of a struct.
template <class T, class M>
struct Field {
  std::string_view name;
  M T::*member;
};

/// Fields<T>::list is a tuple of Field, in the order in which T declares them. A field's place is its number in the native protocol: new ones
/// come behind the others, and none is taken away or changes its type. What a default is, is part of the protocol, too: a field that has it is
/// not sent.
template <class T>
struct Fields;

template <class T>
concept HasFields = requires { Fields<std::remove_const_t<T>>::list; };

/// Calls visit(name, value) for each field, in order.
template <HasFields T, class Visit>
constexpr void for_each_field(T& object, Visit&& visit) {
  std::apply([&](const auto&... field) { (visit(field.name, object.*(field.member)), ...); }, Fields<std::remove_const_t<T>>::list);
}

/// EnumNames<E>::list[n] is the name of the enumerator with the number n.
template <class E>
struct EnumNames;

template <class E>
constexpr std::string_view enum_name(E value) {
  const auto at = static_cast<std::size_t>(value);
  return at < EnumNames<E>::list.size() ? EnumNames<E>::list[at] : std::string_view("unknown");
}
template <class E>
constexpr std::optional<E> enum_of(std::string_view name) {
  for (std::size_t i = 0; i < EnumNames<E>::list.size(); ++i)
    if (EnumNames<E>::list[i] == name) return static_cast<E>(i);
  return std::nullopt;
}

#define WEIR_ENUM(E, ...)                                                                       \
  template <>                                                                                   \
  struct EnumNames<E> {                                                                         \
    static constexpr auto list = std::to_array<std::string_view>({__VA_ARGS__});                \
  }
WEIR_ENUM(Durability, "memory", "process", "power");
WEIR_ENUM(Order, "key", "none", "topic");
WEIR_ENUM(CapPolicy, "reject", "drop_oldest");
WEIR_ENUM(StartPoint::Kind, "earliest", "latest", "offset", "time");
WEIR_ENUM(Filter::Op, "everything", "exact", "prefix", "suffix", "all", "any", "not", "present");
WEIR_ENUM(Settle, "ack", "retry", "reject", "release", "extend");
WEIR_ENUM(MessageAct, "ack", "skip", "run_now", "dead_letter");
WEIR_ENUM(StoreState, "running", "storage_full", "stopped", "closed");
WEIR_ENUM(DeathReason, "max_attempts", "crash_loop", "rejected", "expired");
WEIR_ENUM(Outcome, "retry", "reject", "lease_expired", "crash", "expired");
WEIR_ENUM(LetterState, "dead", "redriven", "discarded");
WEIR_ENUM(LetterAct, "redriven", "sent_to_topic", "discarded", "restored");
WEIR_ENUM(Support, "absent", "emulated", "native");
#undef WEIR_ENUM

// Below, F(name) is the field of that name. StoredMessage::owner is left out: it is no value.
#define WEIR_FIELDS(Type, ...)                              \
  template <>                                               \
  struct Fields<Type> {                                     \
    using T = Type;                                         \
    static constexpr auto list = std::make_tuple(__VA_ARGS__); \
  }
#define F(name) Field<T, decltype(T::name)>{#name, &T::name}
WEIR_FIELDS(TopicOptions, F(ephemeral), F(durability), F(retention_age), F(retention_bytes), F(discard_settled), F(bytes_max), F(cap_policy),
            F(payload_bytes_max), F(dedup_window), F(compact), F(tombstone_retention), F(track_keys));
WEIR_FIELDS(TopicInfo, F(name), F(id), F(options), F(created), F(first), F(next), F(visible), F(bytes), F(duplicates), F(compacted),
            F(dropped_unsettled), F(scheduled), F(scheduled_bytes));
WEIR_FIELDS(StartPoint, F(kind), F(offset), F(time));
WEIR_FIELDS(Backoff, F(first), F(factor), F(max), F(jitter));
WEIR_FIELDS(GroupOptions, F(start), F(order), F(lease), F(max_attempts), F(max_deliveries), F(backoff), F(in_flight_max), F(member_in_flight_max),
            F(waiting_max), F(filter), F(dead_letter_expired), F(is_volatile), F(expire_idle), F(hold_key));
WEIR_FIELDS(GroupRef, F(source), F(group));
WEIR_FIELDS(GroupTopicStats, F(topic), F(floor), F(depth), F(in_flight), F(waiting_retries), F(redriven), F(blocked), F(spilled), F(dead),
            F(pinned_bytes), F(lag), F(oldest), F(delivered), F(acked), F(retried), F(released), F(expired_leases), F(expired), F(filtered),
            F(dead_lettered), F(holding), F(scheduled));
WEIR_FIELDS(GroupInfo, F(source), F(name), F(id), F(options), F(created), F(paused), F(members), F(topics));
WEIR_FIELDS(Filter, F(op), F(header), F(value), F(parts));
WEIR_FIELDS(Header, F(name), F(value));
WEIR_FIELDS(Message, F(key), F(payload), F(id), F(headers), F(content_type), F(ttl), F(deliver_at), F(tombstone), F(delay));
WEIR_FIELDS(StoredMessage, F(topic_name), F(offset), F(time), F(expires_at), F(tombstone), F(key), F(id), F(content_type), F(headers), F(payload),
            F(dead_letter));
WEIR_FIELDS(Published, F(offset), F(duplicate), F(schedule));
WEIR_FIELDS(TopicMessage, F(topic), F(message));
WEIR_FIELDS(SessionPosition, F(session), F(sequence));
WEIR_FIELDS(ExpectedLast, F(topic), F(key), F(last));
WEIR_FIELDS(PublishRequest, F(topic), F(messages), F(batch), F(durability), F(session), F(expected));
WEIR_FIELDS(PublishResult, F(messages), F(time));
WEIR_FIELDS(Token, F(group), F(topic), F(offset), F(redrive), F(epoch), F(slot));
WEIR_FIELDS(Delivered, F(message), F(token), F(lease_until), F(deliveries), F(failures), F(crashes), F(redrives));
WEIR_FIELDS(Settlement, F(token), F(kind), F(delay), F(error));
WEIR_FIELDS(FetchRequest, F(source), F(group), F(messages_max), F(bytes_max), F(wait), F(lease), F(member), F(reports_begun), F(extend_until));
WEIR_FIELDS(FetchResult, F(deliveries));
WEIR_FIELDS(SettleRequest, F(settlements), F(durability));
WEIR_FIELDS(SettleResult, F(results));
WEIR_FIELDS(JoinRequest, F(source), F(group), F(name));
WEIR_FIELDS(BrowseRequest, F(topic), F(from), F(messages_max), F(bytes_max), F(filter));
WEIR_FIELDS(BrowseResult, F(messages), F(next), F(end));
WEIR_FIELDS(CreateTopicRequest, F(name), F(options), F(if_missing));
WEIR_FIELDS(AlterTopicRequest, F(name), F(options));
WEIR_FIELDS(DeleteTopicRequest, F(name));
WEIR_FIELDS(ListTopicsRequest, F(pattern), F(include_internal), F(after), F(topics_max));
WEIR_FIELDS(ListTopicsResult, F(topics), F(end));
WEIR_FIELDS(CreateGroupRequest, F(source), F(group), F(options), F(if_missing));
WEIR_FIELDS(AlterGroupRequest, F(source), F(group), F(options));
WEIR_FIELDS(ListGroupsRequest, F(source));
WEIR_FIELDS(ListGroupsResult, F(groups));
WEIR_FIELDS(PauseGroupRequest, F(source), F(group), F(paused));
WEIR_FIELDS(SeekGroupRequest, F(source), F(group), F(to));
WEIR_FIELDS(SeekGroupResult::Position, F(topic), F(offset));
WEIR_FIELDS(SeekGroupResult, F(positions));
WEIR_FIELDS(SettleMessageRequest, F(topic), F(group), F(offset), F(act), F(error), F(id));
WEIR_FIELDS(ScheduleInfo, F(id), F(topic), F(due), F(key), F(message_id), F(payload_bytes), F(published));
WEIR_FIELDS(ListSchedulesRequest, F(topic), F(after), F(schedules_max));
WEIR_FIELDS(ListSchedulesResult, F(schedules), F(next), F(end));
WEIR_FIELDS(DrainRequest, F(groups), F(include_waiting));
WEIR_FIELDS(BrokerStatus, F(state), F(reason), F(location), F(incarnation), F(opened), F(topics), F(groups), F(commits), F(syncs), F(messages),
            F(queued_requests), F(queued_bytes), F(tail_bytes), F(ephemeral_bytes), F(dedup_ids), F(sessions), F(disk_bytes), F(disk_free_bytes),
            F(recovered_crash_charges), F(scheduled));
WEIR_FIELDS(Attempt, F(time), F(member), F(outcome), F(error));
WEIR_FIELDS(DeadLetterInfo, F(origin_topic), F(origin_offset), F(group), F(source), F(published), F(reason), F(error), F(deliveries), F(failures),
            F(first_failure), F(last_failure), F(attempts), F(redrives), F(previous), F(edited_of));
WEIR_FIELDS(LetterEvent, F(act), F(time), F(who), F(why), F(job), F(to_topic), F(to_offset), F(edited_as));
WEIR_FIELDS(DeadLetter, F(offset), F(state), F(message), F(events), F(earlier));
WEIR_FIELDS(LetterConditions, F(reason), F(error_contains), F(key), F(since), F(until), F(redrives_min), F(redrives_max));
WEIR_FIELDS(ListDeadLettersRequest, F(topic), F(group), F(from), F(messages_max), F(include_resolved), F(filter), F(reason), F(error_contains),
            F(key), F(since), F(until), F(redrives_min), F(redrives_max), F(letters), F(bytes_max), F(with_history), F(group_by_error));
WEIR_FIELDS(DeadLetterGroup, F(error), F(count), F(first), F(last), F(sample));
WEIR_FIELDS(ListDeadLettersResult, F(letters), F(next), F(end), F(groups), F(ungrouped));
WEIR_FIELDS(RedriveRequest, F(topic), F(group), F(letters), F(force), F(redrives_max), F(filter), F(to_topic), F(rate), F(dry_run), F(edited),
            F(request_id), F(where), F(background), F(reason));
WEIR_FIELDS(RedriveResult, F(redriven), F(skipped), F(needs_force), F(job), F(failed), F(unmatched), F(error));
WEIR_FIELDS(DiscardRequest, F(topic), F(group), F(letters), F(filter), F(reason), F(restore), F(where), F(rate), F(dry_run), F(background),
            F(request_id));
WEIR_FIELDS(DiscardResult, F(discarded), F(skipped), F(unmatched), F(failed), F(job), F(error));
WEIR_FIELDS(JobInfo, F(id), F(kind), F(state), F(done), F(total), F(failed), F(started), F(skipped), F(unmatched), F(needs_force), F(topic),
            F(group), F(to_topic), F(rate), F(who), F(reason), F(request_id), F(ended), F(active), F(error));
WEIR_FIELDS(StatePut, F(key), F(value));
WEIR_FIELDS(StateRange, F(begin), F(end));
WEIR_FIELDS(CommitRequest, F(request_id), F(durability), F(read_version), F(reads), F(scanned), F(puts), F(erases), F(publishes), F(settlements),
            F(idempotency_key), F(idempotency_reply), F(expected));
WEIR_FIELDS(CommitResult, F(publishes), F(version));
WEIR_FIELDS(ReadStateRequest, F(key), F(range), F(entries_max), F(at_version), F(bytes_max));
WEIR_FIELDS(ReadStateResult, F(entries), F(version), F(end));
WEIR_FIELDS(BackupInfo, F(number), F(time), F(bytes), F(files), F(incarnation), F(damaged));
WEIR_FIELDS(Problem, F(place), F(what), F(advice));
WEIR_FIELDS(VerifyReport, F(table_files), F(batches), F(messages), F(records), F(problems), F(more));
WEIR_FIELDS(Request, F(service), F(payload), F(headers), F(deadline));
WEIR_FIELDS(Reply, F(payload), F(headers), F(events), F(error));
#undef F
#undef WEIR_FIELDS

}  // namespace weir
