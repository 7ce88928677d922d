/* samples.h - what the shorter samples of C in the README and the guide take for granted; scripts/samples puts each of
   them behind this. */

#define _GNU_SOURCE

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <taskreg.h>
#include <unistd.h>

extern tr_registry *registry;
extern void *socket_of_the_peer;
#define socket socket_of_the_peer
extern int serve(tr_task *self, void *ctx);
extern tr_join_report report;
extern tr_registry *children;
extern tr_task *self;
extern int connection;
extern void serve_next_request(int);
extern void finish_requests_under_way(int);
extern void close_in_order(int);
