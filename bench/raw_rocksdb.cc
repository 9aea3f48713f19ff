#include "bench/raw_rocksdb.h"

#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "bench/payload_pool.h"

namespace bench {
namespace {

void must(const rocksdb::Status& status) {
  if (!status.ok()) throw std::runtime_error("raw rocksdb: " + status.ToString());
}

/// Eight zero bytes for the one queue, then the sequence, big end first, so that keys ascend.
std::array<char, 16> ascending_key(std::uint64_t sequence) {
  std::array<char, 16> key{};
  for (std::size_t i = 0; i < 8; ++i) key[8 + i] = static_cast<char>(sequence >> (56 - 8 * i));
  return key;
}

}  // namespace

RawRocksDb::RawRocksDb(const std::filesystem::path& directory, std::uint64_t memtable_bytes) {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.write_buffer_size = memtable_bytes;
  options.max_background_jobs = 2;
  options.compression = rocksdb::kNoCompression;
  rocksdb::DB* db = nullptr;
  must(rocksdb::DB::Open(options, directory.string(), &db));
  db_.reset(db);
}

RawRocksDb::~RawRocksDb() = default;

Tally RawRocksDb::put_for(double seconds, std::size_t payload_bytes, bool sync, std::size_t batch, std::uint64_t messages_max) {
  PayloadPool pool(payload_bytes);
  rocksdb::WriteOptions write;
  write.sync = sync;
  rocksdb::WriteBatch messages;
  Tally tally;
  const Stopwatch watch;
  while ((tally.seconds = watch.seconds()) < seconds && tally.messages < messages_max) {
    messages.Clear();
    for (std::size_t i = 0; i < batch; ++i) {
      const auto key = ascending_key(next_++);
      must(messages.Put(rocksdb::Slice(key.data(), key.size()), rocksdb::Slice(pool.next(), payload_bytes)));
    }
    must(db_->Write(write, &messages));
    tally.messages += batch;
  }
  return tally;
}

void RawRocksDb::settle() {
  must(db_->Flush(rocksdb::FlushOptions()));
  // A compaction may follow a flush a moment later, so quiet must last.
  for (int quiet = 0; quiet < 5;) {
    std::uint64_t pending = 0, compactions = 0, flushes = 0;
    db_->GetIntProperty("rocksdb.compaction-pending", &pending);
    db_->GetIntProperty("rocksdb.num-running-compactions", &compactions);
    db_->GetIntProperty("rocksdb.num-running-flushes", &flushes);
    quiet = pending + compactions + flushes ? 0 : quiet + 1;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

}  // namespace bench
