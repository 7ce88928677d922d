// allocations.cpp - taskreg.hpp: what a spawn allocates, and what becomes of a call for which there is no memory. Every
// operator new of the program is counted, so this is not for sanitizers and valgrind, which have their own.

#include "cpp.hpp"

extern "C" {
#include "fault.h"
}

#include <cstdlib>
#include <new>

#include <dlfcn.h>

static std::atomic<long> allocations{0};
static std::atomic<bool> is_exhausted{false};

[[gnu::noinline]] void *operator new(std::size_t size) {
  allocations++;
  void *room = std::malloc(size != 0 ? size : 1);
  if (room == nullptr) std::abort();
  return room;
}
[[gnu::noinline]] void *operator new(std::size_t size, const std::nothrow_t &) noexcept {
  allocations++;
  return is_exhausted ? nullptr : std::malloc(size != 0 ? size : 1);
}
[[gnu::noinline]] void operator delete(void *room) noexcept { std::free(room); }
[[gnu::noinline]] void operator delete(void *room, std::size_t) noexcept { std::free(room); }
[[gnu::noinline]] void operator delete(void *room, const std::nothrow_t &) noexcept { std::free(room); }

namespace {

/* Proves: a spawn makes one allocation of its own, and none for a detached body of a pointer's size (U1).  Why it
   matters: it costs what a C program pays with malloc and a drop.  Catches: a std::function or a promise inside. */
CASE(one_allocation_for_a_spawn) {
  taskreg::registry tasks;
  int number = 0;
  long before = allocations.load();
  auto task = tasks.spawn("spawned", [&number, a = 1, b = 2L] {
    number = a;
    return b;
  });
  CHECK_STATUS(taskreg::status::ok, task.wait());
  CHECK_EQ(1, allocations.load() - before);
  CHECK_EQ(2, task.get());
  before = allocations.load();
  tasks.detach("small", [&number] { number++; });
  tasks.detach("function", [](taskreg::context self) { CHECK(self.id() != 0); });
  CHECK_STATUS(taskreg::status::ok, tasks.wait());
  CHECK_EQ(0, allocations.load() - before);
  CHECK_EQ(2, number);
  stops(tasks);
}

/// Whether the call throws std::bad_alloc.
template <class Call>
bool has_no_memory(Call call) {
  try {
    call();
  } catch (const std::bad_alloc &) {
    return true;
  }
  return false;
}

/* Proves: a call for which there is no memory, of the program's or of the library's, throws std::bad_alloc, or returns
   nomem in its form that does not throw; nothing is left of it, and it succeeds later (U1, P4).  Why it matters: that is
   what C++ programs expect to catch.  Catches: a null pointer that is used; taskreg::error for it; a body that is lost. */
CASE(no_memory_is_bad_alloc) {
  using taskreg::status;
  taskreg::registry tasks;
  taskreg::token token;
  std::atomic<int> alive{0}, runs{0};
  const auto body = [own = counted(alive), &runs] { runs++; };
  taskreg::registry_options logged;
  logged.log_with([](const tr_log_event &) {});
  status code = status::ok;

  is_exhausted = true;
  CHECK(!tasks.try_spawn(code, "none", body));
  CHECK_STATUS(status::nomem, code);
  CHECK_STATUS(status::nomem, tasks.try_detach("none", body));
  CHECK(has_no_memory([&] { auto none = tasks.spawn("none", body); }));
  CHECK(has_no_memory([&] { tasks.detach("none", body); }));
  CHECK(!taskreg::registry::try_make(code, logged));
  CHECK_STATUS(status::nomem, code);
  is_exhausted = false;

  CHECK_EQ(1, alive.load());
  fault_watch(dlsym(RTLD_DEFAULT, "tr_version"));
  fault_calls(1, 1L << 30);
  CHECK(has_no_memory([] { taskreg::token none; }));
  CHECK(has_no_memory([&] { taskreg::token none = token.child(); }));
  CHECK(!token.try_child());
  CHECK(has_no_memory([] { taskreg::registry none; }));
  CHECK(has_no_memory([&] { taskreg::group none(tasks, "none"); }));
  CHECK(has_no_memory([&] { taskreg::scope none(tasks); }));
  CHECK(has_no_memory([&] { taskreg::cancel_callback none(token, [] {}); }));
  CHECK(!tasks.try_spawn(code, "none", body));
  CHECK_STATUS(status::nomem, code);
  CHECK(has_no_memory([&] { auto none = tasks.spawn("none", body); }));
  CHECK(faulted_calls() > 0);
  fault_none();

  CHECK(alive == 1 && runs == 0 && tasks.empty());
  auto task = tasks.spawn("some", body);
  CHECK_STATUS(status::ok, task.wait());
  CHECK(alive == 1 && runs == 1);
  stops(tasks);
}

} // namespace

CHECK_MAIN(CHECK_ENTRY(one_allocation_for_a_spawn), CHECK_ENTRY(no_memory_is_bad_alloc))
