import CTaskReg

@implementation @_cdecl("tr_len")
public func tr_len(_ handle: OpaquePointer?) -> Int {
  registry(handle).map { Int($0.count) } ?? 0
}

@implementation @_cdecl("tr_is_empty")
public func tr_is_empty(_ handle: OpaquePointer?) -> Int32 {
  if ProcessState.isForkedChild { return 0 }
  return registry(handle).map { $0.count == 0 ? 1 : 0 } ?? 1
}

@implementation @_cdecl("tr_snapshot")
public func tr_snapshot(
  _ handle: OpaquePointer?, _ buffer: UnsafeMutablePointer<tr_task_summary>?,
  _ capacity: Int, _ count: UnsafeMutablePointer<Int>?
) -> tr_status {
  withRegistry(handle, "tr_snapshot") { registry in
    guard let count else { return invalid("tr_snapshot", null: "count") }
    guard
      let array = SummaryArray(
        buffer, capacity: UInt64(UInt(bitPattern: capacity)), "tr_snapshot", "buffer")
    else { return Status.invalid.code }
    let live = registry.list(for: SummaryLister(array: array, clocks: .now))
    count.pointee = live
    return buffer != nil && live > array.capacity ? Status.truncated.code : Status.ok.code
  }
}

extension TaskFacts {
  /// What a list says of the options that it was spawned with: `TR_SPAWN_…`.
  @inline(__always)
  var flags: UInt32 {
    (word.isCleanup ? TR_SPAWN_CLEANUP : 0) | (isJoinable ? 0 : TR_SPAWN_UNJOINED)
  }
}

/// A caller's array of `tr_task_summary`.
typealias SummaryArray = CallersArray<tr_task_summary>

extension CallersArray where Element == tr_task_summary {
  /// Copies the name, the kind, the time of the spawn and its origin into element `index`, if there is
  /// room.
  @inline(__always)
  func copy(_ task: TaskReference, to index: Int) {
    guard let element = place(of: index) else { return }
    withUnsafeMutableBytes(of: &element.pointee.name) { bytes in
      for i in 0..<8 {
        bytes.storeBytes(of: task.pointer.pointee.name[i], toByteOffset: i * 8, as: UInt64.self)
      }
    }
    element.pointee.kind = task.kind
    element.pointee.spawned_at_ns = task.spawnedAt
    element.pointee.parent_id = task.parent
    element.pointee.spawn_address = task.spawnedFrom
  }

  /// Stores the facts as element `index`, if there is room.
  func store(_ facts: TaskFacts, at index: Int, _ readClocks: @autoclosure () -> ClockPair) {
    guard let place = place(of: index) else { return }
    let clocks = readClocks()
    fill(place, size: elementSize) { store(facts, in: $0, clocks) }
  }

  /// Stores the facts of a stalled task or thread, and the wait of the library in which it sleeps.
  func store(stalled facts: TaskFacts, at index: Int, _ clocks: ClockPair) {
    guard let place = place(of: index) else { return }
    fill(place, size: elementSize) {
      store(facts, in: $0, clocks)
      guard let wait = facts.activity?.record?.checkedWait(ofTask: facts.id) else { return }
      $0.pointee.library_wait = UInt32(wait.kind.rawValue)
      $0.pointee.library_waited_ns = wait.waited(at: clocks.monotonic)
    }
  }

  private func store(
    _ facts: TaskFacts, in element: UnsafeMutablePointer<tr_task_summary>, _ clocks: ClockPair
  ) {
    withUnsafeMutableBytes(of: &element.pointee.name) { bytes in
      for i in 0..<8 {
        bytes.storeBytes(of: facts.name.words[i], toByteOffset: i * 8, as: UInt64.self)
      }
    }
    element.pointee.kind = facts.kind
    element.pointee.spawned_at_ns = facts.spawnedAt
    element.pointee.parent_id = facts.parent
    element.pointee.spawn_address = facts.spawnedFrom
    let state = facts.state
    store(facts.plain, state, facts.flags, in: element, clocks)
    guard let activity = facts.activity else { return storeNoActivity(in: element) }
    store(activity, state, in: element, at: clocks.monotonic)
    if !activity.isLabelled {
      element.pointee.label.0 = 0
      return
    }
    let label = facts.label
    withUnsafeMutableBytes(of: &element.pointee.label) { bytes in
      for i in 0..<16 {
        bytes.storeBytes(of: label.words[i], toByteOffset: i * 8, as: UInt64.self)
      }
    }
  }

  /// Stores the facts of a task without optional state, but for what is copied.
  @inline(__always)
  fileprivate func store(plain facts: PlainFacts, at index: Int, _ clocks: ClockPair) {
    guard let place = place(of: index) else { return }
    fill(place, size: elementSize) { element in
      store(facts, facts.state, facts.word.isCleanup ? TR_SPAWN_CLEANUP : 0, in: element, clocks)
      storeNoActivity(in: element)
    }
  }

  /// Stores what every task has, but for what is copied.
  @inline(__always)
  private func store(
    _ facts: PlainFacts, _ state: TaskFacts.State, _ flags: UInt32,
    in element: UnsafeMutablePointer<tr_task_summary>, _ clocks: ClockPair
  ) {
    element.pointee.size = elementSize
    element.pointee.state = state.rawValue
    element.pointee.id = facts.id
    element.pointee.thread_id = facts.threadID
    let age = clocks.monotonic &- element.pointee.spawned_at_ns
    element.pointee.spawned_at_unix_ns = clocks.wall &- age
    element.pointee.age_ns = age > 0 ? age : 0
    element.pointee.cancel_requested = facts.word.isCancelRequested ? 1 : 0
    element.pointee.flags = flags
    element.pointee.cancel_requested_at_ns = facts.cancelledAt
    element.pointee.stop_level = facts.word.level.rawValue
    element.pointee.library_wait = 0
    element.pointee.library_waited_ns = -1
    withUnsafeMutableBytes(of: &element.pointee.group) { bytes in
      let registry = facts.registry.pointer
      let count = registry.pointee.path.isEmpty ? 1 : 16
      for i in 0..<count {
        bytes.storeBytes(of: registry.pointee.path.words[i], toByteOffset: i * 8, as: UInt64.self)
      }
    }
  }

  /// Stores zeros for the fields that few tasks have.
  @inline(__always)
  private func storeNoActivity(in element: UnsafeMutablePointer<tr_task_summary>) {
    element.pointee.checkpoint = nil
    element.pointee.progress_done = 0
    element.pointee.progress_total = 0
    element.pointee.progress_unit = nil
    element.pointee.progress_at_ns = 0
    element.pointee.phase = 0
    element.pointee.stalled = 0
    element.pointee.draining_for_ns = -1
    element.pointee.runs = 0
    element.pointee.starts_in_ns = -1
    element.pointee.last_how = 0
    element.pointee.last_code = 0
    element.pointee.label.0 = 0
  }

  /// Stores the fields that few tasks have.
  private func store(
    _ activity: ActivityFacts, _ state: TaskFacts.State,
    in element: UnsafeMutablePointer<tr_task_summary>, at now: Int64
  ) {
    element.pointee.checkpoint = activity.checkpoint?.chars
    element.pointee.progress_done = activity.progress.done
    element.pointee.progress_total = activity.progress.total
    element.pointee.progress_unit = activity.progress.unit?.chars
    element.pointee.progress_at_ns = activity.progress.at
    element.pointee.phase = activity.phase
    element.pointee.stalled = activity.isStalled ? 1 : 0
    element.pointee.draining_for_ns = activity.drainingFor(at: now)
    element.pointee.runs = activity.runs
    element.pointee.starts_in_ns = activity.startsIn(state, at: now)
    element.pointee.last_how = activity.lastEnding
    element.pointee.last_code = activity.lastCode
  }
}

/// Fills an array with the tasks that a walk visits.
private struct SummaryLister: FactsVisitor {
  let array: SummaryArray
  let clocks: ClockPair

  @inline(__always)
  func copy(_ task: TaskReference, to index: Int) { array.copy(task, to: index) }

  func visit(_ index: Int, _ facts: TaskFacts) { array.store(facts, at: index, clocks) }

  @inline(__always)
  func visit(_ index: Int, plain facts: PlainFacts) {
    array.store(plain: facts, at: index, clocks)
  }
}
