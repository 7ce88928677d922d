import CModel
import CPlatform

/// Registrations that are given up while their function stays registered (C7).
extension Scenario {
  static let detachments = [detachedFromTask, detachedFromToken, detachedFromChild]

  static let detachedFromTask = Scenario(
    name: "detached from a task",
    claim:
      "a registration is given up while its task is asked to stop and ends: one drop, and no function without a request (C7)",
    preemptions: 2
  ) {
    Stage.open()
    Stage.hold(short)
    Stage.host {
      Stage.task.cancel()
      Stage.hostEnds()
    }
    giveUp(registeredWith: .task(Stage.task))
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
    let token = makeToken()
    // SAFETY: written before the host begins.
    given = token
    token.retain()
    Stage.host {
      if let token = given {
        _ = token.cancel(reason: 1, message: nil)
        token.release(callsApplication: true)
      }
      Stage.hostEnds()
    }
    giveUp(registeredWith: .token(token))
    token.release(callsApplication: true)
    Stage.waitFor(.hosts, 1)
    Stage.expect(Stage.value(.called) == 1, "a function runs once (C7)")
    Stage.expect(Stage.value(.over) == 1, "its drop has run once (C7)")
    Stage.close()
  }

  static let detachedFromChild = Scenario(
    name: "detached from a child",
    claim:
      "the last reference to a child token is released while its parent is cancelled: one drop, and the function runs if the child was cancelled (C7)",
    preemptions: 2
  ) {
    Stage.open()
    // The timer thread's state, of two blocks, and its lock are never freed; a walk may have made
    // them or not.
    Stage.expect(TimerThread.hold() == .ok, "there is a timer thread")
    TimerThread.change { $0.holds -= 1 }
    model_keep_blocks(2)
    let parent = makeToken()
    let (made, child) = TokenReference.create(childOf: parent)
    guard made == .ok, let child else { return Stage.expect(false, "there is a child") }
    // SAFETY: written before the host begins.
    given = parent
    parent.retain()
    Stage.host {
      if let parent = given {
        _ = parent.cancel(reason: 1, message: nil)
        parent.release(callsApplication: true)
      }
      Stage.hostEnds()
    }
    giveUp(registeredWith: .token(child))
    let isCancelled = child.isCancelled
    child.release(callsApplication: true)
    parent.release(callsApplication: true)
    Stage.waitFor(.hosts, 1)
    // A walk that held the child last has left it to an event thread.
    Stage.waitFor(.over, 1)
    Stage.close {
      Stage.expect(Stage.value(.over) == 1, "its drop has run once (C7)")
      Stage.expect(Stage.value(.called) <= 1, "a function runs once (C7)")
      Stage.expect(
        !isCancelled || Stage.value(.called) == 1, "it runs if its token was cancelled (C7)")
    }
  }

  /// Registers a function, and gives its registration up.
  private static func giveUp(registeredWith owner: CancelCallback.Owner) {
    // SAFETY: this thread alone uses it.
    var registration: CancelCallback.Pointer?
    let status = CancelCallback.register(
      { _ in Stage.add(1, to: .called) }, nil, drop: { _ in Stage.add(1, to: .over) }, with: owner,
      publish: { registration = $0 })
    Stage.expect(status == .ok || status == .cancelled, "a function is registered (C7)")
    if let registration { CancelCallback.detach(registration) }
  }

  private static func makeToken() -> TokenReference {
    let (made, token) = TokenReference.create()
    Stage.expect(made == .ok, "there is a token")
    return token.unsafelyUnwrapped
  }

  // SAFETY: the explorer runs one thread at a time, and the first makes it new for each execution.
  nonisolated(unsafe) private static var given: TokenReference?
}
