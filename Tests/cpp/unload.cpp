// unload.cpp - taskreg.hpp in an object that is loaded and unloaded, and in destructors of static objects.

#include "cpp.hpp"

#include <dlfcn.h>
#include <sys/wait.h>

namespace {

/* Proves: an object that uses the header can be unloaded once its scopes have ended and its registry has shut down, by a
   destructor of its own; thread_local objects of its tasks are destroyed before (U4, P3).  Why it matters: plug-ins.
   Catches: a thread that returns into code that is not there. */
CASE(a_plugin_comes_and_goes) {
  const char *path = getenv("TASKREG_PLUGIN");
  CHECK(path != nullptr);
  for (int i = 1; i <= check_rounds(20); i++) {
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CHECK_MSG(object != nullptr, "%s", dlerror());
    auto *run = reinterpret_cast<int (*)(int)>(dlsym(object, "plugin_run"));
    CHECK(run != nullptr);
    CHECK_EQ(2 * i, run(i));
    CHECK_EQ(4 * i, run(2 * i));
    CHECK_EQ(0, dlclose(object));
  }
}

/* Proves: a registry that is a static object may be shut down by its destructor, while the program ends (U4, P2).  Why it
   matters: that is where C++ programs put things.  Catches: a static object of the header's that has gone before. */
CASE(a_static_registry_ends_with_the_program) {
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm(static_cast<unsigned>(20 * check_scale()));
    check_process = 0;
    static struct at_end {
      taskreg::registry tasks;
      bool stopped = false;
      ~at_end() {
        taskreg::status code;
        auto late = tasks.try_spawn(code, "at the end", until_cancelled);
        const auto result = tasks.shutdown(taskreg::forever);
        _exit(code == taskreg::status::ok && result.ended == 2 && stopped ? 7 : 8);
      }
    } only;
    only.tasks.detach("waits", [] {
      until_cancelled();
      only.stopped = true;
    });
    exit(0);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) CHECK_EQ(EINTR, errno);
  CHECK_MSG(WIFEXITED(status) && WEXITSTATUS(status) == 7, "status %d", status);
}

} // namespace

CHECK_MAIN(CHECK_ENTRY(a_plugin_comes_and_goes), CHECK_ENTRY(a_static_registry_ends_with_the_program))
