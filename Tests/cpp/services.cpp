// services.cpp - taskreg.hpp: what a whole service needs: levels of a stop for many tasks, several tokens, the end of the
// process, what is attached to tasks and registries.

#include "cpp.hpp"

#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <csignal>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using taskreg::status;

/* The way in which a child ends that runs `run`. */
template <class Run>
int status_of(Run run) {
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm(static_cast<unsigned>(20 * check_scale()));
    run();
    _exit(99);
  }
  int code = 0;
  while (waitpid(child, &code, 0) < 0) CHECK_EQ(EINTR, errno);
  return code;
}

/* Wait until a thread of this process sleeps (proc_pid_stat(5)). */
void await_asleep(pid_t thread) {
  const std::string path = "/proc/self/task/" + std::to_string(thread) + "/stat";
  for (char state = 0; state != 'S'; std::this_thread::yield()) {
    std::ifstream file(path);
    std::string stat;
    std::getline(file, stat);
    const auto name_end = stat.rfind(") ");
    CHECK(name_end != std::string::npos);
    state = stat[name_end + 2];
  }
}

/* Proves: a registry and a scope abort their tasks, also those that drain; a scope in a task aborts with it (C15, C16,
   U4).  Why it matters: the second signal, by hand.  Catches: an abort that is a cancel. */
CASE(registries_and_scopes_abort) {
  taskreg::registry tasks;
  std::atomic<int> draining{0};
  const auto drains = [&] {
    until_cancelled();
    CHECK_STATUS(status::ok, taskreg::this_task::begin_drain());
    draining++;
    until_cancelled();
    CHECK(taskreg::this_task::stop_level() == taskreg::stop_level::abort);
  };
  const auto until_draining = [&](int count) {
    while (draining < count) std::this_thread::yield();
  };
  auto one = tasks.spawn("one", drains);
  tasks.cancel();
  until_draining(1);
  CHECK_STATUS(status::timed_out, one.wait(5ms));
  CHECK(tasks.abort(taskreg::reason::fatal) && !tasks.abort());
  CHECK_STATUS(status::ok, one.wait());
  CHECK(tasks.token().stop_level() == taskreg::stop_level::abort);
  stops(tasks);

  taskreg::registry others;
  {
    taskreg::scope scope(others);
    auto two = scope.spawn("two", drains);
    scope.cancel();
    until_draining(2);
    CHECK_STATUS(status::timed_out, two.wait(5ms));
    scope.abort();
    CHECK_STATUS(status::ok, two.wait());
  }
  auto parent = others.spawn("parent", [&] {
    taskreg::scope scope(others);
    scope.detach("child", drains);
  }); // the end of the scope cancels the child, which drains until the parent is told to abort
  until_draining(3);
  CHECK_STATUS(status::timed_out, parent.wait(5ms));
  CHECK_STATUS(status::ok, parent.abort());
  CHECK_STATUS(status::ok, parent.wait());
  stops(others);
}

/* Proves: wait_any says which of several tokens is cancelled, and ends for the calling task too (C18).  Why it matters:
   a service waits for its stop and for its reload.  Catches: an index that is not passed on; a token too many that is
   written behind the array. */
CASE(the_first_of_several_tokens) {
  taskreg::token stop, reload;
  std::size_t which = 4711;
  CHECK_STATUS(status::timed_out, taskreg::wait_any({stop, reload}, which, 1ms));
  CHECK_EQ(4711, which);
  reload.cancel();
  CHECK_STATUS(status::ok, taskreg::wait_any({stop, reload}, which));
  CHECK_EQ(1, which);
  const std::vector<taskreg::token> all{reload, stop};
  CHECK_STATUS(status::ok, taskreg::wait_any(all, which));
  CHECK_EQ(0, which);
  CHECK_STATUS(status::invalid, taskreg::wait_any(std::vector<taskreg::token>(), which));
  CHECK_STATUS(status::invalid, taskreg::wait_any(std::vector<taskreg::token>(TR_TOKENS_MOST + 1, stop), which));
  CHECK_STATUS(status::ok, taskreg::wait_any(std::vector<taskreg::token>(TR_TOKENS_MOST, reload), which));
  CHECK_STATUS(status::invalid, taskreg::wait_any({stop, nullptr}, which));
  taskreg::registry tasks;
  auto task = tasks.spawn("waits", [&] {
    std::size_t none = 0;
    return taskreg::wait_any({stop}, none);
  });
  CHECK_STATUS(status::ok, task.cancel());
  CHECK_STATUS(status::ok, task.wait());
  CHECK_STATUS(status::cancelled, *task.result());
  stops(tasks);
}

/* Proves: a task has a phase, a pointer and a message of any bytes within reach (E5, O1, O4).  Why it matters: code that
   gets the task alone.  Catches: a pointer that is not the task's own. */
CASE(tasks_carry_what_is_attached) {
  taskreg::registry tasks;
  CHECK(taskreg::task_ref().data() == nullptr && taskreg::task_ref().phase() == 0);
  CHECK(taskreg::this_task::data() == nullptr);
  CHECK_STATUS(status::invalid, taskreg::this_task::set_data(&tasks));
  taskreg::spawn_options late;
  late.phase = 5;
  int object = 0;
  auto task = tasks.spawn("carries", late, [&](taskreg::context self) {
    CHECK(self.data() == nullptr && self.phase() == 5);
    CHECK_STATUS(status::ok, self.set_data(&tasks));
    CHECK(taskreg::this_task::data() == &tasks);
    CHECK_STATUS(status::ok, taskreg::this_task::set_data(&object));
    CHECK_STATUS(status::invalid, self.set_message("caf\xe9"));
    int fd = -1, abort_fd = -1, same = -1;
    CHECK_STATUS(status::ok, self.fd(fd));
    CHECK_STATUS(status::ok, self.task().fd(same));
    CHECK_STATUS(status::ok, self.abort_fd(abort_fd));
    CHECK(fd >= 0 && fd == same && abort_fd >= 0 && abort_fd != fd);
    CHECK_STATUS(status::ok, self.set_message_lossy("caf\xe9"));
    return taskreg::exit_code{1};
  });
  taskreg::outcome how;
  CHECK_STATUS(status::ok, task.wait(taskreg::forever, how));
  CHECK_STR("caf\xef\xbf\xbd", how.message);
  CHECK(task.data() == &object && task.phase() == 5);
  stops(tasks);
}

/* Proves: a log that the registry keeps gets every event, and is destroyed once after the registry, its groups and
   the options, wherever it came from; a registry that cannot be made keeps none (O2, P7).  Why it matters: a log by
   reference must outlive everything, which nobody can see from the outside.  Catches: a receiver that is copied or
   leaks; one that goes with the options. */
CASE(a_registry_keeps_its_log) {
  std::atomic<int> alive{0}, failed{0};
  {
    taskreg::registry_options options;
    options.log_with([own = counted(alive), &failed](const tr_log_event &event) {
      if (event.event == TR_EVENT_TASK_FAILED) failed++;
    });
    CHECK_EQ(1, alive.load());
    taskreg::registry first(options);
    auto second = std::make_unique<taskreg::registry>(options);
    options.max_tasks = 1;
    taskreg::group group(first, "own", options), heir(first, "heir");
    options.spin = 1h; // more than is allowed
    status code = status::ok;
    CHECK(!taskreg::registry::try_make(code, options) && code == status::invalid);
    CHECK(!taskreg::group::try_make(code, first, "a/b", options) && code == status::invalid);
    CHECK_EQ(1, alive.load());
    const taskreg::registry all[] = {first, *second, group, heir};
    for (const taskreg::registry &each : all) {
      auto task = each.spawn("fails", [] { return taskreg::exit_code{1}; });
      CHECK_STATUS(status::ok, task.wait());
    }
    CHECK_EQ(4, failed.load());
    CHECK_EQ(1, alive.load());
    stops(*second);
    second.reset();
    stops(first);
  }
  CHECK_EQ(0, alive.load());
}

/* Proves: a log that was given after log_with takes the place of the receiver, with its own context, also none (O2).  Why it
   matters: options are copied from others and changed.  Catches: a function that gets the kept receiver as its context. */
CASE(a_later_log_replaces_the_kept_one) {
  static std::atomic<void *> seen;
  taskreg::registry_options options;
  options.log_with([](const tr_log_event &) { check_fail(__FILE__, __LINE__, "it was replaced"); });
  options.log = [](void *context, const tr_log_event *) { seen = context; };
  for (void *context : {static_cast<void *>(&options), static_cast<void *>(nullptr)}) {
    seen = &seen;
    options.log_context = context;
    taskreg::registry tasks(options);
    tasks.detach("fails", [] { return taskreg::exit_code{1}; });
    stops(tasks);
    CHECK(seen == context);
  }
  options.log_with([](const tr_log_event &) {});
  options.log = nullptr;
  taskreg::registry silent(options); // invalid otherwise: a log_drop without a log
  stops(silent);
}

/* Proves: an end callback is called once, when the outcome can be read, on the task's thread and inside no task; at once
   for a task that has ended; not at all once it is destroyed (O4).  Why it matters: an owner that must not wait hears of
   the end.  Catches: a callback for the cancellation; one that is called twice, or after its object is gone. */
CASE(ends_call_back) {
  taskreg::registry tasks;
  gate go;
  std::atomic<int> calls{0}, others{0};
  std::thread::id ran_on;
  auto task = tasks.spawn("ends", [&] {
    ran_on = std::this_thread::get_id();
    go.pass();
    return taskreg::exit_code{4};
  });
  const taskreg::end_callback callback(task, [&] {
    taskreg::outcome how;
    CHECK_STATUS(status::ok, task.wait(0s, how));
    CHECK(how.code == 4 && tr_task_self() == nullptr && std::this_thread::get_id() == ran_on);
    calls++;
  });
  {
    const taskreg::end_callback removed(task, [&] { others++; });
    CHECK_STATUS(status::ok, task.cancel());
  }
  CHECK_EQ(0, calls.load());
  go.open();
  stops(tasks); // which has waited for it
  CHECK_EQ(1, calls.load());
  {
    const taskreg::end_callback at_once(task, [&] { calls++; });
    CHECK_EQ(2, calls.load());
  }
  CHECK(calls == 2 && others == 0);
#if TASKREG_HAS_EXCEPTIONS
  CHECK_THROWS(status::invalid, taskreg::end_callback none(taskreg::task_ref(), [] {}));
#endif
}

/* Proves: kinds of the program's own and the threads of tasks get the names that they are given (S2, S3).  Why it matters:
   they are what ps(1) and a report show.  Catches: an option that is not passed on. */
CASE(kinds_and_threads_get_names) {
  constexpr taskreg::kind crawler{0x4242};
  CHECK_STR("application", to_string(crawler));
  CHECK_STATUS(status::ok, set_name(crawler, "crawler"));
  CHECK_STR("crawler", to_string(crawler));
  CHECK_STATUS(status::invalid, set_name(taskreg::kind::maintenance, "other"));
  CHECK_STATUS(status::invalid, set_name(crawler, ""));
  CHECK_STR("crawler", to_string(crawler));
  taskreg::registry tasks;
  const auto own_name = [] {
    char name[16] = {};
    CHECK_EQ(0, prctl(PR_GET_NAME, name));
    return std::string(name);
  };
  taskreg::spawn_options how;
  auto plain = tasks.spawn("conn 127.0.0.1:80", how, own_name);
  CHECK_STATUS(status::ok, plain.wait());
  CHECK_STR("conn 127.0.0.1:", plain.result()->c_str());
  how.thread_name = "80 from 127.0.0.1";
  auto named = tasks.spawn("conn 127.0.0.1:80", how, own_name);
  CHECK_STATUS(status::ok, named.wait());
  CHECK_STR("80 from 127.0.0", named.result()->c_str());
  CHECK(named.name() == "conn 127.0.0.1:80");
  how.thread_name = "caf\xe9";
  status code = status::ok;
  CHECK(!tasks.try_spawn(code, "invalid", how, own_name) && code == status::invalid);
  stops(tasks);
}

/* Proves: what the descriptors are that tasks wait for is left out of one report, or of all of a registry (E13).  Why it
   matters: paths and addresses are disclosed otherwise.  Catches: a flag that is not passed on; one passed on as another. */
CASE(reports_leave_descriptors_out) {
  for (int way = 0; way < 3; way++) { // 0: they say; 1: not this report; 2: no report of this registry
    int ends[2];
    CHECK_EQ(0, pipe(ends));
    taskreg::registry_options options;
    options.no_descriptors = way == 2;
    taskreg::registry tasks(options);
    auto task = tasks.spawn("reads", [&] {
      char byte;
      return read(ends[0], &byte, 1);
    });
    bool is_known = false; // the harness's watchdog limits the loop
    while (!is_known) {
      taskreg::report report = tasks.explain(false, way != 1);
      const auto all = report.stragglers();
      CHECK_EQ(1, all.size());
      if (all[0].scheduler_state == 'S') {
        is_known = all[0].syscall_name != nullptr && std::string(all[0].syscall_name) == "read";
        if (is_known) CHECK_EQ(way == 0 ? ends[0] : -1, all[0].descriptor);
        if (all[0].syscall < 0) break; // there is no /proc/…/syscall here
      }
      std::this_thread::yield();
    }
    close(ends[1]);
    CHECK_STATUS(status::ok, task.wait());
    close(ends[0]);
    stops(tasks);
  }
}

/* Proves: systemd is notified as the options say, also by a service as a whole (E11, F3).  Why it matters: what the
   environment says is not always what is meant.  Catches: an option that is not passed on. */
CASE(systemd_is_notified_where_it_is_said) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string abstract = "@services-notify-" + std::to_string(getpid());
  memcpy(address.sun_path, abstract.data(), abstract.size());
  address.sun_path[0] = '\0';
  const int receiver = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  CHECK(receiver >= 0);
  CHECK_EQ(0, bind(receiver, reinterpret_cast<const sockaddr *>(&address),
                   static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + abstract.size())));
  taskreg::systemd_options how;
  how.socket = abstract;
  how.watchdog = -1ns;
  const auto until = [&](const char *what) {
    char text[512];
    ssize_t length;
    do {
      length = recv(receiver, text, sizeof text - 1, 0); // the harness's watchdog limits it
      CHECK(length >= 0);
      text[length] = '\0';
    } while (strstr(text, what) == nullptr);
  };
  {
    taskreg::registry tasks;
    {
      const taskreg::systemd_notifier notifier(tasks, how);
      until("READY=1");
    }
    taskreg::run_options run;
    run.notify = how;
    run.report_fd = -1;
    tasks.detach("stops", [tasks] { tasks.cancel(); });
    CHECK_EQ(TR_EXIT_STOPPED, taskreg::run_until_stopped(tasks, run));
    until("STOPPING=1");
  }
#if TASKREG_HAS_EXCEPTIONS
  how.status = -1ns;
  CHECK_THROWS(status::invalid, taskreg::systemd_notifier(taskreg::registry(), how));
#endif
  close(receiver);
}

#ifndef CHECK_UNDER_TSAN
/* Sends a signal to the process once something handles it. */
static void ask_when_watched(int signal) {
  struct sigaction now;
  do {
    CHECK_EQ(0, sigaction(signal, nullptr, &now));
  } while (now.sa_handler == SIG_DFL);
  CHECK_EQ(0, kill(getpid(), signal));
}
#endif

/* Proves: the end of the process is armed and taken back with options of C++, and a service runs, stops by a signal and
   writes its report, with them (F1, F2, F3).  Why it matters: the options of C are nanoseconds and pointers.  Catches: an
   option that is not passed on. */
CASE(services_run_until_stopped) {
#ifndef CHECK_UNDER_TSAN // whose runtime does not survive a fork beside other threads
  const std::string file = "services-report-" + std::to_string(getpid());
  int code = status_of([&] {
    taskreg::registry tasks;
    tasks.detach("obeys", until_cancelled);
    taskreg::run_options how;
    how.grace = 10s * check_scale();
    how.signals = {SIGUSR1};
    how.systemd = false;
    how.report_file = file;
    how.report_fd = -1;
    how.exit_after = 1h;
    how.exit.emplace().fd = -1;
    tasks.detach("asks", [] { ask_when_watched(SIGUSR1); });
    status why = status::invalid;
    const int exit_status = taskreg::run_until_stopped(tasks, how, &why);
    if (why != status::ok || exit_status != TR_EXIT_STOPPED) _exit(98);
    if (taskreg::exit_by_cancel() != status::ok) _exit(97); // exit_after has armed it
    if (access(file.c_str(), R_OK) != 0) _exit(96);
    _exit(0);
  });
  unlink(file.c_str());
  CHECK_EQ(0, code);
  code = status_of([] {
    taskreg::exit_options how;
    how.code = 7;
    how.fd = -1;
    if (taskreg::exit_by(1h, how) != status::ok || taskreg::exit_by_cancel() != status::ok) _exit(98);
    how.report = -1s;
    if (taskreg::exit_by(1h, how) != status::invalid) _exit(97);
    how.report = 1s;
    if (taskreg::exit_by(1ms, how) != status::ok) _exit(96);
    for (;;) pause();
  });
  CHECK(WIFEXITED(code) && WEXITSTATUS(code) == 7);
  code = status_of([] {
    taskreg::exit_options how;
    how.abort = true;
    how.fd = -1;
    if (taskreg::exit_by(0s, how) != status::ok) _exit(98);
    for (;;) pause();
  });
  CHECK(WIFSIGNALED(code) && WTERMSIG(code) == SIGABRT);
  code = status_of([] { // with the defaults
    taskreg::registry tasks;
    tasks.detach("asks", [] { ask_when_watched(SIGTERM); });
    const int out = open("/dev/null", O_WRONLY | O_CLOEXEC);
    taskreg::run_options how;
    how.report_fd = out;
    _exit(taskreg::run_until_stopped(tasks, how));
  });
  CHECK_EQ(0, code);
  status why = status::ok;
  taskreg::run_options wrong;
  wrong.exit_after = -1s;
  taskreg::registry tasks;
  CHECK_EQ(TR_EXIT_FAILED, taskreg::run_until_stopped(tasks, wrong, &why));
  CHECK_STATUS(status::invalid, why);
#endif
}

/* Proves: a spawn waits for room if its options say so, and a limit that is raised makes some (S8).  Why it matters: a
   listener has to leave its clients in the queue.  Catches: an option that is lost. */
CASE(spawns_wait_for_room) {
  taskreg::registry_options one;
  one.max_tasks = 1;
  taskreg::registry tasks(one);
  CHECK_STATUS(status::ok, tasks.wait_room(0s));
  tasks.detach("first", until_cancelled);
  CHECK_STATUS(status::timed_out, tasks.wait_room(1ms));
  taskreg::spawn_options how;
  how.room_wait = 1ms;
  status code = status::ok;
  const auto none = tasks.try_spawn(code, "second", how, until_cancelled);
  CHECK_STATUS(status::limit, code);
  how.room_wait = taskreg::forever;
  std::thread raises([&, spawner = gettid()] {
    await_asleep(spawner);
    CHECK_STATUS(status::ok, tasks.set_max_tasks(2));
  });
  const auto second = tasks.try_spawn(code, "second", how, until_cancelled);
  CHECK_STATUS(status::ok, code);
  raises.join();
  CHECK_EQ(2, tasks.size());
  stops(tasks);
}

/* Proves: a thread is a task for as long as its adopted_thread lives, or until leave; it shuts down, and is not waited
   for; an exception that destroys the object is a failure (U7, A4).  Why it matters: main has destructors, too.  Catches: a
   thread that stays a task; an option that is lost; a failure that looks like a success. */
CASE(threads_are_adopted) {
  taskreg::registry tasks;
  taskreg::task_ref first;
  {
    taskreg::adopt_options how;
    how.kind = taskreg::kind::background_loop;
    how.phase = 3;
    how.heartbeat = 1h;
    const taskreg::adopted_thread main(tasks, "main", how);
    first = main.task();
    CHECK(taskreg::this_task::self().id() == first.id() && main.context().id() == first.id());
    CHECK(first.name() == "main" && first.phase() == 3 && first.kind() == taskreg::kind::background_loop);
    CHECK_EQ(1, tasks.size());
    status code = status::ok;
    const taskreg::adopted_thread second(code, tasks, "again");
    CHECK_STATUS(status::invalid, code);
    CHECK(!second.task());
    CHECK_STATUS(status::deadlock, tasks.shutdown(0s).status);
  }
  taskreg::outcome how_it_ended;
  CHECK_STATUS(status::ok, first.wait(0s, how_it_ended));
  CHECK(how_it_ended.ok() && tasks.size() == 0 && !taskreg::this_task::self());
  {
    taskreg::adopted_thread main(tasks, "leaves");
    first = main.task();
    CHECK_STATUS(status::ok, main.leave(7));
    CHECK_STATUS(status::invalid, main.leave());
    CHECK_STATUS(status::ok, first.wait(0s, how_it_ended));
    CHECK_EQ(7, how_it_ended.code);
  }
#if TASKREG_HAS_EXCEPTIONS
  try {
    const taskreg::adopted_thread main(tasks, "throws");
    first = main.task();
    throw std::runtime_error("thrown");
  } catch (const std::runtime_error &) {
    CHECK_STATUS(status::ok, first.wait(0s, how_it_ended));
    CHECK_EQ(taskreg::exception_code, how_it_ended.code);
  }
  CHECK_THROWS(status::invalid, taskreg::adopted_thread(tasks, ""));
#endif
  taskreg::adopt_options joins;
  joins.joins_others = true;
  taskreg::adopted_thread main(tasks, "main", joins);
  tasks.detach("other", until_cancelled);
  stops(tasks);
  CHECK_EQ(1, tasks.size());
  CHECK_STATUS(status::ok, main.leave());
}

} // namespace

CHECK_MAIN(CHECK_ENTRY(spawns_wait_for_room), CHECK_ENTRY(threads_are_adopted), CHECK_ENTRY(registries_and_scopes_abort), CHECK_ENTRY(the_first_of_several_tokens),
           CHECK_ENTRY(tasks_carry_what_is_attached), CHECK_ENTRY(a_registry_keeps_its_log),
           CHECK_ENTRY(a_later_log_replaces_the_kept_one), CHECK_ENTRY(ends_call_back),
           CHECK_ENTRY(kinds_and_threads_get_names), CHECK_ENTRY(reports_leave_descriptors_out),
           CHECK_ENTRY(systemd_is_notified_where_it_is_said), CHECK_ENTRY(services_run_until_stopped))
