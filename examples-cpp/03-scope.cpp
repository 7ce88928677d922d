// 03-scope.cpp - work that is divided: results, the first exception, and no task left behind.
//
// with_scope returns when all of its tasks have ended, so they may refer to objects on the stack
// around it. If one throws, the others are cancelled, and with_scope rethrows the exception.
//
// Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0

#include <cstdio>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include <taskreg.hpp>

using namespace std::chrono_literals;

namespace {

// The sum of a part. It checks its flag from time to time.
long sum_of(taskreg::context self, const int *begin, const int *end) {
  long sum = 0;
  for (; begin != end && !self.cancelled(); begin++) {
    if (*begin < 0)
      throw std::domain_error("there is a negative number: " + std::to_string(*begin));
    sum += *begin;
  }
  return sum;
}

long sum_in_parts(const taskreg::registry &tasks, const std::vector<int> &numbers,
                  std::size_t parts) {
  return taskreg::with_scope(tasks, [&](taskreg::scope &scope) {
    std::vector<taskreg::task<long>> sums;
    const std::size_t each = numbers.size() / parts;
    for (std::size_t i = 0; i < parts; i++) {
      const int *begin = numbers.data() + i * each;
      const int *end = i + 1 == parts ? numbers.data() + numbers.size() : begin + each;
      sums.push_back(scope.spawn("part " + std::to_string(i), sum_of, begin, end));
    }
    return std::accumulate(sums.begin(), sums.end(), 0L,
                           [](long sum, taskreg::task<long> &part) { return sum + part.get(); });
  });
}

} // namespace

int main() {
  taskreg::registry tasks;
  std::vector<int> numbers(100000);
  std::iota(numbers.begin(), numbers.end(), 1);

  std::printf("the sum is %ld\n", sum_in_parts(tasks, numbers, 4));
  numbers[60000] = -7;
  try {
    std::printf("the sum is %ld\n", sum_in_parts(tasks, numbers, 4));
  } catch (const std::domain_error &error) {
    std::printf("no sum: %s\n", error.what());
  }

  // A scope is also an object. Its destructor cancels the tasks and waits, however the block ends.
  bool has_stopped = false;
  {
    taskreg::scope scope(tasks, "helpers");
    scope.detach("helper", [&] {
      has_stopped = taskreg::this_task::wait_cancelled() == taskreg::status::cancelled;
    });
  }
  std::printf("the helper %s, %zu tasks are left\n", has_stopped ? "has stopped" : "runs on",
              tasks.size());
  return tasks.shutdown(5s) ? 0 : 1;
}
