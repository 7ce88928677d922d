// allocations.cpp - taskreg.hpp: what a spawn allocates. Every operator new of the program is counted, so this is not for
// sanitizers and valgrind, which have their own.

#include "cpp.hpp"

#include <cstdlib>
#include <new>

static std::atomic<long> allocations{0};

[[gnu::noinline]] void *operator new(std::size_t size) {
  allocations++;
  void *room = std::malloc(size != 0 ? size : 1);
  if (room == nullptr) std::abort();
  return room;
}
[[gnu::noinline]] void *operator new(std::size_t size, const std::nothrow_t &) noexcept {
  allocations++;
  return std::malloc(size != 0 ? size : 1);
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

} // namespace

CHECK_MAIN(CHECK_ENTRY(one_allocation_for_a_spawn))
