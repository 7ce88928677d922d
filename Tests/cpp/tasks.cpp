// tasks.cpp - taskreg.hpp: bodies, results, failures, handles, errors.

#include "cpp.hpp"

#include <functional>
#include <memory>
#include <vector>

#include <poll.h>

#include <sys/wait.h>

namespace {

int free_function(int value) { return value + 1; }

struct no_default {
  explicit no_default(int with) : value(with) {}
  no_default(no_default &&) = default;
  int value;
};

/* Proves: get() returns what the body returned, whatever its type: a value, one that can only be moved, one without
   a default constructor, a reference, nothing (U1).  Why it matters: results are why a wrapper exists; a void * is
   none.  Catches: a result that is copied, default-constructed, or dangles. */
CASE(results_are_of_any_type) {
  taskreg::registry tasks;
  static int referred = 3;

  CHECK_EQ(42, tasks.spawn("int", [] { return 42; }).get());
  CHECK(tasks.spawn("string", [] { return std::string("a longer text than any small-string buffer holds"); }).get() ==
        "a longer text than any small-string buffer holds");
  CHECK_EQ(5, *tasks.spawn("unique", [] { return std::make_unique<int>(5); }).get());
  CHECK_EQ(6, tasks.spawn("no default", [] { return no_default(6); }).get().value);
  int &same = tasks.spawn("reference", []() -> int & { return referred; }).get();
  CHECK(&same == &referred);
  auto nothing = tasks.spawn("void", [] {});
  static_assert(std::is_void_v<decltype(nothing.get())>);
  nothing.get();
  nothing.get();
  CHECK(nothing.result() != nullptr);

  auto looked = tasks.spawn("looked at", [] { return 8; });
  CHECK_STATUS(taskreg::status::ok, looked.wait());
  CHECK(looked.result() != nullptr && *looked.result() == 8);
  CHECK_EQ(8, looked.get());
  CHECK(looked.result() == nullptr);
  stops(tasks);
}

/* Proves: a body is any callable, with arguments that are copied or moved to it, and with its context if it wants it
   (U1).  Why it matters: so does std::thread.  Catches: a body that is copied, arguments passed by reference. */
CASE(bodies_are_any_callable) {
  taskreg::registry tasks;
  struct has_member {
    int value;
    int plus(int more) { return value + more; }
    std::uint64_t id(taskreg::context self, int more) { return self.id() + static_cast<unsigned>(value + more); }
    int &reference(taskreg::context) { return value; }
  };
  struct only_moved {
    std::unique_ptr<int> own;
    int operator()() && { return *own; }
  };
  has_member object{10};
  std::string text = "abc";
  int changed = 0;

  CHECK_EQ(8, tasks.spawn("function", free_function, 7).get());
  CHECK_EQ(8, tasks.spawn("std::function", std::function<int(int)>(free_function), 7).get());
  CHECK_EQ(12, tasks.spawn("member", &has_member::plus, &object, 2).get());
  CHECK_EQ(9, tasks.spawn("move-only", only_moved{std::make_unique<int>(9)}).get());
  CHECK_EQ(4, tasks.spawn("move-only argument", [](std::unique_ptr<int> p) { return *p; }, std::make_unique<int>(4)).get());
  CHECK_EQ(3, tasks.spawn("copied argument", [](const std::string &s) { return static_cast<int>(s.size()); }, text).get());
  tasks.spawn("std::ref", [](int &to) { to = 1; }, std::ref(changed)).get();
  CHECK_EQ(1, changed);
  auto own = tasks.spawn("context", [](taskreg::context self, int more) { return self.id() + static_cast<unsigned>(more); }, 1);
  CHECK_EQ(own.id() + 1, own.get());
  auto member = tasks.spawn("member with context", &has_member::id, &object, 2);
  CHECK_EQ(member.id() + 12, member.get());
  CHECK(&tasks.spawn("reference", &has_member::reference, std::ref(object)).get() == &object.value);
  std::thread moved([] {});
  tasks.spawn("a thread", [](std::thread thread) { thread.join(); }, std::move(moved)).get();
  auto generic = tasks.spawn("generic", [](auto &&self) { return self.stop_requested(); });
  CHECK(!generic.get());
  auto same = tasks.spawn("self", [] { return taskreg::this_task::self(); });
  CHECK_STATUS(taskreg::status::ok, same.wait());
  CHECK(same.get() == same);
  stops(tasks);
}

/* Proves: what a body has captured is destroyed once, on the task's thread, before the end of the task can be seen;
   also for a task without a handle, and if the body exits (U1).  Why it matters: whoever waits may then free what the
   captures refer to.  Catches: captures that live as long as the handle. */
CASE(captures_go_before_the_task_ends) {
  taskreg::registry tasks;
  std::atomic<int> alive{0};
  std::thread::id body_thread, drop_thread;
  struct reports {
    std::thread::id *where;
    explicit reports(std::thread::id *to) : where(to) {}
    reports(reports &&other) noexcept : where(std::exchange(other.where, nullptr)) {}
    ~reports() {
      if (where != nullptr) *where = std::this_thread::get_id();
    }
  };
  {
    auto task = tasks.spawn("captures", [own = counted(alive), reported = reports(&drop_thread), &body_thread] {
      body_thread = std::this_thread::get_id();
    });
    CHECK_STATUS(taskreg::status::ok, task.wait());
    CHECK_EQ(0, alive.load());
    CHECK(body_thread == drop_thread && drop_thread != std::this_thread::get_id());
  }
  tasks.detach("detached", [own = counted(alive)] {});
#if CAN_UNWIND_THREADS
  auto exits = tasks.spawn("exits", [own = counted(alive)] { pthread_exit(nullptr); });
#endif
  CHECK_STATUS(taskreg::status::ok, tasks.wait());
  CHECK_EQ(0, alive.load());
  stops(tasks);
}

/* Proves: a task whose spawn fails leaves nothing behind: its body has not run and is destroyed, the handle is empty,
   and the status says why; the throwing form throws it (U1).  Why it matters: every spawn may fail.  Catches: a leak on
   the error path. */
CASE(failed_spawns_leave_nothing) {
  taskreg::registry tasks({nullptr, 1});
  std::atomic<int> alive{0};
  taskreg::status code;
  gate hold;
  auto first = tasks.spawn("first", [&hold] { hold.pass(); });
  auto none = tasks.try_spawn(code, "second", [own = counted(alive)] { return 1; });
  CHECK_STATUS(taskreg::status::limit, code);
  CHECK(!none && none.result() == nullptr && none.exception() == nullptr);
  CHECK_STATUS(taskreg::status::limit, tasks.try_detach("third", [own = counted(alive)] {}));
  hold.open();
  CHECK_STATUS(taskreg::status::ok, first.wait());
  CHECK(tasks.cancel(taskreg::reason::fatal, "enough"));
  CHECK_STATUS(taskreg::status::closed, tasks.try_detach("late", [own = counted(alive)] {}));
  CHECK_STATUS(taskreg::status::invalid, tasks.try_detach("", [own = counted(alive)] {}));
  CHECK_STATUS(taskreg::status::invalid, tasks.try_detach(nullptr, [own = counted(alive)] {}));
  CHECK_EQ(0, alive.load());
#if TASKREG_HAS_EXCEPTIONS
  CHECK_THROWS(taskreg::status::closed, auto late = tasks.spawn("late", [own = counted(alive)] {}));
  CHECK_THROWS(taskreg::status::closed, tasks.detach("late", [] {}));
  CHECK_THROWS(taskreg::status::invalid, auto empty = taskreg::registry(nullptr).spawn("x", [] {}));
  CHECK_EQ(0, alive.load());
#endif
  stops(tasks);
}

/* Proves: a body ends with a code only by exit_code; an int is a result (U1).  Why it matters: a program that counts
   something has not failed.  Catches: a result taken for a code. */
CASE(exit_codes_are_the_bodys) {
  taskreg::registry tasks;
  taskreg::outcome how;
  auto fails = tasks.spawn("fails", [](taskreg::context self) {
    taskreg::ignore(self.set_message("no space"));
    return taskreg::exit_code{28};
  });
  CHECK_STATUS(taskreg::status::ok, fails.wait(5s * check_scale(), how));
  CHECK(how.ending() == taskreg::ended::failed && !how.ok());
  CHECK_STR("failed", to_string(how.ending()));
  CHECK_EQ(28, how.code);
  CHECK_STR("no space", how.message);
  CHECK_EQ(28, fails.get().value);
  auto counts = tasks.spawn("counts", [] { return 28; });
  CHECK_STATUS(taskreg::status::ok, counts.wait(taskreg::forever, how));
  CHECK(how.ok());
  tasks.detach("small", [] { return taskreg::exit_code{1}; });
  CHECK_STATUS(taskreg::status::ok, tasks.wait());
  taskreg::metrics numbers;
  CHECK_STATUS(taskreg::status::ok, tasks.read(numbers));
  CHECK_EQ(2, numbers.failed);
  stops(tasks);
}

#if TASKREG_HAS_EXCEPTIONS

struct special : std::runtime_error {
  special() : std::runtime_error("special") {}
  int number = 77;
};

/* Proves: an exception that leaves a body is the task's failure: code and message are in the outcome, and get()
   rethrows the same exception, as often as it is asked (U2).  Why it matters: nobody loses an error for having moved
   it to a thread.  Catches: slicing, a swallowed exception. */
CASE(exceptions_are_failures) {
  taskreg::registry tasks;
  taskreg::outcome how;
  auto task = tasks.spawn("throws", []() -> int { throw special(); });
  for (int i = 0; i < 2; i++) {
    int caught = 0;
    try {
      task.get();
    } catch (const special &error) {
      caught = error.number;
    }
    CHECK_EQ(77, caught);
  }
  CHECK(task.exception() != nullptr && task.result() == nullptr);
  CHECK_STATUS(taskreg::status::ok, task.wait(taskreg::forever, how));
  CHECK(how.ending() == taskreg::ended::failed);
  CHECK_EQ(taskreg::exception_code, how.code);
  CHECK_STR("special", how.message);

  auto number = tasks.spawn("an int", [] { throw 5; });
  CHECK_STATUS(taskreg::status::ok, number.wait(taskreg::forever, how));
  CHECK_STR("an exception that is not a std::exception", how.message);
  int caught = 0;
  try {
    number.get();
  } catch (int value) {
    caught = value;
  }
  CHECK_EQ(5, caught);

  auto bytes = tasks.spawn("bytes", [] { throw std::runtime_error("caf\xe9 \xc3\xa9"); });
  CHECK_STATUS(taskreg::status::ok, bytes.wait(taskreg::forever, how));
  CHECK_STR("caf\xef\xbf\xbd \xc3\xa9", how.message);
  tasks.detach("detached", [] { throw special(); });
  tasks.detach("detached", [text = std::string("x")] { throw special(); });
  CHECK_STATUS(taskreg::status::ok, tasks.wait());
  stops(tasks);
}

/* Proves: pthread_exit and pthread_cancel pass through a body: destructors run, the task has exited, get() says so
   (U2).  Why it matters: libstdc++ ends the program if `catch (...)` keeps such an unwinding.  Catches: a trampoline
   that swallows it, or calls it an exception. */
CASE(forced_unwinding_passes_through) {
#if CAN_UNWIND_THREADS
  taskreg::registry tasks;
  std::atomic<int> alive{0};
  auto exits = tasks.spawn("exits", [&alive]() -> int {
    const counted local(alive);
    pthread_exit(nullptr);
  });
  auto detached_alive = [&alive] {
    const counted local(alive);
    pthread_exit(nullptr);
  };
  tasks.detach("small", detached_alive);
  taskreg::outcome how;
  CHECK_STATUS(taskreg::status::ok, exits.wait(taskreg::forever, how));
  CHECK(how.ending() == taskreg::ended::exited);
  bool caught = false;
  try {
    exits.get();
  } catch (const taskreg::exited &) {
    caught = true;
  }
  CHECK(caught && exits.exception() == nullptr && exits.result() == nullptr);
  std::atomic<pthread_t> victim{};
  gate ready;
  auto waits = tasks.spawn("waits", [&] {
    const counted local(alive);
    victim = pthread_self();
    ready.open();
    for (;;) { // not in a call that blocks: ThreadSanitizer cannot have a thread cancelled there
      pthread_testcancel();
      sched_yield();
    }
  });
  ready.pass();
  CHECK_EQ(0, pthread_cancel(victim.load()));
  CHECK_STATUS(taskreg::status::ok, waits.wait(taskreg::forever, how));
  CHECK(how.ending() == taskreg::ended::exited);
  CHECK_STATUS(taskreg::status::ok, tasks.wait());
  CHECK_EQ(0, alive.load());
  stops(tasks);
#endif
}

/* Proves: what copying a body throws comes out of the spawn, and no task is made; what the predicate of a wait throws comes
   out of the wait, with the lock held (U1, U3).  Why it matters: these are the caller's own exceptions.  Catches: a
   block that leaks; a lock that is not taken back. */
CASE(exceptions_of_the_caller_pass) {
  taskreg::registry tasks;
  std::atomic<int> alive{0};
  struct throwing {
    counted own;
    explicit throwing(std::atomic<int> &of) : own(of) {}
    throwing(const throwing &other) : own(other.own) { throw special(); }
    void operator()() const {}
  };
  const throwing body(alive);
  int caught = 0;
  try {
    tasks.detach("copied", body);
  } catch (const special &) {
    caught++;
  }
  taskreg::status code;
  try {
    auto none = tasks.try_spawn(code, "copied", body);
  } catch (const special &) {
    caught++;
  }
  CHECK(caught == 2 && alive == 1 && tasks.empty());
  std::mutex lock;
  std::condition_variable changed;
  std::unique_lock<std::mutex> hold(lock);
  try {
    taskreg::ignore(taskreg::wait(changed, hold, 1h, []() -> bool { throw special(); }));
  } catch (const special &) {
    caught++;
  }
  CHECK(caught == 3 && hold.owns_lock());
  try {
    taskreg::ignore(taskreg::wait(changed, hold, taskreg::token(), 1h, []() -> bool { throw special(); }));
  } catch (const special &) {
    caught++;
  }
  CHECK(caught == 4 && hold.owns_lock());
}

/* Proves: get() throws taskreg::error where it cannot wait: in the task itself, in a task that was asked to stop, for
   an empty handle, and for a value that was got before (U1).  Why it matters: each of them would hang or be undefined.
   Catches: a get() that returns what is not there. */
CASE(get_fails_where_it_cannot_wait) {
  taskreg::registry tasks;
  taskreg::task<int> own;
  gate ready;
  own = tasks.spawn("self", [&] {
    ready.pass();
    CHECK_THROWS(taskreg::status::deadlock, own.get());
    return 1;
  });
  ready.open();
  CHECK_STATUS(taskreg::status::ok, own.wait());
  CHECK_EQ(1, own.get());
  CHECK_THROWS(taskreg::status::invalid, own.get());
  CHECK_THROWS(taskreg::status::invalid, taskreg::task<int>().get());

  gate end;
  auto slow = tasks.spawn("slow", [&] { end.pass(); });
  auto waiter = tasks.spawn("waiter", [&](taskreg::context self) {
    taskreg::ignore(self.task().cancel());
    CHECK_THROWS(taskreg::status::cancelled, slow.get());
  });
  waiter.get();
  end.open();
  slow.get();
  stops(tasks);
}

/* Proves: errors say which call and why, with the errno of the call and of no other, and compare with
   std::errc (U1).  Why it matters: programs log them and decide by them.  Catches: a category without
   conditions; the wrong text; an errno that is left from before. */
CASE(errors_are_system_errors) {
  bool caught = false;
  try {
    taskreg::registry tasks({nullptr, 0, 1});
    auto none = tasks.spawn("", [] {});
  } catch (const std::system_error &error) {
    caught = true;
    CHECK(error.code() == taskreg::status::invalid);
    CHECK(error.code() == std::errc::invalid_argument);
    CHECK_STR("taskreg", error.code().category().name());
    CHECK_MSG(std::string(error.what()).find("name") != std::string::npos, "%s", error.what());
  }
  CHECK(caught);
  caught = false;
  errno = ENOENT; // of something else
  try {
    taskreg::detail::require(taskreg::status::again, "a call that does not set errno");
  } catch (const taskreg::error &error) {
    caught = true;
    CHECK_EQ(0, error.system_errno());
    CHECK_MSG(strstr(error.what(), strerror(ENOENT)) == nullptr, "%s", error.what());
  }
  CHECK(caught);
  CHECK(std::error_code(taskreg::status::timed_out) == std::errc::timed_out);
  CHECK(std::error_code(taskreg::status::cancelled) == std::errc::operation_canceled);
  CHECK(std::error_code(taskreg::status::closed) != std::errc::operation_canceled);
}

#endif // TASKREG_HAS_EXCEPTIONS

/* Proves: handles are counted: copies are the same object, moved ones are empty, and what is asked of an empty one is
   answered (U1).  Why it matters: values of C++ are copied and moved all the time.  Catches: a reference too few or too
   many. */
CASE(handles_are_values) {
  static_assert(!std::is_copy_constructible_v<taskreg::task<int>> && !std::is_copy_assignable_v<taskreg::task<int>>);
  static_assert(std::is_nothrow_move_constructible_v<taskreg::task<int>>);
  static_assert(std::is_nothrow_copy_constructible_v<taskreg::registry>);
  static_assert(!std::is_copy_constructible_v<taskreg::scope> && !std::is_move_constructible_v<taskreg::scope>);
  static_assert(!std::is_copy_constructible_v<taskreg::report>);
  static_assert(std::is_convertible_v<taskreg::task<int> &, taskreg::task_ref>);

  taskreg::registry tasks;
  taskreg::registry same = tasks, moved = std::move(same);
  CHECK(!same && moved == tasks && moved.get() == tasks.get());
  same = moved;
  same = *&same;
  CHECK(same == tasks);
  taskreg::token token = tasks.token(), child = token.child();
  CHECK(token == tasks.token() && child != token);
  CHECK(child.cancel(taskreg::reason{4711}, "because") && !child.cancel());
  CHECK(child.cancelled() && child.stop_requested() && !token.cancelled());
  CHECK_EQ(4711, static_cast<int>(child.reason()));
  CHECK(child.message() == "because");
  auto timed = token.child(0s);
  CHECK(timed.cancelled() && timed.reason() == taskreg::reason::deadline);
  std::swap(token, child);
  CHECK(child == tasks.token() && token.cancelled() && !child.cancelled());
  std::swap(token, child);
  auto &itself = token;
  token = std::move(itself);
  CHECK(token == tasks.token());

  taskreg::task_ref kept = nullptr;
  {
    auto task = tasks.spawn("kept by its handle", {taskreg::kind{0x101}}, [] { return 1; });
    kept = task;
    auto other = std::move(task);
    CHECK(!task && task.result() == nullptr && other == kept);
    task = std::move(other);
    auto &same_task = task;
    task = std::move(same_task);
    std::swap(task, other);
    CHECK(!task && other == kept);
    std::swap(task, other);
    CHECK_EQ(1, task.get());
  }
  CHECK(kept.name() == "kept by its handle" && kept.kind() == taskreg::kind{0x101});
  CHECK_STATUS(taskreg::status::ok, kept.wait());

  const taskreg::registry none(nullptr);
  const taskreg::token no_token(nullptr);
  const taskreg::task_ref no_task;
  CHECK(none.empty() && none.size() == 0 && !none.cancel() && !none.token());
  CHECK_STATUS(taskreg::status::invalid, none.wait(0s));
  CHECK_STATUS(taskreg::status::invalid, none.shutdown(0s).status);
  CHECK(!no_token.cancel() && !no_token.cancelled() && no_token.message().empty() && !no_token.try_child());
  CHECK_STATUS(taskreg::status::invalid, no_token.wait(0s));
  CHECK(no_task.id() == 0 && no_task.name().empty() && !no_task.request_stop() && !no_task.cancelled());
  CHECK_STATUS(taskreg::status::invalid, no_task.wait(0s));
  taskreg::status code;
  CHECK(!taskreg::group::try_make(code, none, "x"));
  CHECK_STATUS(taskreg::status::invalid, code);
  stops(tasks);
}

/* Proves: a result may be got after its registry has shut down and is gone, and a handle may go before its task ends
   (U1).  Why it matters: lifetimes of C++ objects end in the order of their declaration.  Catches: a block that is freed
   by the wrong one of its two users. */
CASE(results_outlive_their_registry) {
  taskreg::task<std::string> task;
  std::atomic<int> alive{0};
  {
    taskreg::registry tasks;
    task = tasks.spawn("long result", [own = counted(alive)] { return std::string(100, 'x'); });
    gate go;
    { auto dropped = tasks.spawn("dropped", [&go, own = counted(alive)] { go.pass(); }); }
    go.open();
    stops(tasks);
  }
  CHECK_EQ(0, alive.load());
  CHECK(task.get() == std::string(100, 'x'));
}

/* Proves: groups, phases, lists, reports and the log are reached from C++ (U1).  Why it matters: they are what the
   library is for.  Catches: an option that is not passed on. */
CASE(the_rest_of_the_library) {
  std::atomic<int> failed{0}, rejected{0};
  auto log = [&](const tr_log_event &event) {
    if (event.event == TR_EVENT_TASK_FAILED) failed++;
    if (event.event == TR_EVENT_SPAWN_REJECTED) rejected++;
  };
  taskreg::registry_options options;
  options.metrics = true;
  options.log_to(log);
  taskreg::registry tasks(options);
  taskreg::group net(tasks, "net"), peers(net, std::string("peers"));
  std::atomic<int> order{0};
  int first = 0, last = 0;
  taskreg::spawn_options late;
  late.phase = 7;
  late.kind = taskreg::kind::maintenance;
  tasks.detach("last", late, [&] {
    until_cancelled();
    last = ++order;
  });
  peers.detach(std::string_view("10.0.0.1"), [&] {
    until_cancelled();
    first = ++order;
  });
  tasks.detach("failing", [] { return taskreg::exit_code{1}; });
  CHECK_STATUS(taskreg::status::timed_out, tasks.wait(20ms));
  CHECK_EQ(2, tasks.size());
  auto all = tasks.snapshot();
  CHECK_EQ(2, all.size());
  const auto &peer = std::string(all[0].name) == "last" ? all[1] : all[0];
  CHECK_STR("10.0.0.1", peer.name);
  CHECK_STR("net/peers", peer.group);
  CHECK(peer.age() > 0ns && peer.spawned_at() < std::chrono::steady_clock::now() && !peer.cancelled());
#if TASKREG_HAS_EXCEPTIONS
  CHECK_EQ(2, tasks.explain(false).stragglers().size());
#endif

  gate stuck;
  tasks.detach("stuck", [&] { stuck.pass(); });
  auto result = tasks.shutdown(200ms, taskreg::reason::user_requested, "SIGTERM");
  CHECK_STATUS(taskreg::status::deadline, result.status);
  CHECK(!result && result.pending == 1 && result.ended == 2 && result.elapsed >= 150ms);
  CHECK(result.report);
  CHECK_EQ(1, result.report.stragglers().size());
  const auto stragglers = result.report.stragglers();
  CHECK_STR("stuck", stragglers[0].name);
  CHECK_EQ(2, result.report.phases().size());
  CHECK_EQ(2, result.report.slowest().size());
  taskreg::report moved = std::move(result.report);
  CHECK(moved && !result.report);
  int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  CHECK_STATUS(taskreg::status::ok, moved.write(null, taskreg::format::json));
  CHECK_STATUS(taskreg::status::invalid, result.report.write(null));
  CHECK_STATUS(taskreg::status::ok, tasks.write_metrics(null));
  CHECK_STATUS(taskreg::status::ok, taskreg::write_metrics({{tasks, "all"}, {net}}, null));
  CHECK_STATUS(taskreg::status::invalid, taskreg::write_metrics({{tasks, "same"}, {net, "same"}}, null, false));
#if TASKREG_HAS_EXCEPTIONS
  const std::string json = moved.str(taskreg::format::json);
  CHECK(json.front() == '{' && json.back() == '\n' && json.find("\"stuck\"") != std::string::npos);
  CHECK(moved.str().find("stuck") != std::string::npos);
  CHECK(tasks.snapshot_str().find("stuck") != std::string::npos);
  CHECK(tasks.metrics_str().find("# EOF") != std::string::npos);
  CHECK_THROWS(taskreg::status::invalid, result.report.str());
  CHECK_THROWS(taskreg::status::invalid, taskreg::registry(nullptr).snapshot_str());
#endif
  close(null);
  CHECK_STATUS(taskreg::status::closed, tasks.try_detach("late", [] {}));
  stuck.open();
  stops(tasks);
  CHECK(first == 1 && last == 2);
  CHECK_EQ(1, failed.load());
  CHECK_EQ(1, rejected.load());
  CHECK_EQ(4, tasks.recent().size());
}

/* Proves: a wait on a std::condition_variable ends when it is signalled, when its timeout has passed, and when the
   task is asked to stop; the lock is held afterwards (U3).  Why it matters: std::condition_variable cannot be waited on
   with a stop_token, and condition_variable_any is a second mutex.  Catches: a predicate that is not checked last. */
CASE(condition_variables_of_ones_own) {
  taskreg::registry tasks;
  std::mutex lock;
  std::condition_variable changed;
  int queued = 0;
  auto take = [&](taskreg::timeout most) {
    std::unique_lock<std::mutex> hold(lock);
    const auto code = taskreg::wait(changed, hold, most, [&] { return queued > 0; });
    CHECK(hold.owns_lock());
    if (code == taskreg::status::ok) queued--;
    return code;
  };
  auto consumer = tasks.spawn("consumer", [&] { return take(taskreg::forever); });
  {
    const std::lock_guard<std::mutex> hold(lock);
    queued++;
  }
  changed.notify_one();
  CHECK_STATUS(taskreg::status::ok, consumer.get());
  CHECK_STATUS(taskreg::status::timed_out, tasks.spawn("impatient", [&] { return take(1ms); }).get());
  CHECK_STATUS(taskreg::status::timed_out, take(-5s));
  CHECK_STATUS(taskreg::status::timed_out, take(std::chrono::steady_clock::now() + 1ms));
  auto stopped = tasks.spawn("stopped", [&] { return take(taskreg::forever); });
  CHECK_STATUS(taskreg::status::ok, stopped.cancel());
  CHECK_STATUS(taskreg::status::cancelled, stopped.get());
  {
    const std::lock_guard<std::mutex> hold(lock);
    queued++;
  }
  auto both = tasks.spawn("both", [&](taskreg::context self) {
    taskreg::ignore(self.task().cancel());
    return take(taskreg::forever);
  });
  CHECK_STATUS(taskreg::status::ok, both.get()); // what was waited for is there
  std::unique_lock<std::mutex> open(lock, std::defer_lock);
  CHECK_STATUS(taskreg::status::invalid, taskreg::wait(changed, open, 0s));
  stops(tasks);
}

/* Proves: the waits of the calling task, and what it says of itself, are reached from C++ (U1).  Why it matters: a
   body needs them at every step.  Catches: a timeout that is not passed on. */
CASE(the_calling_task) {
  namespace self = taskreg::this_task;
  CHECK(!self::self() && !self::cancelled());
  int none = -1;
  CHECK_STATUS(taskreg::status::invalid, self::fd(none));
  CHECK_STATUS(taskreg::status::invalid, self::abort_fd(none));
  short events = -1;
  CHECK_STATUS(taskreg::status::invalid, self::wait_fd(-1, POLLIN, events));
  CHECK(none == -1 && events == -1);
  CHECK_STATUS(taskreg::status::invalid, self::checkpoint("nowhere"));
  CHECK_STATUS(taskreg::status::invalid, self::label("nobody"));
  CHECK_STATUS(taskreg::status::ok, self::sleep(1ms));
  CHECK_STATUS(taskreg::status::ok, self::sleep(-1ms));
  taskreg::registry tasks;
  int ends[2];
  CHECK_EQ(0, pipe2(ends, O_CLOEXEC));
  gate reported;
  auto task = tasks.spawn("speaks", [&](taskreg::context own) {
    CHECK(self::self().id() == own.id() && own.flag() != nullptr && *own.flag() == 0);
    CHECK_STATUS(taskreg::status::ok, self::checkpoint("saying"));
    CHECK_STATUS(taskreg::status::ok, self::label("10.0.0.9:5432"));
    CHECK_STATUS(taskreg::status::ok, self::progress(1, 2, "words"));
    CHECK_STATUS(taskreg::status::ok, self::promise_heartbeat(1h));
    CHECK_STATUS(taskreg::status::ok, self::heartbeat());
    { const self::heartbeat_pause pause; }
    CHECK_STATUS(taskreg::status::timed_out, self::wait_cancelled(1ms));
    short ready = -1;
    CHECK_STATUS(taskreg::status::timed_out, self::wait_fd(ends[0], POLLIN, 1ms));
    CHECK_STATUS(taskreg::status::timed_out, self::wait_fd(ends[0], POLLIN, ready, 1ms));
    CHECK_EQ(-1, ready);
    CHECK_STATUS(taskreg::status::ok, self::wait_fd(ends[1], POLLIN | POLLOUT, ready));
    CHECK_EQ(POLLOUT, ready);
    int fd = -1, abort_fd = -1, same = -1;
    CHECK_STATUS(taskreg::status::ok, self::fd(fd));
    CHECK_STATUS(taskreg::status::ok, self::abort_fd(abort_fd));
    CHECK_STATUS(taskreg::status::ok, own.fd(same));
    CHECK(fd == same && fd != abort_fd);
    reported.open();
    CHECK_STATUS(taskreg::status::cancelled, self::wait_fd(ends[0], POLLIN));
    CHECK_STATUS(taskreg::status::cancelled, self::wait_fd(ends[1], POLLOUT, ready));
    CHECK_STATUS(taskreg::status::cancelled, self::sleep(taskreg::forever));
    CHECK(self::stop_requested());
  });
  reported.pass();
  const auto all = tasks.snapshot();
  CHECK_STR("saying", all.at(0).checkpoint);
  CHECK_STR("10.0.0.9:5432", all.at(0).label);
  CHECK_STR("words", all.at(0).progress_unit);
  CHECK(task.request_stop());
  CHECK_STATUS(taskreg::status::ok, task.wait());
  task.get();
  close(ends[0]), close(ends[1]);
  stops(tasks);
}

/* Proves: the heartbeat interval is paused as long as the thread has any heartbeat_pause, and resumed
   when the last has gone; one that is made while there is no interval changes nothing (E7).  Why it
   matters: a function that pauses calls another that does, and is still at its long operation
   afterwards.  Catches: an inner pause that ends the outer one; a count that is never 0 again. */
CASE(pauses_of_the_heartbeat_nest) {
  namespace self = taskreg::this_task;
  taskreg::registry tasks;
  auto task = tasks.spawn("pauses", [&] {
    const auto stalls = [&](taskreg::timeout within) {
      const auto end = std::chrono::steady_clock::now() + std::chrono::nanoseconds(within.count());
      do {
        std::size_t count = 0;
        taskreg::task_summary one;
        if (tr_health(tasks.get(), &one, 1, &count) == TR_ERR_STALLED) return true;
        CHECK_STATUS(taskreg::status::timed_out, self::wait_cancelled(1ms));
      } while (std::chrono::steady_clock::now() < end);
      return false;
    };
    const self::heartbeat_pause before_the_interval;
    CHECK_STATUS(taskreg::status::ok, self::promise_heartbeat(1ms));
    for (int i = 0; i < 2; i++) {
      {
        const self::heartbeat_pause outer;
        { const self::heartbeat_pause inner; }
        CHECK(!stalls(20ms));
        const self::heartbeat_pause second;
        CHECK(!stalls(5ms));
      }
      CHECK(stalls(30s * check_scale()));
    }
  });
  CHECK_STATUS(taskreg::status::ok, task.wait());
  task.get();
  stops(tasks);
}

/* Proves: a result that nobody needs can be discarded without a warning (U6).  Why it matters: it is
   what -Werror wants.  Catches: an overload that has gone. */
CASE(results_can_be_discarded) {
  taskreg::registry tasks;
  taskreg::ignore(tasks.wait());
  taskreg::ignore(tasks.shutdown(taskreg::forever));
  CHECK_STATUS(taskreg::status::closed, tasks.try_detach("late", [] {}));
}

} // namespace

#if TASKREG_HAS_EXCEPTIONS
#define WITH_EXCEPTIONS                                                                           \
  CHECK_ENTRY(exceptions_are_failures), CHECK_ENTRY(forced_unwinding_passes_through),              \
      CHECK_ENTRY(get_fails_where_it_cannot_wait), CHECK_ENTRY(errors_are_system_errors),              \
      CHECK_ENTRY(exceptions_of_the_caller_pass),
#else
#define WITH_EXCEPTIONS
#endif
CHECK_MAIN(CHECK_ENTRY(results_are_of_any_type), CHECK_ENTRY(bodies_are_any_callable),
           CHECK_ENTRY(captures_go_before_the_task_ends), CHECK_ENTRY(failed_spawns_leave_nothing),
           CHECK_ENTRY(exit_codes_are_the_bodys),
           WITH_EXCEPTIONS
           CHECK_ENTRY(handles_are_values), CHECK_ENTRY(results_outlive_their_registry),
           CHECK_ENTRY(the_rest_of_the_library), CHECK_ENTRY(condition_variables_of_ones_own),
           CHECK_ENTRY(the_calling_task), CHECK_ENTRY(pauses_of_the_heartbeat_nest),
           CHECK_ENTRY(results_can_be_discarded))
