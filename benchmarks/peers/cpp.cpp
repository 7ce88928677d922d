// cpp.cpp - libtaskreg from C++, through taskreg.hpp: bodies are lambdas, and each task with a handle has a block for what
// its body returns or throws.

#include "bench.h"

#include <poll.h>
#include <unistd.h>

#include <condition_variable>
#include <memory>
#include <mutex>

#include <taskreg.hpp>

namespace {

using task = taskreg::task<>;

// The handle of the only task with one, as W1 has it, is kept here; further ones are allocated, as the interface has room
// for a pointer.
task only;
bool is_only_taken;

taskreg::registry &of(void *registry) { return *static_cast<taskreg::registry *>(registry); }

void *open_registry() {
  taskreg::registry_options options;
  options.stack_size = 65536;
  taskreg::status code;
  auto made = std::make_unique<taskreg::registry>(taskreg::registry::try_make(code, options));
  return code == taskreg::status::ok ? made.release() : nullptr;
}

void close_registry(void *registry) {
  taskreg::ignore(of(registry).shutdown(taskreg::forever).status);
  delete &of(registry);
}

template <class Body>
int spawn_body(void *registry, const char *name, Body &&body, void **handle) {
  taskreg::status code;
  if (handle == nullptr) {
    code = of(registry).try_detach(name, std::forward<Body>(body));
    return static_cast<int>(code);
  }
  task made = of(registry).try_spawn(code, name, std::forward<Body>(body));
  if (code != taskreg::status::ok) return static_cast<int>(code);
  if (!is_only_taken) {
    is_only_taken = true;
    only = std::move(made);
    *handle = &only;
  } else {
    *handle = new task(std::move(made));
  }
  return 0;
}

int spawn(void *registry, const bench_job *job, void **handle) {
  return spawn_body(registry, job->name, [job](taskreg::context self) { job->body(self.get(), job->arg); }, handle);
}

int spawn_drop(void *registry, const bench_job *job, void (*drop)(void *), void **handle) {
  auto owned = std::unique_ptr<void, void (*)(void *)>(const_cast<bench_job *>(job), drop);
  return spawn_body(registry, job->name,
                    [owned = std::move(owned)](taskreg::context self) {
                      const auto *own = static_cast<const bench_job *>(owned.get());
                      own->body(self.get(), own->arg);
                    },
                    handle);
}

// The wrapper's block on the heap, which it has for the result in any case, holds the copy.
int spawn_owned(void *registry, const bench_job *job, void **handle) {
  return spawn_body(registry, job->name,
                    [own = *job](taskreg::context self) { own.body(self.get(), own.arg); }, handle);
}

void wait_one(void *, void *handle) {
  auto *waited = static_cast<task *>(handle);
  waited->get();
  if (waited == &only) {
    only = task();
    is_only_taken = false;
  } else {
    delete waited;
  }
}

long join_all(void *registry, int64_t timeout_ns) {
  if (timeout_ns < 0) return of(registry).join() ? 0 : BENCH_INCONSISTENT;
  const auto result = of(registry).join(std::chrono::nanoseconds(timeout_ns), true);
  if (result) return result.pending == 0 ? 0 : BENCH_INCONSISTENT;
  if (result.status != taskreg::status::deadline || result.aborted + result.abandoned != result.pending)
    return BENCH_INCONSISTENT;
  return static_cast<long>(result.pending);
}

void cancel_all(void *registry) { of(registry).cancel(taskreg::reason::requested_by_run); }

void cancellable_sleep(bench_self *) { taskreg::ignore(taskreg::this_task::sleep(taskreg::forever)); }

int cancellable_wait(bench_self *, bench_wait how) {
  static std::mutex lock;
  static std::condition_variable never;
  static int quiet[2];
  switch (how) {
    case BENCH_WAIT_SLEEP: return taskreg::ignore(taskreg::this_task::sleep(taskreg::forever)), 1;
    case BENCH_WAIT_FD:
      if (quiet[0] == 0 && pipe(quiet) != 0) return 0;
      return taskreg::ignore(taskreg::this_task::wait_fd(quiet[0], POLLIN)), 1;
    case BENCH_WAIT_CONDITION: {
      std::unique_lock<std::mutex> hold(lock);
      taskreg::ignore(taskreg::wait(never, hold, [] { return false; }));
      return 1;
    }
    default: return 0;
  }
}

long poll_call(bench_self *self, long times) {
  const taskreg::context own(self);
  long asked = 0;
  while (asked < times && !own.cancelled()) asked++;
  return asked;
}

long poll_flag(bench_self *self, long times) {
  const std::uint32_t *flag = taskreg::context(self).flag();
  long asked = 0;
  while (asked < times && !__atomic_load_n(flag, __ATOMIC_ACQUIRE)) asked++;
  return asked;
}

long snapshot(void *registry) { return static_cast<long>(of(registry).snapshot().size()); }

} // namespace

extern "C" const bench_peer bench_peer_under_test = {
    .name = "cpp",
    .choose = nullptr,
    .open = open_registry,
    .close = close_registry,
    .spawn = spawn,
    .spawn_drop = spawn_drop,
    .spawn_owned = spawn_owned,
    .wait_one = wait_one,
    .join_all = join_all,
    .cancel_all = cancel_all,
    .cancellable_sleep = cancellable_sleep,
    .cancellable_wait = cancellable_wait,
    .poll_call = poll_call,
    .poll_flag = poll_flag,
    .snapshot = snapshot,
    .keeps_threads = 1,
};
