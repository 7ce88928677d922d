// timeouts.cpp - taskreg.hpp: what becomes of durations and time points.

#include "cpp.hpp"

#include <limits>
#include <ratio>

namespace {

using taskreg::timeout;
constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();

struct own_clock { // behind its epoch, and coarse
  using rep = long;
  using period = std::ratio<1>;
  using duration = std::chrono::duration<long>;
  using time_point = std::chrono::time_point<own_clock>;
  [[maybe_unused]] static constexpr bool is_steady = false;
  static time_point now() noexcept { return time_point(duration(-1000)); }
};

/* Proves: a duration is a timeout in nanoseconds, rounded up; a negative one is over, and never forever; one too long
   is the longest there is (U3).  Why it matters: `deadline - now` turns negative, and -1 ns would never time out.
   Catches: an overflow; a truncation to 0; a -1 that is passed on. */
CASE(durations_are_saturated) {
  static_assert(timeout(5s).count() == 5000000000);
  static_assert(timeout(200ms).count() == 200000000 && timeout(1ns).count() == 1 && timeout(0s).count() == 0);
  static_assert(timeout(-1ns).count() == 0 && timeout(-5h).count() == 0 && !timeout(-1ns).is_forever());
  static_assert(timeout(taskreg::forever).count() == -1 && timeout(taskreg::forever).is_forever());
  static_assert(timeout(std::chrono::hours::max()).count() == most);
  static_assert(timeout(std::chrono::hours::min()).count() == 0);
  static_assert(timeout(std::chrono::nanoseconds::max()).count() == most);
  static_assert(timeout(std::chrono::nanoseconds::min()).count() == 0);
  static_assert(timeout(std::chrono::milliseconds::max()).count() == most);
  static_assert(timeout(std::chrono::duration<std::uint64_t, std::milli>(~std::uint64_t{0})).count() == most);
  static_assert(timeout(std::chrono::duration<std::uint64_t, std::milli>(3)).count() == 3000000);
  static_assert(timeout(std::chrono::duration<signed char>(-1)).count() == 0);
  static_assert(timeout(std::chrono::duration<unsigned char, std::ratio<3600>>(2)).count() == 7200000000000);
  // Finer than a nanosecond, and odd: rounded up.
  static_assert(timeout(std::chrono::duration<long, std::pico>(1)).count() == 1);
  static_assert(timeout(std::chrono::duration<long, std::pico>(1001)).count() == 2);
  static_assert(timeout(std::chrono::duration<long, std::pico>(-1)).count() == 0);
  static_assert(timeout(std::chrono::duration<long, std::ratio<1, 30>>(1)).count() == 33333334);
  // Floating point, with all it can be.
  static_assert(timeout(std::chrono::duration<double>(0.5)).count() == 500000000);
  static_assert(timeout(std::chrono::duration<double>(1e-12)).count() == 1);
  static_assert(timeout(std::chrono::duration<double>(1e300)).count() == most);
  static_assert(timeout(std::chrono::duration<float>(-1e30f)).count() == 0);
  CHECK_EQ(most, timeout(std::chrono::duration<double>(std::numeric_limits<double>::infinity())).count());
  CHECK_EQ(0, timeout(std::chrono::duration<double>(-std::numeric_limits<double>::infinity())).count());
  CHECK_EQ(0, timeout(std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN())).count());
  // A number without a unit, and a bool, are none.
  static_assert(!std::is_convertible_v<int, timeout> && !std::is_convertible_v<double, timeout>);
  static_assert(!std::is_constructible_v<timeout, std::int64_t> && !std::is_constructible_v<timeout, bool>);
}

/* Proves: a duration in the options is saturated, too, and a negative one is kept (U3).  Why it matters: hours::max() as
   nanoseconds overflows, and would be any number.  Catches: a field of std::chrono::nanoseconds. */
CASE(intervals_are_saturated) {
  using taskreg::interval;
  static_assert(interval().count() == 0 && interval(2ms).count() == 2000000 && interval(-1s).count() == -1000000000);
  static_assert(interval(std::chrono::hours::max()).count() == most);
  static_assert(interval(std::chrono::hours::min()).count() == std::numeric_limits<std::int64_t>::min());
  static_assert(interval(std::chrono::duration<double>(1e300)).count() == most);
  static_assert(!std::is_convertible_v<int, interval> && !std::is_constructible_v<interval, std::int64_t>);
  taskreg::registry tasks;
  taskreg::spawn_options how;
  how.heartbeat = std::chrono::hours::max();
  auto task = tasks.spawn("slow heart", how, [] { return taskreg::this_task::promise_heartbeat(std::chrono::hours::max()); });
  CHECK_STATUS(taskreg::status::ok, task.wait());
  CHECK_STATUS(taskreg::status::ok, *task.result());
  how.heartbeat = -1s;
  taskreg::status code;
  CHECK(!tasks.try_spawn(code, "no heart", how, [] {}));
  CHECK_STATUS(taskreg::status::invalid, code);
  stops(tasks);
}

/* Proves: a time point of any clock is a timeout as long as it is away, at least 0; the ends of its range are no
   accident (U3).  Why it matters: deadlines are kept as time points, and time_point::max() means never.  Catches: an
   overflow in `deadline - now`, as the standard library's wait_until had. */
CASE(time_points_are_saturated) {
  using steady = std::chrono::steady_clock;
  const auto soon = timeout(steady::now() + 1h).count();
  CHECK(soon <= 3600000000000 && soon > 3590000000000);
  CHECK_EQ(0, timeout(steady::now() - 1h).count());
  CHECK_EQ(0, timeout(steady::time_point::min()).count());
  CHECK(timeout(steady::time_point::max()).count() > most / 2);
  CHECK(timeout(std::chrono::time_point<steady, std::chrono::hours>::max()).count() > most / 2);
  CHECK_EQ(0, timeout(std::chrono::time_point<steady, std::chrono::hours>::min()).count());
  const auto wall = timeout(std::chrono::system_clock::now() + 1h).count();
  CHECK(wall <= 3600000000000 && wall > 3590000000000);
  CHECK_EQ(1000000000000, timeout(own_clock::time_point()).count());
  CHECK_EQ(most, timeout(own_clock::time_point::max()).count());
  CHECK_EQ(0, timeout(own_clock::time_point::min()).count());
}

/* Proves: the waits of the library take the longest timeout there is, and end (U3).  Why it matters: adding it to the
   present must not overflow.  Catches: a deadline in the past. */
CASE(the_longest_timeout_waits) {
  taskreg::registry tasks;
  gate go;
  auto task = tasks.spawn("waits", [&] {
    go.open();
    return taskreg::this_task::sleep(std::chrono::hours::max());
  });
  go.pass();
  CHECK_STATUS(taskreg::status::timed_out, task.wait(20ms));
  std::thread canceller([&] { taskreg::ignore(task.cancel()); });
  CHECK_STATUS(taskreg::status::ok, task.wait(std::chrono::steady_clock::time_point::max()));
  canceller.join();
  CHECK_STATUS(taskreg::status::cancelled, *task.result());
  CHECK_STATUS(taskreg::status::ok, tasks.wait(std::chrono::hours::max()));
  CHECK_STATUS(taskreg::status::ok, tasks.join(std::chrono::hours::max()).status);
  CHECK(!tasks.token().child(std::chrono::hours::max()).cancelled());
  stops(tasks);
}

/* Proves: a wait that is over already does not block: the status is timed_out, or ok if what it waits for is there (U3).
   Why it matters: the last round of a loop with a deadline.  Catches: -1 for what is left. */
CASE(a_timeout_that_is_over_does_not_wait) {
  taskreg::registry tasks;
  gate go;
  auto task = tasks.spawn("waits", [&] { go.pass(); });
  CHECK_STATUS(taskreg::status::timed_out, task.wait(-1ns));
  CHECK_STATUS(taskreg::status::timed_out, task.wait(std::chrono::steady_clock::now() - 1ns));
  CHECK_STATUS(taskreg::status::timed_out, tasks.wait(std::chrono::nanoseconds(-1)));
  CHECK_STATUS(taskreg::status::timed_out, tasks.token().wait(-1ns));
  CHECK_STATUS(taskreg::status::deadline, tasks.join(-1ns).status);
  go.open();
  CHECK_STATUS(taskreg::status::ok, task.wait());
  CHECK_STATUS(taskreg::status::ok, task.wait(-1ns));
  stops(tasks);
}

/* Proves: a wait on a condition variable whose time is over, or has almost come, releases the mutex (U3).  Why it matters:
   a loop around it must not keep others out.  Catches: a timeout that is looked at before the wait. */
CASE(a_wait_that_is_over_lets_others_in) {
  std::mutex lock;
  std::condition_variable changed;
  for (const timeout so_long : {timeout(-1h), timeout(0s), timeout(20ns)}) {
    bool is_done = false;
    std::unique_lock<std::mutex> hold(lock);
    std::thread other([&] {
      const std::lock_guard<std::mutex> also(lock);
      is_done = true;
    });
    while (!is_done) // never ends otherwise
      CHECK_STATUS(taskreg::status::timed_out, taskreg::wait(changed, hold, so_long, [] { return false; }));
    CHECK(hold.owns_lock());
    other.join();
  }
}

} // namespace

CHECK_MAIN(CHECK_ENTRY(durations_are_saturated), CHECK_ENTRY(intervals_are_saturated), CHECK_ENTRY(time_points_are_saturated),
           CHECK_ENTRY(the_longest_timeout_waits), CHECK_ENTRY(a_timeout_that_is_over_does_not_wait),
           CHECK_ENTRY(a_wait_that_is_over_lets_others_in))
