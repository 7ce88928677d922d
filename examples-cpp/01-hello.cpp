// 01-hello.cpp - one task, its result, and the end of the program.
//
// A registry lists tasks. A task is a thread with a name; what its body returns is got from its handle. A shutdown asks
// the tasks that are left to stop, and waits for them, no longer than it is told to.
//
// Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0

#include <cstdio>
#include <sstream>
#include <string>

#include <taskreg.hpp>

using namespace std::chrono_literals;

namespace {

int count_words(const std::string &text) {
  std::istringstream words(text);
  int count = 0;
  for (std::string word; words >> word;) count++;
  return count;
}

} // namespace

int main() {
  taskreg::registry tasks;

  auto words = tasks.spawn("counter", count_words, std::string("one thread runs one task"));
  std::printf("%s counts %d words\n", words.name().c_str(), words.get());

  // Nobody needs the handle of this one. It runs until it is asked to stop.
  tasks.detach("ticker", [] {
    while (taskreg::this_task::sleep(10ms) == taskreg::status::ok) {
    }
  });

  const taskreg::join_result result = tasks.shutdown(5s);
  std::printf("shutdown: %s, %llu task ended\n", to_string(result.status),
              static_cast<unsigned long long>(result.ended));
  return result ? 0 : 1;
}
