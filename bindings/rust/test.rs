//! A hundred tasks, half of them cancelled; SIGTERM; a straggler in a report. Also an example.
//!
//! Proves: a closure, its error and its panic cross the library and come back; a wait that is cancelled returns an
//! error in the task, and the outcome has its code and text; SIGTERM cancels the registry; a missed deadline is an
//! error with the report's text; what a closure owns is dropped once its task has ended, and at once if the spawn fails
//! (J1, C4, C13, O1, E10).
//!
//! Why it matters: the file is there to be copied; its mistakes would be those of every binding.
//!
//! Catches: a closure that is kept after a failed spawn, or used twice; a panic that reaches the library.

#[allow(dead_code)] // for what the test does not use
mod taskreg;

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{mpsc, Arc, Mutex};
use std::time::Duration;
use taskreg::sys::{TR_ERR_CANCELLED, TR_ERR_DEADLINE, TR_ERR_INVALID, TR_ERR_TIMEDOUT};
use taskreg::Registry;

fn main() {
    let ten_seconds = Some(Duration::from_secs(10));
    let registry = Registry::new(Duration::from_secs(10)).unwrap();
    let finished = Arc::new(AtomicUsize::new(0));
    let (open, gate) = mpsc::channel::<()>(); // dropping `open` opens it
    let gate = Arc::new(Mutex::new(gate));
    let mut tasks = Vec::new();

    for i in 0..100 {
        let (finished, gate) = (finished.clone(), gate.clone());
        let body = move || {
            if i % 2 == 0 {
                let slept = taskreg::sleep(None); // until it is cancelled
                assert!(taskreg::is_cancelled());
                slept?;
            }
            let _ = gate.lock().unwrap().recv();
            finished.fetch_add(1, SeqCst);
            Ok(())
        };
        tasks.push(registry.spawn(&format!("work {}", i), body).unwrap());
    }
    assert_eq!(tasks[1].wait(Some(Duration::from_millis(10))).unwrap_err().status, TR_ERR_TIMEDOUT);
    for task in tasks.iter().step_by(2) {
        task.cancel().unwrap();
    }
    for task in tasks.iter().step_by(2) {
        let outcome = task.wait(ten_seconds).unwrap();
        assert!(outcome.how == "failed" && outcome.code == TR_ERR_CANCELLED, "{:?}", outcome);
        assert!(outcome.was_cancelled && outcome.message.contains("asked to stop"), "{:?}", outcome);
    }
    assert_eq!(finished.load(SeqCst), 0);
    assert_eq!(Arc::strong_count(&gate), 51);

    drop(open);
    registry.join(ten_seconds).unwrap();
    assert_eq!(finished.load(SeqCst), 50);
    assert_eq!(Arc::strong_count(&gate), 1);
    for task in tasks.iter().skip(1).step_by(2) {
        assert_eq!(task.wait(Some(Duration::ZERO)).unwrap().how, "returned");
    }

    let owned = gate.clone();
    let error = registry.spawn("", move || Ok(drop(owned))).map(|_| ()).unwrap_err();
    assert!(error.status == TR_ERR_INVALID && error.text.contains("name"), "{:?}", error);
    assert_eq!(Arc::strong_count(&gate), 1);
    let outcome = registry.spawn("panics", || panic!("no number")).unwrap().wait(ten_seconds).unwrap();
    assert!(outcome.how == "failed" && outcome.message == "panic: no number", "{:?}", outcome);

    let (free, stuck) = mpsc::channel::<()>();
    let straggler = registry.spawn("straggler", move || {
        taskreg::checkpoint("waiting for a channel that nobody closes")?;
        let _ = stuck.recv();
        Ok(())
    });
    let straggler = straggler.unwrap();
    let stops = registry.spawn("stops", || Ok(taskreg::sleep(None)?)).unwrap();
    while !registry.explain().unwrap().contains("waiting for a channel") {
        std::thread::yield_now();
    }
    registry.watch_signals().unwrap();
    assert!(registry.wait_cancelled(Some(Duration::ZERO)).is_err());
    assert!(Command::new("kill").args(["-TERM", &std::process::id().to_string()]).status().unwrap().success());
    assert_eq!(registry.wait_cancelled(ten_seconds).unwrap(), "SIGTERM");
    let outcome = stops.wait(ten_seconds).unwrap();
    assert!(outcome.was_cancelled && outcome.code == TR_ERR_CANCELLED, "{:?}", outcome);
    assert!(registry.spawn("late", || Ok(())).is_err());
    let error = registry.shutdown(Some(Duration::from_millis(50))).unwrap_err();
    assert_eq!(error.status, TR_ERR_DEADLINE);
    let report = error.report.unwrap();
    println!("{}", report);
    assert!(report.contains("straggler") && report.ends_with("\"waiting for a channel that nobody closes\"\n"));
    drop(free);
    drop(registry);
    assert_eq!(straggler.wait(Some(Duration::ZERO)).unwrap().how, "returned");
    Registry::new(Duration::ZERO).unwrap().watch_signals().unwrap(); // one at a time: the first has ended
    println!("100 tasks: 50 cancelled, 50 returned; a straggler was reported, and then joined");
}
