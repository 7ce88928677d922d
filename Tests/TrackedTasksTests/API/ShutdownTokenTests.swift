import Testing

@testable import TrackedTasks

/// Tokens, as Swift programs use them; their trees are in `TokenStorageTests`.
@Suite struct ShutdownTokenTests {
  /// **Proves:** a child with a timeout is cancelled with `.deadline` when that has passed, at once
  /// if it is not positive, and not when its parent was cancelled first (C11).
  ///
  /// **Why it matters:** a request has a deadline and a service a shutdown.
  /// **Catches:** a negative duration taken for never.
  @Test func aChildMayHaveATimeout() throws {
    let parent = try ShutdownToken()
    let start = ContinuousClock.now
    let child = try parent.child(timeout: .milliseconds(20))
    try child.wait(timeout: ample)
    #expect(ContinuousClock.now - start >= .milliseconds(20))
    #expect(child.reason == .deadline && !parent.isCancelled)
    for past in [Duration.zero, .seconds(-1)] {
      #expect(try parent.child(timeout: past).reason == .deadline)
    }
    let distant = try parent.child(timeout: .seconds(Int64.max))
    let far = try parent.child(timeout: ample)
    parent.cancel(reason: .userRequested)
    #expect(distant.reason == .userRequested && far.reason == .userRequested)
  }
}
