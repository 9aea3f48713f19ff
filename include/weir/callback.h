// A move-only function, so that callbacks can own what they need (std::function must be copyable).
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "weir/status.h"

namespace weir {

template <class Signature>
class UniqueFunction;

/// Owns any callable, moves, does not copy. Callables of up to 48 bytes are kept without an allocation.
/// Calling an empty one is undefined. Thread safety: as the callable's own.
template <class R, class... Args>
class UniqueFunction<R(Args...)> {
 public:
  UniqueFunction() noexcept = default;
  UniqueFunction(std::nullptr_t) noexcept {}
  template <class F, class = std::enable_if_t<!std::is_same_v<std::decay_t<F>, UniqueFunction> &&
                                              std::is_invocable_r_v<R, std::decay_t<F>&, Args...>>>
  UniqueFunction(F&& f) {
    using D = std::decay_t<F>;
    if constexpr (sizeof(D) <= kInline && alignof(D) <= alignof(std::max_align_t) &&
                  std::is_nothrow_move_constructible_v<D>) {
      ::new (static_cast<void*>(buffer_)) D(std::forward<F>(f));
      table_ = &InlineTable<D>::table;
    } else {
      *reinterpret_cast<D**>(buffer_) = new D(std::forward<F>(f));
      table_ = &HeapTable<D>::table;
    }
  }
  UniqueFunction(UniqueFunction&& other) noexcept { take(other); }
  UniqueFunction& operator=(UniqueFunction&& other) noexcept {
    if (this != &other) {
      reset();
      take(other);
    }
    return *this;
  }
  UniqueFunction(const UniqueFunction&) = delete;
  UniqueFunction& operator=(const UniqueFunction&) = delete;
  ~UniqueFunction() { reset(); }

  explicit operator bool() const noexcept { return table_ != nullptr; }
  R operator()(Args... args) { return table_->call(buffer_, std::forward<Args>(args)...); }
  void reset() noexcept {
    if (table_) std::exchange(table_, nullptr)->destroy(buffer_);
  }

 private:
  static constexpr std::size_t kInline = 48;
  struct Table {
    R (*call)(void*, Args&&...);
    void (*move)(void* from, void* to) noexcept;
    void (*destroy)(void*) noexcept;
  };
  template <class D>
  struct InlineTable {
    static R call(void* p, Args&&... args) { return (*static_cast<D*>(p))(std::forward<Args>(args)...); }
    static void move(void* from, void* to) noexcept {
      ::new (to) D(std::move(*static_cast<D*>(from)));
      static_cast<D*>(from)->~D();
    }
    static void destroy(void* p) noexcept { static_cast<D*>(p)->~D(); }
    static constexpr Table table{&call, &move, &destroy};
  };
  template <class D>
  struct HeapTable {
    static R call(void* p, Args&&... args) { return (**static_cast<D**>(p))(std::forward<Args>(args)...); }
    static void move(void* from, void* to) noexcept { *static_cast<D**>(to) = *static_cast<D**>(from); }
    static void destroy(void* p) noexcept { delete *static_cast<D**>(p); }
    static constexpr Table table{&call, &move, &destroy};
  };
  void take(UniqueFunction& other) noexcept {
    if (other.table_) {
      other.table_->move(other.buffer_, buffer_);
      table_ = std::exchange(other.table_, nullptr);
    }
  }

  alignas(std::max_align_t) std::byte buffer_[kInline];
  const Table* table_ = nullptr;
};

/// The result of verbs that answer nothing but OK.
struct Done {};

/// How an asynchronous verb answers: exactly once (see broker.h for where and when).
template <class T>
using Callback = UniqueFunction<void(Result<T>)>;

}  // namespace weir
