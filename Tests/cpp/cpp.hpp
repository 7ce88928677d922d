// cpp.hpp - what the tests of taskreg.hpp share: the harness of the C tests, gates, and counted objects.

#ifndef TASKREG_TESTS_CPP_HPP
#define TASKREG_TESTS_CPP_HPP

#include <check.h>

#include <taskreg.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>

/* With LLVM's libunwind beside libgcc's, as Debian's libc++abi has it, pthread_exit in a function with a handler ends any
   program by SIGSEGV: two unwinders read each other's records. */
#ifdef _LIBCPP_VERSION
#define CAN_UNWIND_THREADS 0
#else
#define CAN_UNWIND_THREADS 1
#endif

using namespace std::chrono_literals;

#define CHECK_STATUS(expected, actual)                                                            \
  do {                                                                                             \
    const taskreg::status check_status = (actual);                                                 \
    if (check_status != (expected))                                                                \
      check_fail(__FILE__, __LINE__, "%s is \"%s\", not %s", #actual, to_string(check_status), #expected); \
  } while (0)

#if TASKREG_HAS_EXCEPTIONS
/// The call throws taskreg::error with this status.
#define CHECK_THROWS(expected, ...)                                                               \
  do {                                                                                             \
    bool check_threw = false;                                                                      \
    try {                                                                                          \
      __VA_ARGS__;                                                                                 \
    } catch (const taskreg::error &check_error) {                                                  \
      check_threw = true;                                                                          \
      CHECK_STATUS(expected, check_error.status());                                                \
    }                                                                                              \
    if (!check_threw) check_fail(__FILE__, __LINE__, "did not throw: %s", #__VA_ARGS__);           \
  } while (0)
#endif

/// Opened once, and passed by all.
class gate {
 public:
  void pass() {
    std::unique_lock<std::mutex> hold(lock);
    changed.wait(hold, [this] { return is_open; });
  }
  void open() {
    const std::lock_guard<std::mutex> hold(lock);
    is_open = true;
    changed.notify_all();
  }

 private:
  std::mutex lock;
  std::condition_variable changed;
  bool is_open = false;
};

/// Counts the objects of it that are alive.
struct counted {
  explicit counted(std::atomic<int> &of) noexcept : alive(&of) { (*alive)++; }
  counted(const counted &other) noexcept : alive(other.alive) { (*alive)++; }
  counted(counted &&other) noexcept : alive(other.alive) { (*alive)++; }
  counted &operator=(const counted &) = delete;
  ~counted() { (*alive)--; }
  std::atomic<int> *alive;
};

/// Waits until the calling task is asked to stop.
inline void until_cancelled() {
  if (taskreg::this_task::wait_cancelled() != taskreg::status::cancelled) check_fail(__FILE__, __LINE__, "no task");
}

/// The registry stops, with all of its threads, or the case fails.
inline void stops(const taskreg::registry &registry) {
  taskreg::join_result result;
  // Again as long as only threads are left that a busy machine does not let leave.
  do {
    result = registry.shutdown(taskreg::forever);
  } while (result.status == taskreg::status::deadline && result.pending == 0 && result.threads_left > 0);
  CHECK_STATUS(taskreg::status::ok, result.status);
}

#endif
