// 05-condition.cpp - waiting on a condition variable of one's own.
//
// taskreg::wait waits on a std::condition_variable as the variable's own wait does, and also ends
// when the task is asked to stop. So the queue below can be stopped without a flag, a "poison"
// element, or a second condition variable.
//
// Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0

#include <condition_variable>
#include <cstdio>
#include <deque>
#include <mutex>
#include <optional>

#include <taskreg.hpp>

using namespace std::chrono_literals;

namespace {

template <class Item>
class bounded_queue {
 public:
  explicit bounded_queue(std::size_t most) : capacity(most) {}

  // Returns false if the calling task was asked to stop and there is no room.
  bool push(Item item) {
    std::unique_lock<std::mutex> hold(lock);
    if (taskreg::wait(not_full, hold, [this] { return items.size() < capacity; }) !=
        taskreg::status::ok)
      return false;
    items.push_back(std::move(item));
    not_empty.notify_one();
    return true;
  }

  // Returns nothing if there is no item and the calling task was asked to stop, or the timeout has
  // passed. Items come before the flag: a consumer in a later phase empties the queue before it
  // ends.
  std::optional<Item> pop(taskreg::timeout most = taskreg::forever) {
    std::unique_lock<std::mutex> hold(lock);
    if (taskreg::wait(not_empty, hold, most, [this] { return !items.empty(); }) !=
        taskreg::status::ok)
      return std::nullopt;
    std::optional<Item> item(std::move(items.front()));
    items.pop_front();
    not_full.notify_one();
    return item;
  }

 private:
  const std::size_t capacity;
  std::mutex lock;
  std::condition_variable not_empty, not_full;
  std::deque<Item> items; // guarded by lock
};

} // namespace

int main() {
  bounded_queue<int> queue(4);
  taskreg::registry tasks;

  auto consumed = tasks.spawn("consumer", {.phase = 1}, [&] {
    long sum = 0;
    while (auto item = queue.pop()) sum += *item;
    return sum;
  });
  // Produces until it is asked to stop, in whichever wait it is.
  auto produced = tasks.spawn("producer", [&] {
    long sum = 0;
    for (int i = 1; queue.push(i); i++) {
      sum += i;
      if (taskreg::this_task::cancelled()) break;
    }
    return sum;
  });

  taskreg::ignore(taskreg::this_task::sleep(20ms)); // outside a task this is an ordinary sleep
  const auto result = tasks.shutdown(5s);
  if (!result) std::_Exit(1); // stragglers use the queue
  const long in = produced.get(), out = consumed.get();
  std::printf("shutdown: %s; what was produced %s consumed\n", to_string(result.status),
              in == out ? "was" : "was not");
  std::printf("the queue is %s\n", queue.pop(0s) ? "not empty" : "empty");
  return in == out ? 0 : 1;
}
