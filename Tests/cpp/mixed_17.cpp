// mixed_17.cpp - the file of the program cpp-mixed that is compiled as C++17, without exceptions.

#include "mixed.hpp"

#include <taskreg.hpp>

#if TASKREG_HAS_EXCEPTIONS || TASKREG_HAS_STOP_TOKEN
#error "compiled with the options of mixed.cpp"
#endif

int spawn_in_17(tr_registry *registry) {
  taskreg::status code;
  auto task = taskreg::registry::share(registry).try_spawn(code, "17", either_way());
  return code == taskreg::status::ok ? task.get() : -1;
}

int detach_in_17(tr_registry *registry) {
  const auto tasks = taskreg::registry::share(registry);
  detached_result = 0;
  if (tasks.try_detach("17", either_way_detached()) != taskreg::status::ok) return -1;
  return tasks.wait() == taskreg::status::ok ? detached_result : -2;
}

void pause_in_17() { const taskreg::this_task::heartbeat_pause pause; }

const void *category_in_17() { return &taskreg::category(); }
