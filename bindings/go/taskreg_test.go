// A hundred tasks, half of them cancelled; SIGTERM; a straggler in a report. Also an example.
//
// Proves: a body and its error cross the library and come back, a panic as well; a wait that is cancelled returns
// ErrCancelled in the task, and the outcome has its code and text; waits let goroutines run; SIGTERM cancels the
// registry by Go's own handler; a missed deadline is an error, with the report's text; what was pinned for a task is
// unpinned once it has ended; a timeout that has passed already does not wait, -1 ns included (J1, C4, O1, E10).
//
// Why it matters: the file is there to be copied; its mistakes would be those of every binding.
//
// Catches: a Go pointer to a Go pointer (cgo panics); an error's text read on another thread; a drop that is missing;
// time.Until's -1 passed on to C, which waits indefinitely for it.

package taskreg

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime/cgo"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func expect(t *testing.T, condition bool, what ...any) {
	t.Helper()
	if !condition {
		t.Fatal(what...)
	}
}

func TestHundredTasksAndAStraggler(t *testing.T) {
	registry := must(NewRegistry())
	gate, stuck := make(chan struct{}), make(chan struct{})
	var finished int32
	var tasks []*Task

	for i := 0; i < 100; i++ {
		even := i%2 == 0
		tasks = append(tasks, must(registry.Spawn(fmt.Sprintf("work %d", i), func(self *Task) error {
			if even {
				slept := make(chan error)                    // another goroutine sleeps, and so another thread
				go func() { slept <- self.Sleep(Forever) }() // until the task is cancelled
				if err := <-slept; err != nil && self.IsCancelled() {
					return fmt.Errorf("slept: %w", err)
				}
			}
			<-gate
			atomic.AddInt32(&finished, 1)
			return nil
		})))
	}
	_, err := tasks[1].Wait(10 * time.Millisecond)
	expect(t, errors.Is(err, ErrTimedOut), err)
	for _, late := range []time.Duration{-1, -5 * time.Millisecond, math.MinInt64} { // as time.Until returns them
		_, err = tasks[1].Wait(late)
		expect(t, errors.Is(err, ErrTimedOut), late, err)
	}
	for i := 0; i < 100; i += 2 {
		must(0, tasks[i].Cancel())
	}
	for i := 0; i < 100; i += 2 {
		o := must(tasks[i].Wait(10 * time.Second))
		expect(t, o.How == "failed" && o.Code == ErrCancelled.Status && o.WasCancelled, o)
		expect(t, strings.HasPrefix(o.Message, "slept: "), o)
	}
	expect(t, atomic.LoadInt32(&finished) == 0)

	time.AfterFunc(50*time.Millisecond, func() { close(gate) }) // while the join waits
	must(registry.Join(10 * time.Second))
	for i, task := range tasks {
		o := must(task.Wait(0))
		expect(t, (o.How == "returned") == (i%2 == 1), i, o)
		task.Close()
	}
	expect(t, atomic.LoadInt32(&finished) == 50)

	// Errors of many goroutines at once: each gets the text of its own call.
	wrong := make(chan error, 32)
	for i := 0; i < cap(wrong); i++ {
		call, function := spawnInNothing, "tr_spawn_with"
		if i%2 == 0 {
			call, function = explainNothing, "tr_explain"
		}
		go func() {
			for n := 0; n < 2000; n++ {
				if err := call(); err.Error() != function+": registry is NULL" {
					wrong <- err
					return
				}
			}
			wrong <- nil
		}()
	}
	for i := 0; i < cap(wrong); i++ {
		must(0, <-wrong)
	}
	_, err = registry.Spawn("", func(*Task) error { return nil })
	expect(t, errors.Is(err, ErrInvalid) && strings.Contains(err.Error(), "name"), err)
	for _, reason := range []any{"not a number", nil, "\xff"} {
		task := must(registry.Spawn("panics", func(*Task) error { panic(reason) }))
		o := must(task.Wait(10 * time.Second))
		task.Close()
		expect(t, o.How == "failed" && o.Code == 1 && strings.HasPrefix(o.Message, "panic: "), o)
	}

	straggler := must(registry.Spawn("straggler", func(self *Task) error {
		must(0, self.Checkpoint("waiting for a channel that nobody closes"))
		<-stuck
		return nil
	}))
	stops := must(registry.Spawn("stops", func(self *Task) error { return self.Sleep(Forever) }))
	for !strings.Contains(must(registry.Explain()), "waiting for a channel") {
		time.Sleep(time.Millisecond)
	}
	ignore := registry.CancelOn(syscall.SIGTERM)
	expect(t, errors.Is(registry.WaitCancelled(0), ErrTimedOut))
	must(0, syscall.Kill(os.Getpid(), syscall.SIGTERM))
	must(0, registry.WaitCancelled(10*time.Second))
	ignore()
	o := must(stops.Wait(10 * time.Second))
	expect(t, o.WasCancelled && o.Code == ErrCancelled.Status, o)
	stops.Close()
	_, err = registry.Spawn("late", func(*Task) error { return nil })
	expect(t, err != nil, "a cancelled registry accepts a task")
	report, err := registry.Shutdown(50 * time.Millisecond)
	expect(t, errors.Is(err, ErrDeadline), err)
	t.Log(report)
	expect(t, strings.Contains(report, "straggler") && strings.HasSuffix(report, " channel that nobody closes\"\n"), report)
	close(stuck)
	expect(t, registry.Close(10*time.Second) == nil)
	o = must(straggler.Wait(0))
	expect(t, o.How == "returned", o)
	straggler.Close()
	for handle := cgo.NewHandle(0) - 1; handle > 0; handle-- { // that of each Spawn above, the failed ones too
		func() {
			defer func() { expect(t, recover() != nil, "still pinned: ", handle) }()
			handle.Value()
		}()
	}
	t.Log("100 tasks: 50 cancelled, 50 returned; a straggler was reported, and then joined")
}

func spawnInNothing() error { _, err := new(Registry).Spawn("x", nil); return err }
func explainNothing() error { _, err := new(Registry).Explain(); return err }
