// 01-hello.cpp - one task, its result, and the end of the program.
//
// A registry lists tasks. A task is a thread with a name; its handle returns what the body
// returned. A shutdown asks the remaining tasks to stop, and waits for them until its deadline.
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

  // This one needs no handle. It runs until it is asked to stop.
  tasks.detach("ticker", [] {
    while (taskreg::this_task::sleep(10ms) == taskreg::status::ok) {
    }
  });

  const taskreg::join_result result = tasks.shutdown(5s);
  std::printf("shutdown: %s, %llu task ended\n", to_string(result.status),
              static_cast<unsigned long long>(result.ended));
  return result ? 0 : 1;
}
