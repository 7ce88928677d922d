// rejected.cpp - wrong uses of taskreg.hpp. rejected.sh compiles each alone, with REJECT as its number, and looks for what
// the comment beside it says in the compiler's messages. 0 is everything that is right beside them.

#include <taskreg.hpp>

#include <memory>
#include <string>
#include <utility>

using namespace std::chrono_literals;

void uses(taskreg::registry tasks, taskreg::token token) {
  int local = 0;
  (void)local, (void)token;
  auto log = [](const tr_log_event &) {};
  auto task = tasks.spawn("right", [&local] { return local; });
  taskreg::registry_options options;
  options.log_to(log);
  taskreg::scope scope(tasks);
#if REJECT == 0
  taskreg::ignore(tasks.shutdown(0s));
  auto moved = std::move(task);
  taskreg::task_ref copied = moved;
  taskreg::ignore(copied.wait(5s));
  scope.detach("std::ref in a scope", [](int &to) { to++; }, std::ref(local));
  tasks.detach("an owner", [](const std::shared_ptr<int> &to) { ++*to; }, std::make_shared<int>(1));
  tasks.detach("a code", [] { return taskreg::exit_code{1}; });
  tasks.spawn("waited for", [](int &to) { to++; }, std::ref(local)).get();
  scope.spawn("dropped in a scope", [] { return 1; });
  taskreg::cancel_callback callback(token, [] {});
#elif REJECT == 1 // a detached task must not be given a reference
  tasks.detach("dangles", [](int &to) { to++; }, std::ref(local));
#elif REJECT == 2 // the result of this body would be lost
  tasks.detach("loses its result", [] { return std::string("x"); });
#elif REJECT == 3 // the body cannot be called with these arguments
  tasks.detach("wrong arguments", [](std::string *) {}, 1.5);
#elif REJECT == 4 // the body cannot be called with these arguments
  auto wrong = tasks.spawn("reference to a copy", [](int &) {}, local);
#elif REJECT == 5 // deleted
  auto copied = task;
#elif REJECT == 6 // deleted
  auto copied = scope;
#elif REJECT == 7 // deleted
  options.log_to([](const tr_log_event &) {});
#elif REJECT == 8 // declared with .*nodiscard
  tasks.spawn("handle dropped", [] {});
#elif REJECT == 9 // declared with .*nodiscard
  task.wait(5s);
#elif REJECT == 10 // declared with .*nodiscard
  tasks.shutdown(5s);
#elif REJECT == 11 // timeout
  taskreg::ignore(task.wait(5));
#elif REJECT == 12 // a log function is called with
  auto wrong = [](int) {};
  options.log_to(wrong);
#elif REJECT == 13 // a cancel callback is called without arguments
  taskreg::cancel_callback callback(token, [](int) {});
#elif REJECT == 14 // a reference to an object that no longer exists
  auto wrong = tasks.spawn("rvalue reference", [&local]() -> int && { return std::move(local); });
#elif REJECT == 15 // the result of the body cannot be moved
  struct fixed {
    fixed() = default;
    fixed(const fixed &) = delete;
  };
  auto wrong = tasks.spawn("fixed result", [] { return fixed(); });
#elif REJECT == 16 // deleted
  auto callback = taskreg::cancel_callback<void (*)()>(token, [] {});
  auto copied = callback;
#elif REJECT == 17 // cannot convert|cannot initialize
  token.cancel("a message without a reason");
#elif REJECT == 18 // cannot convert|cannot initialize
  int code = task.wait(5s);
#endif
}
