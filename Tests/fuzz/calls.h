/* calls.h - the calls that bytes make, each with its effect on the books. */

#ifndef CALLS_H
#define CALLS_H

#include "actors.h"

/* What a name is given as, and what is kept of it; NULL: rejected. */
struct name {
  const char *given, *kept;
};
extern const struct name names[8];
extern const char *const messages[4];
extern char long_name[81], kept_name[64], long_message[301];

/* calls-tokens.c */
int new_token(tr_token *it, int parent);
void call_token(int what, int a, int b, int c);
void call_cancel_thrice(int b, int c);
void call_timeout(int b, int c);
void call_watch(int b, int c);
void call_request(int b, int c);
void call_level(int a, int b, int c);
void check_ends(void);
void call_on_cancel(int a, int b, int isTask);
void await_callbacks(void); /* until those that are to be called have been */
void call_off_cancel(int a, int b);

/* calls-registries.c */
void call_registry(int what, int a, int b, int c);
void call_registry_create(int a, int b, int c, int isMeasured, int64_t abort_grace);
void call_group_create(int b, int c, int isMeasured);

/* calls-joining.c */
void call_join(int a, int b, int shuts);
void call_join_fully(int a, int b, int c);
void call_shutdown_with(int a, int b, int c);

/* calls-spawning.c */
struct wish {
  uint32_t flags, phase;
  int64_t heartbeat;
  int isPlain; /* tr_spawn, which has no options */
};
void call_spawn(int a, int b, int c, struct wish wish);
void call_spawn_thrice(int b, int c);
void call_adopt(int a, int b, int c);
void end_task(int number, int exits, int code);

/* calls-notes.c */
void call_checkpoint(int a, int c);
void call_progress(int a, int b, int c);
void call_heartbeat(int a);
void call_heartbeat_interval(int a, int b, int c);
void call_pause(int a, int c);
void end_intervals(void); /* those of the program's own threads */
void call_health(int b, int c);
void call_explain(int b, int c);
void call_explain_with(int b, int c);

/* calls-metrics.c */
void call_metrics(int b, int c);
void call_recent(int b, int c);
void call_write(int b, int c);

/* calls-process.c */
void call_systemd(int b, int c);
void empty_notify_socket(void);
void end_systemd(void);
void call_signals(int b, int c);
void call_acknowledge(int a);
void call_quiesce(int a, int c);
void call_names(int b, int c);

/* calls-null.c */
void call_with_null(void);
void call_reports_with_null(void);
void call_process_with_null(void);

/* calls-tasks.c */
void call_task(int what, int a, int b, int c);
void call_blocking(int what, int a, int b, int c);
void call_cond(int what, int a, int b, int c);
void go_on(int isLocked, int mayBeSignal);

#endif
