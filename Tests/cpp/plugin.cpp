// plugin.cpp - an object that unload.cpp loads: all that it has of the library is inline in it.

#include <taskreg.hpp>

#include <string>

namespace {

/// What a thread keeps, with a destructor in this object.
struct local {
  std::string text = "a text that is too long for a buffer inside the string";
  ~local() { text.clear(); }
};
thread_local local own;

/// A registry that ends with the object: its threads have ended when dlclose unmaps their code.
struct service {
  taskreg::registry tasks;
  ~service() {
    while (!tasks.shutdown(taskreg::forever)) {
    }
  }
};

service &running() {
  static service only;
  return only;
}

} // namespace

extern "C" int plugin_run(int number) {
  running().tasks.detach("of the plug-in", [] {
    own.text += "!";
    taskreg::ignore(taskreg::this_task::wait_cancelled());
  });
  taskreg::scope scope;
  auto twice = scope.spawn("twice", [number] {
    own.text += "?";
    return own.text.empty() ? 0 : 2 * number;
  });
  return twice.wait() == taskreg::status::ok ? *twice.result() : -1;
}
