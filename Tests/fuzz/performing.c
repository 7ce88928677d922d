/* performing.c - each call, as the thread makes it that was told to. */

#include "actors.h"

#include <poll.h>

/* With a report alone, which has the counts as well. Whoever waits without a limit has no stragglers. */
static void join_for_a_report(tr_registry *registry, struct order *order) {
  if (order->call == JOIN) order->status = tr_join_all_report(registry, order->timeout, &order->full);
  else
    order->status = tr_shutdown_report(registry, (tr_reason)order->how, order->text, order->timeout, order->shutdown,
                                       &order->full);
  if (order->full != NULL) MUST_EQ(TR_OK, tr_report_counts(order->full, &order->report));
}

static void join(tr_registry *registry, struct order *order) {
  if (order->wantsFull && order->timeout < 0) {
    join_for_a_report(registry, order);
    return;
  }
  if (order->call == JOIN)
    order->status = tr_join_all(registry, order->timeout, &order->report);
  else if (order->shutdown == NULL)
    order->status = tr_shutdown(registry, (tr_reason)order->how, order->text, order->timeout, &order->report);
  else
    order->status = tr_shutdown_with(registry, (tr_reason)order->how, order->text, order->timeout, order->shutdown,
                                     &order->report);
}

void perform(struct order *order) {
  switch (order->call) {
    case TOKEN_CANCEL:
      order->status = tr_token_cancel(tokens[order->object].it, (tr_reason)order->how, order->text);
      break;
    case TOKEN_WAIT: order->status = tr_token_wait(tokens[order->object].it, order->timeout); break;
    case REGISTRY_WAIT: order->status = tr_registry_wait(registries[order->object].it, order->timeout); break;
    case TASK_CANCEL: order->status = tr_task_cancel(tasks[order->object].it); break;
    case TASK_WAIT:
      order->outcome = (tr_outcome)TR_OUTCOME_INIT;
      order->status = tr_task_wait(tasks[order->object].it, order->timeout, &order->outcome);
      break;
    case JOIN:
    case SHUTDOWN:
      order->report = (tr_join_report)TR_JOIN_REPORT_INIT;
      order->stragglers[0].size = sizeof order->stragglers[0];
      order->report.stragglers = order->stragglers;
      order->report.stragglers_capacity = TASKS;
      if (order->wantsFull) order->report.full = &order->full;
      join(registries[order->object].it, order);
      break;
    case SPAWN:
      if (order->isPlain) {
        order->status = tr_spawn(registries[order->object].it, order->text, order->kind, body, &tasks[order->how],
                                 order->wantsHandle ? &order->task : NULL);
        break;
      }
      order->status = tr_spawn_with(registries[order->object].it, order->text, order->kind, body,
                                    &tasks[order->how], &order->options,
                                    order->wantsHandle ? &order->task : NULL);
      break;
    case ADOPT: {
      tr_adopt_options options;
      MUST_EQ(TR_OK, tr_adopt_options_init(&options, sizeof options));
      options.flags = order->options.flags;
      options.phase = order->options.phase;
      options.heartbeat_ns = order->options.heartbeat_ns;
      tr_task *before = tr_task_self();
      order->status = tr_adopt(registries[order->object].it, order->text, order->kind, &options, &order->task);
      MUST(tr_task_self() == (order->status == TR_OK ? order->task : before));
      if (order->status != TR_OK) break;
      tasks[order->how].it = order->task;
      MUST_EQ(TR_OK, tr_checkpoint("adopted"));
      int hasRoom = 1;
      for (int i = order->object; i >= 0; i = registries[i].parent)
        if (registries[i].limit != 0 && registries[i].live + 1 >= registries[i].limit) hasRoom = 0;
      MUST_EQ(TR_OK, tr_registry_set_max_tasks(registries[order->object].it, registries[order->object].limit));
      MUST_EQ(hasRoom ? TR_OK : TR_ERR_TIMEDOUT, tr_wait_room(registries[order->object].it, 0));
      MUST_EQ(TR_ERR_DEADLOCK, tr_join_all(registries[order->object].it, -1, NULL));
      MUST_EQ(TR_OK, order->fd == 0 ? tr_leave() : tr_leave_with(order->fd));
      MUST(tr_task_self() == NULL);
      break;
    }
    /* a task may name itself */
    case SLEEP:
      if (order->fd == -1 && tr_task_self() != NULL) order->status = tr_task_sleep(tr_task_self(), order->timeout);
      else order->status = tr_sleep(order->timeout);
      break;
    case WAIT_CANCELLED:
      if (order->fd == -1 && tr_task_self() != NULL)
        order->status = tr_task_wait_cancelled(tr_task_self(), order->timeout);
      else order->status = tr_wait_cancelled(order->timeout);
      break;
    case WAIT_FD:
      if (order->fd == quiet_pipe[0] && tr_task_self() != NULL)
        order->status = tr_task_wait_fd(tr_task_self(), order->fd, POLLIN, order->timeout);
      else if (order->fd >= 0 && tr_task_self() != NULL) {
        struct pollfd polled[2] = {{-1, POLLIN, 0}, {order->fd, POLLIN, 0}};
        order->status = tr_wait_fds(polled, 2, order->timeout);
      }
      else order->status = tr_wait_fd(order->fd, POLLIN, order->timeout);
      break;
    case SET_MESSAGE:
      order->status = order->how ? tr_task_set_message_lossy(tasks[order->object].it, order->text)
                                 : tr_task_set_message(tasks[order->object].it, order->text);
      break;
    case SET_DATA: order->status = tr_task_set_data(tasks[order->object].it, order->data); break;
    case TOKEN_ON_CANCEL:
      order->status = tr_token_on_cancel(tokens[order->object].it, on_cancel, &registrations[order->how],
                                         on_drop_callback, &registrations[order->how].it);
      break;
    case TASK_ON_CANCEL:
      order->status = tr_task_on_cancel(tasks[order->object].it, on_cancel, &registrations[order->how],
                                        on_drop_callback, &registrations[order->how].it);
      break;
    case OFF_CANCEL: tr_registration_remove(registrations[order->object].it); break;
    case COND_WAIT:
      MUST_EQ(0, pthread_mutex_lock(&cond_lock));
      order->status = TR_OK;
      while (order->status == TR_OK && rounds == order->how)
        order->status = tr_cond_wait(&cond, &cond_lock, order->timeout);
      MUST_EQ(0, pthread_mutex_unlock(&cond_lock)); /* it would tell if it was not held */
      break;
    case CHECKPOINT: order->status = tr_checkpoint(order->text); break;
    case LABEL: order->status = tr_label(order->text); break;
    case PROGRESS: order->status = tr_progress(order->done, order->total, order->text); break;
    case HEARTBEAT: order->status = tr_heartbeat(); break;
    case SET_INTERVAL:
      order->status = tr_heartbeat_promise(order->object < 0 ? NULL : registries[order->object].it, order->timeout,
                                           (uint32_t)order->how);
      break;
    case PAUSE: order->status = tr_heartbeat_pause(); break;
    case RESUME: order->status = tr_heartbeat_resume(); break;
    case ACKNOWLEDGE: order->status = tr_acknowledge_cancel(); break;
    case BEGIN_DRAIN:
      if (tr_task_self() != NULL) {
        MUST_EQ(TR_OK, tr_shield_begin());
        MUST_EQ(TR_OK, tr_sleep(0));
        MUST_EQ(TR_OK, tr_shield_end());
        tr_token *own = tr_task_token(tr_task_self());
        MUST(own != NULL && own == tr_task_token(tr_task_self()));
        MUST(tr_token_stop_level(own) <= tr_task_stop_level(tr_task_self()));
      }
      order->status = tr_begin_drain();
      break;
    case QUIESCE: order->status = tr_quiesce(order->timeout); break;
    case RETAIN_REGISTRY: MUST(tr_registry_retain(registries[order->object].it) != NULL); break;
    default: break;
  }
}
