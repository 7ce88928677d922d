import CModel
import CPlatform

/// Registrations that are given up while their function stays registered (C7).
extension Scenario {
  static let detachments = [detachedFromTask, detachedFromToken]

  static let detachedFromTask = Scenario(
    name: "detached from a task",
    claim:
      "a registration is given up while its task is asked to stop and ends: one drop, and no function without a request (C7)",
    preemptions: 3
  ) {
    Stage.open()
    Stage.hold(short)
    Stage.host {
      Stage.task.cancel()
      Stage.hostEnds()
    }
    // SAFETY: this thread alone uses it.
    var registration: CancelCallback.Pointer?
    let status = CancelCallback.register(
      { _ in Stage.add(1, to: .called) }, nil, drop: { _ in Stage.add(1, to: .over) },
      with: .task(Stage.task)
    ) { registration = $0 }
    Stage.expect(status == .ok || status == .cancelled, "a function is registered (C7)")
    if let registration { CancelCallback.detach(registration) }
    Stage.waitFor(.hosts, 1)
    Stage.close {
      Stage.expect(Stage.value(.called) <= 1, "a function runs once (C7)")
      Stage.expect(Stage.value(.over) == 1, "its drop has run once, when the task has ended (C7)")
      Stage.task.unpin()
    }
  }

  static let detachedFromToken = Scenario(
    name: "detached from a token",
    claim: "a registration is given up while its token is cancelled and released: one drop (C7)",
    preemptions: 3
  ) {
    Stage.open()
    let (made, token) = TokenReference.create()
    guard made == .ok, let token else { return Stage.expect(false, "there is a token") }
    // SAFETY: written before the host begins.
    given = token
    token.retain()
    Stage.host {
      if let token = given {
        _ = token.cancel(reason: 1, message: nil)
        token.release()
      }
      Stage.hostEnds()
    }
    var registration: CancelCallback.Pointer?
    let status = CancelCallback.register(
      { _ in Stage.add(1, to: .called) }, nil, drop: { _ in Stage.add(1, to: .over) },
      with: .token(token)
    ) { registration = $0 }
    Stage.expect(status == .ok || status == .cancelled, "a function is registered (C7)")
    if let registration { CancelCallback.detach(registration) }
    token.release()
    Stage.waitFor(.hosts, 1)
    Stage.close {
      Stage.expect(Stage.value(.called) == 1, "a function runs once (C7)")
      Stage.expect(Stage.value(.over) == 1, "its drop has run once (C7)")
    }
  }

  // SAFETY: the explorer runs one thread at a time, and the first makes it new for each execution.
  nonisolated(unsafe) private static var given: TokenReference?
}
