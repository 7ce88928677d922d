import CPlatform
import Synchronization

/// How the thread of one task is scheduled, where that is not as its registry's threads are (S10).
struct SchedulingWish {
  /// The kernel's number of a policy; -1: the registry's, with its priority.
  var policy: Int32 = -1
  /// For the policies of real time.
  var priority: UInt32 = 0
  /// What is added to the registry's nice value.
  var niceAdded: Int32 = 0
  /// How many words `cpus` has; 0: the registry's affinity.
  var cpuWords = 0
  /// CPU n is bit n % 64 of word n / 64; valid during the spawn, and then a part of the kept wish.
  var cpus: UnsafePointer<UInt64>?

  /// The most CPUs that can be named.
  static var mostCPUs: Int { 1024 }

  /// Whether it wishes for anything.
  var isEmpty: Bool { policy < 0 && niceAdded == 0 && cpuWords == 0 }

  /// Whether each part is one that some system accepts.
  var isValid: Bool {
    let isRealTime = policy == cp_sched_fifo() || policy == cp_sched_rr()
    guard isRealTime ? (1...99).contains(priority) : priority == 0 else { return false }
    guard (-40...40).contains(niceAdded), !isRealTime || niceAdded == 0 else { return false }
    if cpuWords == 0 { return true }
    guard let cpus, cpuWords <= Self.mostCPUs / 64 else { return false }
    for word in 0..<cpuWords where cpus[word] != 0 { return true }
    return false
  }

  /// A copy in memory of its own; nil without memory.
  fileprivate func keep() -> UnsafeMutablePointer<SchedulingWish>? {
    let size = MemoryLayout<SchedulingWish>.stride
    guard let memory = malloc(size + cpuWords * 8) else { return nil }
    let kept = memory.bindMemory(to: SchedulingWish.self, capacity: 1)
    kept.initialize(to: self)
    if let cpus {
      memcpy(memory + size, cpus, cpuWords * 8)
      kept.pointee.cpus = UnsafePointer((memory + size).assumingMemoryBound(to: UInt64.self))
    }
    return kept
  }
}

extension TaskReference {
  /// Keeps a copy of the wish for a task that is being spawned.
  ///
  /// - Returns: `.ok`; `.noMemory`.
  func prepareScheduling(_ wish: SchedulingWish) -> Status {
    let kept = wish.keep()
    activity.pointee.scheduling.store(UInt(bitPattern: kept), ordering: .relaxed)
    return kept == nil ? .noMemory : .ok
  }

  /// Frees it; the task's body does not run again.
  func endScheduling() {
    let bits = activity.pointee.scheduling.exchange(0, ordering: .relaxed)
    free(UnsafeMutableRawPointer(bitPattern: bits))
  }

  /// Schedules the calling thread, which is about to enter the task's body, as was wished for.
  ///
  /// The body runs also if the system refuses that; an event says so.
  func applyScheduling() {
    let bits = activity.pointee.scheduling.load(ordering: .relaxed)
    guard let wish = UnsafePointer<SchedulingWish>(bitPattern: bits) else { return }
    let refused = cp_reschedule(
      wish.pointee.policy, wish.pointee.priority, wish.pointee.niceAdded, wish.pointee.cpus,
      wish.pointee.cpuWords)
    if refused.scheduling == 0 && refused.affinity == 0 { return }
    if !registry.options.log.isListening { return }
    Worker.current?.pointee.hasRunCallbacks = true
    let code = refused.scheduling != 0 ? refused.scheduling : refused.affinity
    send(event: LogEventNumber.schedulingRefused, LogEventNumber.warning, code: code) { line in
      line.append("the system has refused ")
      if refused.scheduling != 0 {
        line.append("its policy or nice value (error ")
        line.append(refused.scheduling)
        line.append(refused.affinity != 0 ? ") and " : ")")
      }
      if refused.affinity != 0 {
        line.append("its affinity (error ")
        line.append(refused.affinity)
        line.append(")")
      }
    }
  }
}
