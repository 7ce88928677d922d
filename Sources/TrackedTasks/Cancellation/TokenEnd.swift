import CPlatform
import Synchronization

// LOCKING
// No lock: the thread that releases the last reference to a token has it for itself, until an event
// thread has (`TimerThread`).

/// The end of a token that nobody refers to any more and that has callbacks.
enum TokenEnd {
  // atomic: tokens for which there was no thread or no memory, linked by `nextUnsettled`; pushed
  // with release, taken whole with acquire.
  private static let unsettled = Atomic<UInt>(0)
  /// The list that `leaveBehind` found.
  ///
  /// atomic: relaxed; not used, only reachable for leak checkers.
  private static let leftBehind = Atomic<UInt>(0)

  /// Runs the callbacks of a token that are due, and drops the others.
  ///
  /// Called where the application's code may run, with the only reference. If that code ends the
  /// thread, the token is freed all the same.
  static func settle(_ token: TokenReference) {
    let pointer = UnsafeMutableRawPointer(token.pointer)
    CallFrame.call(
      .library, pointer, { CancelCallback.settleAll(of: TokenEnd.passed($0)) },
      ifLeft: {
        CancelCallback.settleAll(of: TokenEnd.passed($0))
        if !ProcessState.isForkedChild { TokenEnd.passed($0).releaseSettled() }
      })
    if !ProcessState.isForkedChild { retry() }
  }

  /// Leaves a token to an event thread.
  ///
  /// Called without a lock, with the only reference. While the system refuses the thread or the
  /// memory, the token waits for the end of the next one that has callbacks.
  static func handOver(_ token: TokenReference) {
    retry()
    if !post(token) { push(token) }
  }

  /// Hands over what could not be handed over before.
  private static func retry() {
    if unsettled.load(ordering: .relaxed) == 0 { return }
    var bits = unsettled.exchange(0, ordering: .acquiring)
    while let pointer = UnsafeMutablePointer<TokenStorage>(bitPattern: bits) {
      bits = pointer.pointee.nextUnsettled
      let token = TokenReference(pointer)
      if !post(token) { push(token) }
    }
  }

  /// Has an event thread release the token; false if there is no memory or no timer thread.
  private static func post(_ token: TokenReference) -> Bool {
    guard let memory = malloc(MemoryLayout<Timer>.size) else { return false }
    if TimerThread.hold() != .ok {
      free(memory)
      return false
    }
    let timer = memory.bindMemory(to: Timer.self, capacity: 1)
    timer.initialize(to: Timer(.settle(token)))
    TimerThread.change {
      $0.post(timer)
      $0.holds -= 1
    }
    return true
  }

  private static func push(_ token: TokenReference) {
    var first = unsettled.load(ordering: .relaxed)
    while true {
      token.pointer.pointee.nextUnsettled = first
      let (done, seen) = unsettled.compareExchange(
        expected: first, desired: UInt(bitPattern: token.pointer), ordering: .releasing)
      if done { return }
      first = seen
    }
  }

  /// Gives up the list, in a forked child that starts afresh.
  static func leaveBehind() {
    let parents = unsettled.exchange(0, ordering: .relaxed)
    if parents != 0 { leftBehind.store(parents, ordering: .relaxed) }
  }

  /// SAFETY: the token that was passed with the function.
  private static func passed(_ argument: UnsafeMutableRawPointer?) -> TokenReference {
    TokenReference(argument.unsafelyUnwrapped.assumingMemoryBound(to: TokenStorage.self))
  }
}
