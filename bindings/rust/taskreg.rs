//! taskreg.rs - libtaskreg for Rust, on what bindgen reads in taskreg.h: one file, to be copied and changed.
//!
//! `bindgen taskreg.h --allowlist-function 'tr_.*' --allowlist-type 'tr_.*' --allowlist-var 'TR_.*'` writes
//! OUT_DIR/taskreg_sys.rs: a build.rs does so with Cargo, and Tests/bindings/run.sh without. A body is a closure; it
//! owns what it uses ('static), since a straggler outlives every scope. Waits are those of the calling thread, so
//! `sleep` and `checkpoint` are for the body itself. SPDX-License-Identifier: Apache-2.0

use std::ffi::{c_void, CStr, CString};
use std::os::raw::{c_char, c_int};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::{error, fmt, mem, ptr, time::Duration};

#[allow(dead_code, non_camel_case_types, non_upper_case_globals, deref_nullptr, clippy::all)]
pub mod sys {
    include!(concat!(env!("OUT_DIR"), "/taskreg_sys.rs"));
}

/// A call's error: its status, and the sentence for it or, for a wrong argument, which one it is.
#[derive(Debug)]
pub struct Error {
    pub status: i32,
    pub text: String,
    pub report: Option<String>, // of a join that missed its deadline
}
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl error::Error for Error {}
pub type Result<T> = std::result::Result<T, Error>;

fn string(text: *const c_char) -> String {
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
/// Read at once, on the thread that made the call: the text is that thread's.
fn check(status: i32) -> Result<()> {
    let text = match status {
        sys::TR_OK => return Ok(()),
        sys::TR_ERR_INVALID => string(unsafe { sys::tr_error_detail() }),
        _ => string(unsafe { sys::tr_strerror(status) }),
    };
    Err(Error { status, text, report: None })
}
fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "")).unwrap() // without NUL, it cannot fail
}
fn ns(timeout: Option<Duration>) -> i64 {
    timeout.map_or(sys::TR_FOREVER.into(), |t| t.as_nanos().min(i64::MAX as u128) as i64)
}
/// Make a call that returns a report, and return the report's text.
fn reported(call: impl FnOnce(*mut *mut sys::tr_report) -> i32) -> Result<String> {
    let mut report = ptr::null_mut();
    let (format, mut length) = (sys::TR_FORMAT_TEXT, 0);
    let result = check(call(&mut report));
    let _ = unsafe { sys::tr_report_write_buffer(report, format, ptr::null_mut(), 0, &mut length) };
    let mut buffer = vec![0 as c_char; length as usize + 1]; // with the NUL
    let _ = unsafe { sys::tr_report_write_buffer(report, format, buffer.as_mut_ptr(), length + 1, &mut length) };
    unsafe { sys::tr_report_release(report) };
    let text = string(buffer.as_ptr());
    match result {
        Ok(()) => Ok(text),
        Err(error) => Err(Error { report: Some(text).filter(|text| !text.is_empty()), ..error }),
    }
}

type Body = Box<dyn FnOnce() -> std::result::Result<(), Box<dyn error::Error>> + Send>;

// One body and one drop for all tasks; ctx is a Box of the closure, taken by the body and freed by the drop.
unsafe extern "C" fn task_body(task: *mut sys::tr_task, ctx: *mut c_void) -> c_int {
    let body = (*(ctx as *mut Option<Body>)).take();
    // No panic leaves a callback, and neither does one of the value that was panicked with.
    let run = catch_unwind(AssertUnwindSafe(|| match body.map_or(Ok(()), |body| body()) {
        Ok(()) => (0, None),
        Err(error) => (error.downcast_ref::<Error>().map_or(1, |e| e.status), Some(error.to_string())),
    }));
    let (code, message) = run.unwrap_or_else(|reason| {
        let text = reason.downcast_ref::<String>().map(String::as_str).or(reason.downcast_ref::<&str>().copied());
        let message = format!("panic: {}", text.unwrap_or("of another type"));
        mem::forget(reason);
        (1, Some(message))
    });
    if let Some(message) = message {
        let _ = sys::tr_task_set_message(task, c_string(&message).as_ptr());
    }
    code
}
unsafe extern "C" fn task_drop(ctx: *mut c_void) {
    if let Err(reason) = catch_unwind(AssertUnwindSafe(|| drop(Box::from_raw(ctx as *mut Option<Body>)))) {
        mem::forget(reason);
    }
}

/// Shuts down when it is dropped, with `grace`, and then no longer waits: stragglers run on.
pub struct Registry {
    registry: *mut sys::tr_registry,
    pub grace: Duration,
}
unsafe impl Send for Registry {} // SAFETY: any thread may call every function used here
unsafe impl Sync for Registry {} // SAFETY: as above

impl Registry {
    pub fn new(grace: Duration) -> Result<Registry> {
        let mut registry = ptr::null_mut();
        check(unsafe { sys::tr_registry_create(ptr::null(), &mut registry) })?;
        Ok(Registry { registry, grace })
    }
    pub fn spawn<F>(&self, name: &str, body: F) -> Result<Task>
    where
        F: FnOnce() -> std::result::Result<(), Box<dyn error::Error>> + Send + 'static,
    {
        let ctx = Box::into_raw(Box::new(Some(Box::new(body) as Body))) as *mut c_void;
        let mut options: sys::tr_spawn_options = unsafe { mem::zeroed() }; // all zero: every default
        let (mut task, name) = (ptr::null_mut(), c_string(name));
        options.size = mem::size_of_val(&options) as u32;
        options.drop = Some(task_drop);
        let status = unsafe {
            let (kind, body) = (sys::TR_KIND_APPLICATION, Some(task_body as _));
            sys::tr_spawn_with(self.registry, name.as_ptr(), kind, body, ctx, &options, &mut task)
        };
        if let Err(error) = check(status) {
            unsafe { task_drop(ctx) }; // the library calls no drop after an error
            return Err(error);
        }
        Ok(Task(task))
    }
    /// Close the registry and ask all its tasks to stop.
    pub fn cancel(&self, message: &str) {
        let message = c_string(message);
        unsafe { sys::tr_token_cancel(self.token(), sys::TR_REASON_USER_REQUESTED, message.as_ptr()) };
    }
    /// SIGTERM and SIGINT cancel the registry; a second one cuts the grace short; until the registry is dropped.
    pub fn watch_signals(&self) -> Result<()> {
        check(unsafe { sys::tr_signal_watch_start(self.registry, ptr::null(), ptr::null()) })
    }
    /// Wait until the registry is cancelled, and return the message: "SIGTERM", or that of `cancel`.
    pub fn wait_cancelled(&self, timeout: Option<Duration>) -> Result<String> {
        check(unsafe { sys::tr_token_wait(self.token(), ns(timeout)) })?;
        let mut message = [0 as c_char; 256];
        unsafe { sys::tr_token_message(self.token(), message.as_mut_ptr(), 256) };
        Ok(string(message.as_ptr()))
    }
    /// Wait for all tasks. At the deadline, ask those that are left to stop; the error has a report.
    pub fn join(&self, timeout: Option<Duration>) -> Result<String> {
        reported(|out| unsafe { sys::tr_join_all_report(self.registry, ns(timeout), out) })
    }
    /// Cancel, and join within `grace`. Returns the report's text; after a missed deadline the error has it.
    pub fn shutdown(&self, grace: Option<Duration>) -> Result<String> {
        let reason = sys::TR_REASON_USER_REQUESTED;
        reported(|out| unsafe {
            sys::tr_shutdown_report(self.registry, reason, ptr::null(), ns(grace), ptr::null(), out)
        })
    }
    /// Report all live tasks; none is asked to stop.
    pub fn explain(&self) -> Result<String> {
        reported(|out| unsafe { sys::tr_explain(self.registry, out) })
    }
    fn token(&self) -> *mut sys::tr_token {
        unsafe { sys::tr_registry_token(self.registry) }
    }
}
impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.shutdown(Some(self.grace));
        unsafe {
            let _ = sys::tr_signal_watch_stop(self.registry); // an error, without effect, if there is no watch
            sys::tr_registry_release(self.registry)
        }
    }
}

/// A task. Dropping it does not affect what it runs.
pub struct Task(*mut sys::tr_task);
unsafe impl Send for Task {} // SAFETY: any thread may call every function used here
unsafe impl Sync for Task {} // SAFETY: as above

#[derive(Debug)]
pub struct Outcome {
    pub how: String, // "returned", "failed" or "exited"
    pub code: i32,
    pub was_cancelled: bool,
    pub message: String,
}
impl Task {
    pub fn cancel(&self) -> Result<()> {
        check(unsafe { sys::tr_task_cancel(self.0) })
    }
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Outcome> {
        let mut o: sys::tr_outcome = unsafe { mem::zeroed() };
        o.size = mem::size_of_val(&o) as u32;
        check(unsafe { sys::tr_task_wait(self.0, ns(timeout), &mut o) })?;
        let (how, message) = (string(unsafe { sys::tr_ended_name(o.how) }), string(o.message.as_ptr()));
        Ok(Outcome { how, code: o.code, was_cancelled: o.was_cancelled != 0, message })
    }
}
impl Drop for Task {
    fn drop(&mut self) {
        unsafe { sys::tr_task_release(self.0) }
    }
}

// For the body of a task:
pub fn is_cancelled() -> bool {
    unsafe { sys::tr_task_is_cancelled(sys::tr_task_self()) != 0 }
}
/// Sleep, and return TR_ERR_CANCELLED as soon as the calling task is asked to stop; None: until then.
pub fn sleep(duration: Option<Duration>) -> Result<()> {
    check(unsafe { sys::tr_sleep(ns(duration)) })
}
/// Say what the calling task does next; reports show it.
pub fn checkpoint(text: &str) -> Result<()> {
    check(unsafe { sys::tr_checkpoint(c_string(text).as_ptr()) })
}
