/* taskreg.hpp - the C++ interface of libtaskreg: named, listed, cancellable threads that are joined
   with a deadline.

   Header only, C++17, on top of taskreg.h: a program links libtaskreg and no other library. With
   C++20 it also converts to and from std::stop_token. It compiles with and without exceptions and
   RTTI.

     taskreg::registry tasks;
     auto answer = tasks.spawn("counter", [text] { return count_words(text); });
     std::printf("%d words\n", answer.get()); // the value, or the exception of the body
     return tasks.shutdown(std::chrono::seconds(5)) ? 0 : 1;

   The following holds for everything here, unless a member says otherwise:

   - Threads. Any thread may call it. Several threads may use one handle at the same time as long as
     none of them changes the handle itself (assigns to it, moves from it, destroys it). Nothing is
     a cancellation point of pthread_cancel(3). Only request_shutdown is async-signal-safe.
   - Handles. token, registry, group and task_ref are counted references to an object of the
     library: copies refer to the same object, and releasing the last one frees it. The end of a
     handle does not stop a task and does not wait for it; the end of a scope does both. get()
     returns the object for the C functions, borrowed; release() gives the reference away. task,
     report, signal_watch and the like have one owner and cannot be copied. Calls on an
     empty handle (moved from, or made of nullptr) are allowed: it is not cancelled and has no
     tasks, and a call that can fail returns status::invalid.
   - Errors. A call whose work can fail, such as a wait that times out, returns a status, which must
     not be ignored. A call that creates something (a constructor, spawn) throws: std::bad_alloc if
     there is no memory, otherwise taskreg::error. Those of registry, group, spawn, detach and child
     also have a form that does not throw, with `try_` in its name, which reports the failure
     instead. In a program compiled without exceptions the throwing forms end the program by
     std::terminate.
   - Time. A timeout is any std::chrono duration, any std::chrono time point, or taskreg::forever.
     It is measured on CLOCK_MONOTONIC, from the call on. One that does not fit 64 bits of
     nanoseconds is 292 years; a negative one has passed already. See taskreg::timeout.
   - Cancellation. Inside a task each wait of the library, get() included, ends with
     status::cancelled once the flag of the *calling* task is raised. Only the end of a scope always
     waits until the tasks of the scope have ended.
   - Exceptions in callbacks. An exception that leaves the body of a task is the failure of that
     task: see registry::spawn. One that leaves a cancel callback, an end callback, a log or phase
     function, or the destructor of a body's captures ends the program by std::terminate, even if a
     caller of the library's function would catch it. pthread_exit(3) and pthread_cancel(3) are not
     exceptions: their unwinding passes through a body and runs its destructors, and the task has
     exited.
   - Options. The files of a program may be compiled with different options: with and without
     exceptions, as C++17 and as C++20. What depends on these options is in an inline namespace for
     each choice of them, so that the linker keeps the functions of each. Therefore a function that
     takes a taskreg::registry can only be called from files with the same choice. Between others
     pass the objects of taskreg.h: get() and share(). status, timeout and the exceptions are the
     same in all files. Do not declare the types of this header yourself; include it.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_HPP
#define TASKREG_HPP

#if !defined(__cplusplus) || __cplusplus < 201703L
#error "taskreg.hpp needs C++17 or newer; taskreg.h is for C and for older C++"
#endif

#include <taskreg.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <initializer_list>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <csignal>

#include <poll.h>

#if defined(__has_include)
#if __has_include(<version>)
#include <version>
#endif
#endif
#if defined(__cpp_lib_jthread)
#include <stop_token>
#define TASKREG_HAS_STOP_TOKEN 1
#else
#define TASKREG_HAS_STOP_TOKEN 0
#endif

#if defined(__cpp_exceptions) || defined(__EXCEPTIONS)
#define TASKREG_HAS_EXCEPTIONS 1
#else
#define TASKREG_HAS_EXCEPTIONS 0
#endif

/* With libstdc++ `catch (...)` also catches the unwinding of pthread_exit(3) and pthread_cancel(3),
   which must continue; its type is abi::__forced_unwind. libc++abi only runs destructors. */
#if TASKREG_HAS_EXCEPTIONS && defined(__GLIBCXX__)
#include <cxxabi.h>
#define TASKREG_HAS_FORCED_UNWIND 1
#else
#define TASKREG_HAS_FORCED_UNWIND 0
#endif

/* The inline namespace of all that depends on the two options above. Without it, files that are
   compiled with different options would define different functions with the same name, and the
   linker would keep one of them for all files. */
#if TASKREG_HAS_EXCEPTIONS && TASKREG_HAS_STOP_TOKEN
#define TASKREG_OPTIONS e1s1
#elif TASKREG_HAS_EXCEPTIONS
#define TASKREG_OPTIONS e1s0
#elif TASKREG_HAS_STOP_TOKEN
#define TASKREG_OPTIONS e0s1
#else
#define TASKREG_OPTIONS e0s0
#endif

namespace taskreg {

// ---- Status and errors ---------------------------------------------------------------------

/// The result of a call: `ok`, or the reason why it failed. The numbers are those of tr_status.
enum class [[nodiscard]] status : std::int32_t {
  ok = TR_OK,
  invalid = TR_ERR_INVALID,     ///< an argument is wrong; error_detail() says which
  nomem = TR_ERR_NOMEM,         ///< out of memory
  again = TR_ERR_AGAIN,         ///< the system refused a thread; a later call may succeed
  limit = TR_ERR_LIMIT,         ///< max_tasks tasks are alive already
  closed = TR_ERR_CLOSED,       ///< the registry accepts no more tasks
  deadline = TR_ERR_DEADLINE,   ///< the deadline passed with tasks still alive
  timed_out = TR_ERR_TIMEDOUT,  ///< the timeout passed before the event
  cancelled = TR_ERR_CANCELLED, ///< the calling task was asked to stop
  deadlock = TR_ERR_DEADLOCK,   ///< it would wait for itself, or for one that waits for it
  forked = TR_ERR_FORKED,       ///< the parent process had objects of the library at fork
  system = TR_ERR_SYSTEM,       ///< a system call failed; some calls set errno, and say so
  truncated = TR_ERR_TRUNCATED, ///< the buffer was too small for everything
  stalled = TR_ERR_STALLED      ///< a task has missed its heartbeat interval
};

} // namespace taskreg

/// A status converts to std::error_code, so `code == taskreg::status::closed` compiles.
template <>
struct std::is_error_code_enum<taskreg::status> : std::true_type {};

namespace taskreg {

/// Discards a status without a warning: `taskreg::ignore(task.cancel())`.
inline void ignore(status) noexcept {}

/// One English sentence for `code`, for log files and error messages. Never null.
inline const char *to_string(status code) noexcept {
  return tr_strerror(static_cast<tr_status>(code));
}

/// Describes the last status::invalid of the calling thread: which argument of which function was
/// wrong. The text is valid until the thread's next one; "" if there was none.
inline const char *error_detail() noexcept { return tr_error_detail(); }

/// The version of the library that is loaded, as 0xMMmmpp; TR_VERSION is the version of the header.
inline std::uint32_t version() noexcept { return tr_version(); }

// What does not depend on TASKREG_OPTIONS: the same in all files of a program.
namespace common {

/// How many objects of this_task::heartbeat_pause the calling thread has.
inline thread_local unsigned heartbeat_pauses = 0;

class category_type final : public std::error_category {
 public:
  const char *name() const noexcept override { return "taskreg"; }
  std::string message(int code) const override { return tr_strerror(static_cast<tr_status>(code)); }
  std::error_condition default_error_condition(int code) const noexcept override {
    switch (static_cast<status>(code)) {
      case status::invalid: return std::errc::invalid_argument;
      case status::nomem: return std::errc::not_enough_memory;
      case status::again: return std::errc::resource_unavailable_try_again;
      case status::timed_out:
      case status::deadline: return std::errc::timed_out;
      case status::cancelled: return std::errc::operation_canceled;
      case status::deadlock: return std::errc::resource_deadlock_would_occur;
      default: return {code, *this};
    }
  }
};

} // namespace common

/// The std::error_category of a status. A code compares equal to the std::errc of the same meaning:
/// `error.code() == std::errc::timed_out`.
inline const std::error_category &category() noexcept {
  static const common::category_type only;
  return only;
}

/// A status as a std::error_code.
inline std::error_code make_error_code(status code) noexcept {
  return {static_cast<int>(code), category()};
}

/// A status as an exception. what() names the call and says why it failed.
class error : public std::system_error {
 public:
  /// `errno_value`: see system_errno().
  error(taskreg::status code, const std::string &what, int errno_value)
      : std::system_error(make_error_code(code), what), why(code), number(errno_value) {}
  /// The status.
  taskreg::status status() const noexcept { return why; }
  /// The errno of the system call that failed, if the call that has thrown sets it: spawn and
  /// detach for status::again and status::system, systemd_notifier for status::system. Otherwise 0.
  int system_errno() const noexcept { return number; }

 private:
  taskreg::status why;
  int number;
};

/// Thrown by task::get() if the thread left the body by pthread_exit(3) or was cancelled by
/// pthread_cancel(3).
class exited : public std::exception {
 public:
  const char *what() const noexcept override {
    return "the task left its body by pthread_exit or pthread_cancel";
  }
};

// ---- Timeouts ------------------------------------------------------------------------------

/// The type of `forever`.
struct forever_t {
  explicit constexpr forever_t() = default;
};
/// A timeout that never passes: `task.wait(taskreg::forever)`.
inline constexpr forever_t forever{};

namespace common {

/// The duration in nanoseconds, rounded up, or the nearest number that fits. NaN becomes 0.
template <class Rep, class Period>
constexpr std::int64_t saturated(const std::chrono::duration<Rep, Period> &duration) noexcept {
  using ratio = std::ratio_divide<Period, std::nano>;
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min();
  if constexpr (std::is_integral_v<Rep> && sizeof(Rep) <= sizeof(std::int64_t) && ratio::den == 1) {
    const Rep count = duration.count();
    if constexpr (std::is_signed_v<Rep>) {
      if (static_cast<std::int64_t>(count) < least / ratio::num) return least;
      if (static_cast<std::int64_t>(count) > most / ratio::num) return most;
    } else {
      if (static_cast<std::uint64_t>(count) > static_cast<std::uint64_t>(most / ratio::num))
        return most;
    }
    return static_cast<std::int64_t>(count) * ratio::num;
  } else {
    const long double exact = static_cast<long double>(duration.count()) *
                              (static_cast<long double>(ratio::num) / ratio::den);
    if (exact >= 9.2e18L) return most;
    if (exact <= -9.2e18L) return least;
    if (!(exact < 0) && !(exact >= 0)) return 0; // NaN
    const auto down = static_cast<std::int64_t>(exact);
    return static_cast<long double>(down) < exact ? down + 1 : down;
  }
}

} // namespace common

/// How long a call may wait. It is made from
/// - any std::chrono::duration, which is counted from the call; a negative one has passed already,
///   and one that is too long is 292 years;
/// - a time point of any clock: the time that remains until then when the timeout is made. To set a
///   wall clock afterwards has no effect;
/// - `forever`.
///
/// Fractions of a nanosecond are rounded up. A number without a unit does not compile.
class timeout {
 public:
  constexpr timeout(forever_t) noexcept : nanoseconds_(TR_FOREVER) {}
  template <class Rep, class Period>
  constexpr timeout(const std::chrono::duration<Rep, Period> &duration) noexcept
      : nanoseconds_(common::saturated(duration)) {
    if (nanoseconds_ < 0) nanoseconds_ = 0; // must not become TR_FOREVER
  }
  template <class Clock, class Duration>
  timeout(const std::chrono::time_point<Clock, Duration> &deadline) noexcept {
    const std::int64_t end = common::saturated(deadline.time_since_epoch());
    const std::int64_t now = common::saturated(Clock::now().time_since_epoch());
    if (end <= now) return;
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    const std::uint64_t left = static_cast<std::uint64_t>(end) - static_cast<std::uint64_t>(now);
    nanoseconds_ = static_cast<std::int64_t>(left < most ? left : most);
  }

  /// The number for the C functions: nanoseconds, 0 or more, or TR_FOREVER.
  constexpr std::int64_t count() const noexcept { return nanoseconds_; }
  /// Whether it never passes.
  constexpr bool is_forever() const noexcept { return nanoseconds_ == TR_FOREVER; }

 private:
  std::int64_t nanoseconds_ = 0;
};

/// A length of time in the options: made from any std::chrono duration, which is rounded up to
/// nanoseconds and, if it does not fit, becomes the nearest that does. Unlike a timeout it keeps a
/// negative one, which is invalid, or means something of its own, where it is used.
class interval {
 public:
  /// No time, which stands for the default.
  constexpr interval() noexcept = default;
  template <class Rep, class Period>
  constexpr interval(const std::chrono::duration<Rep, Period> &duration) noexcept
      : nanoseconds_(common::saturated(duration)) {}
  /// The number for the C functions, in nanoseconds.
  constexpr std::int64_t count() const noexcept { return nanoseconds_; }

 private:
  std::int64_t nanoseconds_ = 0;
};

// ---- Inside --------------------------------------------------------------------------------

inline namespace TASKREG_OPTIONS {

namespace detail {

/// A structure of the C interface, with every field at its default.
template <class Structure>
Structure sized() noexcept {
  Structure made{};
  made.size = static_cast<std::uint32_t>(sizeof made);
  return made;
}

constexpr status to_status(tr_status code) noexcept { return static_cast<status>(code); }

/// What is left now of a timeout that began at `start`.
inline timeout remaining(timeout most, std::chrono::steady_clock::time_point start) noexcept {
  if (most.is_forever()) return most;
  const std::int64_t gone = common::saturated(std::chrono::steady_clock::now() - start);
  return std::chrono::nanoseconds(most.count() - (gone < most.count() ? gone : most.count()));
}

/// Throws the exception for `code`, or ends the program where there are no exceptions. `has_errno`:
/// after status::again and status::system, `call` has set errno.
[[noreturn]] inline void raise(status code, const char *call, bool has_errno = false) {
#if TASKREG_HAS_EXCEPTIONS
  const int number = has_errno && (code == status::system || code == status::again) ? errno : 0;
  if (code == status::nomem) throw std::bad_alloc();
  const char *detail = code == status::invalid ? tr_error_detail() : "";
  std::string what = *detail != '\0' ? detail : call;
  if (number != 0) what += ": " + std::generic_category().message(number);
  throw error(code, what, number);
#else
  (void)code, (void)call, (void)has_errno;
  std::terminate();
#endif
}

/// Throws for a call that returned no token: errno says why.
[[noreturn]] inline void raise_for_token(const char *call) {
  switch (errno) {
    case EINVAL: raise(status::invalid, call);
    case EAGAIN: raise(status::again, call);
    case EPERM: raise(status::forked, call);
    default: raise(status::nomem, call);
  }
}

inline void require(status code, const char *call, bool has_errno = false) {
  if (code != status::ok) raise(code, call, has_errno);
}

inline void require(tr_status code, const char *call, bool has_errno = false) {
  require(to_status(code), call, has_errno);
}

/// A counted reference to an object of the library.
template <class Object, Object *(*Retain)(Object *), void (*Release)(Object *)>
class handle {
 public:
  constexpr handle(std::nullptr_t) noexcept : object(nullptr) {}
  handle(const handle &other) noexcept : object(Retain(other.object)) {}
  handle(handle &&other) noexcept : object(std::exchange(other.object, nullptr)) {}
  handle &operator=(const handle &other) noexcept {
    Object *old = std::exchange(object, Retain(other.object));
    Release(old);
    return *this;
  }
  handle &operator=(handle &&other) noexcept {
    if (this != &other) Release(std::exchange(object, std::exchange(other.object, nullptr)));
    return *this;
  }
  ~handle() {
    if (object != nullptr) Release(object);
  }

  /// The object for the C functions, borrowed; null if the handle is empty.
  Object *get() const noexcept { return object; }
  /// Gives the reference to the caller, who releases it by the C function; the handle is empty
  /// afterwards.
  Object *release() noexcept { return std::exchange(object, nullptr); }
  /// Whether the handle refers to an object.
  explicit operator bool() const noexcept { return object != nullptr; }

  friend bool operator==(const handle &a, const handle &b) noexcept { return a.object == b.object; }
  friend bool operator!=(const handle &a, const handle &b) noexcept { return a.object != b.object; }

 protected:
  Object *object;
};

/// The text that `write`, a function of the library, writes into a buffer. It may be longer the
/// next time that it is written.
template <class Write>
status written(std::string &text, Write write) {
  for (std::size_t length = 0;;) {
    text.resize(length);
    // The last byte is for the NUL, which a std::string has room for.
    const status code =
        to_status(length == 0 ? write(nullptr, 0, &length) : write(&text[0], length + 1, &length));
    if (code == status::ok && length <= text.size()) {
      text.resize(length);
      return code;
    }
    if (code != status::ok && code != status::truncated) {
      text.clear();
      return code;
    }
  }
}

/// The string that a function copies by the rules of snprintf.
template <class Copy>
std::string copied(Copy copy) {
  std::string text(copy(nullptr, std::size_t{0}), '\0');
  // The second call cannot find a longer text: names never change, and a message is set once.
  if (!text.empty()) copy(&text[0], text.size() + 1);
  return text;
}

} // namespace detail

/// A string argument: a C string, a std::string, or a std::string_view. Of a view, as much is
/// copied as the library keeps: 255 bytes, cut at a character. The object lives as long as the call
/// that it is an argument of.
class text {
 public:
  text(const char *string) noexcept : pointer(string) {}
  text(std::nullptr_t) noexcept : pointer(nullptr) {}
  text(const std::string &string) noexcept : pointer(string.c_str()) {}
  text(std::string_view view) noexcept : pointer(copy) {
    std::size_t length = view.size();
    if (length > sizeof copy - 1) {
      length = sizeof copy - 1;
      while (length > 0 && (static_cast<unsigned char>(view[length]) & 0xC0u) == 0x80u) length--;
    }
    if (length != 0) std::memcpy(copy, view.data(), length);
    copy[length] = '\0';
  }
  text(const text &) = delete;
  text &operator=(const text &) = delete;
  /// The C string; null if made from nullptr.
  const char *c_str() const noexcept { return pointer; }

 private:
  const char *pointer;
  char copy[256];
};

// ---- Tokens --------------------------------------------------------------------------------

/// Why a token was cancelled. Any other number may be converted to it, and is kept.
enum class reason : std::uint32_t {
  none = TR_REASON_NONE,
  user_requested = TR_REASON_USER_REQUESTED,
  rpc_requested = TR_REASON_RPC_REQUESTED,
  reload_requested = TR_REASON_RELOAD_REQUESTED,
  requested_by_run = TR_REASON_REQUESTED_BY_RUN,
  fatal = TR_REASON_FATAL,
  deadline = TR_REASON_DEADLINE
};

/// How urgently a task was asked to stop. It only rises.
enum class stop_level : std::uint32_t {
  none = TR_STOP_NONE,
  drain = TR_STOP_DRAIN, ///< take nothing new, and finish what is under way: what a cancel asks for
  abort = TR_STOP_ABORT  ///< drop what is under way, now
};

/// The name of the reason in lower case: "user-requested". Never null.
inline const char *to_string(reason why) noexcept {
  return tr_reason_name(static_cast<tr_reason>(why));
}

/// Whether a stop for this reason counts as a success: it does, except for reason::fatal.
inline bool is_graceful(reason why) noexcept {
  return tr_reason_is_graceful(static_cast<tr_reason>(why)) != 0;
}

/// A one-shot cancellation with a reason and a message. Tokens form a tree: cancelling one cancels
/// its children as well. A counted handle; copies refer to the same token.
class token : public detail::handle<tr_token, tr_token_retain, tr_token_release> {
  using base = detail::handle<tr_token, tr_token_retain, tr_token_release>;

 public:
  /// Makes a token without a parent. Throws std::bad_alloc, or taskreg::error with forked.
  token() : base(nullptr) {
    object = tr_token_create();
    if (object == nullptr) detail::raise_for_token("tr_token_create");
  }
  /// An empty handle.
  constexpr token(std::nullptr_t) noexcept : base(nullptr) {}
  /// Takes over a reference of the caller's.
  static token adopt(tr_token *raw) noexcept { return token(raw, nullptr); }
  /// Adds a reference to a borrowed token.
  static token share(tr_token *raw) noexcept { return token(tr_token_retain(raw), nullptr); }

  /// Makes a token without a parent that is cancelled when `after` has passed, with
  /// reason::deadline. Throws std::bad_alloc; taskreg::error with again if the system refuses the
  /// timer thread.
  static token with_timeout(timeout after) {
    token made = adopt(tr_token_create_with_timeout(after.count()));
    if (!made) detail::raise_for_token("tr_token_create_with_timeout");
    return made;
  }

  /// Makes a child token. It is cancelled when this token is, or by itself, or when `after` has
  /// passed (with reason::deadline). If there is no memory (ENOMEM) or the system refuses the timer
  /// thread (EAGAIN), the handle is empty, and errno says so.
  token try_child(timeout after = forever) const noexcept {
    return adopt(tr_token_child_with_timeout(object, after.count()));
  }
  /// As try_child, but throws std::bad_alloc, or taskreg::error with again, or with invalid if this
  /// handle is empty.
  token child(timeout after = forever) const {
    token made = try_child(after);
    if (!made) detail::raise_for_token("tr_token_child_with_timeout");
    return made;
  }

  /// Cancels the token. When it returns, the flags of everything below the token are raised, and
  /// the callbacks have run, on this thread. `message` is copied. Returns true for the first call,
  /// whose reason and message are kept. Does not wait for tasks.
  bool cancel(reason why = reason::none, const text &message = nullptr) const noexcept {
    return tr_token_cancel(object, static_cast<tr_reason>(why), message.c_str()) != 0;
  }
  /// Cancels the token and tells the tasks that were asked so far to abort: those of phase 0, and
  /// of later phases that a shutdown has reached. Returns whether this call was the first that
  /// aborts.
  bool abort(reason why = reason::none, const text &message = nullptr) const noexcept {
    return tr_token_abort(object, static_cast<tr_reason>(why), message.c_str()) != 0;
  }
  /// How urgently a stop was requested. The check is one atomic load.
  taskreg::stop_level stop_level() const noexcept {
    return static_cast<taskreg::stop_level>(tr_token_stop_level(object));
  }
  /// Whether it is cancelled. The check is one atomic load.
  bool cancelled() const noexcept { return tr_token_is_cancelled(object) != 0; }
  /// The same, under the name that std::stop_token has for it.
  bool stop_requested() const noexcept { return cancelled(); }
  /// The reason of its cancellation; reason::none before.
  taskreg::reason reason() const noexcept {
    return static_cast<taskreg::reason>(tr_token_reason(object));
  }
  /// The message of its cancellation; "" before. May throw std::bad_alloc.
  std::string message() const {
    return detail::copied(
        [this](char *buffer, std::size_t size) { return tr_token_message(object, buffer, size); });
  }
  /// Waits until it is cancelled. Returns ok, timed_out, cancelled, invalid. Blocks.
  status wait(timeout most = forever) const noexcept {
    return detail::to_status(tr_token_wait(object, most.count()));
  }
  /// Stores a descriptor that is readable once the token is cancelled. It belongs to the token: do
  /// not read or close it. Returns ok, invalid, nomem, system with errno.
  status fd(int &descriptor) const noexcept {
    return detail::to_status(tr_token_fd(object, &descriptor));
  }
  /// The same for the moment at which the token is aborted; it is another descriptor.
  status abort_fd(int &descriptor) const noexcept {
    return detail::to_status(tr_token_abort_fd(object, &descriptor));
  }

 private:
  token(tr_token *raw, std::nullptr_t) noexcept : base(nullptr) { object = raw; }
};

namespace detail {
/// Waits for one of the tokens; see wait_any.
inline status wait_any(const token *tokens, std::size_t count, std::size_t *index,
                       timeout most) noexcept {
  tr_token *raw[TR_TOKENS_MOST];
  if (count > TR_TOKENS_MOST) return status::invalid;
  for (std::size_t i = 0; i < count; i++) raw[i] = tokens[i].get();
  return to_status(tr_token_wait_any(raw, count, most.count(), index));
}
} // namespace detail

/// Waits until one of the tokens is cancelled, and stores which: `wait_any({stop, reload}, which)`.
/// There may be TR_TOKENS_MOST. Returns ok, timed_out, cancelled; invalid if there is none, there
/// are too many, or a handle is empty. Blocks.
inline status wait_any(std::initializer_list<token> tokens, std::size_t &index,
                       timeout most = forever) noexcept {
  return detail::wait_any(tokens.begin(), tokens.size(), &index, most);
}
inline status wait_any(const std::vector<token> &tokens, std::size_t &index,
                       timeout most = forever) noexcept {
  return detail::wait_any(tokens.data(), tokens.size(), &index, most);
}

/// Asks the thread of the signal_watch to cancel `which` soon. It is the only function here that a
/// signal handler may call. Returns ok; invalid without a watch.
inline status request_shutdown(const token &which, reason why) noexcept {
  return detail::to_status(tr_request_shutdown(which.get(), static_cast<tr_reason>(why)));
}

// ---- Tasks ---------------------------------------------------------------------------------

/// What a task is for. The application's own kinds are numbers from kind::application on:
/// `kind{0x101}`.
enum class kind : std::uint32_t {
  background_loop = TR_KIND_BACKGROUND_LOOP,
  peer_connection = TR_KIND_PEER_CONNECTION,
  rpc_handler = TR_KIND_RPC_HANDLER,
  maintenance = TR_KIND_MAINTENANCE,
  application = TR_KIND_APPLICATION
};

/// The name of the kind in lower case: "peer-connection". Never null.
inline const char *to_string(kind what) noexcept {
  return tr_kind_name(static_cast<tr_kind>(what));
}

/// Gives a kind of the application's own a name, in the whole process, which reports, lists and
/// to_string show from then on. A second name replaces the first. Of the name 63 bytes are kept,
/// and each different one until the process ends. Returns ok; invalid, also for a kind below
/// kind::application; limit if 64 other kinds have names; nomem.
inline status set_name(kind of, const text &name) noexcept {
  return detail::to_status(tr_kind_set_name(static_cast<tr_kind>(of), name.c_str()));
}

/// How a task ended.
enum class ended : std::uint32_t {
  returned = TR_ENDED_RETURNED, ///< its body returned; if an exit_code, then 0
  failed = TR_ENDED_FAILED,     ///< its body threw, or returned an exit_code other than 0
  exited = TR_ENDED_EXITED      ///< its thread left the body: pthread_exit or pthread_cancel
};

/// The name of how a task ended, in lower case: "failed". Never null.
inline const char *to_string(ended how) noexcept {
  return tr_ended_name(static_cast<std::uint32_t>(how));
}

/// The outcome of a task.
struct outcome : tr_outcome {
  outcome() noexcept : tr_outcome(detail::sized<tr_outcome>()) {}
  /// How it ended.
  ended ending() const noexcept { return static_cast<ended>(how); }
  /// Whether it returned.
  bool ok() const noexcept { return how == TR_ENDED_RETURNED; }
};

/// Returned by a body that ends with a code, as a body in C does: 0 is success, any other number is
/// a failure. (An int that a body returns is a result like any other.)
struct exit_code {
  int value = 0;
};

/// The code in the outcome of a task whose body threw an exception.
inline constexpr int exception_code = -1;

/// A counted handle of any task. The task runs whether or not it has handles.
class task_ref : public detail::handle<tr_task, tr_task_retain, tr_task_release> {
  using base = detail::handle<tr_task, tr_task_retain, tr_task_release>;

 public:
  /// An empty handle.
  constexpr task_ref(std::nullptr_t = nullptr) noexcept : base(nullptr) {}
  /// Takes over a reference of the caller's.
  static task_ref adopt(tr_task *raw) noexcept { return task_ref(raw, 0); }
  /// Adds a reference to a borrowed task.
  static task_ref share(tr_task *raw) noexcept { return task_ref(tr_task_retain(raw), 0); }

  /// The id, which is unique in the process and is never reused; 0 if the handle is empty.
  std::uint64_t id() const noexcept { return tr_task_id(object); }
  /// The name. May throw std::bad_alloc.
  std::string name() const {
    return detail::copied(
        [this](char *buffer, std::size_t size) { return tr_task_name(object, buffer, size); });
  }
  /// The kind.
  taskreg::kind kind() const noexcept { return static_cast<taskreg::kind>(tr_task_kind(object)); }
  /// The phase of a shutdown in which it is asked to stop; 0 if the handle is empty.
  std::uint32_t phase() const noexcept { return tr_task_phase(object); }
  /// The pointer that the task has attached by context::set_data; null if it has attached none.
  void *data() const noexcept { return tr_task_data(object); }
  /// Asks the task to stop: raises its flag, and ends the wait of the library that it is in. Its
  /// callbacks run on this thread. Returns ok, also if the task has ended; invalid if the handle is
  /// empty.
  status cancel() const noexcept { return detail::to_status(tr_task_cancel(object)); }
  /// Tells the task to abort, also while it drains. Its callbacks run on this thread. Returns as
  /// cancel does.
  status abort() const noexcept { return detail::to_status(tr_task_abort(object)); }
  /// How urgently it was asked to stop: one atomic load.
  taskreg::stop_level stop_level() const noexcept {
    return static_cast<taskreg::stop_level>(tr_task_stop_level(object));
  }
  /// The same, under the name that std::jthread has for it. Returns false if the handle is empty.
  bool request_stop() const noexcept { return cancel() == status::ok; }
  /// Whether it was asked to stop. The check is one atomic load.
  bool cancelled() const noexcept { return tr_task_is_cancelled(object) != 0; }
  /// The same, under the name that std::stop_token has for it.
  bool stop_requested() const noexcept { return cancelled(); }
  /// Waits until the task has ended; by then the captures of its body have been destroyed. Several
  /// threads may wait. Returns ok, timed_out, cancelled, invalid; deadlock if the task calls it for
  /// itself, or if it waits for the calling task and neither wait has a limit. Blocks.
  status wait(timeout most = forever) const noexcept {
    return detail::to_status(tr_task_wait(object, most.count(), nullptr));
  }
  /// As wait; if it returns ok, it also stores how the task ended.
  status wait(timeout most, outcome &how) const noexcept {
    return detail::to_status(tr_task_wait(object, most.count(), &how));
  }
  /// Stores a descriptor that is readable once the task is asked to stop. It belongs to the task:
  /// do not read or close it. Returns ok, invalid, nomem, system with errno.
  status fd(int &descriptor) const noexcept {
    return detail::to_status(tr_task_fd(object, &descriptor));
  }
  /// The same for the moment at which the task is told to abort; it is another descriptor.
  status abort_fd(int &descriptor) const noexcept {
    return detail::to_status(tr_task_abort_fd(object, &descriptor));
  }

 protected:
  task_ref(tr_task *raw, int) noexcept : base(nullptr) { object = raw; }
};

/// The task of a body, for the body itself: a body may have a first parameter of this type. Valid
/// while the body runs.
class context {
 public:
  explicit context(tr_task *task) noexcept : own(task) {}
  /// The task for the C functions, borrowed.
  tr_task *get() const noexcept { return own; }
  /// A handle of the task, which may outlive the body.
  task_ref task() const noexcept { return task_ref::share(own); }
  /// The id.
  std::uint64_t id() const noexcept { return tr_task_id(own); }
  /// Whether the task was asked to stop. The check is one atomic load.
  bool cancelled() const noexcept { return tr_task_is_cancelled(own) != 0; }
  /// The same, under the name that std::stop_token has for it.
  bool stop_requested() const noexcept { return cancelled(); }
  /// How urgently the task was asked to stop. The check is one atomic load.
  taskreg::stop_level stop_level() const noexcept {
    return static_cast<taskreg::stop_level>(tr_task_stop_level(own));
  }
  /// The address of the flag, for a loop in which a call would be too slow. The flag is the
  /// stop_level, as a number. Read it atomically: `__atomic_load_n(flag, __ATOMIC_ACQUIRE)`.
  const std::uint32_t *flag() const noexcept { return tr_task_cancel_flag(own); }
  /// Stores a descriptor that is readable once the task is asked to stop, for epoll(7) and others;
  /// see task_ref::fd. Returns ok, invalid, nomem, system with errno.
  status fd(int &descriptor) const noexcept {
    return detail::to_status(tr_task_fd(own, &descriptor));
  }
  /// The same for the moment at which the task is told to abort; it is another descriptor.
  status abort_fd(int &descriptor) const noexcept {
    return detail::to_status(tr_task_abort_fd(own, &descriptor));
  }
  /// Sets the message of the task's outcome; 127 bytes are kept. Returns ok; invalid if it is not
  /// UTF-8. The what() of an exception replaces it.
  status set_message(const text &message) const noexcept {
    return detail::to_status(tr_task_set_message(own, message.c_str()));
  }
  /// The same for text whose encoding is not known, such as that of std::strerror: each byte that
  /// is not UTF-8 becomes U+FFFD. Returns ok.
  status set_message_lossy(const text &message) const noexcept {
    return detail::to_status(tr_task_set_message_lossy(own, message.c_str()));
  }
  /// The phase of a shutdown in which it is asked to stop.
  std::uint32_t phase() const noexcept { return tr_task_phase(own); }
  /// Attaches a pointer of the program's to the task, for code that gets the task alone. Everyone
  /// who has a handle reads it by data(), also after the end of the task. Returns ok.
  status set_data(void *data) const noexcept {
    return detail::to_status(tr_task_set_data(own, data));
  }
  /// The pointer; null if none was attached.
  void *data() const noexcept { return tr_task_data(own); }

 private:
  tr_task *own;
};

// ---- Callbacks -----------------------------------------------------------------------------

/// Says that a cancel_callback is for the moment at which the token is aborted, or the task is told
/// to abort.
struct at_abort_t {
  explicit at_abort_t() = default;
};
inline constexpr at_abort_t at_abort{};

/// Calls a function when a token or a task is cancelled, as std::stop_callback does for a
/// std::stop_token. The function is called at most once, on the thread that cancels, while no lock
/// is held. If the token or the task is already cancelled, the constructor calls it. (While another
/// thread is in the middle of cancelling, cancelled() is already true, and that thread calls the
/// function.) The destructor waits until a call on another thread has returned; after it the
/// function is not running and will not be called. The destructor does not wait if the function
/// itself calls it.
///
/// The function is stored in this object, which cannot be moved; no memory is allocated for it
/// here. An exception that leaves the function ends the program by std::terminate.
template <class Function>
class cancel_callback {
  static_assert(std::is_invocable_v<Function>, "a cancel callback is called without arguments");

 public:
  /// Throws std::bad_alloc; taskreg::error with status::invalid if the handle is empty.
  template <class From, class = std::enable_if_t<std::is_constructible_v<Function, From>>>
  cancel_callback(const token &of, From &&from) : function(std::forward<From>(from)) {
    attach(tr_token_on_cancel(of.get(), run, this, nullptr, &registration), "tr_token_on_cancel");
  }
  template <class From, class = std::enable_if_t<std::is_constructible_v<Function, From>>>
  cancel_callback(const task_ref &of, From &&from) : function(std::forward<From>(from)) {
    attach(tr_task_on_cancel(of.get(), run, this, nullptr, &registration), "tr_task_on_cancel");
  }
  template <class From, class = std::enable_if_t<std::is_constructible_v<Function, From>>>
  cancel_callback(context of, From &&from) : function(std::forward<From>(from)) {
    attach(tr_task_on_cancel(of.get(), run, this, nullptr, &registration), "tr_task_on_cancel");
  }
  /// The same for the moment of an abort: `cancel_callback callback(at_abort, token, function)`.
  template <class From, class = std::enable_if_t<std::is_constructible_v<Function, From>>>
  cancel_callback(at_abort_t, const token &of, From &&from) : function(std::forward<From>(from)) {
    attach(tr_token_on_abort(of.get(), run, this, nullptr, &registration), "tr_token_on_abort");
  }
  template <class From, class = std::enable_if_t<std::is_constructible_v<Function, From>>>
  cancel_callback(at_abort_t, const task_ref &of, From &&from)
      : function(std::forward<From>(from)) {
    attach(tr_task_on_abort(of.get(), run, this, nullptr, &registration), "tr_task_on_abort");
  }
  template <class From, class = std::enable_if_t<std::is_constructible_v<Function, From>>>
  cancel_callback(at_abort_t, context of, From &&from) : function(std::forward<From>(from)) {
    attach(tr_task_on_abort(of.get(), run, this, nullptr, &registration), "tr_task_on_abort");
  }
  cancel_callback(const cancel_callback &) = delete;
  cancel_callback &operator=(const cancel_callback &) = delete;
  ~cancel_callback() { tr_registration_remove(registration); }

 private:
  static void run(void *self) {
    std::invoke(std::forward<Function>(static_cast<cancel_callback *>(self)->function));
  }
  static void attach(tr_status code, const char *call) {
    if (code != TR_OK && code != TR_ERR_CANCELLED) detail::raise(detail::to_status(code), call);
  }

  Function function;
  tr_registration *registration = nullptr;
};

template <class Function>
cancel_callback(const token &, Function) -> cancel_callback<Function>;
template <class Function>
cancel_callback(const task_ref &, Function) -> cancel_callback<Function>;
template <class Function>
cancel_callback(context, Function) -> cancel_callback<Function>;
template <class Function>
cancel_callback(at_abort_t, const token &, Function) -> cancel_callback<Function>;
template <class Function>
cancel_callback(at_abort_t, const task_ref &, Function) -> cancel_callback<Function>;
template <class Function>
cancel_callback(at_abort_t, context, Function) -> cancel_callback<Function>;

/// Calls a function when a task has ended, in whatever way: its outcome can be read, and it is in
/// no list. The function is called at most once, on the thread that ran the task, inside no task
/// and while no lock is held. If the task has ended already, the constructor calls it. A wait for
/// the task may return before; a shutdown of the root registry that returned ok has waited for it.
/// The destructor waits until a call on another thread has returned; after it the function is not
/// running and will not be called. The destructor does not wait if the function itself calls it.
///
/// The function is stored in this object, as in a cancel_callback. An exception that leaves it ends
/// the program by std::terminate.
template <class Function>
class end_callback {
  static_assert(std::is_invocable_v<Function>, "an end callback is called without arguments");

 public:
  /// Throws std::bad_alloc; taskreg::error with status::invalid if the handle is empty.
  template <class From, class = std::enable_if_t<std::is_constructible_v<Function, From>>>
  end_callback(const task_ref &of, From &&from) : function(std::forward<From>(from)) {
    detail::require(tr_task_on_end(of.get(), run, this, nullptr, &registration), "tr_task_on_end");
  }
  end_callback(const end_callback &) = delete;
  end_callback &operator=(const end_callback &) = delete;
  ~end_callback() { tr_registration_remove(registration); }

 private:
  static void run(void *self) {
    std::invoke(std::forward<Function>(static_cast<end_callback *>(self)->function));
  }

  Function function;
  tr_registration *registration = nullptr;
};

template <class Function>
end_callback(const task_ref &, Function) -> end_callback<Function>;

#if TASKREG_HAS_STOP_TOKEN

/// A std::stop_source whose stop is requested when a token or a task is cancelled, for code that
/// takes a std::stop_token. It is connected for as long as it lives; a stop_token that outlives it
/// no longer changes. A body whose first parameter is a std::stop_token gets one of its own, and
/// does not need this class. C++20.
class linked_stop_source {
 public:
  /// Throws std::bad_alloc; taskreg::error with status::invalid if the handle is empty.
  explicit linked_stop_source(const token &of) : link(of, request{source}) {}
  explicit linked_stop_source(const task_ref &of) : link(of, request{source}) {}
  explicit linked_stop_source(context of) : link(of, request{source}) {}
  /// The stop is requested when the token is aborted, or the task is told to abort.
  linked_stop_source(at_abort_t, const token &of) : link(at_abort, of, request{source}) {}
  linked_stop_source(at_abort_t, const task_ref &of) : link(at_abort, of, request{source}) {}
  linked_stop_source(at_abort_t, context of) : link(at_abort, of, request{source}) {}
  /// A std::stop_token of it.
  std::stop_token get_token() const noexcept { return source.get_token(); }
  /// Whether the stop was requested.
  bool stop_requested() const noexcept { return source.stop_requested(); }

 private:
  struct request {
    std::stop_source source;
    void operator()() { source.request_stop(); }
  };
  std::stop_source source;
  cancel_callback<request> link; // last: it uses the source, and is destroyed first
};

/// Cancels a token when the stop of a std::stop_token is requested, on the thread that requests it,
/// or at once if it was requested before. It is connected for as long as it lives. C++20.
class cancel_on_stop {
  struct cancel {
    token which;
    reason why;
    void operator()() noexcept { which.cancel(why, "a std::stop_token was stopped"); }
  };
  std::stop_callback<cancel> link;

 public:
  cancel_on_stop(const std::stop_token &stop, const token &which,
                 reason why = reason::user_requested) noexcept
      : link(stop, cancel{which, why}) {}
};

#endif // TASKREG_HAS_STOP_TOKEN

// ---- Inside: the block of a spawned task -----------------------------------------------------

namespace detail {

enum class stage : std::uint8_t { running, value, thrown, left, taken };

template <class Result>
using stored = std::conditional_t<
    std::is_void_v<Result>, char,
    std::conditional_t<std::is_reference_v<Result>, std::remove_reference_t<Result> *,
                       std::remove_cv_t<Result>>>;

/// The result of a task, for its handle. The task and one handle share it; the last of the two
/// frees it.
template <class Result>
struct result_block {
  /// How many still use this: the task, until its drop, and the handle.
  std::atomic<unsigned> users{0};
  /// `running` until the body is over. The task writes it with release, the handle reads it with
  /// acquire.
  std::atomic<detail::stage> stage{stage::running};
  std::optional<stored<Result>> value;
  std::exception_ptr thrown;

  void (*destroy)(result_block *) noexcept = nullptr;

  void let_go() noexcept {
    // The last user does not need a read-modify-write: no other thread can add a user.
    if (users.load(std::memory_order_acquire) == 1 ||
        users.fetch_sub(1, std::memory_order_acq_rel) == 1)
      destroy(this);
  }

  /// Returns the value, moved out, or throws. The task has ended.
  Result take() {
    switch (stage.load(std::memory_order_acquire)) {
      case stage::value: break;
      case stage::thrown:
#if TASKREG_HAS_EXCEPTIONS
        std::rethrow_exception(thrown);
#else
        std::terminate();
#endif
      case stage::left:
#if TASKREG_HAS_EXCEPTIONS
        throw exited();
#else
        std::terminate();
#endif
      default: raise(status::invalid, "taskreg::task::get: the result was taken before");
    }
    if constexpr (!std::is_void_v<Result>) stage.store(stage::taken, std::memory_order_relaxed);
    if constexpr (std::is_reference_v<Result>)
      return static_cast<Result>(**value);
    else if constexpr (!std::is_void_v<Result>)
      return std::move(*value);
  }
};

template <class Decayed>
struct is_reference_wrapper : std::false_type {};
template <class Of>
struct is_reference_wrapper<std::reference_wrapper<Of>> : std::true_type {};

/// How a body is called: with the task's context, with a std::stop_token, or only with its
/// arguments; a member function gets the first two after its object.
enum class form { context, stop_token, plain, member_context, member_stop_token, none };

template <class Function, class Object, class... Rest>
constexpr form member_form_of() noexcept {
  if (!std::is_member_function_pointer_v<Function>) return form::none;
  if (std::is_invocable_v<Function, Object, context, Rest...>) return form::member_context;
#if TASKREG_HAS_STOP_TOKEN
  if (std::is_invocable_v<Function, Object, std::stop_token, Rest...>)
    return form::member_stop_token;
#endif
  return form::none;
}

template <class Function, class... Arguments>
constexpr form form_of() noexcept {
  if (std::is_invocable_v<Function, context, Arguments...>) return form::context;
#if TASKREG_HAS_STOP_TOKEN
  if (std::is_invocable_v<Function, std::stop_token, Arguments...>) return form::stop_token;
#endif
  if (std::is_invocable_v<Function, Arguments...>) return form::plain;
  if constexpr (sizeof...(Arguments) != 0) return member_form_of<Function, Arguments...>();
  return form::none;
}

struct nothing {};

template <form Form, class Function, class... Arguments>
struct result_of {
  using type = nothing; // form::none, which a static_assert rejects
};
template <class Function, class... Arguments>
struct result_of<form::context, Function, Arguments...>
    : std::invoke_result<Function, context, Arguments...> {};
#if TASKREG_HAS_STOP_TOKEN
template <class Function, class... Arguments>
struct result_of<form::stop_token, Function, Arguments...>
    : std::invoke_result<Function, std::stop_token, Arguments...> {};
#endif
template <class Function, class... Arguments>
struct result_of<form::plain, Function, Arguments...> : std::invoke_result<Function, Arguments...> {
};
template <class Function, class Object, class... Rest>
struct result_of<form::member_context, Function, Object, Rest...>
    : std::invoke_result<Function, Object, context, Rest...> {};
#if TASKREG_HAS_STOP_TOKEN
template <class Function, class Object, class... Rest>
struct result_of<form::member_stop_token, Function, Object, Rest...>
    : std::invoke_result<Function, Object, std::stop_token, Rest...> {};
#endif

template <class Function, class... Arguments>
using body_result =
    typename result_of<form_of<std::decay_t<Function>, std::decay_t<Arguments>...>(),
                       std::decay_t<Function>, std::decay_t<Arguments>...>::type;

template <class Result>
constexpr int code_of(const Result &result) noexcept {
  if constexpr (std::is_same_v<Result, exit_code>)
    return result.value;
  else
    return 0;
}

/// Sets the message of the task to the what() of an exception, in whatever encoding that is.
inline void set_exception_message(tr_task *self, const char *what) noexcept {
  if (what != nullptr) TR_IGNORE(tr_task_set_message_lossy(self, what));
}

/// The owner of a task that no scope owns.
struct no_owner {
  void threw(const std::exception_ptr &) const noexcept {}
  void ended(bool) const noexcept {}
};

/// A body with its arguments and its result, in one allocation, and the functions that the library
/// calls.
template <class Result, class Owner, class Function, class... Arguments>
struct block final : result_block<Result> {
  using callable = std::tuple<Function, Arguments...>;
  std::optional<callable> body; // destroyed by drop, on the task's thread
  Owner owner;

  template <class... From>
  explicit block(Owner who, From &&...from)
      : body(std::in_place, std::forward<From>(from)...), owner(who) {
    this->destroy = [](result_block<Result> *self) noexcept { delete static_cast<block *>(self); };
  }

  template <class... First>
  decltype(auto) call(First &&...first) {
    return std::apply(
        [&](Function &function, Arguments &...arguments) -> decltype(auto) {
          return std::invoke(std::move(function), std::forward<First>(first)...,
                             std::move(arguments)...);
        },
        *body);
  }

  /// Calls a member function of the first argument, with `second` before the others.
  template <class Second>
  decltype(auto) call_member(Second &&second) {
    return std::apply(
        [&](Function &function, auto &object, auto &...rest) -> decltype(auto) {
          return std::invoke(function, std::move(object), std::forward<Second>(second),
                             std::move(rest)...);
        },
        *body);
  }

  /// Keeps what `call` returns.
  template <class Call>
  int keep(Call call) {
    if constexpr (std::is_void_v<Result>) {
      call();
      this->stage.store(stage::value, std::memory_order_release);
      return 0;
    } else {
      if constexpr (std::is_reference_v<Result>)
        this->value.emplace(std::addressof(call()));
      else
        this->value.emplace(call());
      const int code = code_of(*this->value);
      this->stage.store(stage::value, std::memory_order_release);
      return code;
    }
  }

  int run(tr_task *self) {
    (void)self;
    constexpr form how = form_of<Function, Arguments...>();
    if constexpr (how == form::context)
      return keep([&]() -> decltype(auto) { return call(context(self)); });
    if constexpr (how == form::member_context)
      return keep([&]() -> decltype(auto) { return call_member(context(self)); });
#if TASKREG_HAS_STOP_TOKEN
    if constexpr (how == form::stop_token || how == form::member_stop_token) {
      const linked_stop_source source{context(self)};
      if constexpr (how == form::stop_token)
        return keep([&]() -> decltype(auto) { return call(source.get_token()); });
      else
        return keep([&]() -> decltype(auto) { return call_member(source.get_token()); });
    }
#endif
    if constexpr (how == form::plain) return keep([&]() -> decltype(auto) { return call(); });
  }

  int fail() noexcept {
    this->thrown = std::current_exception();
    owner.threw(this->thrown);
    this->stage.store(stage::thrown, std::memory_order_release);
    return exception_code;
  }

  static int enter(tr_task *self, void *ctx) {
    auto *own = static_cast<block *>(ctx);
    // Pairs with the release in spawn, for tools that do not see how the library passes the pointer
    // on.
    static_cast<void>(own->users.load(std::memory_order_acquire));
#if TASKREG_HAS_EXCEPTIONS
    try {
      return own->run(self);
    }
#if TASKREG_HAS_FORCED_UNWIND
    catch (const abi::__forced_unwind &) {
      throw; // pthread_exit or pthread_cancel: the unwinding goes on
    }
#endif
    catch (const std::exception &thrown) {
      set_exception_message(self, thrown.what());
      return own->fail();
    } catch (...) {
      set_exception_message(self, "an exception that is not a std::exception");
      return own->fail();
    }
#else
    return own->run(self);
#endif
  }

  static void drop(void *ctx) {
    auto *own = static_cast<block *>(ctx);
    const bool left = own->stage.load(std::memory_order_relaxed) == stage::running;
    if (left) own->stage.store(stage::left, std::memory_order_release);
    own->body.reset();
    Owner owner = own->owner;
    own->let_go();
    owner.ended(left); // the task is alive: its scope waits for it
  }
};

template <class Function, class... Arguments>
constexpr void check_body() noexcept {
  static_assert(
      form_of<std::decay_t<Function>, std::decay_t<Arguments>...>() != form::none,
      "the body cannot be called with these arguments, nor with a taskreg::context or (in C++20) a "
      "std::stop_token before them (a member function: after its object); bodies get copies of "
      "their arguments, as those of std::thread do");
  using result = body_result<Function, Arguments...>;
  static_assert(!std::is_rvalue_reference_v<result>,
                "the body returns a reference to an object that no longer exists");
  static_assert(std::is_void_v<result> || std::is_lvalue_reference_v<result> ||
                    std::is_move_constructible_v<result>,
                "the result of the body cannot be moved to the caller of get()");
}

} // namespace detail

// ---- Tasks with a result -------------------------------------------------------------------

template <class Result>
class task;

namespace detail {
template <class Result>
task<Result> make_task(tr_task *raw, result_block<Result> *block) noexcept;
} // namespace detail

/// A task that was spawned, and its result. Like std::future it has one owner: it can be moved, but
/// not copied. Convert it to task_ref for a handle that can be copied. The end of this object does
/// not stop the task and does not wait for it: the task belongs to its registry.
template <class Result = void>
class task : public task_ref {
 public:
  /// An empty handle.
  constexpr task() noexcept : task_ref(nullptr) {}
  task(const task &) = delete;
  task &operator=(const task &) = delete;
  task(task &&other) noexcept
      : task_ref(std::move(other)), block(std::exchange(other.block, nullptr)) {}
  task &operator=(task &&other) noexcept {
    if (this == &other) return *this;
    let_go();
    task_ref::operator=(std::move(other));
    block = std::exchange(other.block, nullptr);
    return *this;
  }
  ~task() { let_go(); }

  /// Waits until the task has ended. Returns what its body returned, moved out, or rethrows what
  /// the body threw, or throws taskreg::exited. A value can be taken once, an exception any number
  /// of times. Throws taskreg::error with cancelled if the calling task was asked to stop first
  /// (this task may still be running), with deadlock if the task calls it for itself or waits for
  /// the calling task without a limit, and with invalid if the handle is empty or the value was
  /// taken before. Blocks.
  Result get() {
    detail::require(wait(), "taskreg::task::get");
    return block->take();
  }
  /// The result, once the body is over; null before, if the body has not returned, and once the
  /// value was taken. Does not wait, does not throw, and does not move the result, which is valid
  /// for as long as this object. For a task<void> only null or not null has a meaning.
  auto *result() noexcept {
    const bool has =
        block != nullptr && block->stage.load(std::memory_order_acquire) == detail::stage::value;
    if constexpr (std::is_reference_v<Result>)
      return has ? *block->value : nullptr;
    else if constexpr (std::is_void_v<Result>)
      return has ? static_cast<void *>(block) : nullptr;
    else
      return has ? std::addressof(*block->value) : nullptr;
  }
  /// The exception that the body threw, once the body is over; null before, and if it has not
  /// thrown. Does not wait.
  std::exception_ptr exception() const noexcept {
    const bool threw =
        block != nullptr && block->stage.load(std::memory_order_acquire) == detail::stage::thrown;
    return threw ? block->thrown : nullptr;
  }

 private:
  friend task detail::make_task<Result>(tr_task *, detail::result_block<Result> *) noexcept;
  task(tr_task *raw, detail::result_block<Result> *shared) noexcept
      : task_ref(raw, 0), block(shared) {}
  void let_go() noexcept {
    if (block != nullptr) block->let_go();
  }

  detail::result_block<Result> *block = nullptr;
};

namespace detail {
template <class Result>
task<Result> make_task(tr_task *raw, result_block<Result> *block) noexcept {
  return task<Result>(raw, block);
}
} // namespace detail

// ---- Spawning ------------------------------------------------------------------------------

/// Whether the end of a task cancels its registry's token.
enum class essential : std::uint32_t {
  no = 0,
  yes = TR_SPAWN_ESSENTIAL,                  ///< however it ends
  on_failure = TR_SPAWN_ESSENTIAL_ON_FAILURE ///< if it failed or exited
};

/// The options of a spawn. In C++20: `{.kind = taskreg::kind::maintenance, .phase = 1}`.
struct spawn_options {
  /// What the task is for.
  taskreg::kind kind = taskreg::kind::application;
  /// The phase of a shutdown in which the task is asked to stop: 0 (first, with the registry's
  /// token) to TR_PHASES - 1.
  std::uint32_t phase = 0;
  /// Whether it is a clean-up task: one of the registry's tasks may spawn it while the registry
  /// stops, and the token does not raise its flag.
  bool cleanup = false;
  /// Whether no join, no shutdown and no wait for all tasks waits for it; see TR_SPAWN_UNJOINED.
  /// In a scope, and with cleanup: status::invalid.
  bool unjoined = false;
  /// Whether it runs in a thread that has not run another body and will not run another.
  bool fresh_thread = false;
  /// Whether its end cancels the registry's token.
  taskreg::essential essential = taskreg::essential::no;
  /// The size of its stack in bytes; 0: the registry's. Any other value implies a fresh thread.
  std::uint64_t stack_size = 0;
  /// The signal that interrupts its system calls once it is asked to stop; 0: no signal. See
  /// install_cancel_signal.
  std::int32_t cancel_signal = 0;
  /// The heartbeat interval; 0: it has none; negative: status::invalid.
  interval heartbeat = {};
  /// What the kernel calls its thread, of which 15 bytes are kept, cut at a character; empty: its
  /// name. For names whose first 15 bytes are the same: "conn 127.0.0.1:".
  std::string thread_name = {};
  /// How long to wait for room where max_tasks tasks are alive; if there is none in that time, the
  /// spawn returns limit, and cancelled if the calling task is asked to stop meanwhile.
  timeout room_wait = std::chrono::nanoseconds::zero();
  /// How its thread is scheduled, which then runs nothing else: TR_SCHED_..., with a priority of 1
  /// to 99 for TR_SCHED_FIFO and TR_SCHED_RR; what is added to the nice value of the registry's
  /// threads; on which CPUs it may run, n in bit n % 64 of word n / 64, any if there are no words.
  /// What is out of range: status::invalid. What the system refuses: an event, and the body runs
  /// without it.
  std::uint32_t sched_policy = TR_SCHED_DEFAULT;
  std::uint32_t sched_priority = 0;
  std::int32_t nice_added = 0;
  std::vector<std::uint64_t> cpus = {};
};

namespace detail {

inline tr_spawn_options to_c(const spawn_options &from) noexcept {
  auto made = sized<tr_spawn_options>();
  made.flags = static_cast<std::uint32_t>(from.essential) | (from.cleanup ? TR_SPAWN_CLEANUP : 0u) |
               (from.fresh_thread ? TR_SPAWN_FRESH_THREAD : 0u) |
               (from.unjoined ? TR_SPAWN_UNJOINED : 0u);
  made.stack_size = from.stack_size;
  made.cancel_signal = from.cancel_signal;
  made.phase = from.phase;
  made.heartbeat_ns = from.heartbeat.count();
  made.thread_name = from.thread_name.empty() ? nullptr : from.thread_name.c_str();
  made.room_wait_ns = from.room_wait.count();
  made.sched_policy = from.sched_policy;
  made.sched_priority = from.sched_priority;
  made.nice_added = from.nice_added;
  made.cpus = from.cpus.empty() ? nullptr : from.cpus.data();
  made.cpu_words = static_cast<std::uint32_t>(from.cpus.size());
  return made;
}

template <class Owner, class Function, class... Arguments>
using block_of = block<body_result<Function, Arguments...>, Owner, std::decay_t<Function>,
                       std::decay_t<Arguments>...>;

/// Spawns a task with a handle, and stores the status in `code`. The owner is not called if the
/// spawn fails.
template <class Owner, class Function, class... Arguments>
task<body_result<Function, Arguments...>> spawn(tr_registry *registry, const text &name,
                                                const spawn_options &options, Owner owner,
                                                status &code, Function &&function,
                                                Arguments &&...arguments) {
  check_body<Function, Arguments...>();
  using own_block = block_of<Owner, Function, Arguments...>;
  auto *made = new (std::nothrow)
      own_block(owner, std::forward<Function>(function), std::forward<Arguments>(arguments)...);
  code = status::nomem;
  if (made == nullptr) return {};
  made->users.store(2, std::memory_order_release);
  tr_spawn_options raw = to_c(options);
  raw.drop = own_block::drop;
  tr_task *handle = nullptr;
  code = to_status(tr_spawn_with(registry, name.c_str(), static_cast<tr_kind>(options.kind),
                                 own_block::enter, made, &raw, &handle));
  if (code == status::ok) return make_task<body_result<Function, Arguments...>>(handle, made);
  const int number = errno;
  delete made;
  errno = number;
  return {};
}

/// A body that fits into the pointer that the library passes to it: no memory is allocated for it.
template <class Function>
inline constexpr bool fits_in_pointer =
    sizeof(Function) <= sizeof(void *) && alignof(Function) <= alignof(void *) &&
    std::is_trivially_copyable_v<Function> && std::is_trivially_destructible_v<Function>;

template <class Function>
struct small {
  static int enter(tr_task *self, void *ctx) {
    alignas(void *) unsigned char room[sizeof(void *)];
    std::memcpy(room, &ctx, sizeof ctx);
    auto &function = *std::launder(reinterpret_cast<Function *>(room));
#if TASKREG_HAS_EXCEPTIONS
    try {
      return run(self, function);
    }
#if TASKREG_HAS_FORCED_UNWIND
    catch (const abi::__forced_unwind &) {
      throw;
    }
#endif
    catch (const std::exception &thrown) {
      set_exception_message(self, thrown.what());
      return exception_code;
    } catch (...) {
      set_exception_message(self, "an exception that is not a std::exception");
      return exception_code;
    }
#else
    return run(self, function);
#endif
  }

  template <class... First>
  static int call(Function &function, First &&...first) {
    if constexpr (std::is_void_v<decltype(std::invoke(std::move(function),
                                                      std::forward<First>(first)...))>) {
      std::invoke(std::move(function), std::forward<First>(first)...);
      return 0;
    } else {
      return code_of(std::invoke(std::move(function), std::forward<First>(first)...));
    }
  }

  static int run(tr_task *self, Function &function) {
    (void)self;
    constexpr form how = form_of<Function>();
    if constexpr (how == form::context) return call(function, context(self));
#if TASKREG_HAS_STOP_TOKEN
    if constexpr (how == form::stop_token) {
      const linked_stop_source source{context(self)};
      return call(function, source.get_token());
    }
#endif
    if constexpr (how == form::plain) return call(function);
  }
};

/// Spawns a task without a handle.
template <class Owner, class Function, class... Arguments>
status detach(tr_registry *registry, const text &name, const spawn_options &options,
              [[maybe_unused]] Owner owner, Function &&function, Arguments &&...arguments) {
  check_body<Function, Arguments...>();
  using result = body_result<Function, Arguments...>;
  static_assert(std::is_void_v<result> || std::is_same_v<result, exit_code> ||
                    std::is_same_v<result, nothing>,
                "the result of this body would be lost: use spawn, or return nothing");
  tr_spawn_options raw = to_c(options);
  const auto what = static_cast<tr_kind>(options.kind);
  if constexpr (sizeof...(Arguments) == 0 && std::is_same_v<Owner, no_owner> &&
                fits_in_pointer<std::decay_t<Function>>) {
    void *ctx = nullptr;
    std::decay_t<Function> copy(std::forward<Function>(function));
    std::memcpy(&ctx, static_cast<const void *>(std::addressof(copy)), sizeof copy);
    return to_status(tr_spawn_with(registry, name.c_str(), what,
                                   small<std::decay_t<Function>>::enter, ctx, &raw,
                                   nullptr));
  } else {
    using own_block = block_of<Owner, Function, Arguments...>;
    auto *made = new (std::nothrow)
        own_block(owner, std::forward<Function>(function), std::forward<Arguments>(arguments)...);
    if (made == nullptr) return status::nomem;
    made->users.store(1, std::memory_order_release);
    raw.drop = own_block::drop;
    const status code = to_status(
        tr_spawn_with(registry, name.c_str(), what, own_block::enter, made, &raw, nullptr));
    if (code == status::ok) return code;
    const int number = errno;
    delete made;
    errno = number;
    return code;
  }
}

template <class Type>
inline constexpr bool is_options = std::is_same_v<std::decay_t<Type>, spawn_options>;

} // namespace detail

// ---- Lists and reports ---------------------------------------------------------------------

/// How far a task has got. Its stage only advances.
enum class stage : std::uint32_t {
  starting = TR_STATE_STARTING,     ///< admitted; its thread has not entered the body yet
  running = TR_STATE_RUNNING,       ///< in its body
  cancelling = TR_STATE_CANCELLING, ///< in its body, asked to stop
  abandoned = TR_STATE_ABANDONED,   ///< still alive after a join's deadline
  ended = TR_STATE_ENDED            ///< ended; only a straggler in a join report shows this
};

/// The name of the stage in lower case. Never null.
inline const char *to_string(taskreg::stage reached) noexcept {
  return tr_state_name(static_cast<std::uint32_t>(reached));
}

/// One live task, as registry::snapshot lists it: the fields of tr_task_summary, and functions that
/// return them in types of C++.
struct task_summary : tr_task_summary {
  task_summary() noexcept : tr_task_summary(detail::sized<tr_task_summary>()) {}
  /// Its stage.
  taskreg::stage reached() const noexcept { return static_cast<taskreg::stage>(state); }
  /// Its kind.
  taskreg::kind purpose() const noexcept { return static_cast<taskreg::kind>(kind); }
  /// The time from its spawn until it was listed.
  std::chrono::nanoseconds age() const noexcept { return std::chrono::nanoseconds(age_ns); }
  /// When it was spawned, on CLOCK_MONOTONIC.
  std::chrono::steady_clock::time_point spawned_at() const noexcept {
    return std::chrono::steady_clock::time_point(
        std::chrono::duration_cast<std::chrono::steady_clock::duration>(
            std::chrono::nanoseconds(spawned_at_ns)));
  }
  /// Whether it was asked to stop.
  bool cancelled() const noexcept { return cancel_requested != 0; }
};
static_assert(sizeof(task_summary) == sizeof(tr_task_summary),
              "an array of one is an array of the other");

/// A task that was alive at the deadline; see tr_straggler. Its pointers are valid for as long as
/// the report.
struct straggler : tr_straggler {
  straggler() noexcept : tr_straggler(detail::sized<tr_straggler>()) {}
  /// The time from its spawn until it was examined.
  std::chrono::nanoseconds age() const noexcept { return std::chrono::nanoseconds(age_ns); }
  /// What it was found to be doing: "blocked", "spinning", ...
  const char *diagnosis_name() const noexcept { return tr_diagnosis_name(diagnosis); }
};

/// A task that has ended; see tr_ended_task.
struct ended_task : tr_ended_task {
  ended_task() noexcept : tr_ended_task(detail::sized<tr_ended_task>()) {}
  /// How it ended.
  ended ending() const noexcept { return static_cast<ended>(how); }
  /// The time from its spawn to its end.
  std::chrono::nanoseconds ran() const noexcept { return std::chrono::nanoseconds(ran_ns); }
};
static_assert(sizeof(ended_task) == sizeof(tr_ended_task),
              "an array of one is an array of the other");

/// A thread of the process that runs none of the tasks of a report; see tr_thread_report.
struct thread_report : tr_thread_report {
  thread_report() noexcept : tr_thread_report(detail::sized<tr_thread_report>()) {}
};
/// One phase of a shutdown; see tr_phase_report.
struct phase_report : tr_phase_report {
  phase_report() noexcept : tr_phase_report(detail::sized<tr_phase_report>()) {}
  /// The time it took.
  std::chrono::nanoseconds duration() const noexcept {
    return std::chrono::nanoseconds(duration_ns);
  }
};

/// Counters and durations of tasks; see tr_metrics.
struct metrics : tr_metrics {
  metrics() noexcept : tr_metrics(detail::sized<tr_metrics>()) {}
};

/// The format in which something is written.
enum class format : std::uint32_t {
  text = TR_FORMAT_TEXT,              ///< for people
  json = TR_FORMAT_JSON,              ///< one JSON object on one line
  openmetrics = TR_FORMAT_OPENMETRICS ///< only for registry::write_metrics
};

/// The full result of a join, a shutdown or an explain: see tr_report. It has copies of its data,
/// and does not refer to the registry or its tasks. It has one owner, and may be empty.
class report {
 public:
  /// An empty report.
  constexpr report() noexcept = default;
  /// Takes over a report of the C interface.
  static report adopt(tr_report *raw) noexcept {
    report made;
    made.object = raw;
    return made;
  }
  report(const report &) = delete;
  report &operator=(const report &) = delete;
  report(report &&other) noexcept : object(std::exchange(other.object, nullptr)) {}
  report &operator=(report &&other) noexcept {
    if (this != &other)
      tr_report_release(std::exchange(object, std::exchange(other.object, nullptr)));
    return *this;
  }
  ~report() { tr_report_release(object); }

  /// Whether it is not empty.
  explicit operator bool() const noexcept { return object != nullptr; }
  /// The report for the C functions, borrowed.
  const tr_report *get() const noexcept { return object; }
  /// Writes it to a descriptor, as text or JSON. Returns ok, invalid, system with errno. Blocks as
  /// write(2) does.
  status write(int fd, format as = format::text) const noexcept {
    return detail::to_status(tr_report_write(object, fd, static_cast<std::uint32_t>(as)));
  }
  /// The same as a string. Throws std::bad_alloc, or taskreg::error with invalid.
  std::string str(format as = format::text) const {
    std::string text;
    detail::require(detail::written(text,
                                    [&](char *buffer, std::size_t room, std::size_t *length) {
                                      return tr_report_write_buffer(
                                          object, static_cast<std::uint32_t>(as), buffer, room,
                                          length);
                                    }),
                    "tr_report_write_buffer");
    return text;
  }
  /// The stragglers; empty if there were none. This and the next three may throw std::bad_alloc.
  std::vector<straggler> stragglers() const { return list<straggler>(tr_report_straggler); }
  /// The tasks that took longest to stop, up to 16, the slowest first; stragglers are not among
  /// them.
  std::vector<ended_task> slowest() const { return list<ended_task>(tr_report_slowest); }
  /// The phases of the shutdown that had tasks, in order.
  std::vector<phase_report> phases() const { return list<phase_report>(tr_report_phase); }
  /// The threads of the process that run none of its tasks, up to 256, if they were asked for.
  std::vector<thread_report> threads() const { return list<thread_report>(tr_report_thread); }

 private:
  template <class Entry, class Raw>
  std::vector<Entry> list(tr_status (*read)(const tr_report *, std::size_t, Raw *)) const {
    std::vector<Entry> found;
    Entry entry;
    while (object != nullptr && read(object, found.size(), &entry) == TR_OK) found.push_back(entry);
    return found;
  }

  tr_report *object = nullptr;
};

/// The result of a join or a shutdown. The counts are valid if the status is ok or deadline,
/// otherwise they are 0.
struct [[nodiscard]] join_result {
  /// ok: no task is alive. deadline: some were alive at the deadline, and continue to be tracked.
  /// cancelled: the flag of the calling task was raised. deadlock: the caller is one of the tasks.
  /// Also invalid, nomem, forked.
  taskreg::status status = taskreg::status::ok;
  /// Tasks that ended while the call waited, however they ended; of these, those that failed, and
  /// those that exited.
  std::uint64_t ended = 0, failed = 0, exited = 0;
  /// Tasks that ended after the registry's token had been cancelled, and before the call, which are
  /// not among `ended`; of these, those that failed, and those that exited.
  std::uint64_t ended_before = 0, failed_before = 0, exited_before = 0;
  /// Tasks alive at the deadline; of these, those that ended within the abort grace, and those that
  /// were still alive after it.
  std::uint64_t pending = 0, aborted = 0, abandoned = 0;
  /// Spawns rejected while the call waited.
  std::uint64_t rejected = 0;
  /// Threads that a shutdown could not join although their tasks had ended.
  std::uint32_t threads_left = 0;
  /// Unjoined tasks that are alive, which are in none of the numbers above.
  std::uint64_t unjoined = 0;
  /// How long the call took.
  std::chrono::nanoseconds elapsed{0};
  /// By how much the deadline was extended for tasks that made progress.
  std::chrono::nanoseconds extended{0};
  /// The time spent in the application's functions during the call.
  std::chrono::nanoseconds callbacks{0};
  /// The full report, if one was asked for and the status is ok or deadline.
  taskreg::report report;

  /// Whether no task is alive.
  explicit operator bool() const noexcept { return status == taskreg::status::ok; }
};

/// Discards a result without a warning: `taskreg::ignore(tasks.shutdown(5s))`.
inline void ignore(const join_result &) noexcept {}

// ---- Registries ----------------------------------------------------------------------------

/// The options of a registry. In C++20: `{.max_tasks = 64, .metrics = true}`.
struct registry_options {
  /// The token that the registry is linked to; empty: it makes one of its own. Not for groups.
  taskreg::token token = nullptr;
  /// How many tasks may be alive at once; 0: no limit.
  std::uint64_t max_tasks = 0;
  /// The size of a task's stack in bytes; 0: 1 MiB, or the parent's for a group.
  std::uint64_t stack_size = 0;
  /// The abort grace: how long a join or a shutdown waits for the tasks that it told to abort at
  /// its deadline; 0: 100 ms for a shutdown, not at all for a join.
  timeout abort_grace = std::chrono::nanoseconds::zero();
  /// Whether neither waits at all then; abort_grace is not read.
  bool no_abort_grace = false;
  /// How long a worker polls for its next task before it sleeps, at most 1 ms; 0: 5 µs; negative:
  /// it does not poll.
  interval spin = {};
  /// How long an idle thread is kept; 0: 2 s; forever: indefinitely.
  timeout idle = std::chrono::nanoseconds::zero();
  /// How many idle threads are kept for longer than that; 0: 16; TR_IDLE_THREADS_NONE: none.
  std::uint32_t idle_threads = 0;
  /// Whether metrics are kept: see TR_REGISTRY_METRICS.
  bool metrics = false;
  /// Whether reports do not say what the descriptors are that its tasks, and those of its groups,
  /// wait for: see TR_REGISTRY_NO_DESCRIPTORS.
  bool no_descriptors = false;
  /// Whether reports have a section for the threads of the process that run none of its tasks: see
  /// TR_REGISTRY_REPORT_THREADS.
  bool report_threads = false;
  /// The log callback, which gets log_context; null: there are no log events. See log_to.
  tr_log_fn log = nullptr;
  void *log_context = nullptr;
  /// The signals that are blocked when a task starts; null: those that the calling thread blocks.
  /// The set is copied. Ignored for groups: their tasks run in the root registry's threads.
  const sigset_t *blocked_signals = nullptr;
  /// What is done about a task that stays stalled; it is copied. Null: nothing but the event. See
  /// tr_ladder_options.
  const tr_ladder_options *ladder = nullptr;
  /// What taskreg(1) calls the registry, and the label of its metrics; empty: none. Not for groups.
  std::string name = {};

  /// Sends log events to `receiver(const tr_log_event &)`. It is called on the thread on which the
  /// event arises, by several threads at the same time, while no lock is held. It is not copied: it
  /// must live until the registry is closed (or its last handle is released) and its last task has
  /// ended. An exception that leaves it ends the program by std::terminate.
  template <class Receiver>
  registry_options &log_to(Receiver &receiver) noexcept {
    static_assert(std::is_invocable_v<Receiver &, const tr_log_event &>,
                  "a log function is called with a const tr_log_event &");
    log = [](void *context, const tr_log_event *event) {
      (*static_cast<Receiver *>(context))(*event);
    };
    log_context = const_cast<void *>(static_cast<const void *>(std::addressof(receiver)));
    log_keeper = nullptr;
    return *this;
  }
  /// A temporary receiver is rejected: it would be destroyed before the first event.
  template <class Receiver>
  registry_options &log_to(const Receiver &&receiver) = delete;
  /// The same, but the options and the registries made with them keep the receiver. It is destroyed
  /// after the last of them, on the thread that releases the last handle of a registry or its
  /// tasks, or on one that later creates or releases a registry; its destructor must return. A
  /// group that inherits the log keeps its parent's. Throws std::bad_alloc, and what moving the
  /// receiver throws.
  template <class Receiver>
  registry_options &log_with(Receiver receiver) {
    static_assert(std::is_invocable_v<Receiver &, const tr_log_event &>,
                  "a log function is called with a const tr_log_event &");
    log_keeper = std::make_shared<Receiver>(std::move(receiver));
    log = [](void *context, const tr_log_event *event) {
      (*static_cast<Receiver *>(static_cast<std::shared_ptr<void> *>(context)->get()))(*event);
    };
    log_context = log_keeper.get(); // until it is replaced: see create_with
    return *this;
  }
  /// The receiver of log_with; empty otherwise.
  std::shared_ptr<void> log_keeper = nullptr;
};

/// What a shutdown reports: each phase, 0 to 7, begins and ends once, in this order, whether it has
/// tasks or not.
struct phase_event {
  /// Whether the phase has ended; otherwise it has begun: its tasks have been asked to stop.
  bool has_ended;
  std::uint32_t phase;
  /// How many of its tasks are alive.
  std::uint64_t tasks;
};

/// The options of a shutdown.
struct shutdown_options {
  /// The percentage of the grace period after which TR_EVENT_DEADLINE_NEAR is reported: 1 to 99; 0:
  /// 80; TR_WARN_NEVER: it is not reported.
  std::uint32_t warn_percent = 0;
  /// While tasks make progress the deadline is extended, at most to this time after the call; 0: it
  /// is not extended.
  timeout max_grace = std::chrono::nanoseconds::zero();
  /// A task makes progress if it has reported progress within this time; 0: 1 s.
  timeout progress_window = std::chrono::nanoseconds::zero();
  /// How the time is divided among the phases; if all are 0, equally.
  std::uint32_t phase_share[TR_PHASES] = {};
  /// By phase: while tasks of it and of earlier ones make progress its time is extended, at most to
  /// this time after its beginning, and the deadline with it; 0: as max_grace says.
  interval phase_max_grace[TR_PHASES] = {};
  /// Called when a phase has begun and when it has ended, on the calling thread; see tr_phase_fn.
  /// An exception that leaves them ends the program.
  tr_phase_fn on_phase_begin = nullptr;
  tr_phase_fn on_phase_end = nullptr;
  void *phase_context = nullptr;
  /// Whether to make the full report, which names the stragglers.
  bool report = true;

  /// Calls `receiver` with a phase_event for each beginning and each end. It must outlive the
  /// shutdown.
  template <class Receiver>
  shutdown_options &phases_to(Receiver &receiver) noexcept {
    static_assert(std::is_invocable_v<Receiver &, const phase_event &>,
                  "a phase function is called with a const taskreg::phase_event &");
    on_phase_begin = [](void *context, std::uint32_t phase, std::uint64_t tasks) {
      (*static_cast<Receiver *>(context))(phase_event{false, phase, tasks});
    };
    on_phase_end = [](void *context, std::uint32_t phase, std::uint64_t tasks) {
      (*static_cast<Receiver *>(context))(phase_event{true, phase, tasks});
    };
    phase_context = const_cast<void *>(static_cast<const void *>(std::addressof(receiver)));
    return *this;
  }
  /// A temporary receiver is rejected: it would be destroyed before the shutdown.
  template <class Receiver>
  shutdown_options &phases_to(const Receiver &&receiver) = delete;
};

namespace detail {
constexpr std::int64_t bounded(timeout span) noexcept {
  return span.is_forever() ? std::numeric_limits<std::int64_t>::max() : span.count();
}

inline tr_registry_options to_c(const registry_options &from) noexcept {
  auto made = sized<tr_registry_options>();
  made.flags = (from.metrics ? TR_REGISTRY_METRICS : 0u) |
               (from.no_descriptors ? TR_REGISTRY_NO_DESCRIPTORS : 0u) |
               (from.report_threads ? TR_REGISTRY_REPORT_THREADS : 0u);
  made.token = from.token.get();
  made.name = from.name.empty() ? nullptr : from.name.c_str();
  made.max_tasks = from.max_tasks;
  made.stack_size = from.stack_size;
  made.abort_grace_ns = from.no_abort_grace ? TR_NO_ABORT_GRACE : bounded(from.abort_grace);
  made.log = from.log;
  made.log_context = from.log_context;
  made.spin_ns = from.spin.count() < 0 ? TR_SPIN_NEVER : from.spin.count();
  made.idle_ns = from.idle.count(); // forever is negative, which is "indefinitely" in C, too
  made.idle_threads = from.idle_threads;
  made.blocked_signals = from.blocked_signals;
  made.ladder = from.ladder;
  return made;
}

inline tr_shutdown_options to_c(const shutdown_options &from) noexcept {
  auto made = sized<tr_shutdown_options>();
  made.warn_percent = from.warn_percent;
  made.max_grace_ns = bounded(from.max_grace);
  made.progress_window_ns = bounded(from.progress_window);
  std::memcpy(made.phase_share, from.phase_share, sizeof made.phase_share);
  for (std::size_t phase = 0; phase < TR_PHASES; phase++)
    made.phase_max_grace_ns[phase] = from.phase_max_grace[phase].count();
  made.on_phase_begin = from.on_phase_begin;
  made.on_phase_end = from.on_phase_end;
  made.phase_context = from.phase_context;
  return made;
}

/// Makes a registry or a group by `create`, which is given the options and where to store it.
template <class Create>
status create_with(const registry_options &from, tr_registry **out, Create create) noexcept {
  tr_registry_options raw = to_c(from);
  std::unique_ptr<std::shared_ptr<void>> keeper;
  // Not if a later `log` and `log_context` have taken the place of the receiver.
  if (from.log_keeper && from.log != nullptr && from.log_context == from.log_keeper.get()) {
    keeper.reset(new (std::nothrow) std::shared_ptr<void>(from.log_keeper));
    if (!keeper) return status::nomem;
    raw.log_context = keeper.get();
    raw.log_drop = [](void *context) { delete static_cast<std::shared_ptr<void> *>(context); };
  }
  const status code = to_status(create(&raw, out));
  if (code == status::ok) static_cast<void>(keeper.release()); // log_drop deletes it
  return code;
}
} // namespace detail

/// A list of live tasks that is closed, cancelled and joined as one. A counted handle; copies refer
/// to the same registry. The end of the last handle does not stop tasks and does not wait for them:
/// call shutdown, or use a scope.
class registry : public detail::handle<tr_registry, tr_registry_retain, tr_registry_release> {
  using base = detail::handle<tr_registry, tr_registry_retain, tr_registry_release>;

 public:
  /// Makes an open, empty registry. Throws std::bad_alloc, or taskreg::error with status::invalid
  /// if an option is invalid.
  registry() : registry(registry_options()) {}
  explicit registry(const registry_options &options) : base(nullptr) {
    detail::require(detail::create_with(options, &object, tr_registry_create),
                    "tr_registry_create");
  }
  /// An empty handle.
  constexpr registry(std::nullptr_t) noexcept : base(nullptr) {}
  /// As the constructor, but stores the status in `code`; if it is not ok, the handle is empty.
  static registry try_make(status &code, const registry_options &options = {}) noexcept {
    registry made(nullptr);
    code = detail::create_with(options, &made.object, tr_registry_create);
    return made;
  }
  /// Takes over a reference of the caller's.
  static registry adopt(tr_registry *raw) noexcept {
    registry made(nullptr);
    made.object = raw;
    return made;
  }
  /// Adds a reference to a borrowed registry.
  static registry share(tr_registry *raw) noexcept { return adopt(tr_registry_retain(raw)); }

  /// Runs `body(arguments...)` in a thread of its own, as a task with this name: 1 to 63 bytes of
  /// UTF-8, the first 15 of which are the name of the thread. Body and arguments are copied or
  /// moved, as std::thread does it, and are destroyed on the task's thread before the end of the
  /// task can be observed. The body is called
  ///   - with a taskreg::context, its own task, before the arguments, if it accepts one;
  ///   - otherwise, in C++20, with a std::stop_token before them, if it accepts one; its stop is
  ///     requested when the task is cancelled;
  ///   - otherwise only with the arguments. A member function gets the context, or the stop token,
  ///     after its object: `spawn("loop", &server::loop, this)` may call `loop(context)`.
  ///
  /// What the body returns is the result of the task. If an exception leaves it, the task has
  /// failed: the outcome has the code exception_code, and what() as its message, and get() rethrows
  /// the exception.
  ///
  /// Throws std::bad_alloc, taskreg::error with closed, limit, again, system or invalid, and what
  /// copying the body throws. In these cases the body has not run, and has been destroyed. Does not
  /// wait for other tasks. It makes one allocation more than tr_spawn_with.
  template <class Function, class... Arguments,
            class = std::enable_if_t<!detail::is_options<Function>>>
  [[nodiscard]] auto spawn(const text &name, Function &&body, Arguments &&...arguments) const {
    return spawn(name, spawn_options(), std::forward<Function>(body),
                 std::forward<Arguments>(arguments)...);
  }
  template <class Function, class... Arguments>
  [[nodiscard]] auto spawn(const text &name, const spawn_options &options, Function &&body,
                           Arguments &&...arguments) const {
    status code;
    auto made = detail::spawn(object, name, options, detail::no_owner(), code,
                              std::forward<Function>(body), std::forward<Arguments>(arguments)...);
    detail::require(code, "tr_spawn", true);
    return made;
  }
  /// As spawn, but stores the status in `code`; if it is not ok, the task is empty. Throws only
  /// what copying the body throws.
  template <class Function, class... Arguments,
            class = std::enable_if_t<!detail::is_options<Function>>>
  [[nodiscard]] auto try_spawn(status &code, const text &name, Function &&body,
                               Arguments &&...arguments) const {
    return try_spawn(code, name, spawn_options(), std::forward<Function>(body),
                     std::forward<Arguments>(arguments)...);
  }
  template <class Function, class... Arguments>
  [[nodiscard]] auto try_spawn(status &code, const text &name, const spawn_options &options,
                               Function &&body, Arguments &&...arguments) const {
    return detail::spawn(object, name, options, detail::no_owner(), code,
                         std::forward<Function>(body), std::forward<Arguments>(arguments)...);
  }

  /// As spawn, but without a handle: only the registry has the task. The body returns nothing, or
  /// an exit_code; the what() of an exception is in the log event TR_EVENT_TASK_FAILED. A std::ref
  /// does not compile, because no handle or scope waits for the task before the object that it
  /// refers to is destroyed. A lambda that captures a reference is the same mistake, but the
  /// compiler cannot find it. A body that is trivially copyable and not larger than a pointer needs
  /// no allocation.
  template <class Function, class... Arguments,
            class = std::enable_if_t<!detail::is_options<Function>>>
  void detach(const text &name, Function &&body, Arguments &&...arguments) const {
    detach(name, spawn_options(), std::forward<Function>(body),
           std::forward<Arguments>(arguments)...);
  }
  template <class Function, class... Arguments>
  void detach(const text &name, const spawn_options &options, Function &&body,
              Arguments &&...arguments) const {
    detail::require(try_detach(name, options, std::forward<Function>(body),
                               std::forward<Arguments>(arguments)...),
                    "tr_spawn", true);
  }
  /// As detach, but returns the status.
  template <class Function, class... Arguments,
            class = std::enable_if_t<!detail::is_options<Function>>>
  status try_detach(const text &name, Function &&body, Arguments &&...arguments) const {
    return try_detach(name, spawn_options(), std::forward<Function>(body),
                      std::forward<Arguments>(arguments)...);
  }
  template <class Function, class... Arguments>
  status try_detach(const text &name, const spawn_options &options, Function &&body,
                    Arguments &&...arguments) const {
    static_assert(!detail::is_reference_wrapper<std::decay_t<Function>>::value &&
                      (!detail::is_reference_wrapper<std::decay_t<Arguments>>::value && ...),
                  "a detached task must not be given a reference: no handle or scope waits for the "
                  "task before "
                  "the object is destroyed. Use a scope, or give the task a std::shared_ptr");
    return detail::detach(object, name, options, detail::no_owner(), std::forward<Function>(body),
                          std::forward<Arguments>(arguments)...);
  }

  /// The token that the registry is linked to. Cancelling it closes the registry, and asks its
  /// tasks to stop.
  taskreg::token token() const noexcept { return taskreg::token::share(tr_registry_token(object)); }
  /// Cancels the registry's token.
  bool cancel(reason why = reason::none, const text &message = nullptr) const noexcept {
    return tr_token_cancel(tr_registry_token(object), static_cast<tr_reason>(why),
                           message.c_str()) != 0;
  }
  /// Cancels the registry's token and tells the tasks that were asked so far to abort, as
  /// token::abort does.
  bool abort(reason why = reason::none, const text &message = nullptr) const noexcept {
    return tr_token_abort(tr_registry_token(object), static_cast<tr_reason>(why),
                          message.c_str()) != 0;
  }
  /// Rejects spawns from now on, and asks no task to stop. Returns ok; invalid for an empty handle.
  status close() const noexcept { return detail::to_status(tr_registry_close(object)); }
  /// Whether spawns are rejected: it, or a registry that it is in, was closed or cancelled.
  bool closed() const noexcept { return tr_registry_is_closed(object) != 0; }
  /// How many tasks are alive.
  std::size_t size() const noexcept { return tr_len(object); }
  /// Whether no task is alive.
  bool empty() const noexcept { return tr_is_empty(object) != 0; }
  /// The live tasks, in no particular order. A task that is alive throughout the call is listed
  /// exactly once. May throw std::bad_alloc, or taskreg::error with invalid or forked.
  std::vector<task_summary> snapshot() const { return list(tr_snapshot, "tr_snapshot"); }
  /// The stalled tasks: those that have missed their heartbeat interval. Throws what snapshot
  /// throws.
  std::vector<task_summary> stalled() const { return list(tr_health, "tr_health"); }
  /// Writes the live tasks to a descriptor, as a table or JSON. Returns ok, invalid, system with
  /// errno.
  status write_snapshot(int fd, format as = format::text) const noexcept {
    return detail::to_status(tr_snapshot_write(object, fd, static_cast<std::uint32_t>(as)));
  }
  /// The same as a string. Throws std::bad_alloc, or taskreg::error.
  std::string snapshot_str(format as = format::text) const {
    std::string text;
    detail::require(detail::written(text,
                                    [&](char *buffer, std::size_t room, std::size_t *length) {
                                      return tr_snapshot_write_buffer(
                                          object, static_cast<std::uint32_t>(as), buffer, room,
                                          length);
                                    }),
                    "tr_snapshot_write_buffer");
    return text;
  }

  /// Waits until another task would be admitted, here and in every registry around this one, as far
  /// as max_tasks decides: for a listener that leaves its clients in the queue. Returns ok, closed,
  /// timed_out, cancelled, invalid. Blocks.
  status wait_room(timeout most = forever) const noexcept {
    return detail::to_status(tr_wait_room(object, most.count()));
  }
  /// Changes how many tasks may be alive at once; 0: no limit. A lower limit ends no task. Returns
  /// ok, invalid.
  status set_max_tasks(std::uint64_t most) const noexcept {
    return detail::to_status(tr_registry_set_max_tasks(object, most));
  }
  /// Waits until no task is alive, without asking any to stop. Returns ok, timed_out, cancelled,
  /// deadlock, invalid. Blocks.
  status wait(timeout most = forever) const noexcept {
    return detail::to_status(tr_registry_wait(object, most.count()));
  }
  /// Waits until no task is alive. At the deadline it asks those that are still alive to stop.
  /// `with_report`: makes the full report, too. Blocks.
  join_result join(timeout most = forever, bool with_report = false) const noexcept {
    return joined(with_report, [&](tr_join_report *counts) {
      return tr_join_all(object, most.count(), counts);
    });
  }
  /// Closes the registry, cancels its token, asks its tasks to stop phase by phase, and waits for
  /// them until `grace` has passed. After ok no thread of the registry is left. Stragglers continue
  /// to be tracked. Blocks.
  join_result shutdown(timeout grace, reason why = reason::requested_by_run,
                       const text &message = nullptr,
                       const shutdown_options &options = {}) const noexcept {
    const tr_shutdown_options raw = detail::to_c(options);
    return joined(options.report, [&](tr_join_report *counts) {
      return tr_shutdown_with(object, static_cast<tr_reason>(why), message.c_str(), grace.count(),
                              &raw, counts);
    });
  }

  /// Makes a report of all live tasks without asking any of them to stop. `backtraces`: with their
  /// backtraces, if these are enabled. `descriptors`: with what the descriptors are that they wait
  /// for, which are paths and addresses. `threads`: with the threads of the process that run none
  /// of the tasks. Throws std::bad_alloc, or taskreg::error with invalid.
  report explain(bool backtraces = true, bool descriptors = true, bool threads = false) const {
    const std::uint32_t flags = (backtraces ? 0u : TR_EXPLAIN_NO_BACKTRACES) |
                                (descriptors ? 0u : TR_EXPLAIN_NO_DESCRIPTORS) |
                                (threads ? TR_EXPLAIN_THREADS : 0u);
    tr_report *made = nullptr;
    detail::require(tr_explain_with(object, flags, &made), "tr_explain");
    return report::adopt(made);
  }
  /// Reads the metrics of all kinds, or of one kind; needs registry_options::metrics. Returns ok or
  /// invalid.
  status read(metrics &into) const noexcept {
    return detail::to_status(tr_metrics_read(object, 0, &into));
  }
  status read(metrics &into, kind of) const noexcept {
    return detail::to_status(tr_metrics_read(object, static_cast<tr_kind>(of), &into));
  }
  /// Writes the metrics to a descriptor as OpenMetrics text. Returns ok, invalid, nomem, system
  /// with errno.
  status write_metrics(int fd) const noexcept {
    return detail::to_status(tr_metrics_write(object, fd, TR_FORMAT_OPENMETRICS));
  }
  /// The same as a string. Throws std::bad_alloc, or taskreg::error with invalid.
  std::string metrics_str() const {
    std::string text;
    detail::require(detail::written(text,
                                    [&](char *buffer, std::size_t room, std::size_t *length) {
                                      return tr_metrics_write_buffer(object, TR_FORMAT_OPENMETRICS,
                                                                     buffer, room, length);
                                    }),
                    "tr_metrics_write_buffer");
    return text;
  }
  /// The tasks that ended last, up to TR_RECENT_MOST, the latest first; needs
  /// registry_options::metrics. May throw std::bad_alloc, or taskreg::error with invalid.
  std::vector<ended_task> recent() const {
    std::vector<ended_task> found(TR_RECENT_MOST);
    std::size_t count = 0;
    detail::require(tr_recent(object, found.data(), found.size(), &count), "tr_recent");
    found.resize(count < found.size() ? count : found.size());
    return found;
  }

 private:
  static std::vector<task_summary> listed(tr_registry *from,
                                          tr_status (*fill)(tr_registry *, tr_task_summary *,
                                                            std::size_t, std::size_t *),
                                          const char *call) {
    std::vector<task_summary> found(tr_len(from) + 8);
    for (;;) {
      std::size_t count = 0;
      const tr_status code = fill(from, found.data(), found.size(), &count);
      // tr_health returns TR_ERR_STALLED also when there are more than fit; `count` says how many.
      if (code != TR_OK && code != TR_ERR_TRUNCATED && code != TR_ERR_STALLED)
        detail::raise(detail::to_status(code), call);
      if (count <= found.size()) {
        found.resize(count);
        return found;
      }
      found.assign(count + count / 8 + 8, task_summary());
    }
  }
  std::vector<task_summary> list(tr_status (*fill)(tr_registry *, tr_task_summary *, std::size_t,
                                                   std::size_t *),
                                 const char *call) const {
    return listed(object, fill, call);
  }

  template <class Call>
  static join_result joined(bool with_report, Call call) noexcept {
    auto counts = detail::sized<tr_join_report>();
    tr_report *full = nullptr;
    if (with_report) counts.full = &full;
    join_result result;
    result.status = detail::to_status(call(&counts));
    result.ended = counts.ended;
    result.failed = counts.failed;
    result.exited = counts.exited;
    result.ended_before = counts.ended_before;
    result.failed_before = counts.failed_before;
    result.exited_before = counts.exited_before;
    result.pending = counts.pending;
    result.aborted = counts.aborted;
    result.abandoned = counts.abandoned;
    result.rejected = counts.rejected;
    result.threads_left = counts.threads_left;
    result.unjoined = counts.unjoined;
    result.elapsed = std::chrono::nanoseconds(counts.elapsed_ns);
    result.extended = std::chrono::nanoseconds(counts.extended_ns);
    result.callbacks = std::chrono::nanoseconds(counts.callbacks_ns);
    result.report = report::adopt(full);
    return result;
  }
};

/// A registry inside another, with a token, a join and a shutdown of its own. Its tasks are also
/// tasks of each of its ancestors, and run in the threads of the root registry. A counted handle.
class group : public registry {
 public:
  /// Makes a group of `parent` with a name: 1 to 63 bytes of UTF-8 without '/'. The token in the
  /// options must be empty; an option that is 0 is as in the parent. Throws std::bad_alloc, or
  /// taskreg::error with status::invalid.
  group(const registry &parent, const text &name) : registry(nullptr) {
    detail::require(tr_registry_child(parent.get(), name.c_str(), nullptr, &object),
                    "tr_registry_child");
  }
  group(const registry &parent, const text &name, const registry_options &options)
      : registry(nullptr) {
    detail::require(make(parent, name, options, &object), "tr_registry_child");
  }
  /// An empty handle.
  constexpr group(std::nullptr_t) noexcept : registry(nullptr) {}
  /// As the constructor, but stores the status in `code`; if it is not ok, the handle is empty.
  static group try_make(status &code, const registry &parent, const text &name,
                        const registry_options &options = {}) noexcept {
    group made(nullptr);
    code = make(parent, name, options, &made.object);
    return made;
  }

 private:
  static status make(const registry &parent, const text &name, const registry_options &options,
                     tr_registry **out) noexcept {
    return detail::create_with(
        options, out, [&](const tr_registry_options *raw, tr_registry **made) {
          return tr_registry_child(parent.get(), name.c_str(), raw, made);
        });
  }
};

/// One of several registries in a text of metrics.
struct metrics_source {
  registry of;
  /// The value of the label "registry" of its samples; empty: the path of a group, and no such
  /// label for a registry that is not a group.
  std::string name = {};
};

/// Writes the metrics of several registries to a descriptor as one OpenMetrics text; see
/// tr_metrics_write_all. `ends`: with the "# EOF"; without it the caller adds more. Returns ok,
/// invalid, nomem, system with errno. May throw std::bad_alloc.
inline status write_metrics(const std::vector<metrics_source> &sources, int fd, bool ends = true) {
  std::vector<tr_metrics_source> raw;
  raw.reserve(sources.size());
  for (const metrics_source &each : sources) {
    raw.push_back(detail::sized<tr_metrics_source>());
    raw.back().registry = each.of.get();
    raw.back().name = each.name.empty() ? nullptr : each.name.c_str();
  }
  return detail::to_status(tr_metrics_write_all(raw.data(), raw.size(), fd, TR_FORMAT_OPENMETRICS,
                                                ends ? 0u : TR_METRICS_NO_EOF));
}
// ---- Adopted threads -----------------------------------------------------------------------

/// The options of an adopted_thread. In C++20: `{.phase = 7, .joins_others = true}`.
struct adopt_options {
  /// What the task is for.
  taskreg::kind kind = taskreg::kind::application;
  /// The phase of a shutdown in which the thread is asked to stop: 0 (first, with the registry's
  /// token) to TR_PHASES - 1.
  std::uint32_t phase = 0;
  /// Whether the registry's token does not raise its flag, as with a clean-up task.
  bool cleanup = false;
  /// Whether its end cancels the registry's token.
  taskreg::essential essential = taskreg::essential::no;
  /// Whether a join or a shutdown that the thread itself calls waits for all other tasks and not
  /// for this one; otherwise it returns deadlock.
  bool joins_others = false;
  /// Whether no join, no shutdown and no wait for all tasks waits for it. Not with cleanup or
  /// joins_others: status::invalid.
  bool unjoined = false;
  /// The heartbeat interval; 0: it has none; negative: status::invalid.
  interval heartbeat = {};
};

/// Makes the thread that constructs it a task, for as long as it lives: main, a thread of another
/// library, the thread of an event loop. The thread stays its owner's in all other respects; see
/// tr_adopt. It lives and dies in one thread, and not in a callback of the library.
///
/// If an exception destroys it, the task has failed, with the code exception_code. (The unwinding
/// of pthread_exit and pthread_cancel is not an exception: the task has returned.)
class adopted_thread {
 public:
  /// Throws std::bad_alloc; taskreg::error with invalid in a task and in a callback, closed, limit.
  adopted_thread(const registry &in, const text &name, const adopt_options &options = {}) {
    detail::require(adopt(in, name, options, &object), "tr_adopt");
  }
  /// The same, but stores the status in `code`; if it is not ok, the thread is not a task.
  adopted_thread(status &code, const registry &in, const text &name,
                 const adopt_options &options = {}) noexcept {
    code = detail::to_status(adopt(in, name, options, &object));
  }
  adopted_thread(const adopted_thread &) = delete;
  adopted_thread &operator=(const adopted_thread &) = delete;
  ~adopted_thread() {
    if (is_in())
      ignore(leave(std::uncaught_exceptions() > exceptions ? exception_code : 0));
    tr_task_release(object);
  }

  /// Ends the task before the object does: 0 is success, any other code a failure. Returns ok;
  /// invalid if it has ended, and in a callback.
  status leave(int code = 0) noexcept {
    if (!is_in()) return status::invalid;
    return detail::to_status(tr_leave_with(code));
  }
  /// A handle of the task, which may outlive the object; empty if the thread is not a task.
  task_ref task() const noexcept { return task_ref::share(object); }
  /// The task for its own thread, as a body gets it. Valid until it has ended.
  taskreg::context context() const noexcept { return taskreg::context(object); }

 private:
  static tr_status adopt(const registry &in, const text &name, const adopt_options &from,
                         tr_task **out) noexcept {
    auto made = detail::sized<tr_adopt_options>();
    made.flags = (from.cleanup ? TR_SPAWN_CLEANUP : 0u) |
                 (from.joins_others ? TR_ADOPT_JOINS_OTHERS : 0u) |
                 (from.unjoined ? TR_SPAWN_UNJOINED : 0u) |
                 static_cast<std::uint32_t>(from.essential);
    made.phase = from.phase;
    const taskreg::interval every = from.heartbeat;
    made.heartbeat_ns = every.count();
    return tr_adopt(in.get(), name.c_str(), static_cast<tr_kind>(from.kind), &made, out);
  }
  bool is_in() const noexcept { return object != nullptr && tr_task_self() == object; }

  tr_task *object = nullptr;
  int exceptions = std::uncaught_exceptions();
};

// ---- Scopes --------------------------------------------------------------------------------

/// A set of tasks that ends with a block of the program. When the destructor has returned, all of
/// them have ended, and their captures have been destroyed. So they may refer to any object that
/// lives longer than the scope.
///
/// The first task that throws or exits cancels the others; join() rethrows what it threw. The
/// destructor cancels the tasks that are still running and waits for them, as that of std::jthread
/// does. It does so also when an exception or pthread_exit ends the block, and in a task that was
/// itself asked to stop. A scope that is made inside a task is cancelled when that task is. A scope
/// cannot be moved. Spawn from any thread, including the tasks of the scope; join from the thread
/// that has the scope. with_scope() is the form that waits without cancelling.
class scope {
 public:
  /// Makes a scope as a group of a registry, so that a shutdown of the registry includes the tasks.
  /// Throws std::bad_alloc or taskreg::error.
  explicit scope(const registry &parent, const text &name = "scope") : tasks(nullptr) {
    detail::require(tr_registry_child(parent.get(), name.c_str(), nullptr, &raw),
                    "tr_registry_child");
    tasks = registry::adopt(raw);
    follow();
  }
  /// Makes a scope with a registry of its own. When the scope has ended, the threads of that
  /// registry have ended as well.
  scope() : tasks(registry_options()), raw(tasks.get()), is_root(true) { follow(); }
  scope(const scope &) = delete;
  scope &operator=(const scope &) = delete;
  /// Cancels the tasks and waits for them. If one of the tasks destroys the scope, the program ends
  /// by std::terminate.
  ~scope() {
    tasks.cancel(reason::requested_by_run, "the scope is over");
    if (wait() == status::deadlock) std::terminate();
    tr_registration_remove(following);
    tr_registration_remove(following_abort);
    if (is_root)
      TR_IGNORE(shielded([this] {
        return tr_shutdown(raw, TR_REASON_REQUESTED_BY_RUN, nullptr, TR_FOREVER, nullptr);
      }));
  }

  /// As registry::spawn. The handle may be discarded: the scope waits for the task, and join()
  /// reports its failure. If the scope was cancelled because a task has thrown, this throws the
  /// exception of that task, not taskreg::error with closed.
  template <class Function, class... Arguments,
            class = std::enable_if_t<!detail::is_options<Function>>>
  auto spawn(const text &name, Function &&body, Arguments &&...arguments) {
    return spawn(name, spawn_options(), std::forward<Function>(body),
                 std::forward<Arguments>(arguments)...);
  }
  template <class Function, class... Arguments>
  auto spawn(const text &name, const spawn_options &options, Function &&body,
             Arguments &&...arguments) {
    status code;
    auto made = try_spawn(code, name, options, std::forward<Function>(body),
                          std::forward<Arguments>(arguments)...);
    admit(code);
    return made;
  }
  /// As registry::try_spawn.
  template <class Function, class... Arguments,
            class = std::enable_if_t<!detail::is_options<Function>>>
  auto try_spawn(status &code, const text &name, Function &&body, Arguments &&...arguments) {
    return try_spawn(code, name, spawn_options(), std::forward<Function>(body),
                     std::forward<Arguments>(arguments)...);
  }
  template <class Function, class... Arguments>
  auto try_spawn(status &code, const text &name, const spawn_options &options, Function &&body,
                 Arguments &&...arguments) {
    if (options.unjoined) {
      code = status::invalid;
      return task<detail::body_result<Function, Arguments...>>();
    }
    return detail::spawn(raw, name, options, owner{this}, code, std::forward<Function>(body),
                         std::forward<Arguments>(arguments)...);
  }
  /// As registry::detach, but std::ref is allowed: the scope waits for the task.
  template <class Function, class... Arguments,
            class = std::enable_if_t<!detail::is_options<Function>>>
  void detach(const text &name, Function &&body, Arguments &&...arguments) {
    detach(name, spawn_options(), std::forward<Function>(body),
           std::forward<Arguments>(arguments)...);
  }
  template <class Function, class... Arguments>
  void detach(const text &name, const spawn_options &options, Function &&body,
              Arguments &&...arguments) {
    admit(try_detach(name, options, std::forward<Function>(body),
                     std::forward<Arguments>(arguments)...));
  }
  /// As registry::try_detach.
  template <class Function, class... Arguments,
            class = std::enable_if_t<!detail::is_options<Function>>>
  status try_detach(const text &name, Function &&body, Arguments &&...arguments) {
    return try_detach(name, spawn_options(), std::forward<Function>(body),
                      std::forward<Arguments>(arguments)...);
  }
  template <class Function, class... Arguments>
  status try_detach(const text &name, const spawn_options &options, Function &&body,
                    Arguments &&...arguments) {
    if (options.unjoined) return status::invalid;
    return detail::detach(raw, name, options, owner{this}, std::forward<Function>(body),
                          std::forward<Arguments>(arguments)...);
  }

  /// Asks the tasks of the scope to stop; further spawns are rejected with status::closed.
  void cancel(reason why = reason::none, const text &message = nullptr) noexcept {
    tasks.cancel(why, message);
  }
  /// The same, and tells them to abort.
  void abort(reason why = reason::none, const text &message = nullptr) noexcept {
    tasks.abort(why, message);
  }
  /// The scope's token.
  taskreg::token token() const noexcept { return tasks.token(); }
  /// The scope's registry, for lists and reports. What is spawned through it may be unjoined, which
  /// the end of the scope does not wait for.
  const registry &all() const noexcept { return tasks; }

  /// Waits until every task of the scope has ended, without asking any to stop. Unlike other waits
  /// it continues when the calling task is asked to stop (see this_task::shield): that cancels the
  /// scope, so its tasks end. Returns ok; deadlock if a task of the scope calls it; forked. Blocks.
  status wait() noexcept {
    return detail::to_status(shielded([this] { return tr_registry_wait(raw, TR_FOREVER); }));
  }
  /// Waits as wait() does. Then it rethrows what the first task that threw or exited has thrown, or
  /// throws taskreg::exited if that task exited. It does so once. Throws taskreg::error with
  /// deadlock or forked.
  void join() {
    detail::require(wait(), "taskreg::scope::join");
    std::unique_lock<std::mutex> hold(lock);
    const std::exception_ptr thrown = std::exchange(first, nullptr);
    const bool left = std::exchange(first_left, false);
    hold.unlock();
#if TASKREG_HAS_EXCEPTIONS
    if (thrown) std::rethrow_exception(thrown);
    if (left) throw exited();
#else
    if (thrown || left) std::terminate();
#endif
  }
  /// Whether a task has thrown or exited.
  bool failed() noexcept {
    const std::lock_guard<std::mutex> hold(lock);
    return has_failed;
  }

 private:
  /// How the block of a task reports to the scope that the task has thrown, and that it has ended.
  struct owner {
    scope *of;
    void threw(const std::exception_ptr &thrown) const noexcept { of->note(thrown, false); }
    void ended(bool left) const noexcept {
      if (left) of->note(nullptr, true);
    }
  };

  /// Makes a call that waits, without regard to the level of the calling task: the tasks of a scope
  /// that is cancelled end.
  template <class Call>
  static tr_status shielded(Call call) noexcept {
    const bool is_shielded = tr_shield_begin() == TR_OK;
    const tr_status code = call();
    if (is_shielded) TR_IGNORE(tr_shield_end());
    return code;
  }

  /// Throws if a spawn was rejected: the exception that cancelled the scope, if there is one.
  void admit(status code) {
#if TASKREG_HAS_EXCEPTIONS
    if (code == status::closed) {
      std::unique_lock<std::mutex> hold(lock);
      const std::exception_ptr thrown = first;
      hold.unlock();
      if (thrown) std::rethrow_exception(thrown);
    }
#endif
    detail::require(code, "tr_spawn", true);
  }

  void note(const std::exception_ptr &thrown, bool left) noexcept {
    {
      const std::lock_guard<std::mutex> hold(lock);
      if (std::exchange(has_failed, true)) return;
      first = thrown;
      first_left = left;
    }
    tasks.cancel(reason::fatal, left ? "a task of the scope exited" : "a task of the scope failed");
  }

  /// Inside a task: when the task is asked to stop, the scope is cancelled; when it is told to
  /// abort, so are the tasks of the scope.
  void follow() {
    tr_task *self = tr_task_self();
    if (self == nullptr) return;
    tr_status code = tr_task_on_cancel(
        self,
        [](void *group) {
          tr_token_cancel(tr_registry_token(static_cast<tr_registry *>(group)), TR_REASON_NONE,
                          "the task that has the scope was asked to stop");
        },
        raw, nullptr, &following);
    if (code != TR_OK && code != TR_ERR_CANCELLED) {
      following = nullptr;
      detail::require(code, "tr_task_on_cancel");
      return;
    }
    code = tr_task_on_abort(
        self,
        [](void *group) {
          tr_token_abort(tr_registry_token(static_cast<tr_registry *>(group)), TR_REASON_NONE,
                         "the task that has the scope was told to abort");
        },
        raw, nullptr, &following_abort);
    if (code == TR_OK || code == TR_ERR_CANCELLED) return;
    following_abort = nullptr;
    tr_registration_remove(std::exchange(following, nullptr));
    detail::require(code, "tr_task_on_abort");
  }

  registry tasks;
  tr_registry *raw = nullptr; // borrowed from `tasks`
  tr_registration *following = nullptr, *following_abort = nullptr;
  const bool is_root = false;
  std::mutex lock;
  // Guarded by `lock`:
  bool has_failed = false, first_left = false;
  std::exception_ptr first;
};

/// Calls `block(scope &)`, waits for the tasks that it has spawned, and returns its result. If a
/// task throws, the others are cancelled, and its exception is rethrown here. If the block throws,
/// all tasks are cancelled, and its exception passes through. In each case all tasks have ended.
template <class Block>
auto with_scope(const registry &parent, Block &&block) -> std::invoke_result_t<Block, scope &> {
  scope tasks(parent);
  if constexpr (std::is_void_v<std::invoke_result_t<Block, scope &>>) {
    std::invoke(std::forward<Block>(block), tasks);
    tasks.join();
  } else {
    std::invoke_result_t<Block, scope &> result = std::invoke(std::forward<Block>(block), tasks);
    tasks.join();
    return result;
  }
}

// ---- The calling task ----------------------------------------------------------------------

/// Functions of the calling task. In a thread that is not a task, the waits are ordinary waits.
namespace this_task {

/// A handle of the calling task; empty outside a task.
inline task_ref self() noexcept { return task_ref::share(tr_task_self()); }
/// Whether the calling task was asked to stop; false outside a task.
inline bool cancelled() noexcept { return tr_task_is_cancelled(tr_task_self()) != 0; }
/// The same, under the name that std::stop_token has for it.
inline bool stop_requested() noexcept { return cancelled(); }
/// How urgently the calling task was asked to stop; none outside a task.
inline taskreg::stop_level stop_level() noexcept {
  return static_cast<taskreg::stop_level>(tr_task_stop_level(tr_task_self()));
}
/// Says that the task has heard the request and finishes its work: from now on its waits return
/// cancelled only once it is told to abort. Returns ok; cancelled if it was told to already;
/// invalid outside a task.
inline status begin_drain() noexcept { return detail::to_status(tr_begin_drain()); }

/// A token of the calling task's own, for code that takes a token: it is cancelled and aborted with
/// the task. Empty outside a task, or without memory.
inline taskreg::token token() noexcept {
  return taskreg::token::share(tr_task_token(tr_task_self()));
}

/// Attaches a pointer of the program's to the calling task; see context::set_data. Returns ok;
/// invalid outside a task.
inline status set_data(void *data) noexcept {
  return detail::to_status(tr_task_set_data(tr_task_self(), data));
}
/// The pointer that the calling task has attached; null if none, and outside a task.
inline void *data() noexcept { return tr_task_data(tr_task_self()); }

/// While it lives, no wait of the calling task ends by its stop_level: for clean-up that has to
/// wait for something that is certain to end. It lives and dies in one thread. Outside a task it
/// does nothing.
class shield {
 public:
  shield() noexcept : is_up(tr_shield_begin() == TR_OK) {}
  shield(const shield &) = delete;
  shield &operator=(const shield &) = delete;
  ~shield() {
    if (is_up) ignore(detail::to_status(tr_shield_end()));
  }

 private:
  bool is_up;
};

/// Sleeps. Returns ok after the whole time, or cancelled once the task is asked to stop.
inline status sleep(timeout how_long) noexcept {
  return detail::to_status(tr_sleep(how_long.count()));
}
/// Waits until the task is asked to stop. Returns cancelled, timed_out; invalid outside a task.
inline status wait_cancelled(timeout most = forever) noexcept {
  return detail::to_status(tr_wait_cancelled(most.count()));
}
/// Waits until a descriptor has one of `events` (POLLIN, POLLOUT, ...). Returns ok, timed_out,
/// cancelled, nomem, system with errno; invalid if it is not open.
inline status wait_fd(int fd, short events, timeout most = forever) noexcept {
  return detail::to_status(tr_wait_fd(fd, events, most.count()));
}
/// The same; if it returns ok, it also stores which of `events` the descriptor has, and POLLERR,
/// POLLHUP. For several descriptors there is wait_fds.
inline status wait_fd(int fd, short events, short &ready, timeout most = forever) noexcept {
  const auto start = std::chrono::steady_clock::now();
  timeout left = most;
  for (;;) {
    status code = wait_fd(fd, events, left);
    if (code != status::ok) return code;
    pollfd now{fd, events, 0};
    if (poll(&now, 1, 0) > 0) {
      ready = now.revents;
      return code;
    }
    left = detail::remaining(most, start); // another thread was faster: it is not ready any more
  }
}
/// The same for the first of several descriptors, in the form of poll(2), whose `revents` it sets:
/// `pollfd both[2] = {...}; wait_fds(both, 2, 5s)`. A negative descriptor is left out.
inline status wait_fds(pollfd *fds, std::size_t count, timeout most = forever) noexcept {
  return detail::to_status(tr_wait_fds(fds, count, most.count()));
}
/// Stores a descriptor that is readable once the calling task is asked to stop, for poll(2),
/// epoll(7) and others; see task_ref::fd. Returns ok, nomem, system with errno; invalid outside a
/// task.
inline status fd(int &descriptor) noexcept {
  return detail::to_status(tr_task_fd(tr_task_self(), &descriptor));
}
/// The same for the moment at which it is told to abort; it is another descriptor.
inline status abort_fd(int &descriptor) noexcept {
  return detail::to_status(tr_task_abort_fd(tr_task_self(), &descriptor));
}
/// Sets the checkpoint: a text that says what the task does next; see tr_checkpoint. Each different
/// text is kept until the process ends, so use only a few. Returns ok; invalid outside a task.
inline status checkpoint(const text &where) noexcept {
  return detail::to_status(tr_checkpoint(where.c_str()));
}
/// Sets the label: whom or what the task is working for now; see tr_label. It may be different each
/// time. Returns ok; invalid outside a task.
inline status label(const text &what) noexcept {
  return detail::to_status(tr_label(what.c_str()));
}
/// Reports progress: `done` of `total` (0: unknown). Returns ok; invalid outside a task.
inline status progress(std::uint64_t done, std::uint64_t total,
                       const text &unit = nullptr) noexcept {
  return detail::to_status(tr_progress(done, total, unit.c_str()));
}
/// Reports a heartbeat. Returns ok; invalid in a thread that is not a task and has no heartbeat
/// interval.
inline status heartbeat() noexcept { return detail::to_status(tr_heartbeat()); }
/// Sets the heartbeat interval of the calling task; 0 removes it. See tr_heartbeat_promise.
inline status promise_heartbeat(taskreg::interval interval, bool except_waits = false) noexcept {
  return detail::to_status(tr_heartbeat_promise(nullptr, interval.count(),
                                                except_waits ? TR_HEARTBEAT_EXCEPT_WAITS : 0u));
}
/// The same for a thread that is not a task; registry::stalled then includes it.
inline status promise_heartbeat(const registry &in, taskreg::interval interval,
                                bool except_waits = false) noexcept {
  return detail::to_status(tr_heartbeat_promise(in.get(), interval.count(),
                                                except_waits ? TR_HEARTBEAT_EXCEPT_WAITS : 0u));
}
/// Pauses the heartbeat interval of the calling thread for as long as the object lives, for an
/// operation that is known to take long. A thread may have several such objects: the interval is
/// resumed when the last of them is destroyed. Destroy each on the thread that made it, and do not
/// mix them with tr_heartbeat_pause, which does not count.
class heartbeat_pause {
 public:
  heartbeat_pause() noexcept : is_counted(tr_heartbeat_pause() == TR_OK) {
    if (is_counted) common::heartbeat_pauses++;
  }
  heartbeat_pause(const heartbeat_pause &) = delete;
  heartbeat_pause &operator=(const heartbeat_pause &) = delete;
  ~heartbeat_pause() {
    if (is_counted && --common::heartbeat_pauses == 0) TR_IGNORE(tr_heartbeat_resume());
  }

 private:
  const bool is_counted; // the thread had an interval
};
/// Acknowledges that the calling task was asked to stop: its cancel signal is not sent again.
/// Returns ok; invalid outside a task.
inline status acknowledge_cancel() noexcept { return detail::to_status(tr_acknowledge_cancel()); }

} // namespace this_task

/// Waits once on a condition variable of the program: until it is signalled, the timeout has
/// passed, or the calling task is asked to stop, which is checked first. It may return ok
/// spuriously. `held` is locked before and after the call. When a task is cancelled, other waiters
/// of `condition` may wake spuriously. A task that was asked to stop before gets cancelled, and
/// `held` was not released: a loop must end then, or have a this_task::shield. Returns ok,
/// timed_out, cancelled, nomem, system with errno; invalid if `held` is not locked.
inline status wait(std::condition_variable &condition, std::unique_lock<std::mutex> &held,
                   timeout most = forever) noexcept {
  if (!held.owns_lock()) return status::invalid;
  return detail::to_status(
      tr_cond_wait(condition.native_handle(), held.mutex()->native_handle(), most.count()));
}

/// The same; cancelling `stop` ends the wait as well, inside and outside of tasks.
inline status wait(std::condition_variable &condition, std::unique_lock<std::mutex> &held,
                   const token &stop, timeout most = forever) noexcept {
  if (!held.owns_lock()) return status::invalid;
  return detail::to_status(tr_cond_wait_token(condition.native_handle(),
                                              held.mutex()->native_handle(), stop.get(),
                                              most.count()));
}

namespace detail {
/// Calls `once`, a wait with a timeout, until the predicate is true or the wait fails.
template <class Once, class Predicate>
status wait_until(timeout most, Predicate &until, Once once) {
  const auto start = std::chrono::steady_clock::now();
  status code = status::ok;
  while (!until()) {
    if (code != status::ok) return code;
    code = once(remaining(most, start));
  }
  return status::ok;
}
template <class Predicate>
inline constexpr bool is_predicate = std::is_invocable_r_v<bool, Predicate &>;
} // namespace detail

/// Waits until `until()`, which is called with the lock held, returns true. Then it returns ok,
/// even if the flag is raised; otherwise as the wait above. Throws what `until` throws.
template <class Predicate, class = std::enable_if_t<detail::is_predicate<Predicate>>>
status wait(std::condition_variable &condition, std::unique_lock<std::mutex> &held, timeout most,
            Predicate until) {
  if (!held.owns_lock()) return status::invalid;
  return detail::wait_until(most, until,
                            [&](timeout left) { return wait(condition, held, left); });
}
template <class Predicate, class = std::enable_if_t<detail::is_predicate<Predicate>>>
status wait(std::condition_variable &condition, std::unique_lock<std::mutex> &held,
            Predicate until) {
  return wait(condition, held, forever, std::move(until));
}

/// The same; cancelling `stop` ends the wait as well, inside and outside of tasks.
template <class Predicate, class = std::enable_if_t<detail::is_predicate<Predicate>>>
status wait(std::condition_variable &condition, std::unique_lock<std::mutex> &held,
            const token &stop, timeout most, Predicate until) {
  if (!held.owns_lock()) return status::invalid;
  return detail::wait_until(most, until,
                            [&](timeout left) { return wait(condition, held, stop, left); });
}
template <class Predicate, class = std::enable_if_t<detail::is_predicate<Predicate>>>
status wait(std::condition_variable &condition, std::unique_lock<std::mutex> &held,
            const token &stop, Predicate until) {
  return wait(condition, held, stop, forever, std::move(until));
}

// ---- The process ---------------------------------------------------------------------------

/// What a watched signal asks for.
enum class signal_role : std::uint32_t {
  stop = TR_SIGNAL_STOP,         ///< the first cancels, the second aborts, the third ends it all
  stop_now = TR_SIGNAL_STOP_NOW, ///< a stop that counts as the second, or as the third
  reload = TR_SIGNAL_RELOAD,     ///< a stop in order to start again, which is not counted
  explain = TR_SIGNAL_EXPLAIN    ///< the live tasks are written to a descriptor, as text
};

/// A signal that asks for something of its own.
struct watched_signal {
  int number;
  signal_role role;
  /// For explain: where to; it stays open as long as the watch.
  int fd = -1;
  /// The token's reason; none: user_requested, or reload_requested for a reload.
  reason why = reason::none;
};

/// The options of a signal watch.
struct signal_options {
  /// SIGHUP cancels as well, with reason::reload_requested.
  bool hup_reloads = false;
  /// A stop that comes within this time of the last one that counted does not count; 0: 100 ms.
  interval debounce = {};
  /// Whether every stop counts; debounce is not read.
  bool no_debounce = false;
  /// Signals that are watched in addition to SIGINT and SIGTERM, or that ask for something other
  /// than a stop.
  std::vector<watched_signal> roles = {};
};

namespace detail {
/// The options of a signal watch for the C functions.
class c_signal_options {
 public:
  explicit c_signal_options(const signal_options &from) {
    roles.reserve(from.roles.size());
    for (const watched_signal &one : from.roles)
      roles.push_back({one.number, static_cast<std::uint32_t>(one.role),
                       static_cast<tr_reason>(one.why), one.fd});
    options.flags = from.hup_reloads ? TR_SIGNALS_HUP_RELOADS : 0u;
    options.debounce_ns = from.no_debounce ? TR_NO_DEBOUNCE : from.debounce.count();
    options.roles = roles.data();
    options.roles_count = roles.size();
  }
  c_signal_options(const c_signal_options &) = delete;
  c_signal_options &operator=(const c_signal_options &) = delete;
  const tr_signal_options *get() const noexcept { return &options; }

 private:
  std::vector<tr_signal_role> roles;
  tr_signal_options options = sized<tr_signal_options>();
};
} // namespace detail

/// For as long as it lives, signals shut a registry down: see tr_signal_watch_start. The first
/// signal cancels the registry's token, the second aborts, the third ends the process.
/// A process can have one watch at a time.
class signal_watch {
 public:
  /// Watches SIGINT and SIGTERM, unless they are ignored. `hup_reloads`: SIGHUP cancels as well,
  /// with reason::reload_requested. Throws std::bad_alloc, or taskreg::error with invalid (also if
  /// there is a watch already), again or system.
  explicit signal_watch(const registry &stops, bool hup_reloads = false) : watched(stops) {
    start(nullptr, hup_reloads);
  }
  /// Watches these signals; the list may be empty.
  signal_watch(const registry &stops, std::initializer_list<int> signals, bool hup_reloads = false)
      : watched(stops) {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : signals)
      if (sigaddset(&set, number) != 0)
        detail::raise(status::invalid, "taskreg::signal_watch: there is no such signal");
    start(&set, hup_reloads);
  }
  /// Watches SIGINT and SIGTERM, unless they are ignored, and those that have a role.
  signal_watch(const registry &stops, const signal_options &how) : watched(stops) {
    start(nullptr, how);
  }
  signal_watch(const signal_watch &) = delete;
  signal_watch &operator=(const signal_watch &) = delete;
  /// Restores the previous actions of the signals, and waits for callbacks that are running on the
  /// thread of the watch.
  ~signal_watch() {
    if (watched) TR_IGNORE(tr_signal_watch_stop(watched.get()));
  }

  /// From now on the signals are for another registry, including those that have arrived. For a
  /// reload. Returns ok, invalid.
  status move_to(const registry &next) noexcept {
    const status code = detail::to_status(tr_signal_watch_move(watched.get(), next.get()));
    if (code == status::ok) watched = next;
    return code;
  }
  /// The first signal that asked the program to stop and that no token has reported yet; 0 if there
  /// is none.
  static int pending() noexcept { return tr_signal_watch_pending(); }

 private:
  void start(const sigset_t *set, bool hup_reloads) {
    signal_options how;
    how.hup_reloads = hup_reloads;
    start(set, how);
  }
  void start(const sigset_t *set, const signal_options &how) {
    const detail::c_signal_options options(how);
    detail::require(tr_signal_watch_start(watched.get(), set, options.get()),
                    "tr_signal_watch_start");
  }
  registry watched;
};

/// How systemd is notified.
struct systemd_options {
  /// The path of the socket; empty: what the environment says.
  std::string socket = {};
  /// How often the watchdog is fed, at least; 0: as the environment says; negative: never.
  interval watchdog = {};
  /// How often the status says what a stop waits for; 0: 1 s.
  interval status = {};
};

namespace detail {
inline tr_systemd_options to_c(const systemd_options &from) noexcept {
  auto made = sized<tr_systemd_options>();
  made.socket = from.socket.empty() ? nullptr : from.socket.c_str();
  made.watchdog_ns = from.watchdog.count();
  made.status_ns = from.status.count();
  return made;
}
} // namespace detail

/// For as long as it lives, systemd is notified: see tr_systemd_start. Without systemd it does
/// nothing.
class systemd_notifier {
 public:
  /// Throws std::bad_alloc, or taskreg::error with invalid, again or system.
  explicit systemd_notifier(const registry &of, const systemd_options &how = {}) : served(of) {
    const tr_systemd_options raw = detail::to_c(how);
    const tr_status code = tr_systemd_start(served.get(), &raw);
    detail::require(code, "tr_systemd_start", code == TR_ERR_SYSTEM);
  }
  systemd_notifier(const systemd_notifier &) = delete;
  systemd_notifier &operator=(const systemd_notifier &) = delete;
  ~systemd_notifier() { TR_IGNORE(tr_systemd_stop(served.get())); }

 private:
  registry served;
};

/// How exit_by ends the process.
struct exit_options {
  /// Whether it ends by SIGABRT, so that the system can write a core; `code` is not used then.
  bool abort = false;
  /// Whether the time begins with the first signal that asks the process to stop.
  bool from_signal = false;
  /// How long writing the report may take; 0: 1 s.
  interval report = {};
  /// The exit status, 1 to 255; 0: 124.
  std::int32_t code = 0;
  /// The descriptor of the report; 0: standard error; negative: nowhere.
  std::int32_t fd = 0;
  /// A file to which the first 4 KiB of the report are appended; empty: none.
  std::string reason_file = {};
};

/// How run_until_stopped runs a service, and stops it.
struct run_options {
  /// How long the shutdown waits; 0: 5 s.
  timeout grace = std::chrono::nanoseconds::zero();
  /// The options of the shutdown; `report` is not used, as there always is one.
  shutdown_options shutdown = {};
  /// The signals that stop the service; empty: SIGINT and SIGTERM.
  std::vector<int> signals = {};
  /// How they are handled, and further signals.
  signal_options signal = {};
  /// Whether systemd is notified, if there is one.
  bool systemd = true;
  /// How it is notified.
  systemd_options notify = {};
  /// The process ends that long after the first signal, whatever hangs; 0: never by force.
  interval exit_after = {};
  /// How it ends then; not without exit_after.
  std::optional<exit_options> exit = std::nullopt;
  /// A file that the report replaces, as JSON; empty: none.
  std::string report_file = {};
  /// The descriptor of the report as text; 0: standard error; negative: nowhere.
  std::int32_t report_fd = 0;
};

namespace detail {
inline tr_exit_options to_c(const exit_options &from) noexcept {
  auto made = sized<tr_exit_options>();
  made.flags =
      (from.abort ? TR_EXIT_ABORT : 0u) | (from.from_signal ? TR_EXIT_FROM_SIGNAL : 0u);
  made.report_ns = from.report.count();
  made.code = from.code;
  made.fd = from.fd;
  made.reason_file = from.reason_file.empty() ? nullptr : from.reason_file.c_str();
  return made;
}
} // namespace detail

/// Ends the process after a time, whatever hangs, with a report of what it was doing; see
/// tr_exit_by. Returns ok, invalid, nomem, again; system with errno. An earlier call stays in
/// effect if it is not ok.
inline status exit_by(timeout after, const exit_options &how) noexcept {
  const tr_exit_options raw = detail::to_c(how);
  return detail::to_status(tr_exit_by(after.count(), &raw));
}
/// The same with the options of C; nullptr is its defaults.
inline status exit_by(timeout after, const tr_exit_options *options = nullptr) noexcept {
  return detail::to_status(tr_exit_by(after.count(), options));
}
/// Takes back what exit_by has armed. Returns ok, invalid, deadline.
inline status exit_by_cancel() noexcept { return detail::to_status(tr_exit_by_cancel()); }

/// Runs a service until a signal, or anything else, stops it, and then through the shutdown; see
/// tr_run_until_stopped. Returns the exit status for main, which is TR_EXIT_FAILED if a call
/// failed; `why`, if it is not null, gets the status of that call. Blocks. Throws std::bad_alloc,
/// before anything was started.
inline int run_until_stopped(const registry &of, const run_options &how, status *why = nullptr) {
  const detail::c_signal_options signal(how.signal);
  const tr_shutdown_options shutdown = detail::to_c(how.shutdown);
  const tr_exit_options exit = detail::to_c(how.exit ? *how.exit : exit_options());
  const tr_systemd_options systemd = detail::to_c(how.notify);
  auto raw = detail::sized<tr_run_options>();
  raw.flags = how.systemd ? 0u : TR_RUN_NO_SYSTEMD;
  raw.systemd = &systemd;
  raw.grace_ns = how.grace.count();
  raw.shutdown = &shutdown;
  raw.signals = how.signals.empty() ? nullptr : how.signals.data();
  raw.signals_count = how.signals.size();
  raw.signal = signal.get();
  raw.exit_after_ns = how.exit_after.count();
  raw.exit = how.exit ? &exit : nullptr;
  raw.report_file = how.report_file.empty() ? nullptr : how.report_file.c_str();
  raw.report_fd = how.report_fd;
  std::int32_t code = TR_EXIT_FAILED;
  const status result = detail::to_status(tr_run_until_stopped(of.get(), &raw, &code));
  if (why != nullptr) *why = result;
  return code;
}
/// The same with the options of C; nullptr is its defaults. Does not throw.
inline int run_until_stopped(const registry &of, const tr_run_options *options = nullptr) noexcept {
  std::int32_t code = TR_EXIT_FAILED;
  TR_IGNORE(tr_run_until_stopped(of.get(), options, &code));
  return code;
}

/// Installs a signal handler that does nothing, which spawn_options::cancel_signal needs. Returns
/// ok, invalid.
inline status install_cancel_signal(int number) noexcept {
  return detail::to_status(tr_install_cancel_signal(number));
}
/// Enables backtraces of stragglers in reports; call it before the first spawn. Returns ok,
/// invalid, nomem.
inline status enable_backtraces(int number) noexcept {
  return detail::to_status(tr_enable_backtraces(number));
}
/// Waits until the threads of the library have ended. Call it before fork(2), dlclose(3) or a leak
/// check. Returns ok, timed_out, cancelled, deadlock. Blocks.
inline status quiesce(timeout most = forever) noexcept {
  return detail::to_status(tr_quiesce(most.count()));
}

} // namespace TASKREG_OPTIONS
} // namespace taskreg

#endif /* TASKREG_HPP */
