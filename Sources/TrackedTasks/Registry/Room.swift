import CPlatform
import Synchronization

// LOCKING
// The list of waiters is guarded by the Monitor of the registry that is full, which may be an
// ancestor of the one in question. Nothing is done under it but unparking.
//
// Why no room is missed: a waiter enters the list, counts itself in `roomWaiters` and then in
// `endWaiters`, and then reads whether there is room and whether the registry is closed. A thread
// that counts an end, raises the limit, or closes a gate does that first and reads the counter
// afterwards. All of it is sequentially consistent, so one of the two sees the other. Closing wakes
// the waiters of the registry, of its ancestors and of the groups inside: those are the lists on
// which one for it can be.

/// Waiting until another task would be admitted (S8).
///
/// Every waiter is woken when there is room, and each looks again: who waits need not take the room.
extension RegistryReference {
  /// Whether this registry, without its ancestors, has room for another task.
  private var hasRoomHere: Bool {
    let limit = pointer.pointee.maxTasks.load(ordering: .sequentiallyConsistent)
    if limit == 0 { return true }
    let ended = pointer.pointee.endings.total
    return gate.admitted &- ended < limit
  }

  /// The first of this registry and its ancestors that is full; nil if there is room.
  private var fullRegistry: RegistryReference? {
    var next: RegistryReference? = self
    while let registry = next {
      if !registry.hasRoomHere { return registry }
      next = registry.parent
    }
    return nil
  }

  /// Waits until there is room for another task, here and in the ancestors.
  ///
  /// - Parameter deadline: when to give up.
  /// - Returns: `.ok`, after which another thread may take the room; `.closed`; `.timedOut`;
  ///   `.cancelled` by the flag of the calling task; `.forked`.
  func waitForRoom(until deadline: Deadline) -> Status {
    if ProcessState.isForkedChild { return .forked }
    while true {
      if isClosed { return .closed }
      guard let full = fullRegistry else { return .ok }
      var isCounted = false
      let end = full.monitor.wait(for: WaitKey.room, until: deadline, noting: .room) {
        full.pointer.pointee.roomWaiters.wrappingAdd(1, ordering: .sequentiallyConsistent)
        full.pointer.pointee.endWaiters.wrappingAdd(1, ordering: .sequentiallyConsistent)
        isCounted = true
      } isReady: {
        full.hasRoomHere || isClosed
      }
      if isCounted {
        full.pointer.pointee.endWaiters.wrappingSubtract(1, ordering: .sequentiallyConsistent)
        full.pointer.pointee.roomWaiters.wrappingSubtract(1, ordering: .sequentiallyConsistent)
      }
      switch end {
      case .ready: continue
      case .timedOut: return .timedOut
      case .cancelled: return .cancelled
      }
    }
  }

  /// Spawns a task as soon as there is room.
  ///
  /// - Parameters:
  ///   - request: the task.
  ///   - timeout: nanoseconds to wait for room at the most; negative: as long as it takes.
  /// - Returns: as `spawn`; `.limit` if there was no room in time; `.cancelled` by the flag of the
  ///   calling task.
  @inline(never)
  func spawn(_ request: SpawnRequest, waitingForRoom timeout: Int64) -> (Status, TaskReference?) {
    let deadline = Deadline.after(timeout)
    var attempt = request
    attempt.triesAgain = true
    while true {
      let result = spawn(attempt)
      if result.0 != .limit { return result }
      let status = waitForRoom(until: deadline)
      if status == .ok { continue }
      if status == .forked { return (.forked, nil) }
      return (reject(request, status == .timedOut ? .limit : status), nil)
    }
  }

  /// Changes how many tasks may be alive at once (S8).
  ///
  /// - Parameter most: 0: no limit.
  func setMaxTasks(_ most: UInt64) {
    pointer.pointee.maxTasks.store(most, ordering: .sequentiallyConsistent)
    wakeRoomWaiters()
  }

  /// Wakes those who wait for room here, if there is some.
  func wakeRoomWaitersIfAny() {
    if pointer.pointee.roomWaiters.load(ordering: .sequentiallyConsistent) != 0 && hasRoomHere {
      wakeRoomWaiters()
    }
  }

  private func wakeRoomWaiters() {
    if pointer.pointee.roomWaiters.load(ordering: .sequentiallyConsistent) == 0 { return }
    monitor.withLock { $0.waiters.wake(WaitKey.room) }
  }

  /// Wakes those who wait for room in this registry, or in a group inside: it has closed.
  func wakeRoomWaitersOfClosed() {
    forEachInTree { registry in
      registry.wakeRoomWaiters()
      return true
    }
    forEachUpwards { $0.wakeRoomWaiters() }
  }
}
