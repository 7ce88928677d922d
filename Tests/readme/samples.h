/* samples.h - what the README's fragments of C take for granted; scripts/samples puts each of them into a
   function behind this. */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <taskreg.h>
#include <unistd.h>

extern tr_registry *registry;
extern void *socket_of_the_peer;
#define socket socket_of_the_peer
extern int serve(tr_task *self, void *ctx);
extern tr_join_report report;
