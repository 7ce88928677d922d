/* cpp_locks.cpp - who holds the locks of the C++ library, which are those of glibc (Q1). */

#include "check.h"

#include <taskreg.h>

#include <chrono>
#include <mutex>
#include <shared_mutex>
#include <thread>

namespace {

template <typename Lock> struct taker {
  Lock lock;
  void (*take)(Lock &);
};

template <typename Lock> int body_takes(tr_task *, void *ctx) {
  auto *wait = static_cast<taker<Lock> *>(ctx);
  wait->take(wait->lock);
  return 0;
}

/* A task waits for a lock that this thread holds, or reads: what a report says of it. */
template <typename Lock>
void held(void (*hold)(Lock &), void (*release)(Lock &), void (*take)(Lock &), uint32_t kind, bool is_read) {
  taker<Lock> wait = {{}, take};
  hold(wait.lock);
  tr_registry *registry = nullptr;
  tr_task *task = nullptr;
  CHECK_EQ(TR_OK, tr_registry_create(nullptr, &registry));
  CHECK_EQ(TR_OK, tr_spawn(registry, "taker", TR_KIND_MAINTENANCE, body_takes<Lock>, &wait, &task));
  tr_straggler straggler = TR_STRAGGLER_INIT;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10 * check_scale());
  while (straggler.waits_for != kind) {
    tr_report *report = nullptr;
    CHECK_EQ(TR_OK, tr_explain_with(registry, TR_EXPLAIN_NO_BACKTRACES, &report));
    CHECK_EQ(TR_OK, tr_report_straggler(report, 0, &straggler));
    tr_report_release(report);
    CHECK(straggler.holder_thread_id == 0 || straggler.holder_thread_id == gettid());
    CHECK_MSG(std::chrono::steady_clock::now() < end, "it waits for %u, gap %u", straggler.waits_for, straggler.wait_gap);
    std::this_thread::yield();
  }
  CHECK_EQ(is_read ? 0 : gettid(), straggler.holder_thread_id);
  CHECK_EQ(is_read ? 1 : 0, straggler.wait_count);
  release(wait.lock);
  CHECK_EQ(TR_OK, tr_task_wait(task, TR_FOREVER, nullptr));
  tr_task_release(task);
  CHECK_EQ(TR_OK, tr_shutdown(registry, TR_REASON_USER_REQUESTED, "end", TR_FOREVER, nullptr));
  tr_registry_release(registry);
}

template <typename Lock> void lock(Lock &one) { one.lock(); }
template <typename Lock> void unlock(Lock &one) { one.unlock(); }
template <typename Lock> void pass(Lock &one) {
  one.lock();
  one.unlock();
}
template <typename Lock> void try_long(Lock &one) {
  if (one.try_lock_for(std::chrono::hours(1))) one.unlock();
}
void read(std::shared_mutex &one) { one.lock_shared(); }
void unread(std::shared_mutex &one) { one.unlock_shared(); }
void pass_reading(std::shared_mutex &one) {
  one.lock_shared();
  one.unlock_shared();
}

} // namespace

/* Proves: of std::mutex, std::recursive_mutex and std::timed_mutex, waited for with and without a limit, a report names
   the thread that holds it; of std::shared_mutex the writer, or how many read (Q1).  Why it matters: most locks of a
   program in C++ are these.  Catches: a kind of glibc's locks that is not recognised; a reader named as a writer. */
CASE(locks_of_the_cpp_library_have_their_owners) {
  held<std::mutex>(lock, unlock, pass, TR_WAITS_MUTEX, false);
  held<std::recursive_mutex>(lock, unlock, pass, TR_WAITS_MUTEX, false);
  held<std::timed_mutex>(lock, unlock, pass, TR_WAITS_MUTEX, false);
  held<std::shared_mutex>(lock, unlock, pass_reading, TR_WAITS_RWLOCK, false);
  if (!check_sees_all_locks()) return;
  held<std::timed_mutex>(lock, unlock, try_long, TR_WAITS_MUTEX, false);
  held<std::shared_mutex>(lock, unlock, pass, TR_WAITS_RWLOCK, false);
  held<std::shared_mutex>(read, unread, pass, TR_WAITS_RWLOCK, true);
}

CHECK_MAIN(CHECK_ENTRY(locks_of_the_cpp_library_have_their_owners))
