// jthread.cpp - C++20 std::jthread, with the stop token that comes with it. The stack size cannot
// be chosen, there is no list and no join with a deadline.

#include "bench.h"
#include "support.h"

#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <system_error>
#include <thread>
#include <vector>

namespace {

std::vector<std::jthread> threads;  // spawned without a handle and not joined yet

void *open_registry() {
  threads.reserve(BENCH_MOST_TASKS);
  return &threads;
}

void close_registry(void *) { threads.clear(); }

void run(std::stop_token token, const bench_job *job) {
  job->body(reinterpret_cast<bench_self *>(&token), job->arg);
}

int spawn(void *, const bench_job *job, void **handle) {
  try {
    if (handle != nullptr) *handle = new std::jthread(run, job);
    else threads.emplace_back(run, job);
    return 0;
  } catch (const std::system_error &error) {
    return error.code().value();
  }
}

void wait_one(void *, void *handle) {
  auto *thread = static_cast<std::jthread *>(handle);
  thread->join();
  delete thread;
}

long join_all(void *, int64_t timeout_ns) {
  if (timeout_ns >= 0) return BENCH_CANNOT;
  for (auto &thread : threads) thread.join();
  threads.clear();
  return 0;
}

void cancel_all(void *) {
  for (auto &thread : threads) thread.request_stop();
}

void cancellable_sleep(bench_self *self) {
  // Of one's own: a stop request notifies everyone who waits on the same condition variable.
  std::mutex lock;
  std::condition_variable_any stopped;
  std::unique_lock guard(lock);
  stopped.wait(guard, *reinterpret_cast<std::stop_token *>(self), [] { return false; });
}

// There is no wait for a descriptor.
int cancellable_wait(bench_self *self, bench_wait how) {
  if (how == BENCH_WAIT_FD) return 0;
  cancellable_sleep(self);  // which is a wait on a condition variable
  return 1;
}

long poll_call(bench_self *self, long times) {
  const auto &token = *reinterpret_cast<std::stop_token *>(self);
  long asked = 0;
  while (asked < times && !token.stop_requested()) asked++;
  return asked;
}

}  // namespace

extern "C" const bench_peer bench_peer_under_test = {
    .name = "jthread",
    .choose = nullptr,
    .open = open_registry,
    .close = close_registry,
    .spawn = spawn,
    .wait_one = wait_one,
    .join_all = join_all,
    .cancel_all = cancel_all,
    .cancellable_sleep = cancellable_sleep,
    .cancellable_wait = cancellable_wait,
    .poll_call = poll_call,
    .poll_flag = nullptr,
    .snapshot = nullptr,
    .keeps_threads = 0,
};
