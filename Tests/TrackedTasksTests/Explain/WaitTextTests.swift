import Testing

@testable import TrackedTasks

/// What a report says in words of the waits of its stragglers.
@Suite struct WaitTextTests {
  /// Makes a report on copies of a task that sleeps, each changed by `change`, and finds out who
  /// holds up whom.
  ///
  /// - Returns: the first lines, and the line of the first straggler's wait.
  private func text(
    _ count: Int, _ change: (inout StragglerFacts, Int) -> Void
  ) throws -> String {
    let registry = try TaskRegistry()
    let task = try registry.spawnSleeper("sleeper")
    let facts = try #require(task.core.facts(in: registry.core))
    let report = try #require(ReportReference.make())
    report.makeRoom(for: UInt64(count))
    for index in 0..<count {
      #expect(task.core.pin())
      var straggler = StragglerFacts(facts, task: task.core)
      straggler.facts.id = UInt64(index + 1)
      straggler.diagnosis = .blocked
      change(&straggler, index)
      (report.stragglers + index).initialize(to: straggler)
    }
    report.pointer.pointee.stragglerCount = count
    report.findHolders(withThreads: false)
    report.findAlike()
    let file = TemporaryFile()
    let status = withTextWriter(.descriptor(file.descriptor)) { writer in
      report.writeCauses(to: &writer)
      report.writeWait(ofNode: 0, to: &writer)
    }
    #expect(status == .ok)
    report.destroy()
    task.cancel()
    _ = try registry.joinAll()
    return String(decoding: file.bytes, as: UTF8.self)
  }

  /// **Proves:** a condition variable of which no address is known has none in the text (Q5).
  ///
  /// **Why it matters:** "condition variable or semaphore 0x0" reads like a defect of the program.
  ///
  /// **Catches:** an address of 0 that is written.
  @Test func aPlaceThatIsNotKnownIsNotWritten() throws {
    let unknown = try text(1) { straggler, _ in straggler.thread.edge = WaitEdge(kind: .signal) }
    #expect(unknown == "  waits to be signalled: condition variable or semaphore\n")
    let known = try text(1) { straggler, _ in
      straggler.thread.edge = WaitEdge(kind: .signal, address: 0x10)
    }
    #expect(known == "  waits to be signalled: condition variable or semaphore 0x10\n")
  }

  /// **Proves:** a task that is waited for and has ended between the probe of the one and that of
  /// the other is one that has ended, and not one of another report (Q3).
  ///
  /// **Why it matters:** the report lists it.
  ///
  /// **Catches:** ended stragglers that are left out of the search by id.
  @Test func aTaskThatHasEndedMeanwhileIsListed() throws {
    let text = try text(2) { straggler, index in
      if index == 0 {
        straggler.thread.edge = WaitEdge(kind: .task)
        straggler.thread.edge.task = 2
      } else {
        straggler.task?.unpin()
        straggler.task = nil
        straggler.diagnosis = .ended
      }
    }
    #expect(text == "  waits for task #2 (sleeper, which has ended)\n")
  }

  /// **Proves:** of a task that is waited for and has no thread yet, it is said that it has not
  /// started, in the first line and in the chain (Q5).
  ///
  /// **Why it matters:** "(thread 0), which waits; what it waits for is not known" sends people to
  /// look for a thread that does not exist.
  ///
  /// **Catches:** a thread id of 0 that is written.
  @Test func aTaskThatHasNotStartedHasNoThread() throws {
    let text = try text(2) { straggler, index in
      if index == 0 {
        straggler.thread.edge = WaitEdge(kind: .task)
        straggler.thread.edge.task = 2
      } else {
        straggler.facts.threadID = 0
        straggler.thread.edge = .unknown(.noThread)
        straggler.diagnosis = .starting
      }
    }
    let first = "1 task waits for the end of sleeper, which has not started\n"
    #expect(text == first + "  waits for task #2 (sleeper), which has not started\n")
  }
}
