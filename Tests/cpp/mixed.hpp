// mixed.hpp - what the two files of the program cpp-mixed share. See mixed.cpp.

#ifndef TASKREG_TESTS_CPP_MIXED_HPP
#define TASKREG_TESTS_CPP_MIXED_HPP

#include <taskreg.h>

/// A body that can be called with a std::stop_token and without: it returns 20 or 17. As C++20 it
/// gets one. It does not accept a context, so the type has the same meaning in both files.
struct either_way {
  int operator()() const { return 17; }
  template <class Stop>
  auto operator()(Stop stop) const -> decltype(stop.stop_possible(), 20) {
    return 20;
  }
};

/// The functions of mixed_17.cpp, with C's types: those of taskreg.hpp are not the same there.
int spawn_in_17(tr_registry *registry);
int detach_in_17(tr_registry *registry);
void pause_in_17();
/// The address of the error category there.
const void *category_in_17();

/// What detached tasks store.
inline int detached_result = 0;
struct either_way_detached {
  void operator()() const { detached_result = 17; }
  template <class Stop>
  auto operator()(Stop stop) const -> decltype(stop.stop_possible(), void()) {
    detached_result = 20;
  }
};

#endif
