/* cp_terminal.h - a terminal that shows one page after the other, and its keys; a part of
   cplatform.h.

   Shims, for the tool `taskreg`.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_CP_TERMINAL_H
#define TASKREG_CP_TERMINAL_H

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

/* The settings that standard input had, and the signals that are read. */
struct cp_terminal {
  struct termios before;
  int signals;   /* a signalfd(2); negative: none */
  bool has_keys; /* standard input is a terminal of this process's foreground */
};

/* Have the keys come one by one, and the signals that end a program, or concern its terminal, wait
   to be read. False if there is no descriptor. */
static inline bool cp_terminal_enter(struct cp_terminal *terminal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  sigaddset(&set, SIGQUIT);
  sigaddset(&set, SIGTSTP);
  sigaddset(&set, SIGWINCH);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  terminal->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  terminal->has_keys = tcgetattr(0, &terminal->before) == 0 && tcgetpgrp(0) == getpgrp();
  if (terminal->has_keys) {
    struct termios now = terminal->before;
    now.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
    now.c_cc[VMIN] = 1;
    now.c_cc[VTIME] = 0;
    tcsetattr(0, TCSANOW, &now);
  }
  return terminal->signals >= 0;
}

/* Put the settings back; the signals stay blocked. */
static inline void cp_terminal_leave(struct cp_terminal *terminal) {
  if (terminal->has_keys) tcsetattr(0, TCSANOW, &terminal->before);
  if (terminal->signals >= 0) close(terminal->signals);
  terminal->signals = -1;
}

/* Wait for a key, 1 to 255; 0: the time in milliseconds is over. Negative: the number of a signal
   that has come, or of SIGHUP if the terminal is gone. */
static inline int cp_terminal_wait(struct cp_terminal *terminal, int64_t milliseconds) {
  struct pollfd ready[2] = {{terminal->signals, POLLIN, 0},
                            {terminal->has_keys ? 0 : -1, POLLIN, 0}};
  int count = poll(ready, 2, milliseconds > INT32_MAX ? INT32_MAX : (int)milliseconds);
  if (count <= 0) return 0;
  if (ready[0].revents != 0) {
    struct signalfd_siginfo facts;
    if (read(terminal->signals, &facts, sizeof facts) == sizeof facts) return -(int)facts.ssi_signo;
  }
  if (ready[1].revents != 0) {
    unsigned char key = 0;
    ssize_t got = read(0, &key, 1);
    if (got == 1 && key != 0) return key;
    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) return -SIGHUP;
  }
  return 0;
}

/* Stop this process as its terminal asked, until somebody continues it. */
static inline void cp_terminal_stop(void) { kill(getpid(), SIGSTOP); }

/* How many lines the terminal has that is standard output; 24 if it does not say. */
static inline int cp_terminal_lines(void) {
  struct winsize size;
  return ioctl(1, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : 24;
}

#endif
