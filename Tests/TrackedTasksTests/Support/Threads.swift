import CPlatform

@testable import TrackedTasks

/// A thread of the test's own, unknown to the library.
final class PlainThread: @unchecked Sendable {
  // SAFETY: the identifier is written in init, before any other code has the object.
  private var thread = pthread_t()

  init(_ body: @escaping @Sendable () -> Void) {
    // SAFETY: the thread takes the reference over.
    let box = Unmanaged.passRetained(BodyOfThread(body)).toOpaque()
    let code = pthread_create(
      &thread, nil,
      { box in
        guard let box else { return nil }
        let body = Unmanaged<BodyOfThread>.fromOpaque(box).takeRetainedValue()
        body.run()
        return nil
      }, box)
    precondition(code == 0)
  }

  /// Waits for the end of the body; called once.
  func join() { precondition(pthread_join(thread, nil) == 0) }
}

private final class BodyOfThread: Sendable {
  let run: @Sendable () -> Void

  init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

/// Runs `body` on so many threads at once, and returns when all are through.
func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
  let threads = (0..<count).map { number in PlainThread { body(number) } }
  for thread in threads { thread.join() }
}

/// Polls until `condition` holds, for events that are not signalled.
///
/// - Returns: false when it did not within a very long time.
func eventually(_ condition: () -> Bool) -> Bool {
  let end = monotonicNow() + 60_000_000_000
  while !condition() {
    if monotonicNow() > end { return false }
    usleep(500)
  }
  return true
}

/// Whether the kernel knows a thread of this process by that number.
func threadExists(_ id: Int32) -> Bool { access("/proc/self/task/\(id)", F_OK) == 0 }

/// The kernel's number of the calling thread.
func ownThreadID() -> Int32 { cp_gettid() }
