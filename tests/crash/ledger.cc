#include "tests/crash/ledger.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>

namespace weir::crash {

Ledger::Ledger(const std::string& path) : fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) {
  if (fd_ < 0) throw std::system_error(errno, std::generic_category(), path);
}

Ledger::~Ledger() { ::close(fd_); }

void Ledger::write(std::string_view lines) {
  const ssize_t written = ::write(fd_, lines.data(), lines.size());
  if (written != static_cast<ssize_t>(lines.size())) throw std::system_error(errno, std::generic_category(), "ledger");
}

namespace {

std::string field(std::istream& in) {
  std::string text;
  in >> text;
  return text == "-" ? std::string() : text;
}

void read_delivery(LedgerBook& book, std::istream& in) {
  LedgerDelivery d;
  d.source = field(in);
  d.group = field(in);
  d.topic = field(in);
  in >> d.offset >> d.redrive >> d.epoch >> d.failures >> d.deliveries >> d.crashes;
  d.tag = field(in);
  d.run = book.runs;
  if (!book.deliveries.emplace(d.epoch, d).second) book.bad.push_back("epoch " + std::to_string(d.epoch) + " was given out twice");
}

void read_publish(LedgerBook& book, std::istream& in) {
  LedgerPublish publish;
  const std::string op = field(in);
  publish.session = field(in);
  std::size_t count = 0;
  in >> publish.sequence >> count;
  for (std::size_t i = 0; i < count; ++i) {
    LedgerMessage m;
    m.topic = field(in);
    m.key = field(in);
    m.id = field(in);
    m.tag = field(in);
    publish.messages.push_back(m);
  }
  book.publishes.emplace(op, publish);   // a repetition changes nothing
}

void read_line(LedgerBook& book, const std::string& line) {
  std::istringstream in(line);
  std::string kind;
  in >> kind;
  std::uint64_t number = 0;
  if (kind == "open") {
    in >> number >> number;
    ++book.runs;
    book.incarnations.push_back(number);
  } else if (kind == "pub") {
    read_publish(book, in);
  } else if (kind == "pubok") {
    LedgerPublish& publish = book.publishes.at(field(in));
    publish.offsets.emplace();
    while (in >> number) publish.offsets->push_back(number);
  } else if (kind == "puberr") {
    book.publishes.at(field(in)).refused = true;
  } else if (kind == "got") {
    read_delivery(book, in);
  } else if (kind == "begin" && in >> number) {
    book.deliveries.at(number).begin = true;
  } else if (kind == "set" && in >> number) {
    book.deliveries.at(number).settle = field(in);
  } else if (kind == "setok" && in >> number) {
    book.deliveries.at(number).code = field(in);
  } else if (kind == "red") {
    LedgerRedrive redrive;
    const std::string op = field(in);
    redrive.group = field(in);
    redrive.topic = field(in);
    while (in >> number) redrive.letters.push_back(number);
    if (std::stoull(op) == book.redrives.size()) book.redrives.push_back(redrive);
  } else if (kind == "redok") {
    book.redrives.at(std::stoull(field(in))).confirmed = true;
  } else {
    book.bad.push_back(line);
  }
}

}  // namespace

LedgerBook LedgerBook::read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string all((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  LedgerBook book;
  for (std::size_t at = 0, end; (end = all.find('\n', at)) != std::string::npos; at = end + 1) read_line(book, all.substr(at, end - at));
  return book;
}

std::string payload_of(std::string_view tag) {
  std::uint64_t hash = 1469598103934665603u;
  for (const char c : tag) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  std::string payload(tag);
  payload += '|';
  for (std::uint64_t i = hash % 97; i > 0; --i) payload += static_cast<char>((hash = hash * 6364136223846793005u + 1) >> 56);
  return payload;
}

std::string_view tag_of(std::string_view payload) { return payload.substr(0, payload.find('|')); }

}  // namespace weir::crash
