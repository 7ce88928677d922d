import CPlatform
import Synchronization

/// One arming of the end of the process: its two threads, and all that they need (F1).
///
/// Everything that could be refused, or could wait for a lock, is done when it is made: the threads
/// run, their memory is touched, the descriptors are open. Afterwards only system calls are made
/// that no other thread can hold up. See LOCKING in `ExitBy.swift`.
struct ExitArming: ~Copyable {
  typealias Pointer = UnsafeMutablePointer<ExitArming>

  // atomic: how many of the two threads are ready. The first field: a futex. Released by them,
  // acquired by the thread that arms.
  let ready = Atomic<UInt32>(0)
  // atomic: see the diagram in `ExitBy.swift`. Acquire and release.
  let stage = Atomic<UInt8>(Stage.preparing)
  // atomic: when the time began, and through what; see `ExitStart`. Sequentially consistent.
  let startedAt: Atomic<Int64>
  // atomic: whether the descriptors are in the reporter's own table, no longer in the process's.
  // Released by the reporter before it is ready.
  let hasOwnTable = Atomic<Bool>(false)

  // immutable after init
  let bell: ExitBell.Pointer
  /// How many stops the bell had counted before.
  let earlierStops: UInt64
  let request: ExitRequest
  /// A duplicate of the caller's descriptor, above 2; negative: none.
  let output: Int32
  /// The file for the reason, above 2; negative: none.
  let reasonFile: Int32

  // Owned by the thread that arms, then by the one that has withdrawn the arming.
  var reporter = cp_thread(0)
  var ender = cp_thread(0)

  /// The stages of an arming.
  enum Stage {
    /// The stage until both threads are ready: nothing is ended.
    static var preparing: UInt8 { 0 }
    /// The stage until the time is over.
    static var armed: UInt8 { 1 }
    /// The stage once one of the threads has begun to end the process.
    static var ending: UInt8 { 2 }
    /// The stage once it is certain that nothing will be ended: the threads leave.
    static var withdrawn: UInt8 { 3 }
  }

  /// Makes an arming, whose threads are ready when this returns.
  ///
  /// - Returns: the status of `ExitBy.arm`, and the arming if that is `.ok`.
  static func start(_ request: ExitRequest, _ bell: ExitBell.Pointer) -> (Status, Pointer?) {
    // Read before the watch is asked whether a stop has come; see LOCKING.
    let earlierStops = bell.pointee.stops.load(ordering: .sequentiallyConsistent)
    let begin = ExitStart(.call, at: monotonicNow())
    let waits = request.startsWithSignal && !SignalWatch.hasStop
    guard let memory = malloc(MemoryLayout<ExitArming>.stride) else { return (.noMemory, nil) }
    let (output, outputError) = openOutput(request)
    if outputError != 0 {
      free(memory)
      cp_set_errno(outputError)
      return (.system, nil)
    }
    let (reasonFile, fileError) = openReasonFile(request)
    if fileError != 0 {
      if output >= 0 { cp_close(output) }
      free(memory)
      cp_set_errno(fileError)
      return (.system, nil)
    }
    let this = memory.bindMemory(to: ExitArming.self, capacity: 1)
    this.initialize(
      to: ExitArming(
        startedAt: Atomic(waits ? 0 : begin.bits), bell: bell, earlierStops: earlierStops,
        request: request, output: output, reasonFile: reasonFile))
    let status = this.startThreads()
    return status == .ok ? (.ok, this) : (status, nil)
  }

  private static func openOutput(_ request: ExitRequest) -> (Int32, error: Int32) {
    if request.descriptor < 0 { return (-1, 0) }
    let output = cp_duplicate(request.descriptor)
    return (output, output < 0 ? cp_errno() : 0)
  }

  private static func openReasonFile(_ request: ExitRequest) -> (Int32, error: Int32) {
    guard let path = request.reasonFile else { return (-1, 0) }
    // SAFETY: CChar and UInt8 have the same layout.
    let file = cp_open_to_write(
      UnsafeRawPointer(path).assumingMemoryBound(to: CChar.self), false)
    return (file, file < 0 ? cp_errno() : 0)
  }
}

extension ExitArming.Pointer {
  // MARK: Its life

  /// Starts both threads, and waits until they are ready; on failure nothing is kept.
  fileprivate func startThreads() -> Status {
    let (code, reporter) = startThread(
      stackSize: RegistryOptionsCore.defaultStackSize, argument: self,
      main: { ExitArming.Pointer(argument: $0).runReporter() })
    if code != 0 {
      closeDescriptors()
      free(self)
      return Self.status(of: code)
    }
    pointee.reporter = reporter
    let (enderCode, ender) = startThread(
      stackSize: RegistryOptionsCore.defaultStackSize, argument: self,
      main: { ExitArming.Pointer(argument: $0).runEnder() })
    if enderCode != 0 {
      awaitReady(1)
      _ = leave(ExitArming.Stage.preparing, for: ExitArming.Stage.withdrawn)
      pointee.bell.ring()
      _ = cp_thread_join(reporter)
      // Those in the process's table; the reporter's went with it.
      closeDescriptors()
      free(self)
      return Self.status(of: enderCode)
    }
    pointee.ender = ender
    awaitReady(2)
    // The reporter has its own; the process's are free again.
    if pointee.hasOwnTable.load(ordering: .acquiring) { closeDescriptors() }
    _ = leave(ExitArming.Stage.preparing, for: ExitArming.Stage.armed)
    pointee.bell.ring()
    return .ok
  }

  private static func status(of code: Int32) -> Status {
    if code == EAGAIN || code == ENOMEM { return .again }
    cp_set_errno(code)
    return .system
  }

  /// Waits until `count` threads are ready.
  private func awaitReady(_ count: UInt32) {
    while true {
      let ready = pointee.ready.load(ordering: .acquiring)
      if ready >= count { return }
      cp_futex_wait(self, ready, nil)
    }
  }

  /// The calling thread, one of the two, is ready.
  private func becomeReady() {
    pointee.ready.wrappingAdd(1, ordering: .acquiringAndReleasing)
    cp_futex_wake(self)
  }

  /// Takes the arming back, ends its threads and frees it.
  ///
  /// Requires that it is not the current one any more.
  ///
  /// - Returns: false if it has begun to end the process.
  func withdraw() -> Bool {
    if !leave(ExitArming.Stage.armed, for: ExitArming.Stage.withdrawn) { return false }
    pointee.bell.ring()
    _ = cp_thread_join(pointee.reporter)
    _ = cp_thread_join(pointee.ender)
    closeSharedDescriptors()
    free(self)
    return true
  }

  /// Claims the end of the process; false if the arming was withdrawn, or the other thread has
  /// claimed it.
  private func beginEnding() -> Bool {
    leave(ExitArming.Stage.armed, for: ExitArming.Stage.ending)
  }

  private func leave(_ stage: UInt8, for next: UInt8) -> Bool {
    pointee.stage.compareExchange(
      expected: stage, desired: next, ordering: .acquiringAndReleasing
    ).exchanged
  }

  /// Closes the descriptors if they are in the process's table; async-signal-safe.
  func closeSharedDescriptors() {
    if !pointee.hasOwnTable.load(ordering: .acquiring) { closeDescriptors() }
  }

  private func closeDescriptors() {
    if pointee.output >= 0 { cp_close(pointee.output) }
    if pointee.reasonFile >= 0 { cp_close(pointee.reasonFile) }
  }

  // MARK: Its threads

  fileprivate init(argument: UnsafeMutableRawPointer?) {
    // SAFETY: `startThreads` passes the arming, which lives until its threads are joined.
    self = argument.unsafelyUnwrapped.assumingMemoryBound(to: ExitArming.self)
  }

  /// The reporter: reports once the time is over, and ends the process.
  fileprivate func runReporter() -> UnsafeMutableRawPointer? {
    beginOwnThread("taskreg-exit")
    takeDescriptors()
    // Everything is called once, so that nothing has to be loaded, looked up or mapped later.
    ExitReport(self, rehearses: true).rehearse()
    becomeReady()
    if !sleepUntilDue(plus: 0) || !beginEnding() { return nil }
    let report = ExitReport(self)
    if pointee.reasonFile >= 0 { report.writeReason(to: pointee.reasonFile) }
    if pointee.output >= 0 { report.write(to: pointee.output) }
    endProcess()
  }

  /// The ender: ends the process if the reporter has not done so in its time.
  fileprivate func runEnder() -> UnsafeMutableRawPointer? {
    beginOwnThread("taskreg-end")
    becomeReady()
    if !sleepUntilDue(plus: pointee.request.reportTime) { return nil }
    if !beginEnding() && pointee.stage.load(ordering: .acquiring) == ExitArming.Stage.withdrawn {
      return nil
    }
    endProcess()
  }

  private func endProcess() -> Never {
    if pointee.request.aborts { cp_end_process_by_abort() }
    cp_end_process(pointee.request.code)
  }

  /// Gives the reporter a descriptor table of its own, where the system permits it: there the
  /// descriptors cannot be closed by the program, and others are always available.
  private func takeDescriptors() {
    let (output, file) = (pointee.output, pointee.reasonFile)
    if output < 0 && file < 0 { return }
    let isDone =
      output < 0 ? cp_use_only_descriptors(file, -1) : cp_use_only_descriptors(output, file)
    if isDone { pointee.hasOwnTable.store(true, ordering: .releasing) }
  }

  /// Sleeps until `extra` nanoseconds after the time of the end.
  ///
  /// - Returns: false if the calling thread must leave: the arming was withdrawn, or no thread is
  ///   left that the process lives for (P9).
  private func sleepUntilDue(plus extra: Int64) -> Bool {
    while true {
      let seen = pointee.bell.pointee.event.load(ordering: .acquiring)
      let stage = pointee.stage.load(ordering: .acquiring)
      if stage == ExitArming.Stage.withdrawn { return false }
      let due = stage == ExitArming.Stage.preparing ? .never : self.due.extended(by: extra)
      if due.hasPassed { return true }
      MainThread.beginWaiting()
      let isOver = MainThread.isLastToWait
      if !isOver {
        let check = MainThread.nextCheck
        let until = check.nanoseconds < due.nanoseconds ? check : due
        if until.isNever {
          cp_futex_wait(pointee.bell, seen, nil)
        } else {
          var limit = until.timespec
          cp_futex_wait(pointee.bell, seen, &limit)
        }
      }
      MainThread.endWaiting()
      if isOver { return false }
    }
  }

  /// When the process is to end; never as long as nothing says when.
  private var due: Deadline {
    if let stall = pointee.bell.pointee.stall { return Deadline(nanoseconds: stall.at) }
    if start.cause == .none {
      if pointee.bell.pointee.stops.load(ordering: .sequentiallyConsistent) == pointee.earlierStops
      {
        return .never
      }
      let stop = pointee.bell.pointee.lastStop.load(ordering: .sequentiallyConsistent)
      // The other thread may have been faster.
      _ = pointee.startedAt.compareExchange(
        expected: 0, desired: stop, ordering: .sequentiallyConsistent)
    }
    return Deadline(nanoseconds: start.time).extended(by: pointee.request.after)
  }

  /// When the time began, and through what.
  var start: ExitStart {
    ExitStart(bits: pointee.startedAt.load(ordering: .sequentiallyConsistent))
  }
}
