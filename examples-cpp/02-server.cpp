// 02-server.cpp - a server whose loops are stopped through std::stop_token.
//
// The loops do not use the library to stop: they take a std::stop_token, as a function for
// std::jthread does, and a std::stop_callback ends the system call that they are in. As tasks they
// have names, the listener stops before the connections, and the shutdown reports the tasks that
// did not stop.
//
// Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0

#include <cstdio>
#include <string>
#include <system_error>
#include <utility>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <taskreg.hpp>

using namespace std::chrono_literals;

namespace {

// A descriptor with an owner.
class socket_fd {
 public:
  explicit socket_fd(int open) : number(open) {
    if (open < 0) throw std::system_error(errno, std::generic_category(), "socket");
  }
  socket_fd(socket_fd &&other) noexcept : number(std::exchange(other.number, -1)) {}
  ~socket_fd() {
    if (number >= 0) close(number);
  }
  int get() const { return number; }

 private:
  int number;
};

void require(bool ok, const char *call) {
  if (!ok) throw std::system_error(errno, std::generic_category(), call);
}

// Sends back what it receives, until the client closes or the task is asked to stop.
void echo(std::stop_token stop, socket_fd client) {
  const std::stop_callback wake(stop, [&] { shutdown(client.get(), SHUT_RD); });
  char buffer[512];
  for (ssize_t got; (got = recv(client.get(), buffer, sizeof buffer, 0)) > 0;)
    if (send(client.get(), buffer, static_cast<size_t>(got), MSG_NOSIGNAL) != got) return;
}

// Accepts clients, and spawns a task for each.
void listen_for_clients(std::stop_token stop, taskreg::registry clients, socket_fd listener) {
  const std::stop_callback wake(stop, [&] { shutdown(listener.get(), SHUT_RDWR); });
  taskreg::spawn_options options;
  options.kind = taskreg::kind::peer_connection;
  options.phase = 1; // after the listener
  for (int count = 1; !stop.stop_requested(); count++) {
    const int fd = accept(listener.get(), nullptr, nullptr);
    if (fd < 0) { // asked to stop; or no descriptor is free, and the client waits: do not spin
      taskreg::ignore(taskreg::this_task::sleep(10ms));
      continue;
    }
    socket_fd client(fd);
    // If the registry is closed or full, the body is destroyed, which closes the descriptor.
    taskreg::ignore(
        clients.try_detach("client " + std::to_string(count), options, echo, std::move(client)));
  }
}

} // namespace

int main() {
  sockaddr_in address{};
  socklen_t length = sizeof address;
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socket_fd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  require(bind(listener.get(), reinterpret_cast<sockaddr *>(&address), sizeof address) == 0,
          "bind");
  require(listen(listener.get(), SOMAXCONN) == 0, "listen");
  require(getsockname(listener.get(), reinterpret_cast<sockaddr *>(&address), &length) == 0,
          "getsockname");

  taskreg::registry tasks;
  tasks.detach(
      "listener",
      {.kind = taskreg::kind::background_loop, .essential = taskreg::essential::on_failure},
      listen_for_clients, tasks, std::move(listener));

  socket_fd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  require(connect(client.get(), reinterpret_cast<sockaddr *>(&address), sizeof address) == 0,
          "connect");
  char answer[16] = "";
  require(send(client.get(), "hello", 5, MSG_NOSIGNAL) == 5, "send");
  require(recv(client.get(), answer, 5, MSG_WAITALL) == 5, "recv");
  std::printf("the server answered \"%s\"\n", answer);

  // The client is connected. A daemon would have a taskreg::signal_watch, and wait here:
  //   taskreg::ignore(tasks.token().wait());
  const taskreg::join_result result = tasks.shutdown(5s, taskreg::reason::user_requested, "enough");
  std::printf("shutdown: %s\n", to_string(result.status));
  for (const auto &phase : result.report.phases())
    std::printf("phase %u: %llu asked, %llu remaining\n", phase.phase,
                static_cast<unsigned long long>(phase.asked),
                static_cast<unsigned long long>(phase.remaining));
  return result ? 0 : 1;
}
