// mixed.cpp - a program whose files are compiled with different options: this one as C++20 with
// exceptions, mixed_17.cpp as C++17 without.

#include "cpp.hpp"

#include "mixed.hpp"

#if !TASKREG_HAS_EXCEPTIONS || !TASKREG_HAS_STOP_TOKEN
#error "compiled with the options of mixed_17.cpp"
#endif

namespace {

struct broken : std::runtime_error {
  broken() : std::runtime_error("broken") {}
};

/* Proves: in a program of files with and without exceptions, and with and without std::stop_token,
   each file gets what its own options say, for bodies of the same type (U6).  Why it matters: the
   linker keeps one of several functions with the same name, and does not say which.  Catches: an
   inline function of the header's that differs by an option, under one name. */
CASE(each_file_has_its_own_functions) {
  taskreg::registry tasks;
  CHECK_EQ(17, spawn_in_17(tasks.get()));
  CHECK_EQ(17, detach_in_17(tasks.get()));
  CHECK_EQ(20, tasks.spawn("20", either_way()).get());
  detached_result = 0;
  tasks.detach("20", either_way_detached());
  CHECK_STATUS(taskreg::status::ok, tasks.wait());
  CHECK_EQ(20, detached_result);
  CHECK_EQ(17, spawn_in_17(tasks.get()));
  CHECK_EQ(17, detach_in_17(tasks.get()));

  bool caught = false;
  auto failing = tasks.spawn("failing", []() -> int { throw broken(); });
  try {
    failing.get();
  } catch (const broken &) {
    caught = true;
  }
  CHECK(caught);
  CHECK_THROWS(taskreg::status::invalid, taskreg::task<int>().get());
  CHECK_THROWS(taskreg::status::invalid, auto none = taskreg::registry(nullptr).spawn("x", [] {}));
  stops(tasks);
}

/* Proves: the error category and the count of a thread's heartbeat pauses are the same in all files
   (U6).  Why it matters: an error_code that was made in one file is compared in another.  Catches:
   one of them in the namespace that the options choose. */
CASE(files_share_what_crosses_them) {
  CHECK(category_in_17() == &taskreg::category());
  taskreg::registry tasks;
  auto task = tasks.spawn("pauses", [&] {
    CHECK_STATUS(taskreg::status::ok, taskreg::this_task::promise_heartbeat(1ms));
    {
      const taskreg::this_task::heartbeat_pause outer;
      pause_in_17();
      CHECK_STATUS(taskreg::status::timed_out, taskreg::this_task::wait_cancelled(20ms));
      CHECK(tasks.stalled().empty());
    }
  });
  task.get();
  stops(tasks);
}

} // namespace

CHECK_MAIN(CHECK_ENTRY(each_file_has_its_own_functions), CHECK_ENTRY(files_share_what_crosses_them))
