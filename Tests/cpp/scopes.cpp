// scopes.cpp - taskreg.hpp: a scope ends when its tasks have ended.

#include "cpp.hpp"

#include <memory>

#include <sys/wait.h>

namespace {

/* Proves: when the destructor of a scope has returned, its tasks have ended and their captures are gone; it asks them to
   stop (U4).  Why it matters: they use what is on the stack of the function around it.  Catches: a scope that does not
   wait, or waits without asking. */
CASE(the_end_of_a_scope_joins) {
  taskreg::registry tasks;
  for (int i = 0; i < check_rounds(200); i++) {
    std::atomic<int> alive{0};
    int written[4] = {};
    {
      taskreg::scope scope(tasks);
      for (int &each : written)
        scope.detach(
            "writes",
            [own = counted(alive)](int &to) {
              until_cancelled();
              to = 1;
            },
            std::ref(each));
      scope.spawn("spawned", [own = counted(alive)] {});
    }
    CHECK_EQ(0, alive.load());
    CHECK_EQ(4, written[0] + written[1] + written[2] + written[3]);
    CHECK(tasks.empty());
  }
  CHECK(!tasks.token().cancelled());
  stops(tasks);
}

/* Proves: join() waits and asks nobody to stop; results are got from the handles afterwards, and the scope may go on
   (U4).  Why it matters: that is the usual end of work that was divided.  Catches: a join that cancels. */
CASE(join_waits_without_asking) {
  taskreg::registry tasks;
  taskreg::scope scope(tasks, "sums");
  gate go;
  auto one = scope.spawn("one", [&] { return go.pass(), taskreg::this_task::cancelled() ? 0 : 1; });
  auto two = scope.spawn("two", [&] { return go.pass(), 2; });
  scope.detach("opens", [&] { go.open(); });
  scope.join();
  CHECK_EQ(3, one.get() + two.get());
  CHECK(!scope.failed() && !scope.token().cancelled());
  CHECK_EQ(4, scope.spawn("again", [] { return 4; }).get());
  scope.join();
  CHECK_STATUS(taskreg::status::ok, scope.wait());
  stops(tasks);
}

#if TASKREG_HAS_EXCEPTIONS

/* Proves: the first task that throws cancels the others, join() rethrows its exception once, and a spawn after it throws
   the same instead of "closed" (U4).  Why it matters: half of a divided work is of no use, and the cause must not
   be lost behind what it leads to.  Catches: siblings that go on; the second exception. */
CASE(the_first_failure_cancels_the_others) {
  taskreg::registry tasks;
  taskreg::scope scope(tasks);
  for (int i = 0; i < 3; i++)
    scope.detach("others", [] {
      until_cancelled();
      throw std::logic_error("a consequence");
    });
  scope.detach("first", [] { throw std::runtime_error("the cause"); });
  CHECK_STATUS(taskreg::status::ok, scope.wait());
  CHECK(scope.failed() && scope.token().reason() == taskreg::reason::fatal);
  taskreg::status code;
  CHECK(!scope.try_spawn(code, "late", [] {}));
  CHECK_STATUS(taskreg::status::closed, code);
  for (int i = 0; i < 2; i++) {
    std::string what;
    try {
      if (i == 0)
        scope.detach("late", [] {});
      else
        scope.join();
    } catch (const std::runtime_error &error) {
      what = error.what();
    }
    CHECK_STR("the cause", what.c_str());
  }
  scope.join();
  CHECK(!tasks.token().cancelled());
  stops(tasks);
}

/* Proves: an exception, and pthread_exit, that leaves the block of a scope cancels its tasks and waits for them (U4).
   Why it matters: the stack that they use is being unwound.  Catches: a destructor that never returns, or does not wait. */
CASE(unwinding_ends_a_scope) {
  taskreg::registry tasks;
  int ended = 0;
  bool caught = false;
  try {
    taskreg::scope scope(tasks);
    scope.detach("waits", [&] {
      until_cancelled();
      ended++;
    });
    throw 5;
  } catch (int) {
    caught = true;
  }
  CHECK(caught);
  CHECK_EQ(1, ended);
#if CAN_UNWIND_THREADS
  auto exits = tasks.spawn("exits", [&] {
    taskreg::scope scope(tasks);
    scope.detach("waits", [&] {
      until_cancelled();
      ended++;
    });
    pthread_exit(nullptr);
  });
  taskreg::outcome how;
  CHECK_STATUS(taskreg::status::ok, exits.wait(taskreg::forever, how));
  CHECK(how.ending() == taskreg::ended::exited);
  CHECK_EQ(2, ended);

  // And a task of a scope that exits fails the scope.
  taskreg::scope scope(tasks);
  scope.detach("others", until_cancelled);
  scope.detach("exits", [] { pthread_exit(nullptr); });
  caught = false;
  try {
    scope.join();
  } catch (const taskreg::exited &) {
    caught = true;
  }
  CHECK(caught);
#endif
  stops(tasks);
}

/* Proves: with_scope waits without cancelling and returns what its block returned; throws what a task threw, or what the
   block threw (U4).  Why it matters: one expression for divided work.  Catches: a result that is lost. */
CASE(with_scope_returns_or_throws) {
  taskreg::registry tasks;
  int done = 0;
  CHECK_EQ(7, taskreg::with_scope(tasks, [&](taskreg::scope &scope) {
    scope.detach("works", [&] { done = taskreg::this_task::sleep(1ms) == taskreg::status::ok ? 1 : 0; });
    return 7;
  }));
  CHECK_EQ(1, done);
  int &same = taskreg::with_scope(tasks, [&](auto &) -> int & { return done; });
  CHECK(&same == &done);
  auto moved = taskreg::with_scope(tasks, [](auto &) { return std::make_unique<int>(3); });
  CHECK_EQ(3, *moved);
  const char *thrown[] = {"of the task", "of the block"};
  for (const char *text : thrown) {
    std::string caught;
    try {
      taskreg::with_scope(tasks, [&](taskreg::scope &scope) {
        scope.detach("waits", until_cancelled);
        if (text == thrown[0]) scope.detach("throws", [&] { throw std::runtime_error(text); });
        if (text == thrown[1]) throw std::runtime_error(text);
      });
    } catch (const std::runtime_error &error) {
      caught = error.what();
    }
    CHECK_STR(text, caught.c_str());
    CHECK(tasks.empty());
  }
  stops(tasks);
}

/* Proves: a task of the scope that waits for it gets an error, also if it was asked to stop (U4).  Why it matters: it would
   wait for itself.  Catches: a hang. */
CASE(waiting_for_oneself_is_an_error) {
  taskreg::registry tasks;
  taskreg::scope scope(tasks);
  scope.detach("inside", [&](taskreg::context self) {
    CHECK_STATUS(taskreg::status::deadlock, scope.wait());
    CHECK_THROWS(taskreg::status::deadlock, scope.join());
    taskreg::ignore(self.task().cancel());
    CHECK_STATUS(taskreg::status::deadlock, scope.wait());
  });
  scope.join();
  stops(tasks);
}

#endif // TASKREG_HAS_EXCEPTIONS

/* Proves: a scope inside a task that was asked to stop waits all the same, and its tasks are asked to stop with that
   task (U4).  Why it matters: every other wait of such a task returns at once, and its stack would be gone under its
   children.  Catches: a destructor that returns on "cancelled"; children that nobody asks. */
CASE(a_cancelled_task_waits_for_its_children) {
  taskreg::registry tasks;
  for (int i = 0; i < check_rounds(200); i++) {
    std::atomic<int> alive{0};
    gate started, hold;
    auto parent = tasks.spawn("parent", [&] {
      taskreg::scope scope(tasks);
      scope.detach("child", [&, own = counted(alive)] {
        started.open();
        until_cancelled(); // by the parent's flag
        hold.pass();
      });
      started.pass();
      CHECK_STATUS(taskreg::status::ok, scope.wait());
      CHECK_EQ(0, alive.load());
      CHECK(taskreg::this_task::cancelled() && !scope.failed());
    });
    started.pass();
    CHECK_STATUS(taskreg::status::ok, parent.cancel());
    if (i == 0) CHECK_STATUS(taskreg::status::timed_out, parent.wait(20ms));
    hold.open();
    CHECK_STATUS(taskreg::status::ok, parent.wait());
    parent.get();
  }
  // One that is made by a task that was asked to stop before is cancelled from the start.
  auto late = tasks.spawn("late", [&](taskreg::context self) {
    taskreg::ignore(self.task().cancel());
    taskreg::scope scope(tasks);
    return scope.try_detach("child", [] {});
  });
  CHECK_STATUS(taskreg::status::closed, late.get());
  stops(tasks);
}

#if TASKREG_HAS_EXCEPTIONS

/* Proves: the end of a scope in a task that was told to abort waits until its tasks have ended as everybody sees it, and
   not only until their captures are gone (U4, C17).  Why it matters: what the log callback of a task uses may be on the
   stack of the task around it.  Catches: a wait outside a shield; one for the counter of the scope. */
CASE(an_aborted_task_waits_for_the_whole_end) {
  struct held {
    gate entered, hold;
    std::atomic<bool> is_over{false};
    void operator()(const tr_log_event &event) {
      if (event.event != TR_EVENT_TASK_FAILED) return;
      entered.open();
      hold.pass();
      is_over = true;
    }
  } log;
  taskreg::registry_options options;
  options.log_to(log);
  taskreg::registry tasks(options);
  std::atomic<bool> was_over{false}, was_shielded{true};
  auto parent = tasks.spawn("parent", [&](taskreg::context self) {
    taskreg::ignore(self.task().abort());
    {
      taskreg::scope scope(tasks);
      CHECK_STATUS(taskreg::status::closed, scope.try_detach("rejected", [] {}));
    }
    was_shielded = taskreg::this_task::sleep(1h) == taskreg::status::ok; // the shield has ended with the scope
  });
  parent.get();
  CHECK(!was_shielded);
  auto other = tasks.spawn("other", [&](taskreg::context self) {
    {
      taskreg::scope scope(tasks);
      scope.detach("child", [] { throw std::runtime_error("fails"); });
      log.entered.pass();
      taskreg::ignore(self.task().abort());
    }
    was_over = log.is_over.load();
  });
  log.entered.pass();
  CHECK_STATUS(taskreg::status::timed_out, other.wait(50ms));
  log.hold.open();
  other.get();
  CHECK(was_over);
  stops(tasks);
}

#endif // TASKREG_HAS_EXCEPTIONS

/* Proves: a scope that a body has captured ends with the captures, in the drop of a task that was told to abort, and waits
   there for its children all the same (U4, C17).  Why it matters: an object that owns its threads is usually captured.
   Catches: a shield that is for bodies alone. */
CASE(a_captured_scope_waits_in_the_drop) {
  taskreg::registry tasks;
  std::atomic<int> alive{0};
  gate started, hold;
  struct owner {
    std::atomic<int> *alive;
    std::unique_ptr<taskreg::scope> scope;
    ~owner() {
      if (scope == nullptr) return;
      scope.reset();
      CHECK_EQ(0, alive->load());
    }
    owner(std::atomic<int> &of, std::unique_ptr<taskreg::scope> own) : alive(&of), scope(std::move(own)) {}
    owner(owner &&) = default;
  };
  taskreg::spawn_options first;
  auto parent = tasks.spawn("parent", first, [&, own = owner(alive, std::make_unique<taskreg::scope>(tasks))] {
    own.scope->detach("child", [&, counts = counted(alive)] {
      started.open();
      until_cancelled();
      hold.pass();
    });
    until_cancelled();
  });
  started.pass();
  CHECK_STATUS(taskreg::status::ok, parent.abort());
  CHECK_STATUS(taskreg::status::timed_out, parent.wait(20ms));
  CHECK_EQ(1, alive.load());
  hold.open();
  CHECK_STATUS(taskreg::status::ok, parent.wait());
  CHECK_EQ(0, alive.load());
  stops(tasks);
}

/* Proves: scopes nest, tasks of a scope spawn in it, and the shutdown of the registry ends them all (U4).  Why it
   matters: work that is divided divides again.  Catches: a scope that the registry does not know. */
CASE(scopes_nest) {
  taskreg::registry tasks;
  std::atomic<int> done{0};
  gate all;
  auto outer = tasks.spawn("outer", [&] {
    taskreg::scope scope(tasks);
    scope.detach("spawns", [&] {
      scope.detach("sibling", [&] {
        if (++done == 4) all.open();
      });
      taskreg::scope inner(scope.all(), "inner");
      for (int i = 0; i < 3; i++)
        inner.detach("waits", [&] {
          if (++done == 4) all.open();
          until_cancelled();
          done++;
        });
      taskreg::ignore(inner.wait());
    });
    taskreg::ignore(scope.wait());
  });
  all.pass();
  stops(tasks);
  CHECK_STATUS(taskreg::status::ok, outer.wait());
  CHECK_EQ(7, done.load());
}

/* Proves: a scope with a registry of its own leaves no thread behind (U4).  Why it matters: a library may use one for a
   moment, in a program that knows nothing of it.  Catches: threads that are only idle. */
CASE(a_scope_of_its_own) {
  int sum = 0;
  {
    taskreg::scope scope;
    auto one = scope.spawn("one", [] { return 1; });
    auto two = scope.spawn("two", [] { return 2; });
    sum = one.get() + two.get();
  }
  CHECK_EQ(3, sum);
  CHECK_STATUS(taskreg::status::ok, taskreg::quiesce());
}

/* Proves: the end of a scope in a child of fork does not wait for tasks that the child does not have (U4, P1).  Why it
   matters: exit handlers and unwinding run there, too.  Catches: a hang. */
CASE(a_forked_child_does_not_wait) {
#ifndef CHECK_UNDER_TSAN // whose runtime does not survive a fork beside other threads
  taskreg::registry tasks;
  auto scope = std::make_unique<taskreg::scope>(tasks);
  gate started;
  scope->detach("waits", [&] {
    started.open();
    until_cancelled();
  });
  started.pass();
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm(static_cast<unsigned>(20 * check_scale()));
    scope.reset();
    _exit(0);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) CHECK_EQ(EINTR, errno);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  scope.reset();
  stops(tasks);
#endif
}

} // namespace

#if TASKREG_HAS_EXCEPTIONS
#define WITH_EXCEPTIONS                                                                           \
  CHECK_ENTRY(the_first_failure_cancels_the_others), CHECK_ENTRY(unwinding_ends_a_scope),          \
      CHECK_ENTRY(with_scope_returns_or_throws), CHECK_ENTRY(waiting_for_oneself_is_an_error),       \
      CHECK_ENTRY(an_aborted_task_waits_for_the_whole_end),
#else
#define WITH_EXCEPTIONS
#endif
CHECK_MAIN(CHECK_ENTRY(the_end_of_a_scope_joins), CHECK_ENTRY(join_waits_without_asking),
           WITH_EXCEPTIONS CHECK_ENTRY(a_cancelled_task_waits_for_its_children),
           CHECK_ENTRY(a_captured_scope_waits_in_the_drop), CHECK_ENTRY(scopes_nest),
           CHECK_ENTRY(a_scope_of_its_own), CHECK_ENTRY(a_forked_child_does_not_wait))
