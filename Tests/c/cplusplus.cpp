// cplusplus.cpp - the header from C++17: every initialiser and type, handles owned by RAII, bodies
// that are lambdas.

#include "check.h"

#include <taskreg.h>

#include <atomic>
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <sys/wait.h>

namespace {

constexpr int64_t forever = -1;

struct Release {
  void operator()(tr_token *token) const noexcept { tr_token_release(token); }
  void operator()(tr_registry *registry) const noexcept { tr_registry_release(registry); }
  void operator()(tr_task *task) const noexcept { tr_task_release(task); }
};
using Token = std::unique_ptr<tr_token, Release>;
using Task = std::unique_ptr<tr_task, Release>;

/// A registry that is shut down when it goes out of scope.
class Registry {
 public:
  Registry() {
    tr_registry *made = nullptr;
    CHECK_EQ(TR_OK, tr_registry_create(nullptr, &made));
    handle.reset(made);
  }
  Registry(Registry &&) = default;
  ~Registry() {
    if (!handle) return;
    // Again as long as only threads are left that a busy machine does not let leave.
    tr_join_report report = TR_JOIN_REPORT_INIT;
    tr_status status;
    do {
      status = tr_shutdown(get(), TR_REASON_REQUESTED_BY_RUN, nullptr, forever, &report);
    } while (status == TR_ERR_DEADLINE && report.pending == 0 && report.threads_left > 0);
    CHECK_EQ(TR_OK, status);
  }
  tr_registry *get() const noexcept { return handle.get(); }

  /// Spawns any callable; what it owns is freed by the drop. An exception that reaches the edge
  /// becomes a failed task with its text as the message.
  Task spawn(const std::string &name, std::function<int(tr_task *)> body) {
    using Body = std::function<int(tr_task *)>;
    auto context = std::make_unique<Body>(std::move(body));
    tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
    options.drop = [](void *ctx) { delete static_cast<Body *>(ctx); };
    tr_task *task = nullptr;
    tr_status status = tr_spawn_with(
        get(), name.c_str(), TR_KIND_APPLICATION,
        [](tr_task *self, void *ctx) -> int {
          try {
            return (*static_cast<Body *>(ctx))(self);
          } catch (const std::exception &error) {
            TR_IGNORE(tr_task_set_message(self, error.what()));
            return -1;
          }
        },
        context.get(), &options, &task);
    if (status != TR_OK) return nullptr; // on an error ctx is ours still, and freed here
    context.release();
    return Task(task);
  }

 private:
  std::unique_ptr<tr_registry, Release> handle;
};

class Gate {
 public:
  void pass() {
    std::unique_lock<std::mutex> hold(lock);
    changed.wait(hold, [this] { return opened; });
  }
  void open() {
    std::lock_guard<std::mutex> hold(lock);
    opened = true;
    changed.notify_all();
  }

 private:
  std::mutex lock;
  std::condition_variable changed;
  bool opened = false;
};

/* Proves: the header is C++17: the initialisers fill their structures, functions have C linkage and
   plain pointer types, constants have the types that their uses need (P4). Why it matters: C++
   programs include the same header. Catches: designated initialisers, a keyword as a parameter
   name, a missing extern "C". */
CASE(header_is_cplusplus) {
  tr_registry_options registry = TR_REGISTRY_OPTIONS_INIT;
  tr_spawn_options spawn = TR_SPAWN_OPTIONS_INIT;
  tr_task_summary summary = TR_TASK_SUMMARY_INIT;
  tr_join_report report = TR_JOIN_REPORT_INIT;
  tr_outcome outcome = TR_OUTCOME_INIT;
  CHECK_EQ(sizeof registry, registry.size);
  CHECK_EQ(sizeof spawn, spawn.size);
  CHECK_EQ(sizeof summary, summary.size);
  CHECK_EQ(sizeof report, report.size);
  CHECK_EQ(sizeof outcome, outcome.size);
  CHECK_EQ(0, registry.spin_ns);
  CHECK(registry.token == nullptr && registry.log == nullptr && registry.max_tasks == 0);
  CHECK(spawn.drop == nullptr && spawn.flags == 0 && spawn.stack_size == 0);
  CHECK(report.stragglers == nullptr && report.stragglers_capacity == 0);
  static_assert(std::is_same<decltype(TR_OK), tr_status>::value ||
                    std::is_convertible<decltype(TR_OK), tr_status>::value,
                "a status is a status");
  static_assert(std::is_same<decltype(&tr_len), size_t (*)(const tr_registry *)>::value, "tr_len");
  static_assert(std::is_standard_layout<tr_join_report>::value, "structures are plain");
  static_assert(std::is_trivially_copyable<tr_task_summary>::value, "structures are plain");
  CHECK_EQ(TR_VERSION, tr_version());
  CHECK_STR("maintenance", tr_kind_name(TR_KIND_MAINTENANCE));
}

/* Proves: RAII handles in the order C++ destroys them, and moved ones, shut down and free
   everything; what a lambda captured is freed by the drop, once, on the task's thread (G3, G4,
   S4).  Why it matters: destructors run in reverse order of construction, which is often not the
   order one would choose.  Catches: a release order that is not allowed; a drop that does not
   run. */
CASE(handles_are_owned_by_scopes) {
  auto counted = std::make_shared<std::atomic<int>>(0);
  {
    Registry registry;
    Token token(tr_token_retain(tr_registry_token(registry.get())));
    std::vector<Task> tasks;
    for (int i = 0; i < 20; i++)
      tasks.push_back(registry.spawn("lambda " + std::to_string(i), [counted, i](tr_task *) {
        counted->fetch_add(i);
        return 0;
      }));
    for (auto &task : tasks) CHECK_EQ(TR_OK, tr_task_wait(task.get(), forever, nullptr));
    Registry moved(std::move(registry));
    CHECK(registry.get() == nullptr);
    CHECK_EQ(0, tr_len(moved.get()));
  }
  CHECK_EQ(190, counted->load());
  CHECK_EQ(1, counted.use_count());
}

/* Proves: a spawn that is rejected leaves its argument to the caller, whose unique_ptr frees it
   (S4, S5). Why it matters: ownership that depends on the result is where leaks are made. Catches:
   a drop on the error path. */
CASE(rejected_spawn_leaves_ownership) {
  auto counted = std::make_shared<std::atomic<int>>(0);
  Registry registry;
  CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry.get()), TR_REASON_FATAL, nullptr));
  Task none = registry.spawn("late", [counted](tr_task *) { return counted->fetch_add(1); });
  CHECK(none == nullptr);
  CHECK_EQ(1, counted.use_count());
  none = registry.spawn("", [counted](tr_task *) { return counted->fetch_add(1); });
  CHECK(none == nullptr);
  CHECK_EQ(1, counted.use_count());
  CHECK_EQ(0, counted->load());
}

/* Proves: an exception that is caught at the edge of the body becomes a failed task with its
   text; destructors in the body run (O1, O2).  Why it matters: an exception must not leave a
   body, and need not be lost.  Catches: unwinding through the library. */
CASE(exception_becomes_a_failed_task) {
  Registry registry;
  std::atomic<int> destroyed{0};
  struct Guard {
    std::atomic<int> &count;
    ~Guard() { count++; }
  };
  Task task = registry.spawn("throws", [&destroyed](tr_task *) -> int {
    Guard guard{destroyed};
    throw std::runtime_error("no route to host");
  });
  tr_outcome outcome = TR_OUTCOME_INIT;
  CHECK_EQ(TR_OK, tr_task_wait(task.get(), forever, &outcome));
  CHECK_EQ(TR_ENDED_FAILED, outcome.how);
  CHECK_EQ(-1, outcome.code);
  CHECK_STR("no route to host", outcome.message);
  CHECK_EQ(1, destroyed.load());
}

/* Proves: an exception that leaves a body ends the program by std::terminate, as one that leaves
   std::thread does: it is not swallowed, and no destructor of a frame below the library runs (O1).
   Why it matters: it shows the result of the header's "must not". Catches: a body's exception that
   passes for an end of its task. */
CASE(exception_that_leaves_a_body_terminates) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm(static_cast<unsigned>(10 * check_scale()));
    // By SIGKILL, so that no leak checker asks for what terminate leaves behind.
    std::set_terminate([] {
      if (std::current_exception()) raise(SIGKILL);
      _exit(4);
    });
    tr_registry *registry = nullptr;
    if (tr_registry_create(nullptr, &registry) != TR_OK) _exit(1);
    tr_task_fn throws = [](tr_task *, void *) -> int { throw std::runtime_error("nobody catches"); };
    if (tr_spawn(registry, "throws", TR_KIND_MAINTENANCE, throws, nullptr, nullptr) != TR_OK) _exit(2);
    TR_IGNORE(tr_join_all(registry, forever, nullptr));
    _exit(3); /* the task has ended, as if nothing had been */
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) CHECK_EQ(EINTR, errno);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(SIGKILL, WTERMSIG(status));
}

namespace {

void throws(void *) { throw std::runtime_error("nobody catches"); }

void log_throws(void *context, const tr_log_event *event) {
  if (event->event == *static_cast<const uint32_t *>(context)) throws(nullptr);
}

int body_hangs(tr_task *, void *) {
  while (true) pause();
}

tr_registry *registry_whose_log_throws(uint32_t event) {
  static uint32_t of_log;
  of_log = event;
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = log_throws;
  options.log_context = &of_log;
  options.max_tasks = 1;
  tr_registry *registry = nullptr;
  if (tr_registry_create(&options, &registry) != TR_OK) _exit(1);
  return registry;
}

tr_token *token_that_throws(tr_token *token) {
  tr_registration *registration = nullptr;
  if (tr_token_on_cancel(token, throws, nullptr, nullptr, &registration) != TR_OK) _exit(1);
  return token;
}

/* Each leads to a callback that throws, with a caller that would catch everything. */
void (*const that_throw[])() = {
    [] { // a drop of a task
      tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
      options.drop = throws;
      tr_registry *registry = nullptr;
      if (tr_registry_create(nullptr, &registry) != TR_OK) _exit(1);
      tr_task_fn returns = [](tr_task *, void *) -> int { return 0; };
      TR_IGNORE(tr_spawn_with(registry, "drop", TR_KIND_MAINTENANCE, returns, nullptr, &options, nullptr));
      TR_IGNORE(tr_join_all(registry, forever, nullptr));
    },
    [] { // a drop of a registration
      tr_token *token = tr_token_create();
      tr_registration *registration = nullptr;
      tr_cancel_fn nothing = [](void *) {};
      TR_IGNORE(tr_token_on_cancel(token, nothing, nullptr, throws, &registration));
      tr_registration_remove(registration);
    },
    [] { // a log, in the call that is rejected
      tr_registry *registry = registry_whose_log_throws(TR_EVENT_SPAWN_REJECTED);
      for (int i = 0; i < 2; i++)
        TR_IGNORE(tr_spawn(registry, "hangs", TR_KIND_MAINTENANCE, body_hangs, nullptr, nullptr));
    },
    [] { // a callback on cancel
      tr_token_cancel(token_that_throws(tr_token_create()), TR_REASON_FATAL, nullptr);
    },
    [] { // one that is called at once
      tr_token *token = tr_token_create();
      tr_token_cancel(token, TR_REASON_FATAL, nullptr);
      token_that_throws(token);
    },
    [] { // one of a signal
      tr_registry *registry = nullptr;
      if (tr_registry_create(nullptr, &registry) != TR_OK) _exit(1);
      token_that_throws(tr_registry_token(registry));
      TR_IGNORE(tr_signal_watch_start(registry, nullptr, nullptr));
      kill(getpid(), SIGTERM);
      while (true) pause();
    },
    [] { // a log that gets the event of a stall
      tr_registry *registry = registry_whose_log_throws(TR_EVENT_TASK_STALLED);
      tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
      options.heartbeat_ns = 1000000;
      TR_IGNORE(tr_spawn_with(registry, "hangs", TR_KIND_MAINTENANCE, body_hangs, nullptr, &options, nullptr));
      while (true) pause();
    },
    [] { // of a phase
      tr_registry *registry = nullptr;
      CHECK_EQ(TR_OK, tr_registry_create(nullptr, &registry));
      tr_shutdown_options options = TR_SHUTDOWN_OPTIONS_INIT;
      options.on_phase_end = [](void *, std::uint32_t, std::uint64_t) {
        throw std::runtime_error("phase");
      };
      TR_IGNORE(tr_shutdown_with(registry, TR_REASON_FATAL, nullptr, forever, &options, nullptr));
    },
};

} // namespace

/* Proves: an exception that leaves a callback of any kind, a drop, a log, one on cancel, of a
   phase, a signal or a heartbeat, ends the program by std::terminate, even if a caller of the library
   would catch it (P7). Why it matters: an exception that passes the library leaves its calls half
   done. Catches: frames of the library that an exception passes. */
CASE(exception_that_leaves_a_callback_terminates) {
  for (auto throwing : that_throw) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      alarm(static_cast<unsigned>(10 * check_scale()));
      std::set_terminate([] {
        if (std::current_exception()) raise(SIGKILL);
        _exit(4);
      });
      try {
        throwing();
      } catch (...) {
        _exit(2);
      }
      _exit(3);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0) CHECK_EQ(EINTR, errno);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(SIGKILL, WTERMSIG(status));
  }
}

/* Proves: pthread_exit in a C++ body unwinds it: its destructors run, then its drop, and the
   task has exited (O1, S4).  Why it matters: the unwinding passes through the library's frames.
   Catches: frames that cannot be unwound; a noexcept edge that aborts. */
CASE(pthread_exit_unwinds_cplusplus) {
  Registry registry;
  auto counted = std::make_shared<std::atomic<int>>(0);
  struct Guard {
    std::shared_ptr<std::atomic<int>> count;
    ~Guard() { count->fetch_add(1); }
  };
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.drop = [](void *ctx) { delete static_cast<std::shared_ptr<std::atomic<int>> *>(ctx); };
  tr_task *raw = nullptr;
  CHECK_EQ(TR_OK, tr_spawn_with(
                      registry.get(), "exits", TR_KIND_APPLICATION,
                      [](tr_task *, void *ctx) -> int {
                        Guard guard{*static_cast<std::shared_ptr<std::atomic<int>> *>(ctx)};
                        pthread_exit(nullptr);
                      },
                      new std::shared_ptr<std::atomic<int>>(counted), &options, &raw));
  Task task(raw);
  tr_outcome outcome = TR_OUTCOME_INIT;
  CHECK_EQ(TR_OK, tr_task_wait(task.get(), forever, &outcome));
  CHECK_EQ(TR_ENDED_EXITED, outcome.how);
  CHECK_EQ(1, counted->load());
  CHECK_EQ(1, counted.use_count());
}

std::atomic<int> locals_made{0}, locals_destroyed{0};
struct Local {
  Local() { locals_made++; }
  ~Local() { locals_destroyed++; }
  int touched = 0;
};
thread_local Local local;

/* Proves: thread_local objects of C++ are destroyed in the task's thread, at the latest when the
   shutdown returns (G4, S1).  Why it matters: they are how C++ libraries keep state per thread.
   Catches: detached threads. */
CASE(thread_locals_are_destroyed_by_the_shutdown) {
  {
    Registry registry;
    Gate gate;
    std::vector<Task> tasks;
    for (int i = 0; i < 6; i++)
      tasks.push_back(registry.spawn("local", [&gate](tr_task *) {
        local.touched++;
        gate.pass();
        return 0;
      }));
    gate.open();
    for (auto &task : tasks) CHECK_EQ(TR_OK, tr_task_wait(task.get(), forever, nullptr));
  }
  CHECK(locals_made.load() >= 1);
  CHECK_EQ(locals_made.load(), locals_destroyed.load());
}

/* Proves: std::thread, its locks and the library's tasks work together: threads of the program
   wait for tasks, tasks for the program's conditions, and a shutdown ends both (J1, C4, O3).
   Why it matters: the two are mixed in every C++ program.  Catches: nothing of one rule alone: a
   program as it is written. */
CASE(standard_threads_and_tasks_work_together) {
  Registry registry;
  Gate gate;
  Task deaf = registry.spawn("waits for the program", [&gate](tr_task *) {
    gate.pass();
    return 0;
  });
  Task loop = registry.spawn("heartbeat", [](tr_task *self) {
    while (tr_sleep(1000000) == TR_OK) CHECK(tr_task_self() == self);
    return tr_task_is_cancelled(self) ? 0 : 1;
  });
  std::atomic<int> called{0};
  std::vector<std::thread> watchers;
  for (int i = 0; i < 4; i++)
    watchers.emplace_back([&] {
      CHECK_EQ(TR_OK, tr_task_wait(deaf.get(), forever, nullptr));
      CHECK_EQ(TR_OK, tr_task_wait(loop.get(), forever, nullptr));
      called++;
    });
  gate.open();
  tr_join_report report = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_OK, tr_shutdown(registry.get(), TR_REASON_USER_REQUESTED, "end", forever, &report));
  for (auto &watcher : watchers) watcher.join();
  CHECK_EQ(4, called.load());
  CHECK_EQ(0, report.pending);
}

} // namespace

CHECK_MAIN(
    // First: its child may use the library only while this process has not.
    CHECK_ENTRY(exception_that_leaves_a_body_terminates),
           CHECK_ENTRY(exception_that_leaves_a_callback_terminates),
    CHECK_ENTRY(header_is_cplusplus),
    CHECK_ENTRY(handles_are_owned_by_scopes),
    CHECK_ENTRY(rejected_spawn_leaves_ownership),
    CHECK_ENTRY(exception_becomes_a_failed_task),
    CHECK_ENTRY(pthread_exit_unwinds_cplusplus),
    CHECK_ENTRY(thread_locals_are_destroyed_by_the_shutdown),
    CHECK_ENTRY(standard_threads_and_tasks_work_together))
