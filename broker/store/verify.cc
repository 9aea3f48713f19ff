// The great check: every byte of table files, every batch, every record.
#include <rocksdb/metadata.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_reader.h>

#include <algorithm>

#include "broker/format/letter_records.h"
#include "broker/format/records.h"
#include "broker/store/errors.h"
#include "broker/store/store_impl.h"

namespace weir::store {
namespace {

constexpr std::size_t kProblemsMax = 1000;
constexpr const char* kFromBackup =
    "restore a backup to another place; without one, read what can be read of this store and publish it to a new one: what is damaged is never served";

void note(VerifyReport& report, std::string place, std::string what) {
  if (report.problems.size() == kProblemsMax)
    report.more = true;
  else
    report.problems.push_back({std::move(place), std::move(what), kFromBackup});
}

/// What a record says must be readable, and a number of the size that its kind has.
Status check_record(std::string_view key, std::string_view value) {
  using format::KeyKind;
  const auto sized = [&](std::size_t key_bytes, std::size_t value_bytes) {
    return key.size() == key_bytes && value.size() == value_bytes ? Status{} : Status{ErrorCode::corruption, "the record has a wrong size"};
  };
  const std::string where = "the record";
  switch (static_cast<KeyKind>(key.empty() ? '\0' : key.front())) {
    case KeyKind::kStore: return format::decode_store(value, where).status();
    case KeyKind::kTopic: return format::decode_topic(value, where).status();
    case KeyKind::kGroup: return format::decode_group(value, where).status();
    case KeyKind::kSession: return format::decode_session(value, where).status();
    case KeyKind::kDedup: return format::decode_dedup(value, where).status();
    case KeyKind::kRequest: return format::decode_request(value, where).status();
    case KeyKind::kState: return {};   // the application's bytes
    case KeyKind::kKeyLast: return key.size() > 9 && value.size() == 8 ? Status{} : Status{ErrorCode::corruption, "the record has a wrong size"};
    case KeyKind::kRetry:
    case KeyKind::kRedriven: return format::decode_retry(value, where).status();
    case KeyKind::kLetterEvent: return format::decode_letter_event(value, where).status();
    case KeyKind::kJob: return key.back() == '\0' ? format::decode_job(value, where).status() : format::decode_job_progress(value, where).status();
    case KeyKind::kHold: return sized(25, 8);
    case KeyKind::kCommit: return sized(1, 24);
    case KeyKind::kTopicHead: return sized(9, 24);
    case KeyKind::kScheduled: return sized(9, 16);
    case KeyKind::kCursor: return sized(17, 8);
    case KeyKind::kDeletedTopic: return sized(9, 0);
    case KeyKind::kLetterPage:
    case KeyKind::kPage: return {};   // a page that does not fit is found when its cursor is loaded
  }
  return {ErrorCode::corruption, "a record of a kind that this version does not know"};
}

std::string name_of(std::string_view key) {
  std::string out = "record ";
  out += key.empty() ? '?' : key.front();
  constexpr char kDigits[] = "0123456789abcdef";
  for (const char byte : key.substr(std::min<std::size_t>(1, key.size()))) {
    out += kDigits[static_cast<unsigned char>(byte) >> 4];
    out += kDigits[static_cast<unsigned char>(byte) & 15];
  }
  return out;
}

void check_table_files(rocksdb::DB& db, rocksdb::Env* env, const std::atomic<bool>& ends, VerifyReport& report) {
  std::vector<rocksdb::LiveFileMetaData> files;
  db.GetLiveFilesMetaData(&files);
  rocksdb::Options options;
  options.env = env;
  for (const rocksdb::LiveFileMetaData& file : files) {
    if (ends) return;
    ++report.table_files;
    const std::string path = file.db_path + file.name;
    rocksdb::SstFileReader reader(options);
    rocksdb::Status status = reader.Open(path);
    if (status.ok()) status = reader.VerifyChecksum();
    if (!status.ok()) note(report, path, status.ToString());
  }
}

}  // namespace

Result<VerifyReport> Store::verify() const {
  VerifyReport report;
  // Files that are merged away meanwhile stay until they were read.
  if (const rocksdb::Status held = impl_->db->DisableFileDeletions(); !held.ok()) return error_of(held, "holding the table files");
  check_table_files(*impl_->db, impl_->env, impl_->care_ends, report);
  (void)impl_->db->EnableFileDeletions(/*force=*/false);
  const auto at = impl_->iterator(impl_->index, nullptr, nullptr);
  for (at->SeekToFirst(); at->Valid() && !impl_->care_ends; at->Next()) {
    format::IndexEntry entry;
    if (!format::decode_index(view(at->key()), view(at->value()), entry)) {
      note(report, "the index", "an entry has a wrong size");
      continue;
    }
    ++report.batches;
    const TopicId topic{format::read_u64(view(at->key()))};
    const auto batch = read(topic, entry);
    // The iterator sees the store of when it was made; a batch that was erased since is no error.
    if (batch.ok()) report.messages += (*batch)->records();
    if (batch.ok() || batch.code() == ErrorCode::not_found) continue;
    note(report, "topic " + std::to_string(topic.value) + ", offset " + std::to_string(entry.first.value), batch.status().message());
  }
  if (!at->status().ok()) note(report, "the index", at->status().ToString());
  const Status scanned = scan({}, {}, [&](std::string_view key, std::string_view value) {
    ++report.records;
    if (const Status status = check_record(key, value); !status.ok()) note(report, name_of(key), status.message());
    return !impl_->care_ends;
  });
  if (!scanned.ok()) note(report, "the records", scanned.message());
  impl_->verify_schedule([&](std::string place, std::string what) { note(report, std::move(place), std::move(what)); }, report.records);
  if (impl_->care_ends) return Status{ErrorCode::cancelled, "the broker is being closed"};
  return report;
}

}  // namespace weir::store
