// Status and Result: how every verb of weir reports. Nothing throws across the API, except Result::value()
// for those who prefer exceptions.
#pragma once

#include <cstdint>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace weir {

/// The closed set of errors (S-36), made from error_codes.def. The numbers are stored and sent.
enum class ErrorCode : std::uint16_t {
#define WEIR_ERROR(name, number, http, grpc, retryable, meaning) name = number,
#include "weir/error_codes.def"
#undef WEIR_ERROR
};

/// One row of the table of errors.
struct ErrorInfo {
  ErrorCode code;
  std::string_view name;     ///< the identifier used on every surface, e.g. "lease_lost"
  int http;                  ///< the HTTP status
  std::string_view grpc;     ///< the name of the gRPC status code
  bool retryable;            ///< the same request may succeed later without being changed
  std::string_view meaning;  ///< one sentence
};

/// The row of `code`. A number that is not in the table answers the row of `internal`.
const ErrorInfo& error_info(ErrorCode code) noexcept;

/// The row with that name, or nullptr.
const ErrorInfo* find_error(std::string_view name) noexcept;

/// OK, or a code of the table with a sentence that names what was wrong. Cheap to copy when OK.
class [[nodiscard]] Status {
 public:
  Status() noexcept = default;
  Status(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const noexcept { return code_ == ErrorCode::ok; }
  ErrorCode code() const noexcept { return code_; }
  const std::string& message() const noexcept { return message_; }
  bool retryable() const noexcept { return error_info(code_).retryable; }

  /// "lease_lost: …", for logs and people.
  std::string to_string() const {
    std::string text(error_info(code_).name);
    if (!message_.empty()) text.append(": ").append(message_);
    return text;
  }

  friend bool operator==(const Status& a, ErrorCode code) noexcept { return a.code_ == code; }
  friend std::ostream& operator<<(std::ostream& out, const Status& s) { return out << s.to_string(); }

 private:
  ErrorCode code_ = ErrorCode::ok;
  std::string message_;
};

inline Status ok() noexcept { return {}; }

/// What Result::value() throws when there is no value.
class BadResult : public std::runtime_error {
 public:
  explicit BadResult(Status status) : std::runtime_error(status.to_string()), status_(std::move(status)) {}
  const Status& status() const noexcept { return status_; }

 private:
  Status status_;
};

/// A T, or the Status that says why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Status status) : state_(std::in_place_index<1>, std::move(status)) {}
  Result(ErrorCode code, std::string message) : state_(std::in_place_index<1>, code, std::move(message)) {}

  bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }
  /// OK when there is a value.
  Status status() const { return ok() ? Status{} : std::get<1>(state_); }
  ErrorCode code() const noexcept { return ok() ? ErrorCode::ok : std::get_if<1>(&state_)->code(); }

  /// The value; throws BadResult when there is none.
  T& value() & { check(); return *std::get_if<0>(&state_); }
  const T& value() const& { check(); return *std::get_if<0>(&state_); }
  T&& value() && { check(); return std::move(*std::get_if<0>(&state_)); }

  T* operator->() { check(); return std::get_if<0>(&state_); }
  const T* operator->() const { check(); return std::get_if<0>(&state_); }
  T& operator*() & { check(); return *std::get_if<0>(&state_); }
  const T& operator*() const& { check(); return *std::get_if<0>(&state_); }
  T&& operator*() && { check(); return std::move(*std::get_if<0>(&state_)); }

 private:
  void check() const {
    if (!ok()) throw BadResult(std::get<1>(state_));
  }
  std::variant<T, Status> state_;
};

}  // namespace weir
