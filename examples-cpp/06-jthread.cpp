// 06-jthread.cpp - a program that was written with std::jthread, ported.
//
// The functions that the threads run have not changed: `worker` and `reporter` take a
// std::stop_token and wait with std::condition_variable_any. Only main has changed; each line that
// was replaced is a comment above the new one. The program gains names in top and gdb, a list of
// its threads, one deadline for all, and a report of those that miss it.
//
// Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0

#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <queue>
#include <stop_token>
#include <string>

#include <taskreg.hpp>

using namespace std::chrono_literals;

namespace {

struct jobs {
  std::mutex lock;
  std::condition_variable_any changed;
  std::queue<int> waiting;
  int done = 0;
};

void worker(std::stop_token stop, jobs &jobs) {
  std::unique_lock hold(jobs.lock);
  while (jobs.changed.wait(hold, stop, [&] { return !jobs.waiting.empty(); })) {
    jobs.waiting.pop();
    hold.unlock();
    // Here the job would be run.
    hold.lock();
    jobs.done++;
    jobs.changed.notify_all();
  }
}

int reporter(std::stop_token stop, jobs &jobs, int until) {
  std::unique_lock hold(jobs.lock);
  jobs.changed.wait(hold, stop, [&] { return jobs.done == until; });
  return jobs.done;
}

} // namespace

int main() {
  jobs jobs;
  //   std::vector<std::jthread> workers;
  taskreg::scope tasks;
  //   for (int i = 0; i < 3; i++) workers.emplace_back(worker, std::ref(jobs));
  for (int i = 0; i < 3; i++) tasks.detach("worker " + std::to_string(i), worker, std::ref(jobs));
  //   std::promise<int> promise;
  //   std::jthread counts(
  //       [&](std::stop_token stop) { promise.set_value(reporter(stop, jobs, 100)); });
  auto counts = tasks.spawn("reporter", reporter, std::ref(jobs), 100);

  for (int i = 0; i < 100; i++) {
    const std::lock_guard hold(jobs.lock);
    jobs.waiting.push(i);
    jobs.changed.notify_all();
  }
  //   std::printf("%d jobs are done\n", promise.get_future().get());
  std::printf("%d jobs are done\n", counts.get());
  std::printf("%zu workers wait for more\n", tasks.all().size());

  //   } // ~jthread asks one thread after another to stop, and waits without a deadline
  const auto result = tasks.all().shutdown(5s);
  std::printf("shutdown: %s\n", to_string(result.status));
  return 0; // if the deadline was missed, ~scope waits, as ~jthread did
}
