import Glibc
import Synchronization
import Testing

@testable import TrackedTasks

// Claim: a reader of progress sees numbers of one report, never older ones than it saw before, and
// never waits for the reporting task, wherever that has stopped.

/// A task's notes, as other threads read them.
@Suite struct TaskActivityTests {
  /// The notes of a task that has reported nothing.
  private static func makeActivity() -> TaskActivity.Pointer {
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: MemoryLayout<TaskActivity>.size, alignment: MemoryLayout<TaskActivity>.alignment)
    memset(memory, 0, MemoryLayout<TaskActivity>.size)
    return memory.bindMemory(to: TaskActivity.self, capacity: 1)
  }

  private static func progress(_ number: UInt64) -> Progress {
    Progress(
      done: number, total: 2 &* number, unit: UnsafePointer(bitPattern: UInt(3 &* number)),
      at: Int64(bitPattern: 4 &* number))
  }

  private static func isWhole(_ progress: Progress) -> Bool {
    progress.total == 2 &* progress.done
      && UInt64(UInt(bitPattern: progress.unit)) == 3 &* progress.done
      && UInt64(bitPattern: progress.at) == 4 &* progress.done
  }

  /// **Proves:** the claim above, with one task that reports without a pause and two readers (E3).
  ///
  /// **Why it matters:** "90 of 10 blocks" is not credible, and a shutdown decides by it.
  /// **Catches:** a single slot; the count stored before the slot; no second read of the count.
  @Test func progressIsNeverMixed() {
    // SAFETY: freed when all threads have ended; all its fields are atomics.
    nonisolated(unsafe) let activity = Self.makeActivity()
    let readers = 2
    let reads = 300_000
    let seen = Locked<[String]>([])
    let ended = Counter()
    onThreads(1 + readers) { number in
      if number == 0 {
        // As long as a reader runs.
        var round: UInt64 = 0
        while ended.value < readers {
          round += 1
          activity.pointee.store(Self.progress(round))
        }
        return
      }
      var last: UInt64 = 0
      for _ in 0..<reads {
        let progress = activity.pointee.progress
        if !Self.isWhole(progress) || progress.done < last {
          seen.withLock { $0.append("\(progress) after \(last)") }
          break
        }
        last = progress.done
      }
      ended.add()
    }
    #expect(seen.value.isEmpty, "\(seen.value.first ?? "")")
    activity.deallocate()
  }

  /// **Proves:** a task that has stopped in the middle of a report holds no reader up: the report
  /// before is read (E3).
  ///
  /// **Why it matters:** a report is made of tasks that hang, and must not hang with them.
  /// **Catches:** a sequence lock, whose readers wait while the count is odd.
  @Test func whoStopsInTheMiddleHoldsNobodyUp() {
    let activity = Self.makeActivity()
    #expect(activity.pointee.progress.at == 0)
    for number in 1...UInt64(20) {
      // The next report stops at each of its fields in turn.
      for stopped in 0..<4 {
        let count = activity.pointee.progressCount.load(ordering: .relaxed)
        func write(_ slot: borrowing ProgressSlot) {
          slot.done.store(99, ordering: .relaxed)
          if stopped > 0 { slot.total.store(77, ordering: .relaxed) }
          if stopped > 1 { slot.unit.store(55, ordering: .relaxed) }
          if stopped > 2 { slot.at.store(33, ordering: .relaxed) }
        }
        if count & 1 == 0 {
          write(activity.pointee.oddProgress)
        } else {
          write(activity.pointee.evenProgress)
        }
        let progress = activity.pointee.progress
        #expect(Self.isWhole(progress) && progress.done == number - 1, "\(progress)")
      }
      activity.pointee.store(Self.progress(number))
      #expect(activity.pointee.progress.done == number && Self.isWhole(activity.pointee.progress))
    }
    activity.deallocate()
  }

  /// **Proves:** the same as the claim by way of a task and its registry's list, and the same
  /// numbers reported again are not progress (E3, E4).
  ///
  /// **Why it matters:** a loop that reports the same numbers repeatedly would extend a deadline
  /// indefinitely.
  /// **Catches:** the time of the call recorded, whatever it reported.
  @Test func listsShowOneReport() throws {
    let registry = try TaskRegistry()
    let began = Gate()
    let stop = Gate()
    try registry.spawn("reports", kind: .maintenance) { task in
      task.progress(1, of: 2)
      let first = registry.snapshot().first?.progress
      task.progress(1, of: 2, unit: "blocks")
      let again = registry.snapshot().first?.progress
      #expect(first?.reportedAt == again?.reportedAt && again?.unit == "blocks")
      began.open()
      var number: UInt64 = 1
      while !stop.isOpen {
        for _ in 0..<100 {
          number += 1
          task.progress(number, of: 2 * number)
        }
      }
    }
    began.wait()
    for _ in 0..<2_000 {
      let progress = try #require(registry.snapshot().first?.progress)
      if progress.total != 2 * progress.done { Issue.record("\(progress)") }
    }
    stop.open()
    try registry.shutdown(grace: ample)
  }
}
