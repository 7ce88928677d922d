import Dispatch
import Glibc
import Testing

@testable import TrackedTasks

extension OneSignalWatch {
  /// Signals that shut a registry down.
  ///
  /// The C suite proves the rest. There is one watch at a time: serialized.
  @Suite(.serialized) struct ShutdownSignalsTests {
    /// **Proves:** a signal cancels the token with its name, and the shutdown that follows ends the
    /// tasks (C13).
    ///
    /// **Why it matters:** this is all that a Swift daemon has to write.
    /// **Catches:** a number that becomes another bit; a watch that does not end.
    @Test(arguments: [SIGUSR2, SIGWINCH]) func aSignalCancelsTheToken(number: Int32) throws {
      let registry = try TaskRegistry()
      try registry.startSignalWatch([number])
      try registry.spawn("sleeper", kind: .backgroundLoop) { try $0.sleep(for: .seconds(1000)) }
      kill(getpid(), number)
      try registry.token.wait(timeout: .seconds(300))
      #expect(registry.token.reason == .userRequested)
      #expect(registry.token.message == (number == SIGUSR2 ? "SIGUSR2" : "SIGWINCH"))
      try registry.shutdown(grace: ample)
      try registry.stopSignalWatch()
    }

    /// **Proves:** SIGHUP can ask for a reload (C13).
    ///
    /// **Why it matters:** daemons read their configuration again.
    /// **Catches:** an option that is dropped on the way.
    @Test func aHangUpMayReload() throws {
      let registry = try TaskRegistry()
      try registry.startSignalWatch([SIGHUP], hangUpReloads: true)
      kill(getpid(), SIGHUP)
      try registry.token.wait(timeout: .seconds(300))
      #expect(registry.token.reason == .reloadRequested)
      try registry.stopSignalWatch()
      try registry.shutdown(grace: ample)
    }

    /// **Proves:** a stop that comes during a reload is reported, and starts the next watch; a watch
    /// can be moved (C13).
    ///
    /// **Why it matters:** a service that reloads would come up again instead of ending.
    /// **Catches:** a registry that is mistaken for the other on the way.
    @Test func aStopOutlivesAReload() throws {
      let first = try TaskRegistry()
      try first.startSignalWatch([SIGHUP, SIGUSR2], hangUpReloads: true)
      kill(getpid(), SIGHUP)
      try first.token.wait(timeout: .seconds(300))
      #expect(TaskRegistry.pendingStopSignal == nil)
      kill(getpid(), SIGUSR2)
      #expect(eventually { TaskRegistry.pendingStopSignal != nil })
      #expect(TaskRegistry.pendingStopSignal == SIGUSR2)
      let second = try TaskRegistry()
      try first.moveSignalWatch(to: second)
      #expect(second.token.reason == .userRequested)
      #expect(TaskRegistry.pendingStopSignal == nil)
      #expect(
        errorOf { () throws(TaskRegistryError) in try first.stopSignalWatch() }
          == .invalidArgument)
      try second.stopSignalWatch()
      try first.shutdown(grace: ample)
      try second.shutdown(grace: ample)
    }

    /// **Proves:** a signal that cannot be watched is rejected, and so are a second watch, and
    /// stopping a watch that was not started (P4).
    ///
    /// **Why it matters:** bad input gets a clear error.
    /// **Catches:** a shift by a number that is not a signal.
    @Test func nonsenseIsRejected() throws {
      let registry = try TaskRegistry()
      for number: Int32 in [0, -1, 65, .max, .min, SIGKILL, SIGSEGV] {
        #expect(
          errorOf { () throws(TaskRegistryError) in try registry.startSignalWatch([number]) }
            == .invalidArgument)
      }
      try registry.startSignalWatch([])
      #expect(
        errorOf { () throws(TaskRegistryError) in try registry.startSignalWatch([]) }
          == .invalidArgument)
      try registry.stopSignalWatch()
      #expect(
        errorOf { () throws(TaskRegistryError) in try registry.stopSignalWatch() }
          == .invalidArgument)
    }

    /// **Proves:** a request cancels the token with its reason while there is a watch, and is an
    /// error otherwise (C14).
    ///
    /// **Why it matters:** the application's own handlers request stops.
    /// **Catches:** a request that is lost.
    @Test func aRequestIsAnswered() throws {
      let registry = try TaskRegistry()
      let token = try ShutdownToken()
      #expect(
        errorOf { () throws(TaskRegistryError) in try token.requestShutdown(reason: .fatal) }
          == .invalidArgument)
      try registry.startSignalWatch([])
      try token.requestShutdown(reason: .fatal)
      try token.wait(timeout: .seconds(300))
      #expect(token.reason == .fatal)
      #expect(!registry.token.isCancelled)
      try registry.stopSignalWatch()
    }

    /// **Proves:** the watch throws if something else takes its signals, and watches nothing then: a
    /// SIGTERM that is ignored, or a signal source of Dispatch; without them it says what it watches
    /// (C13).
    ///
    /// **Why it matters:** a service that believes it is watched cannot be stopped.
    /// **Catches:** a watch that reports success and watches nothing.
    @Test func aSignalThatIsTakenIsRejected() throws {
      let registry = try TaskRegistry()
      let before = signal(SIGTERM, SIG_IGN)
      #expect(
        errorOf { () throws(TaskRegistryError) in try registry.startSignalWatch() }
          == .signalInUse(SIGTERM))
      #expect(
        errorOf { () throws(TaskRegistryError) in _ = try registry.runUntilStopped() }
          == .signalInUse(SIGTERM))
      signal(SIGTERM, before)
      try withSource(of: SIGURG) {
        #expect(
          errorOf { () throws(TaskRegistryError) in try registry.startSignalWatch([SIGURG]) }
            == .signalInUse(SIGURG))
        #expect(try registry.startSignalWatch([SIGUSR2]) == [SIGUSR2])
        try registry.stopSignalWatch()
      }
      #expect(try registry.startSignalWatch([SIGURG]) == [SIGURG])
      kill(getpid(), SIGURG)
      try registry.token.wait(timeout: .seconds(300))
      try registry.stopSignalWatch()
      try registry.shutdown(grace: ample)
    }

    /// **Proves:** a watch does not end as if it had watched all the time when something else has begun to
    /// take a signal: a signal source of Dispatch, or another handler; the next is not concerned (C13).
    ///
    /// **Why it matters:** the order in which a service and its libraries start is not the author's.
    /// **Catches:** an end that reports success.
    @Test func aReplacedHandlerIsReportedAtTheEnd() throws {
      let registry = try TaskRegistry()
      try registry.startSignalWatch([SIGURG, SIGUSR2])
      try withSource(of: SIGURG) {
        #expect(
          errorOf { () throws(TaskRegistryError) in try registry.stopSignalWatch() }
            == .signalInUse(SIGURG))
      }
      try registry.startSignalWatch([SIGURG])
      signal(SIGURG) { _ in }
      #expect(
        errorOf { () throws(TaskRegistryError) in try registry.stopSignalWatch() }
          == .signalInUse(SIGURG))
      signal(SIGURG, SIG_DFL)
      try registry.startSignalWatch([SIGURG])
      try registry.stopSignalWatch()
      try registry.shutdown(grace: ample)
    }

    /// Runs `body` while Dispatch has a source for the signal.
    private func withSource(of number: Int32, _ body: () throws -> Void) throws {
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      let (isThere, isGone) = (Gate(), Gate())
      source.setRegistrationHandler { isThere.open() }
      source.setCancelHandler { isGone.open() }
      source.resume()
      isThere.wait()
      defer {
        source.cancel()
        isGone.wait()
      }
      try body()
    }
  }
}
