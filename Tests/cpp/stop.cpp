// stop.cpp - taskreg.hpp: cancel callbacks, and std::stop_token in both directions. The ideas are those of the tests that
// the standard libraries have for stop_callback, stop_token, jthread and condition_variable_any; README.md lists them.

#include "cpp.hpp"

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include <csignal>
#include <sys/wait.h>

namespace {

/* Proves: a callback runs once, on the thread that cancels, before the call that cancels returns, and with the flag up;
   for a token and for a task (U5).  Why it matters: the guarantees of std::stop_callback.  Catches: a callback that runs
   twice or later. */
CASE(callbacks_run_once_on_the_cancelling_thread) {
  taskreg::token token;
  int calls = 0, copies = 0;
  std::thread::id where;
  taskreg::cancel_callback one(token, [&] {
    calls++;
    where = std::this_thread::get_id();
    CHECK(token.cancelled() && token.reason() == taskreg::reason::fatal);
    CHECK(!token.cancel(taskreg::reason::deadline)); // the second to ask is told so, also from here
  });
  struct counts {
    int *number;
    void operator()() && { ++*number; }
  };
  const counts lvalue{&copies};
  taskreg::cancel_callback<counts> from_lvalue(token, lvalue);
  taskreg::cancel_callback from_rvalue(token, counts{&copies});
  auto named = [&] { copies++; };
  taskreg::cancel_callback<decltype(named) &> by_reference(token, named);
  taskreg::cancel_callback<std::function<void()>> erased(token, named);
  struct overloaded {
    int *of_lvalue, *of_rvalue;
    void operator()() const & { ++*of_lvalue; }
    void operator()() && { ++*of_rvalue; }
  };
  int lvalues = 0, rvalues = 0;
  taskreg::cancel_callback<overloaded> as_rvalue(token, overloaded{&lvalues, &rvalues});
  taskreg::cancel_callback<const overloaded> as_const(token, overloaded{&lvalues, &rvalues});
  CHECK_EQ(0, calls + copies);
  std::thread other([&] { CHECK(token.cancel(taskreg::reason::fatal)); });
  const auto id = other.get_id();
  other.join();
  CHECK(calls == 1 && copies == 4 && where == id);
  CHECK(lvalues == 1 && rvalues == 1);
  token.cancel();
  CHECK(calls == 1 && copies == 4);

  taskreg::registry tasks;
  auto task = tasks.spawn("task", until_cancelled);
  taskreg::cancel_callback of_task(task, [&] { calls++; });
  CHECK(task.request_stop());
  CHECK_EQ(2, calls);
  auto ends = tasks.spawn("ends", [] {});
  taskreg::cancel_callback never(ends, [&] { calls++; });
  CHECK_STATUS(taskreg::status::ok, ends.wait());
  CHECK_EQ(2, calls);
  stops(tasks);
}

/* Proves: a callback that comes late runs in its constructor (U5).  Why it matters: no cancellation is lost.  Catches: a
   callback that is only registered. */
CASE(a_late_callback_runs_in_its_constructor) {
  taskreg::token token;
  token.cancel();
  int calls = 0;
  std::thread::id where;
  {
    taskreg::cancel_callback late(token, [&] {
      calls++;
      where = std::this_thread::get_id();
    });
    CHECK_EQ(1, calls);
  }
  CHECK(calls == 1 && where == std::this_thread::get_id());
  taskreg::registry tasks;
  auto own = tasks.spawn("own", [&](taskreg::context self) {
    taskreg::ignore(self.task().cancel());
    taskreg::cancel_callback late(self, [&] { calls++; });
  });
  CHECK_STATUS(taskreg::status::ok, own.wait());
  CHECK_EQ(2, calls);
  stops(tasks);
}

/* Proves: once its destructor has returned a callback does not run; the others do (U5).  Why it matters: it refers to
   what goes next.  Catches: a registration that is kept. */
CASE(a_destroyed_callback_does_not_run) {
  taskreg::token token;
  int kept = 0, gone = 0;
  taskreg::cancel_callback first(token, [&] { kept++; });
  {
    taskreg::cancel_callback middle(token, [&] { gone++; });
    taskreg::cancel_callback also(token, [&] { gone++; });
  }
  taskreg::cancel_callback last(token, [&] { kept++; });
  token.cancel();
  CHECK(kept == 2 && gone == 0);
}

/* Proves: the destructor waits for a call that another thread is in the middle of (U5).  Why it matters: the callback
   is part of the object.  Catches: a use after free. */
CASE(the_destructor_waits_for_a_running_call) {
  for (int i = 0; i < check_rounds(200); i++) {
    taskreg::token token;
    gate inside;
    std::atomic<bool> over{false};
    std::thread canceller;
    {
      taskreg::cancel_callback callback(token, [&] {
        inside.open();
        std::this_thread::yield();
        over = true;
      });
      canceller = std::thread([&] { token.cancel(); });
      inside.pass();
    }
    CHECK(over.load());
    canceller.join();
  }
}

/* Proves: the destructor of a callback does not wait while another callback of the token runs (U5).  Why it matters:
   the other may be waiting for what comes after this destructor.  Catches: a wait for the whole cancellation. */
CASE(the_destructor_waits_for_its_own_call_alone) {
  taskreg::token token;
  gate inside, end;
  std::atomic<int> running{-1}, calls{0};
  using any = taskreg::cancel_callback<std::function<void()>>;
  std::unique_ptr<any> callbacks[2];
  for (int i = 0; i < 2; i++)
    callbacks[i] = std::make_unique<any>(token, [&, i] {
      calls++;
      running = i;
      inside.open();
      end.pass();
    });
  std::thread canceller([&] { token.cancel(); });
  inside.pass();
  callbacks[1 - running].reset(); // whichever does not run; a wait would never end
  end.open();
  canceller.join();
  CHECK_EQ(1, calls.load());
}

/* Proves: a callback may destroy itself, destroy another, and make a new one, which runs at once (U5).  Why it matters:
   clean-up is what callbacks do.  Catches: a lock held while callbacks run; a wait for oneself. */
CASE(callbacks_may_change_callbacks) {
  taskreg::token token;
  int calls = 0, never = 0;
  using any = taskreg::cancel_callback<std::function<void()>>;
  std::unique_ptr<any> itself, others[2], made;
  itself = std::make_unique<any>(token, [&] {
    calls++;
    auto going = std::move(itself);
    going.reset();
  });
  // Whichever of the two runs first destroys the other, which then never runs.
  for (int i = 0; i < 2; i++)
    others[i] = std::make_unique<any>(token, [&, i] {
      never++;
      others[1 - i].reset();
    });
  any makes(token, [&] {
    made = std::make_unique<any>(token, [&] { calls += 10; });
    CHECK(calls >= 10);
  });
  token.cancel();
  CHECK(itself == nullptr && calls == 11 && never == 1);
}

/* Proves: of five callbacks, one of which has gone before, each may destroy any other, also itself: that one does not run
   any more, unless it has; the others run once (U5).  Why it matters: the list of callbacks changes while it is
   gone through.  Catches: an element that is skipped, or looked at after it has gone. */
CASE(one_of_five_callbacks_destroys_another) {
  using any = taskreg::cancel_callback<std::function<void()>>;
  constexpr int gone = 2;
  for (int killer = 0; killer < 5; killer++)
    for (int victim = 0; victim < 5; victim++) {
      taskreg::token token;
      std::unique_ptr<any> all[5];
      int calls[5] = {};
      bool was_first = false;
      for (int i = 0; i < 5; i++)
        all[i] = std::make_unique<any>(token, [&, i] {
          calls[i]++;
          if (i != killer) return;
          was_first = calls[victim] == 0;
          all[victim].reset();
        });
      all[gone].reset();
      token.cancel();
      for (int i = 0; i < 5; i++) {
        const bool runs = i != gone && !(i == victim && killer != gone && was_first && victim != killer);
        CHECK_MSG(calls[i] == (runs ? 1 : 0), "%d destroys %d: %d was called %d times", killer, victim, i, calls[i]);
      }
    }
}

/* Claim: of callbacks that come and go while a token is cancelled, each runs at most once, and never after its
   destructor; those that are there run.
   Proves: the same beside other threads (U5).  Why it matters: cancelling is a race by nature.  Catches: a callback that
   is freed while it is looked at. */
CASE(callbacks_come_and_go_beside_cancels) {
  for (int round = 0; round < check_rounds(100); round++) {
    taskreg::token token;
    std::atomic<int> started{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
      threads.emplace_back([&, i] {
        started++;
        while (started.load() < 5) std::this_thread::yield();
        for (int n = 0; n < 50 * (i + 1); n++) {
          std::atomic<int> calls{0};
          {
            taskreg::cancel_callback callback(token, [&calls] { calls++; });
            if (n % 8 == 0) std::this_thread::yield();
          }
          const int seen = calls.load();
          CHECK(seen <= 1);
        }
        int last = 0;
        while (!token.cancelled()) std::this_thread::yield();
        token.cancel(); // the other thread may be in the middle of it: returns when the flags are up
        {
          // Called here, or by the other thread, if it still looks for callbacks.
          taskreg::cancel_callback callback(token, [&last] { last++; });
        }
        CHECK_EQ(1, last);
      });
    started++;
    while (started.load() < 5) std::this_thread::yield();
    token.cancel();
    for (auto &each : threads) each.join();
  }
}

/* Proves: handles that are empty have no callbacks: the constructor says so; nor has a function that throws when it is
   made (U5).  Why it matters: a callback that is
   not there would be waited for in vain.  Catches: a constructor that succeeds. */
CASE(no_callback_on_an_empty_handle) {
#if TASKREG_HAS_EXCEPTIONS
  CHECK_THROWS(taskreg::status::invalid, taskreg::cancel_callback(taskreg::token(nullptr), [] {}));
  CHECK_THROWS(taskreg::status::invalid, taskreg::cancel_callback(taskreg::task_ref(), [] {}));
  struct cannot_be_made {
    explicit cannot_be_made(int number) { throw number; }
    void operator()() const { check_fail(__FILE__, __LINE__, "called"); }
  };
  taskreg::token token;
  int thrown = 0;
  try {
    taskreg::cancel_callback<cannot_be_made> callback(token, 42);
  } catch (int number) {
    thrown = number;
  }
  CHECK_EQ(42, thrown);
  token.cancel(); // nothing was registered
#endif
  static_assert(!std::is_copy_constructible_v<taskreg::cancel_callback<void (*)()>>);
  static_assert(!std::is_move_constructible_v<taskreg::cancel_callback<void (*)()>>);
}

#if TASKREG_HAS_EXCEPTIONS

void in_a_child(int expected, void (*run)()) {
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm(static_cast<unsigned>(10 * check_scale()));
    std::set_terminate([] { raise(SIGKILL); }); // so that no leak checker asks for what it leaves behind
    try {
      run();
    } catch (...) {
      _exit(2);
    }
    _exit(3);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) CHECK_EQ(EINTR, errno);
  CHECK_MSG(WIFSIGNALED(status), "status %d", status);
  CHECK_EQ(expected, WTERMSIG(status));
}

/* Proves: an exception out of a cancel, abort or end callback, a log or phase function, or a capture's destructor ends the
   program by std::terminate, past everybody who would catch it (U2, P7).  Why it matters: it has nowhere to go.  Catches:
   one that passes through the library's frames. */
CASE(exceptions_out_of_callbacks_terminate) {
  in_a_child(SIGKILL, [] {
    taskreg::token token;
    taskreg::cancel_callback throws(token, [] { throw 1; });
    token.cancel();
  });
  in_a_child(SIGKILL, [] {
    taskreg::token token;
    token.cancel();
    taskreg::cancel_callback throws(token, [] { throw 1; });
  });
  in_a_child(SIGKILL, [] {
    auto log = [](const tr_log_event &) { throw 1; };
    taskreg::registry tasks(taskreg::registry_options().log_to(log));
    tasks.detach("fails", [] { return taskreg::exit_code{1}; });
    taskreg::ignore(tasks.wait());
  });
  in_a_child(SIGKILL, [] {
    taskreg::token token;
    taskreg::cancel_callback throws(taskreg::at_abort, token, [] { throw 1; });
    token.abort();
  });
  in_a_child(SIGKILL, [] {
    taskreg::registry tasks;
    auto task = tasks.spawn("ends", [] {});
    taskreg::end_callback throws(task, [] { throw 1; });
    stops(tasks);
  });
  in_a_child(SIGKILL, [] {
    taskreg::registry tasks;
    auto phases = [](const taskreg::phase_event &) { throw 1; };
    taskreg::ignore(tasks.shutdown(5s, taskreg::reason::none, nullptr, taskreg::shutdown_options().phases_to(phases)));
  });
  in_a_child(SIGKILL, [] {
    struct throws {
      throws() = default;
      throws(throws &&other) noexcept { other.is_moved = true; }
      ~throws() noexcept(false) {
        if (!is_moved) throw 1;
      }
      bool is_moved = false;
    };
    taskreg::registry tasks;
    tasks.detach("captures", [own = throws()] {});
    taskreg::ignore(tasks.wait());
  });
}

#endif

#if TASKREG_HAS_STOP_TOKEN

/* Proves: a body with a std::stop_token parameter is stopped when its task is: by itself, by its registry's token, and
   by a shutdown; with arguments after it (U5).  Why it matters: functions written for std::jthread.  Catches: a token
   that nobody stops. */
CASE(bodies_take_a_stop_token) {
  taskreg::registry tasks;
  auto loop = [](std::stop_token stop, int result) {
    CHECK(stop.stop_possible());
    std::mutex lock;
    std::condition_variable_any changed;
    std::unique_lock hold(lock);
    changed.wait(hold, stop, [] { return false; });
    return stop.stop_requested() ? result : 0;
  };
  auto one = tasks.spawn("by itself", loop, 1);
  CHECK(one.request_stop());
  CHECK_EQ(1, one.get());
  auto two = tasks.spawn("by the token", loop, 2), three = tasks.spawn("by a shutdown", loop, 3);
  tasks.detach("detached", [](std::stop_token stop) {
    while (!stop.stop_requested()) std::this_thread::yield();
  });
  taskreg::spawn_options late;
  late.phase = 3;
  auto four = tasks.spawn("later", late, loop, 4);
  tasks.cancel();
  CHECK_EQ(2, two.get());
  CHECK_STATUS(taskreg::status::timed_out, four.wait(10ms));
  stops(tasks);
  CHECK_EQ(7, three.get() + four.get());
  auto after = tasks.try_spawn(*std::make_unique<taskreg::status>(), "closed", loop, 5);
  CHECK(!after);
  struct both {
    int operator()(std::stop_token, int more) const { return more; }
    int operator()(int) const { return 0; }
    int loop(std::stop_token stop, int more) { return stop.stop_possible() ? more : 0; }
  } object;
  taskreg::registry others;
  CHECK_EQ(1729, others.spawn("overloaded", both(), 1729).get());
  CHECK_EQ(1730, others.spawn("member", &both::loop, &object, 1730).get());
  stops(others);
}

/* Proves: a linked source is stopped with its token or task, before that call returns, also if that was long ago; its
   stop tokens outlive it and change no more (U5).  Why it matters: code that takes a std::stop_token.  Catches: a link
   that is late, or dangles. */
CASE(a_token_stops_a_stop_token) {
  taskreg::token token;
  std::stop_token kept;
  int calls = 0;
  std::thread::id where;
  {
    taskreg::linked_stop_source source(token), other(token);
    std::stop_callback callback(source.get_token(), [&] {
      calls++;
      where = std::this_thread::get_id();
    });
    CHECK(!source.stop_requested() && source.get_token().stop_possible());
    std::thread canceller([&] {
      token.cancel();
      CHECK(source.stop_requested() && other.get_token().stop_requested());
    });
    const auto id = canceller.get_id();
    canceller.join();
    CHECK(calls == 1 && where == id);
    CHECK(taskreg::linked_stop_source(token).stop_requested());
  }
  taskreg::token second;
  {
    taskreg::linked_stop_source source(second);
    kept = source.get_token();
  }
  second.cancel();
  CHECK(!kept.stop_requested());
  taskreg::registry tasks;
  auto task = tasks.spawn("task", [] { // alive until the abort
    taskreg::ignore(taskreg::this_task::begin_drain());
    until_cancelled();
  });
  taskreg::linked_stop_source source(task);
  CHECK(!source.stop_requested());
  taskreg::linked_stop_source at_abort(taskreg::at_abort, task), of_token(taskreg::at_abort, tasks.token());
  tasks.cancel();
  CHECK(source.stop_requested() && !at_abort.stop_requested() && !of_token.stop_requested());
  tasks.abort();
  CHECK(of_token.stop_requested());
  stops(tasks);
  CHECK(at_abort.stop_requested());
  taskreg::registry others;
  auto inside = others.spawn("inside", [](taskreg::context self) {
    taskreg::linked_stop_source own(taskreg::at_abort, self);
    taskreg::ignore(self.task().cancel());
    const bool is_early = own.stop_requested();
    taskreg::ignore(self.task().abort());
    return !is_early && own.stop_requested();
  });
  CHECK(inside.get());
  stops(others);
}

/* Proves: a std::stop_token cancels a token, with a reason; also if it was stopped before, and not any more when the link
   is gone; both directions at once end (U5).  Why it matters: a library of tasks below somebody else's std::jthread.
   Catches: a cycle that recurses; a link that is kept. */
CASE(a_stop_token_cancels_a_token) {
  std::stop_source source;
  taskreg::token token, unlinked, circle;
  taskreg::registry tasks({token});
  auto task = tasks.spawn("task", until_cancelled);
  {
    taskreg::cancel_on_stop gone(source.get_token(), unlinked);
  }
  taskreg::cancel_on_stop link(source.get_token(), token, taskreg::reason::rpc_requested);
  taskreg::linked_stop_source back(circle);
  taskreg::cancel_on_stop forth(back.get_token(), circle);
  CHECK(!token.cancelled());
  CHECK(source.request_stop());
  CHECK(token.cancelled() && token.reason() == taskreg::reason::rpc_requested && !unlinked.cancelled());
  CHECK_STATUS(taskreg::status::ok, task.wait());
  circle.cancel();
  CHECK(circle.cancelled() && back.stop_requested());
  taskreg::token late;
  taskreg::cancel_on_stop at_once(source.get_token(), late);
  CHECK(late.cancelled());
  stops(tasks);
}

#endif // TASKREG_HAS_STOP_TOKEN

/* Proves: waits on a condition variable, of many tasks at once, end when their tasks are asked to stop, also if whoever
   asks holds the mutex (U5, C9).  Why it matters: condition_variable_any had this bug twice.  Catches: a lost wake-up; a
   deadlock between the mutex and the request. */
CASE(waiters_end_when_stopped) {
  for (int round = 0; round < check_rounds(50); round++) {
    taskreg::registry tasks;
    std::mutex lock;
    std::condition_variable changed;
    std::vector<taskreg::task<taskreg::status>> waiters;
    for (int i = 0; i < 4; i++)
      waiters.push_back(tasks.spawn("waits", [&] {
        std::unique_lock<std::mutex> hold(lock);
        return taskreg::wait(changed, hold, [] { return false; });
      }));
    {
      const std::lock_guard<std::mutex> hold(lock);
      tasks.cancel();
    }
    for (auto &each : waiters) {
      CHECK_STATUS(taskreg::status::ok, each.wait());
      CHECK_STATUS(taskreg::status::cancelled, *each.result());
    }
    stops(tasks);
  }
}

} // namespace

#if TASKREG_HAS_EXCEPTIONS
#define WITH_EXCEPTIONS CHECK_ENTRY(exceptions_out_of_callbacks_terminate),
#else
#define WITH_EXCEPTIONS
#endif
/* Proves: a task that drains waits again and ends at abort, a shield holds off both, a token has the levels too (C15,
   C16, C17).  Why it matters: a destructor in a cancelled task waits for its children.  Catches: an abort that is a
   cancel; a shield that outlives its scope. */
CASE(a_stop_has_two_levels) {
  using taskreg::status;
  using taskreg::stop_level;
  taskreg::registry tasks;
  std::atomic<bool> drains{false};
  auto task = tasks.spawn("drains", [&](taskreg::context context) {
    CHECK_STATUS(status::cancelled, taskreg::this_task::sleep(taskreg::forever));
    CHECK(context.stop_level() == stop_level::drain);
    CHECK_STATUS(status::ok, taskreg::this_task::begin_drain());
    CHECK_STATUS(status::ok, taskreg::this_task::sleep(std::chrono::milliseconds(1)));
    drains = true;
    CHECK_STATUS(status::cancelled, taskreg::this_task::sleep(taskreg::forever));
    CHECK(taskreg::this_task::stop_level() == stop_level::abort);
    {
      taskreg::this_task::shield shield;
      CHECK_STATUS(status::ok, taskreg::this_task::sleep(std::chrono::milliseconds(1)));
    }
    CHECK_STATUS(status::cancelled, taskreg::this_task::sleep(taskreg::forever));
  });
  CHECK_STATUS(status::ok, task.cancel());
  while (!drains) std::this_thread::yield();
  CHECK_STATUS(status::timed_out, task.wait(std::chrono::milliseconds(1)));
  CHECK_STATUS(status::ok, task.abort());
  CHECK_STATUS(status::ok, task.wait());
  CHECK(task.stop_level() == stop_level::abort);
  taskreg::token token;
  CHECK(token.cancel() && token.stop_level() == stop_level::drain);
  CHECK(token.abort() && !token.abort() && token.stop_level() == stop_level::abort);
  CHECK_STATUS(status::invalid, taskreg::this_task::begin_drain());
  taskreg::this_task::shield outside;
  stops(tasks);
}

/* Proves: a wait with a token and a predicate returns ok if the predicate is true, whether or not the token is cancelled
   or the time has passed; else cancelled or timed_out; the lock is held, inside a task and outside (U3, C18).
   Why it matters: it is condition_variable_any's wait with a stop_token.  Catches: a predicate that is not asked
   first, or not asked last; a timeout of a token that waits. */
CASE(waits_with_a_token_and_a_predicate) {
  using taskreg::status;
  const auto all = [] {
    std::mutex lock;
    std::condition_variable changed;
    std::unique_lock<std::mutex> held(lock);
    taskreg::token going, stopped;
    stopped.cancel();
    const auto yes = [] { return true; };
    const auto no = [] { return false; };
    for (const taskreg::timeout most : {taskreg::timeout(-1h), taskreg::timeout(1h), taskreg::timeout(taskreg::forever)}) {
      CHECK_STATUS(status::ok, taskreg::wait(changed, held, going, most, yes));
      CHECK_STATUS(status::ok, taskreg::wait(changed, held, stopped, most, yes));
      CHECK_STATUS(status::cancelled, taskreg::wait(changed, held, stopped, most, no));
    }
    CHECK_STATUS(status::cancelled, taskreg::wait(changed, held, stopped, no));
    CHECK_STATUS(status::timed_out, taskreg::wait(changed, held, going, -1h, no));
    const auto start = std::chrono::steady_clock::now();
    CHECK_STATUS(status::timed_out, taskreg::wait(changed, held, going, 2ms, no));
    CHECK(std::chrono::steady_clock::now() - start >= 2ms);
    CHECK(held.owns_lock());
    bool is_there = false;
    std::thread notifier([&] {
      const std::lock_guard<std::mutex> hold(lock);
      is_there = true;
      changed.notify_all();
    });
    CHECK_STATUS(status::ok, taskreg::wait(changed, held, going, 1h, [&] { return is_there; }));
    CHECK(held.owns_lock());
    notifier.join();
    std::thread stopper([&] {
      const std::lock_guard<std::mutex> hold(lock); // released by the wait
      going.cancel();
    });
    CHECK_STATUS(status::cancelled, taskreg::wait(changed, held, going, no));
    CHECK(held.owns_lock());
    stopper.join();
    held.unlock();
    CHECK_STATUS(status::invalid, taskreg::wait(changed, held, going, 1h, yes));
  };
  all();
  taskreg::registry tasks;
  auto inside = tasks.spawn("waits", all);
  CHECK_STATUS(status::ok, inside.wait());
  CHECK(inside.result() != nullptr);
  stops(tasks);
}

#if TASKREG_HAS_STOP_TOKEN
#define WITH_STOP_TOKEN                                                                           \
  CHECK_ENTRY(bodies_take_a_stop_token), CHECK_ENTRY(a_token_stops_a_stop_token),                  \
      CHECK_ENTRY(a_stop_token_cancels_a_token),
#else
#define WITH_STOP_TOKEN
#endif
/* Proves: callbacks and descriptors for abort, a token of the task's own, a token that ends a wait on a condition
   variable, a root token with a timeout, a registry that is closed, signals with roles (C13, C15, C18).
   Why it matters: each is one call in C.  Catches: a callback for abort that a cancel calls; a token that is lent and
   not retained. */
CASE(what_an_abort_tells_is_within_reach) {
  using taskreg::status;
  taskreg::registry tasks;
  taskreg::token kept = nullptr;
  std::atomic<int> aborts{0};
  std::atomic<bool> drains{false};
  auto task = tasks.spawn("owner", [&](taskreg::context context) {
    kept = taskreg::this_task::token();
    CHECK(kept && kept.get() == taskreg::this_task::token().get());
    taskreg::cancel_callback of_token(taskreg::at_abort, kept, [&] { aborts++; });
    taskreg::cancel_callback of_task(taskreg::at_abort, context, [&] { aborts++; });
    CHECK_STATUS(status::cancelled, taskreg::this_task::wait_cancelled());
    CHECK_STATUS(status::ok, taskreg::this_task::begin_drain());
    drains = true;
    CHECK_STATUS(status::cancelled, taskreg::this_task::wait_cancelled());
    while (aborts != 3) std::this_thread::yield();
  });
  taskreg::cancel_callback from_outside(taskreg::at_abort, task, [&] { aborts++; });
  CHECK_STATUS(status::ok, task.cancel());
  while (!drains) std::this_thread::yield();
  CHECK(aborts == 0);
  CHECK_STATUS(status::ok, task.abort());
  CHECK_STATUS(status::ok, task.wait());
  CHECK(kept.stop_level() == taskreg::stop_level::abort);
  int fd = -1;
  CHECK_STATUS(status::ok, kept.abort_fd(fd));
  CHECK(fd >= 0 && !taskreg::this_task::token());

  std::mutex lock;
  std::condition_variable never;
  std::unique_lock<std::mutex> held(lock);
  CHECK_STATUS(status::timed_out, taskreg::wait(never, held, taskreg::token(), std::chrono::milliseconds(1)));
  CHECK_STATUS(status::cancelled, taskreg::wait(never, held, kept));
  const taskreg::token soon = taskreg::token::with_timeout(std::chrono::milliseconds(1));
  CHECK_STATUS(status::ok, soon.wait());

  CHECK(!tasks.closed());
  CHECK_STATUS(status::ok, tasks.close());
  CHECK(tasks.closed() && !tasks.token().cancelled());
  taskreg::signal_options how;
  how.no_debounce = true;
  how.roles = {{SIGUSR1, taskreg::signal_role::stop_now, -1, taskreg::reason::fatal}};
  {
    const taskreg::signal_watch watch(tasks, how);
    CHECK(raise(SIGUSR1) == 0);
    CHECK_STATUS(status::ok, tasks.token().wait());
    CHECK(tasks.token().reason() == taskreg::reason::fatal);
  }
  stops(tasks);
}

CHECK_MAIN(CHECK_ENTRY(callbacks_run_once_on_the_cancelling_thread),
           CHECK_ENTRY(a_late_callback_runs_in_its_constructor), CHECK_ENTRY(a_destroyed_callback_does_not_run),
           CHECK_ENTRY(the_destructor_waits_for_a_running_call),
           CHECK_ENTRY(the_destructor_waits_for_its_own_call_alone), CHECK_ENTRY(waits_with_a_token_and_a_predicate),
           CHECK_ENTRY(callbacks_may_change_callbacks),
           CHECK_ENTRY(one_of_five_callbacks_destroys_another), CHECK_ENTRY(callbacks_come_and_go_beside_cancels), CHECK_ENTRY(no_callback_on_an_empty_handle),
           WITH_EXCEPTIONS WITH_STOP_TOKEN CHECK_ENTRY(waiters_end_when_stopped),
           CHECK_ENTRY(a_stop_has_two_levels), CHECK_ENTRY(what_an_abort_tells_is_within_reach))
