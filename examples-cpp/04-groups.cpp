// 04-groups.cpp - the parts of a server as groups, and the order in which they stop as phases.
//
// A group is a registry inside another: one part can be stopped and started again while the others
// keep running. A phase is a task's place in the order of a shutdown: producers stop before
// consumers, and the journal stops last.
//
// Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <cstdio>
#include <mutex>
#include <string>
#include <vector>

#include <taskreg.hpp>

using namespace std::chrono_literals;

namespace {

class order_of_ends {
 public:
  void add(std::string name) {
    const std::lock_guard<std::mutex> hold(lock);
    names.push_back(std::move(name));
  }
  std::vector<std::string> take() {
    const std::lock_guard<std::mutex> hold(lock);
    return std::exchange(names, {});
  }

 private:
  std::mutex lock;
  std::vector<std::string> names;
};

void start(const taskreg::registry &in, const char *name, unsigned phase, order_of_ends &ends) {
  in.detach(name, {.phase = phase}, [name, &ends] {
    taskreg::ignore(taskreg::this_task::wait_cancelled());
    ends.add(name);
  });
}

void print(const taskreg::registry &tasks) {
  auto all = tasks.snapshot();
  std::sort(all.begin(), all.end(), [](const auto &a, const auto &b) { return a.id < b.id; });
  for (const auto &task : all)
    std::printf("  %s%s%s, phase %u\n", task.group, *task.group != '\0' ? "/" : "", task.name,
                task.phase);
}

} // namespace

int main() {
  order_of_ends ends; // before the registry: its tasks use it
  taskreg::registry tasks;
  taskreg::group net(tasks, "net");

  start(tasks, "journal", 7, ends);
  start(net, "listener", 0, ends);
  start(net, "connection", 1, ends);
  std::printf("%zu tasks, %zu of them in net:\n", tasks.size(), net.size());
  print(tasks);

  // Stop one part, and start it again.
  const bool has_stopped =
      bool(net.shutdown(5s, taskreg::reason::reload_requested, "new addresses"));
  std::printf("net %s:", has_stopped ? "has stopped" : "has not stopped");
  for (const auto &name : ends.take()) std::printf(" %s", name.c_str());
  net = taskreg::group(tasks, "net");
  start(net, "listener", 0, ends);
  std::printf(", and runs again:\n");
  print(tasks);

  const auto result = tasks.shutdown(5s);
  std::printf("everything: %s:", to_string(result.status));
  for (const auto &name : ends.take()) std::printf(" %s", name.c_str());
  std::printf("\n");
  if (!result) std::_Exit(1); // stragglers use `ends`
  return 0;
}
