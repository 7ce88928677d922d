/// The state that the registry's Monitor guards.
///
/// I1: `idleCount` == workers in the idle list; each of them is in no other list.
/// I2: `threadCount` == threads created whose end has not been collected; once orphaned, those not
///     departed; + adopted threads that have not given their worker back.
/// I3: once `isRetiring`, the idle list is empty and no worker enters it.
struct RegistryState: WaitableState {
  /// Threads blocked in a join, a task wait or a shutdown.
  var waiters = WaiterList()
  /// Workers that sleep without a task, the latest first.
  var idle = LinkedList<IdlePlace>()
  var idleCount = 0
  /// Workers whose threads have left, or are about to, and whose end has not been collected.
  ///
  /// The oldest comes first: it is the most likely to have ended. Once orphaned, `threadCount` does
  /// not count them.
  var departed: Worker.Pointer?
  /// The last of the departed workers.
  var lastDeparted: Worker.Pointer?
  /// Workers without a thread, for reuse.
  var spare: Worker.Pointer?
  /// The newest of the batches that contain all workers; freed with the registry.
  var batches: UnsafeMutablePointer<WorkerBatch>?
  var threadCount = 0
  /// How many of them run unjoined tasks (S9).
  var unjoinedThreads = 0
  var arena = StackArena()
  /// The groups, the newest first; see `Group.swift`.
  var groups = LinkedList<GroupPlace>()
  /// The reports that record ending tasks; see `SlowestTasks.swift`.
  var reports = LinkedList<ReportPlace>()
  /// How many callbacks are running that a shutdown waits for.
  ///
  /// In the root registry it includes the threads that run cancellation callbacks (`CallbackRun`).
  /// In each registry it includes log callbacks for events, here or in groups inside, for which no
  /// task keeps the registry from finishing (`UnheldLog.swift`).
  var callbackRuns = 0
  var isRetiring = false
  var isOrphaned = false

  func checkInvariants() {
    var count = 0
    var worker = idle.first
    while let current = worker {
      count += 1
      worker = idle.element(after: current)
    }
    idle.checkLinks()
    groups.checkLinks()
    reports.checkLinks()
    if count != idleCount || threadCount < idleCount {
      fatalError("I1, I2: the idle workers are miscounted")
    }
    if isRetiring && !idle.isEmpty { fatalError("I3: a registry that retires has idle workers") }
    if unjoinedThreads < 0 || unjoinedThreads > threadCount {
      fatalError("I2: the threads that run unjoined tasks are miscounted")
    }
    if callbackRuns < 0 { fatalError("fewer than no callback runs") }
    waiters.checkLinks()
  }
}
