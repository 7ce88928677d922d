import CModel
import CPlatform

/// One small program to be run in every interleaving.
struct Scenario {
  let name: StaticString
  /// The claim, and the rules.
  let claim: StaticString
  /// How often a thread that could continue is interrupted; negative: any number of times.
  var preemptions: Int32 = -1
  /// The same with the orders of C++11, where an access has more than one outcome; nil: one less, two
  /// at the most.
  var weakPreemptions: Int32?
  /// How many time-outs may come while others could run.
  var timeouts: Int32 = 0
  let body: @convention(c) () -> Void

  /// Explores it, and prints a line; ends the process if a property is broken.
  func explore(_ effort: Effort) {
    var run = model_run()
    run.name = name.cText
    run.body = body
    var bound = preemptions
    if effort.isWeak {
      bound = weakPreemptions ?? (preemptions < 0 ? 2 : min(2, max(0, preemptions - 1)))
    }
    if bound >= 0 { bound = max(0, bound + effort.deeper) }
    run.preemptions = bound
    run.timeouts = timeouts
    run.isWeak = effort.isWeak
    run.stale = effort.stale
    let start = Stage.seconds
    let result = model_explore(&run)
    let seconds = (Stage.seconds - start) * 10
    print(
      "\(name): \(result.states) states, \(result.executions) executions, \(result.steps) steps,",
      bound < 0 ? "all preemptions," : "up to \(bound) preemptions,",
      effort.isWeak ? "weak orders, up to \(effort.stale) stale accesses," : "one order,",
      "\(seconds.rounded() / 10) s: \(claim)")
  }
}

/// The state that the threads of a scenario share.
///
/// All of it is set before the first of them is created, except for the words, which change by
/// `model_add`.
enum Stage {
  // SAFETY: written by the first thread of an execution before it makes others.
  nonisolated(unsafe) private static var madeRegistry: RegistryReference?
  // SAFETY: likewise.
  nonisolated(unsafe) private static var heldTask: TaskReference?
  // SAFETY: likewise.
  nonisolated(unsafe) private static var otherHeldTask: TaskReference?
  // SAFETY: the explorer runs one thread at a time.
  nonisolated(unsafe) private static let words = UnsafeMutablePointer<Int32>.allocate(capacity: 8)

  static var registry: RegistryReference { madeRegistry.unsafelyUnwrapped }
  static var token: TokenReference { registry.token }
  /// The task of the last `hold`.
  static var task: TaskReference { heldTask.unsafelyUnwrapped }
  /// The task of the last `holdOther`.
  static var other: TaskReference { otherHeldTask.unsafelyUnwrapped }

  /// A number that threads change and wait for.
  enum Word: Int {
    case begun, over, live, hosts, called, dropped, firsts, accepted
  }

  static func add(_ value: Int32, to word: Word) { model_add(words + word.rawValue, value) }
  static func waitFor(_ word: Word, _ value: Int32) { model_await(words + word.rawValue, value) }
  static func value(_ word: Word) -> Int32 { model_value(words + word.rawValue) }

  /// Resets the stage, with a registry whose threads wait indefinitely for a task.
  static func open(_ change: (inout RegistryOptionsCore) -> Void = { _ in }) {
    words.update(repeating: 0, count: 8)
    var options = RegistryOptionsCore()
    options.idleNanoseconds = -1
    // An abort grace is a time-out more in every deadline.
    options.abortGrace = -1
    change(&options)
    let (status, made) = RegistryReference.create(options, token: nil)
    expect(status == .ok, "a registry is made")
    // The process's list of registries, one block with its lock, is never freed (`MainThread`).
    model_keep_blocks(1)
    madeRegistry = made
  }

  /// Waits for the application's own threads, shuts the registry down, and releases it: every
  /// scenario ends this way, and the explorer checks whether memory or threads are left.
  ///
  /// - Parameters:
  ///   - hosts: how many threads of its own the application has.
  ///   - last: a check that runs when nothing is left.
  static func close(hosts: Int32 = 0, _ last: () -> Void = {}) {
    waitFor(.hosts, hosts)
    while true {
      let (status, tally) = registry.shutdown(endless) { _, _ in }
      if status == .ok { break }
      // Where time passes as it likes, the second for threads that have no task may be over.
      expect(
        status == .deadline && tally.pending == 0 && tally.threadsLeft > 0,
        "a shutdown without a deadline ends well (G4)")
    }
    expect(registry.count == 0, "nothing is left after a shutdown (N1)")
    last()
    registry.release()
  }

  /// A shutdown without a deadline.
  static var endless: ShutdownRequest { ShutdownRequest(reason: 1, message: nil, grace: -1) }

  /// A thread of the application's own; it says that it has ended by `hostEnds`.
  static func host(_ body: @convention(c) () -> Void) { model_thread(body) }
  static func hostEnds() { add(1, to: .hosts) }

  /// A group of the registry.
  static func group(_ change: (inout RegistryOptionsCore) -> Void = { _ in }) -> RegistryReference {
    var options = registry.options
    change(&options)
    let (_, group) = registry.createGroup(named: TaskName(), options)
    expect(group != nil, "a group is made")
    return group.unsafelyUnwrapped
  }

  @discardableResult
  static func spawn(
    in group: RegistryReference? = nil, handle: Bool = false, number: UInt32 = 1,
    cleanup: Bool = false, phase: UInt32 = 0, unjoined: Bool = false,
    _ body: @escaping TaskBody
  ) -> (status: Status, task: TaskReference?) {
    var request = SpawnRequest(
      name: TaskName(), kind: number, body: body, context: nil, drop: nil)
    for place in 0..<8 { request.name.words[place] = 0 }
    request.name.words[0] = UInt64(number)
    request.wantsHandle = handle
    request.isCleanup = cleanup
    request.traits = .phase(phase)
    if unjoined { request.traits.insert(.unjoined) }
    request.drop = { _ in Stage.add(1, to: .dropped) }
    return (group ?? registry).spawn(request)
  }

  /// Spawns a task whose handle is `task` from now on.
  static func hold(_ body: @escaping TaskBody) {
    hold(spawn(handle: true, body))
  }

  /// The handle of a task is `task` from now on.
  static func hold(_ made: (status: Status, task: TaskReference?)) {
    expect(made.status == .ok && made.task != nil, "an open registry accepts a task")
    heldTask = made.task
  }

  /// Spawns a task whose handle is `other` from now on.
  static func holdOther(_ body: @escaping TaskBody) {
    let (status, task) = spawn(handle: true, body)
    expect(status == .ok && task != nil, "an open registry accepts a task")
    otherHeldTask = task
  }

  static func expect(_ condition: Bool, _ what: StaticString) {
    if !condition { model_fail(what.cText) }
  }

  /// Seconds on a clock of no execution.
  static var seconds: Double { model_seconds() }
}
