// The application's own state: read as of one moment, written by transactions (S-28).
#include "broker/core/limits.h"
#include "broker/engine/answer.h"

namespace weir::engine {
namespace {

/// What an entry costs in memory beside its bytes, without a disk.
constexpr std::uint64_t kEntryBytes = 96;

/// A key as people may read it.
std::string shown(std::string_view key) {
  constexpr std::size_t kShown = 100;
  constexpr char kDigits[] = "0123456789abcdef";
  if (core::valid_utf8_text(key)) return "\"" + std::string(core::cut_text(key, kShown)) + (key.size() > kShown ? "…\"" : "\"");
  std::string out = "0x";
  for (const char byte : key.substr(0, kShown / 2)) {
    out += kDigits[static_cast<unsigned char>(byte) >> 4];
    out += kDigits[static_cast<unsigned char>(byte) & 15];
  }
  return key.size() > kShown / 2 ? out + "…" : out;
}

}  // namespace

/// Versions of the state are commits, counted within the incarnation: one of before, or of a future that a power loss took away, is told from ours.
std::uint64_t Engine::version_of(std::uint64_t commit) const { return (incarnation_ << core::kEpochBits) + (commit - opened_commit_); }

/// Under the lock. Nothing: it is no version of this incarnation.
std::optional<std::uint64_t> Engine::commit_of(std::uint64_t version) const {
  const std::uint64_t since = version & ((std::uint64_t{1} << core::kEpochBits) - 1);
  if (core::incarnation_of(version) != incarnation_ || opened_commit_ + since > commit_) return std::nullopt;
  return opened_commit_ + since;
}

Status Engine::check_unchanged(std::uint64_t version, std::span<const std::string> keys, std::span<const StateRange> ranges) const {
  if (keys.empty() && ranges.empty()) return {};
  core::RecentWrites::Answer answer{core::RecentWrites::Verdict::kTooOld, {}};
  if (const std::optional<std::uint64_t> commit = commit_of(version)) answer = state_writes_.check(*commit, keys, ranges);
  if (answer.verdict == core::RecentWrites::Verdict::kUnchanged) return {};
  if (answer.verdict == core::RecentWrites::Verdict::kOverwritten) return {ErrorCode::conflict, "the key " + shown(answer.key) + " was overwritten since it was read"};
  return {ErrorCode::conflict, "what was read is too old to tell whether it was overwritten: of the last " + std::to_string(core::RecentWrites::kWritesMax) + " writes that is known"};
}

void Engine::async_read_state(ReadStateRequest request, CallContext context, Callback<ReadStateResult> done) {
  const Use use(*this);
  Status usable = check_usable();
  if (usable.ok()) usable = core::validate(request);
  if (usable.ok()) usable = check_in_time(context);
  if (!usable.ok()) return answer<ReadStateResult>(std::move(done), usable, context);
  if (context.caller_waits || !store_) return answer<ReadStateResult>(std::move(done), read_state(request), context);
  if (Status room = check_room(context); !room.ok()) return answer<ReadStateResult>(std::move(done), room, context);
  workshop_->post([this, request = std::move(request), context = std::move(context), done = std::move(done)]() mutable {
    answer<ReadStateResult>(std::move(done), read_state(request), context);
  });
}

Result<ReadStateResult> Engine::read_state(const ReadStateRequest& request) const {
  ReadStateResult out;
  if (!store_) {
    Lock lock(core_);
    read_state_in_memory(request, out);
  } else {
    const std::unique_ptr<store::Snapshot> moment = store_->snapshot();
    // Every commit writes its number: the state and its version are of the same moment.
    const auto commit = moment->get(format::commit_key());
    if (!commit.ok()) return commit.status();
    if (!*commit || (*commit)->size() < 8) return Status{ErrorCode::corruption, "the last commit's number is not there"};
    out.version = version_of(format::read_u64(**commit));
    if (request.key) {
      auto value = moment->get(format::state_key(*request.key));
      if (!value.ok()) return value.status();
      if (*value) out.entries.push_back({*request.key, std::move(**value)});
    } else {
      const StateRange& range = *request.range;
      std::uint64_t bytes = 0;
      const std::string end = range.end.empty() ? format::prefix_end(format::kind_prefix(format::KeyKind::kState)) : format::state_key(range.end);
      const Status scanned = moment->scan(format::state_key(range.begin), end, [&](std::string_view key, std::string_view value) {
        key.remove_prefix(1);
        bytes += key.size() + value.size();
        out.end = out.entries.size() < request.entries_max && (out.entries.empty() || bytes <= request.bytes_max);
        if (out.end) out.entries.push_back({std::string(key), std::string(value)});
        return out.end;
      });
      if (!scanned.ok()) return scanned;
    }
  }
  if (!request.at_version) return out;
  // What was not overwritten since then is now as it was then.
  Status unchanged;
  if (request.key) {
    Lock lock(core_);
    unchanged = check_unchanged(*request.at_version, {&*request.key, 1}, {});
  } else {
    StateRange covered = *request.range;
    if (!out.end) covered.end = out.entries.back().key + '\0';
    Lock lock(core_);
    unchanged = check_unchanged(*request.at_version, {}, {&covered, 1});
  }
  if (!unchanged.ok()) return unchanged;
  out.version = *request.at_version;
  return out;
}

void Engine::read_state_in_memory(const ReadStateRequest& request, ReadStateResult& out) const {
  out.version = version_of(commit_);
  if (request.key) {
    const auto found = memory_state_.find(*request.key);
    if (found != memory_state_.end()) out.entries.push_back({found->first, found->second});
    return;
  }
  std::uint64_t bytes = 0;
  for (auto at = memory_state_.lower_bound(request.range->begin); at != memory_state_.end(); ++at) {
    if (!request.range->end.empty() && at->first >= request.range->end) return;
    bytes += at->first.size() + at->second.size();
    out.end = out.entries.size() < request.entries_max && (out.entries.empty() || bytes <= request.bytes_max);
    if (!out.end) return;
    out.entries.push_back({at->first, at->second});
  }
}

/// What the puts take at most, without a disk.
std::uint64_t Engine::memory_needed(const CommitRequest& request) const {
  std::uint64_t bytes = 0;
  for (const StatePut& put : request.puts) bytes += put.key.size() + put.value.size() + kEntryBytes;
  return bytes;
}

void Engine::write_state(CommitRequest& request, Commit& commit) {
  const auto forget = [&](std::string_view key) {
    const auto found = memory_state_.find(key);
    if (found == memory_state_.end()) return;
    ephemeral_bytes_ -= found->first.size() + found->second.size() + kEntryBytes;
    memory_state_.erase(found);
  };
  for (StatePut& put : request.puts) {
    state_writes_.note(put.key, commit.number);
    if (store_) {
      commit.set.put(format::state_key(put.key), put.value);
      continue;
    }
    forget(put.key);
    ephemeral_bytes_ += put.key.size() + put.value.size() + kEntryBytes;
    memory_state_.emplace(std::move(put.key), std::move(put.value));
  }
  for (const std::string& key : request.erases) {
    state_writes_.note(key, commit.number);
    if (store_)
      commit.set.erase(format::state_key(key));
    else
      forget(key);
  }
}

Status Engine::load_requests() {
  Status failed;
  const Status scanned = store_->scan(format::kind_prefix(format::KeyKind::kRequest), {}, [&](std::string_view key, std::string_view value) {
    std::string id(key.substr(1));
    Result<format::RequestRecord> record = format::decode_request(value, "request " + id);
    if (!record.ok()) return failed = record.status(), false;
    requests_.load(std::move(id), {{record->content_high, record->content_low}, record->time, record->version, std::move(record->publishes)});
    return true;
  });
  return failed.ok() ? scanned : failed;
}

}  // namespace weir::engine
