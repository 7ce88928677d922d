// Package taskreg - libtaskreg for Go, by cgo: one file, to be copied and changed.
//
// A body runs on the library's thread, and cgo keeps its goroutine on that thread until it returns. Sleep and
// IsCancelled are also for goroutines that it starts; Checkpoint is for the body's own. A call that waits takes one
// thread of Go's scheduler. Timeouts are durations; Forever never passes, and a negative one, which is what
// time.Until returns for a deadline in the past, has passed already.
// SPDX-License-Identifier: Apache-2.0
package taskreg

/*
#cgo LDFLAGS: -ltaskreg
#include <stdlib.h>
#include <taskreg.h>

int goTaskBody(tr_task *self, uintptr_t handle);
void goTaskDrop(uintptr_t handle);

// The trampolines, static and in C: ctx is a cgo.Handle, which is a number and not a pointer.
static inline int task_body(tr_task *self, void *ctx) { return goTaskBody(self, (uintptr_t)ctx); }
static inline void task_drop(void *ctx) { goTaskDrop((uintptr_t)ctx); }

static inline tr_status spawn(tr_registry *registry, const char *name, uintptr_t handle, tr_task **out) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;

  options.drop = task_drop;
  return tr_spawn_with(registry, name, TR_KIND_APPLICATION, task_body, (void *)handle, &options, out);
}
*/
import "C"

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"runtime"
	"runtime/cgo"
	"strings"
	"time"
	"unsafe"
)

// Forever is not -1, as TR_FOREVER is: time.Until may return -1.
const Forever = time.Duration(math.MaxInt64)

// nanoseconds is the timeout as the library takes it.
func nanoseconds(timeout time.Duration) C.int64_t {
	switch {
	case timeout == Forever:
		return C.TR_FOREVER
	case timeout < 0:
		return 0
	}
	return C.int64_t(timeout)
}

// Error is a call's error: its status, and the sentence for it or, for a wrong argument, which one it is. It is equal,
// by errors.Is, to the variables below.
type Error struct {
	Status int
	text   string
}

func (e *Error) Error() string        { return e.text }
func (e *Error) Is(target error) bool { t, ok := target.(*Error); return ok && t.Status == e.Status }

var (
	ErrInvalid   = &Error{C.TR_ERR_INVALID, "an argument is wrong"}
	ErrDeadline  = &Error{C.TR_ERR_DEADLINE, "tasks were alive at the deadline"}
	ErrTimedOut  = &Error{C.TR_ERR_TIMEDOUT, "the timeout passed before the event"}
	ErrCancelled = &Error{C.TR_ERR_CANCELLED, "the calling task was asked to stop"}
)

// check makes the call and reads what the library says about its error, both on one thread: the text is that thread's.
func check(call func() C.tr_status) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	status := call()
	switch status {
	case C.TR_OK:
		return nil
	case C.TR_ERR_INVALID:
		return &Error{int(status), C.GoString(C.tr_error_detail())}
	}
	return &Error{int(status), C.GoString(C.tr_strerror(status))}
}

// with calls the function with a C copy of the text.
func with(text string, call func(*C.char)) {
	copied := C.CString(text)
	defer C.free(unsafe.Pointer(copied))
	call(copied)
}

//export goTaskBody
func goTaskBody(self *C.tr_task, handle C.uintptr_t) C.int {
	code, text := run(cgo.Handle(handle).Value().(func(*Task) error), &Task{self})
	if code != 0 {
		with(strings.ToValidUTF8(text, "?"), func(message *C.char) { C.tr_task_set_message(self, message) })
	}
	return C.int(code)
}

// run calls the body. No panic leaves it.
func run(body func(*Task) error, self *Task) (code int, text string) {
	returned := false
	defer func() {
		if reason := recover(); !returned {
			code, text = 1, fmt.Sprint("panic: ", reason)
		}
	}()
	if err := body(self); err != nil {
		code, text = 1, err.Error()
		var known *Error
		if errors.As(err, &known) {
			code = known.Status
		}
	}
	returned = true
	return code, text
}

//export goTaskDrop
func goTaskDrop(handle C.uintptr_t) { cgo.Handle(handle).Delete() }

// Registry is a list of tasks that stop together. Close it.
type Registry struct{ registry *C.tr_registry }

func NewRegistry() (*Registry, error) {
	r := new(Registry)
	return r, check(func() C.tr_status { return C.tr_registry_create(nil, &r.registry) })
}

// Spawn runs body in a thread of its own. The task runs whether or not the caller keeps it; Close what is returned.
func (r *Registry) Spawn(name string, body func(*Task) error) (task *Task, err error) {
	handle, task := cgo.NewHandle(body), new(Task)
	with(name, func(name *C.char) {
		err = check(func() C.tr_status { return C.spawn(r.registry, name, C.uintptr_t(handle), &task.task) })
	})
	if err != nil {
		handle.Delete() // no drop after an error
		return nil, err
	}
	return task, nil
}

// Cancel closes the registry and asks all its tasks to stop.
func (r *Registry) Cancel(message string) { cancel(C.tr_registry_token(r.registry), message) }

func cancel(token *C.tr_token, message string) {
	with(message, func(message *C.char) { C.tr_token_cancel(token, C.TR_REASON_USER_REQUESTED, message) })
}

// CancelOn cancels the registry when one of the signals arrives; a second one has its usual effect. Go's runtime keeps
// its handlers.
func (r *Registry) CancelOn(signals ...os.Signal) (stop func()) {
	token, arrived := C.tr_token_retain(C.tr_registry_token(r.registry)), make(chan os.Signal, 1)
	signal.Notify(arrived, signals...)
	go func() {
		if s, ok := <-arrived; ok {
			signal.Stop(arrived)
			cancel(token, s.String())
		}
		C.tr_token_release(token)
	}()
	return func() { signal.Stop(arrived); close(arrived) }
}

// WaitCancelled waits until the registry is cancelled.
func (r *Registry) WaitCancelled(timeout time.Duration) error {
	return check(func() C.tr_status { return C.tr_token_wait(C.tr_registry_token(r.registry), nanoseconds(timeout)) })
}

// Join waits for all tasks, and at the deadline asks those that are left to stop. With nil and with ErrDeadline,
// report is the report's text.
func (r *Registry) Join(timeout time.Duration) (report string, err error) {
	return reported(func(out **C.tr_report) C.tr_status {
		return C.tr_join_all_report(r.registry, nanoseconds(timeout), out)
	})
}

// Shutdown cancels, and joins within grace.
func (r *Registry) Shutdown(grace time.Duration) (report string, err error) {
	return reported(func(out **C.tr_report) C.tr_status {
		return C.tr_shutdown_report(r.registry, C.TR_REASON_USER_REQUESTED, nil, nanoseconds(grace), nil, out)
	})
}

// Explain reports all live tasks; none is asked to stop.
func (r *Registry) Explain() (report string, err error) {
	return reported(func(out **C.tr_report) C.tr_status { return C.tr_explain(r.registry, out) })
}

// reported makes a call that returns a report, and returns the report's text.
func reported(call func(out **C.tr_report) C.tr_status) (text string, err error) {
	var report *C.tr_report
	err = check(func() C.tr_status { return call(&report) })
	defer C.tr_report_release(report)
	var length C.size_t
	C.tr_report_write_buffer(report, C.TR_FORMAT_TEXT, nil, 0, &length)
	buffer := make([]byte, length+1)
	C.tr_report_write_buffer(report, C.TR_FORMAT_TEXT, (*C.char)(unsafe.Pointer(&buffer[0])), length+1, &length)
	return string(buffer[:length]), err
}

// Close shuts the registry down and gives it up. Stragglers run on; the error says that there are some.
func (r *Registry) Close(grace time.Duration) error {
	_, err := r.Shutdown(grace)
	C.tr_registry_release(r.registry)
	r.registry = nil
	return err
}

// Task is one task: the one that Spawn returns, or the body's own, which ends with the body and is not closed.
type Task struct{ task *C.tr_task }

// Outcome says how a task ended: "returned", "failed" or "exited".
type Outcome struct {
	How, Message string
	Code         int
	WasCancelled bool
}

func (t *Task) Cancel() error     { return check(func() C.tr_status { return C.tr_task_cancel(t.task) }) }
func (t *Task) IsCancelled() bool { return C.tr_task_is_cancelled(t.task) != 0 }
func (t *Task) Close()            { C.tr_task_release(t.task); t.task = nil }

func (t *Task) Wait(timeout time.Duration) (Outcome, error) {
	o := C.tr_outcome{size: C.sizeof_tr_outcome}
	err := check(func() C.tr_status { return C.tr_task_wait(t.task, nanoseconds(timeout), &o) })
	return Outcome{C.GoString(C.tr_ended_name(o.how)), C.GoString(&o.message[0]), int(o.code), o.was_cancelled != 0}, err
}

// Sleep ends with ErrCancelled as soon as the task is asked to stop, on whichever goroutine it is called.
func (t *Task) Sleep(duration time.Duration) error {
	return check(func() C.tr_status { return C.tr_task_sleep(t.task, nanoseconds(duration)) })
}

// Checkpoint says what the calling task does next; reports show it.
func (t *Task) Checkpoint(where string) (err error) {
	with(where, func(where *C.char) { err = check(func() C.tr_status { return C.tr_checkpoint(where) }) })
	return err
}
