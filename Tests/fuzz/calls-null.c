/* calls-null.c - NULL in the place of each object. */

#include "calls.h"

#include <poll.h>

void call_with_null(void) {
  size_t count;
  int fd;
  tr_registration *registration;
  tr_task_summary summary = TR_TASK_SUMMARY_INIT;
  MUST(tr_token_child(NULL) == NULL && tr_token_retain(NULL) == NULL);
  MUST(tr_registry_retain(NULL) == NULL && tr_task_retain(NULL) == NULL);
  tr_token_release(NULL);
  tr_registry_release(NULL);
  tr_task_release(NULL);
  tr_registration_remove(NULL);
  MUST(!tr_token_cancel(NULL, 1, NULL) && !tr_token_is_cancelled(NULL) && !tr_token_reason(NULL));
  MUST_EQ(TR_ERR_INVALID, tr_token_wait(NULL, 0));
  MUST_EQ(TR_ERR_INVALID, tr_registry_create(NULL, NULL));
  MUST_EQ(TR_ERR_INVALID, tr_spawn(NULL, "x", 1, body, NULL, NULL));
  MUST_EQ(TR_ERR_INVALID, tr_join_all(NULL, 0, NULL));
  MUST_EQ(TR_ERR_INVALID, tr_registry_wait(NULL, 0));
  MUST_EQ(TR_ERR_INVALID, tr_registry_child(NULL, "x", NULL, NULL));
  MUST(tr_token_child_with_timeout(NULL, 0) == NULL);
  MUST_EQ(TR_ERR_INVALID, tr_request_shutdown(NULL, 1));
  MUST_EQ(TR_ERR_INVALID, tr_signal_watch_start(NULL, NULL, NULL));
  MUST_EQ(TR_ERR_INVALID, tr_signal_watch_stop(NULL));
  MUST_EQ(TR_ERR_INVALID, tr_signal_watch_move(NULL, NULL));
  MUST_EQ(0, tr_signal_watch_pending());
  MUST_EQ(TR_ERR_INVALID, tr_cond_wait(NULL, NULL, 0));
  MUST_EQ(TR_ERR_INVALID, tr_shutdown(NULL, 1, NULL, 0, NULL));
  MUST_EQ(TR_ERR_INVALID, tr_snapshot(NULL, &summary, 1, &count));
  MUST_EQ(TR_ERR_INVALID, tr_task_cancel(NULL));
  MUST_EQ(TR_ERR_INVALID, tr_task_wait(NULL, 0, NULL));
  MUST_EQ(TR_ERR_INVALID, tr_task_set_message(NULL, "x"));
  MUST_EQ(TR_ERR_INVALID, tr_token_fd(NULL, &fd));
  MUST_EQ(TR_ERR_INVALID, tr_task_fd(NULL, &fd));
  MUST_EQ(TR_ERR_INVALID, tr_token_on_cancel(NULL, on_cancel, NULL, NULL, &registration));
  MUST_EQ(TR_ERR_INVALID, tr_task_on_cancel(NULL, on_cancel, NULL, NULL, &registration));
  MUST(tr_task_self() == NULL && tr_len(NULL) == 0 && tr_is_empty(NULL) && tr_task_id(NULL) == 0);
}

void call_reports_with_null(void) {
  size_t count = 77;
  tr_report *full = NULL;
  tr_task_summary summary = TR_TASK_SUMMARY_INIT;
  tr_join_report counts = TR_JOIN_REPORT_INIT;
  tr_straggler straggler = TR_STRAGGLER_INIT;
  tr_ended_task ended = TR_ENDED_TASK_INIT;
  tr_phase_report phase = TR_PHASE_REPORT_INIT;
  tr_metrics metrics = TR_METRICS_INIT;
  tr_report_release(NULL);
  MUST_EQ(TR_ERR_INVALID, tr_shutdown_with(NULL, 1, NULL, 0, NULL, NULL));
  MUST_EQ(TR_ERR_INVALID, tr_explain(NULL, &full));
  MUST_EQ(TR_ERR_INVALID, tr_explain_with(NULL, 0, &full));
  MUST_EQ(TR_ERR_INVALID, tr_report_counts(NULL, &counts));
  MUST_EQ(TR_ERR_INVALID, tr_report_straggler(NULL, 0, &straggler));
  MUST_EQ(TR_ERR_INVALID, tr_report_slowest(NULL, 0, &ended));
  MUST_EQ(TR_ERR_INVALID, tr_report_phase(NULL, 0, &phase));
  MUST_EQ(TR_ERR_INVALID, tr_report_write(NULL, quiet_pipe[1], TR_FORMAT_TEXT));
  MUST_EQ(TR_ERR_INVALID, tr_snapshot_write(NULL, quiet_pipe[1], TR_FORMAT_TEXT));
  MUST_EQ(TR_ERR_INVALID, tr_metrics_write(NULL, quiet_pipe[1], TR_FORMAT_OPENMETRICS));
  MUST_EQ(TR_ERR_INVALID, tr_metrics_write_all(NULL, 1, quiet_pipe[1], TR_FORMAT_OPENMETRICS, 0));
  MUST_EQ(TR_ERR_INVALID, tr_report_write_buffer(NULL, TR_FORMAT_TEXT, NULL, 0, &count));
  MUST_EQ(TR_ERR_INVALID, tr_snapshot_write_buffer(NULL, TR_FORMAT_TEXT, NULL, 0, &count));
  MUST_EQ(TR_ERR_INVALID, tr_metrics_write_buffer(NULL, TR_FORMAT_OPENMETRICS, NULL, 0, &count));
  MUST_EQ(TR_ERR_INVALID, tr_metrics_write_all_buffer(NULL, 1, TR_FORMAT_OPENMETRICS, 0, NULL, 0, &count));
  MUST_EQ(TR_ERR_INVALID, tr_metrics_read(NULL, 0, &metrics));
  MUST_EQ(TR_ERR_INVALID, tr_recent(NULL, &ended, 1, &count));
  MUST_EQ(TR_ERR_INVALID, tr_health(NULL, &summary, 1, &count));
  MUST_EQ(TR_ERR_INVALID, tr_systemd_start(NULL, NULL));
  MUST_EQ(TR_ERR_INVALID, tr_systemd_stop(NULL));
  MUST_EQ(TR_ERR_INVALID, tr_enable_backtraces(0));
  MUST_EQ(TR_ERR_INVALID, tr_checkpoint("outside"));
  MUST_EQ(TR_ERR_INVALID, tr_progress(1, 2, "x"));
  MUST_EQ(TR_ERR_INVALID, tr_heartbeat());
  MUST_EQ(TR_ERR_INVALID, tr_heartbeat_promise(NULL, 1, 0));
  MUST_EQ(TR_ERR_INVALID, tr_heartbeat_promise(NULL, -1, 0));
  MUST_EQ(TR_ERR_INVALID, tr_heartbeat_promise(NULL, 0, ~1u));
  MUST_EQ(TR_OK, tr_heartbeat_promise(NULL, 0, 0));
  MUST_EQ(TR_ERR_INVALID, tr_heartbeat_pause());
  MUST_EQ(TR_ERR_INVALID, tr_heartbeat_resume());
  MUST(full == NULL && count == 77);
}

void call_process_with_null(void) {
  tr_task *task = NULL;
  const tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  char text[8] = "as is";
  MUST_EQ(TR_ERR_INVALID, tr_spawn_with(NULL, "x", 1, body, NULL, &options, &task));
  MUST(task == NULL && tr_registry_token(NULL) == NULL);
  MUST_EQ(0, tr_token_message(NULL, text, sizeof text));
  MUST_EQ(0, tr_task_name(NULL, text, sizeof text));
  MUST(tr_task_kind(NULL) == 0 && !tr_task_is_cancelled(NULL) && tr_task_cancel_flag(NULL) == NULL);
  MUST_EQ(TR_ERR_INVALID, tr_wait_cancelled(0));
  MUST_EQ(TR_ERR_INVALID, tr_wait_fd(-1, POLLIN, 0));
  MUST_EQ(TR_ERR_INVALID, tr_acknowledge_cancel());
  MUST_EQ(TR_ERR_INVALID, tr_begin_drain());
  MUST_EQ(TR_ERR_INVALID, tr_shield_begin());
  MUST_EQ(TR_ERR_INVALID, tr_shield_end());
  MUST_EQ(TR_ERR_INVALID, tr_task_abort(NULL));
  MUST(tr_task_stop_level(NULL) == TR_STOP_NONE && tr_token_stop_level(NULL) == TR_STOP_NONE);
  MUST(!tr_token_abort(NULL, 1, NULL) && !tr_registry_is_closed(NULL));
  MUST_EQ(TR_ERR_INVALID, tr_registry_close(NULL));
  MUST_EQ(TR_ERR_INVALID, tr_token_wait_any(NULL, 1, 0, NULL));
  MUST_EQ(TR_ERR_INVALID, tr_cond_wait_token(NULL, NULL, NULL, 0));
  MUST_EQ(TR_ERR_INVALID, tr_task_abort_fd(NULL, NULL));
  MUST_EQ(TR_ERR_INVALID, tr_task_on_abort(NULL, NULL, NULL, NULL, NULL));
  MUST_EQ(TR_ERR_INVALID, tr_token_abort_fd(NULL, NULL));
  MUST_EQ(TR_ERR_INVALID, tr_token_on_abort(NULL, NULL, NULL, NULL, NULL));
  MUST(tr_task_token(NULL) == NULL);
  MUST_EQ(TR_ERR_INVALID, tr_install_cancel_signal(0));
  MUST(tr_error_detail()[0] != 0);
  MUST_EQ(TR_ERR_INVALID, tr_task_sleep(NULL, 0));
  MUST_EQ(TR_ERR_INVALID, tr_task_wait_cancelled(NULL, 0));
  MUST_EQ(TR_ERR_INVALID, tr_task_wait_fd(NULL, 0, POLLIN, 0));
  MUST_EQ(TR_ERR_INVALID, tr_signal_watch_start_array(NULL, NULL, 0, NULL));
  MUST_EQ(TR_ERR_INVALID, tr_join_all_report(NULL, 0, NULL));
  MUST_EQ(TR_ERR_INVALID, tr_shutdown_report(NULL, 1, NULL, 0, NULL, NULL));
  MUST_EQ(TR_ERR_INVALID, tr_registry_options_init(NULL, sizeof(tr_registry_options)));
  MUST_EQ(TR_ERR_INVALID, tr_spawn_options_init(NULL, sizeof(tr_spawn_options)));
  MUST_EQ(TR_ERR_INVALID, tr_task_summary_init(NULL, sizeof(tr_task_summary)));
  MUST_EQ(TR_ERR_INVALID, tr_join_report_init(NULL, sizeof(tr_join_report)));
  MUST_EQ(TR_ERR_INVALID, tr_shutdown_options_init(NULL, sizeof(tr_shutdown_options)));
  MUST_EQ(TR_ERR_INVALID, tr_outcome_init(NULL, sizeof(tr_outcome)));
  MUST_EQ(TR_ERR_INVALID, tr_signal_options_init(NULL, sizeof(tr_signal_options)));
  MUST_EQ(TR_ERR_INVALID, tr_straggler_init(NULL, sizeof(tr_straggler)));
  MUST_EQ(TR_ERR_INVALID, tr_ended_task_init(NULL, sizeof(tr_ended_task)));
  MUST_EQ(TR_ERR_INVALID, tr_phase_report_init(NULL, sizeof(tr_phase_report)));
  MUST_EQ(TR_ERR_INVALID, tr_metrics_init(NULL, sizeof(tr_metrics)));
  MUST_EQ(TR_ERR_INVALID, tr_metrics_source_init(NULL, sizeof(tr_metrics_source)));
  MUST_EQ(TR_ERR_INVALID, tr_systemd_options_init(NULL, sizeof(tr_systemd_options)));
  MUST_EQ(TR_ERR_INVALID, tr_exit_options_init(NULL, sizeof(tr_exit_options)));
  MUST_EQ(TR_ERR_INVALID, tr_run_options_init(NULL, sizeof(tr_run_options)));
  MUST_EQ(TR_ERR_INVALID, tr_exit_by(TR_FOREVER, NULL));
  MUST_EQ(TR_ERR_INVALID, tr_exit_by_cancel());
  MUST_EQ(TR_ERR_INVALID, tr_run_until_stopped(NULL, NULL, NULL));
}
