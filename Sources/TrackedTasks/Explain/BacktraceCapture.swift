import CPlatform
import Synchronization

// LOCKING: see `Backtrace.swift`.

/// The steps of one capture.
extension UnsafeMutablePointer<Backtrace> {
  // MARK: The asker's steps

  /// Gets the slot.
  ///
  /// - Returns: the number of the capture, shifted to its place in the word; nil if another capture
  ///   took too long.
  func hold(until deadline: Deadline) -> UInt32? {
    var old = pointee.word.load(ordering: .acquiring)
    while true {
      if old & Backtrace.Stage.mask == Backtrace.Stage.free {
        let capture = old &+ Backtrace.Stage.oneCapture
        let (done, seen) = pointee.word.compareExchange(
          expected: old, desired: capture | Backtrace.Stage.held, ordering: .acquiring)
        if done { return capture }
        old = seen
      } else {
        if deadline.hasPassed { return nil }
        sleep(while: old, until: deadline)
        old = pointee.word.load(ordering: .acquiring)
      }
    }
  }

  /// Sleeps until the frames are there, or the deadline has passed.
  func awaitAnswer(to capture: UInt32, until deadline: Deadline) {
    while true {
      let word = pointee.word.load(ordering: .acquiring)
      if word == capture | Backtrace.Stage.done || deadline.hasPassed { return }
      sleep(while: word, until: deadline)
    }
  }

  /// Ends the capture: takes the frames, or withdraws.
  ///
  /// - Returns: as `Backtrace.capture`.
  func collect(
    _ capture: UInt32, into buffer: UnsafeMutablePointer<UInt64>, _ capacity: Int
  ) -> (count: Int, outcome: Backtrace.Outcome, syscall: Int32) {
    let withdrawn = pointee.word.compareExchange(
      expected: capture | Backtrace.Stage.asked, desired: capture | Backtrace.Stage.free,
      ordering: .acquiringAndReleasing)
    if withdrawn.exchanged {
      cp_futex_wake(self)
      return (0, .unanswered, -1)
    }
    // Claimed, and perhaps done by now.
    let left = pointee.word.compareExchange(
      expected: capture | Backtrace.Stage.claimed, desired: capture | Backtrace.Stage.abandoned,
      ordering: .acquiringAndReleasing)
    if left.exchanged { return (0, .unanswered, -1) }
    let total = Int(pointee.frameCount.load(ordering: .relaxed))
    let count = min(total, capacity, Backtrace.mostFrames)
    for index in 0..<max(0, count) {
      buffer[index] = UInt64(UInt(bitPattern: pointee.frames[index]))
    }
    let syscall = pointee.syscall.load(ordering: .relaxed)
    release(capture)
    if total < 0 { return (0, .ended, -1) }
    return count > 0 ? (count, .taken, syscall) : (0, .unanswered, -1)
  }

  /// Makes the slot free, and wakes the threads that wait for it.
  private func release(_ capture: UInt32) {
    pointee.word.store(capture | Backtrace.Stage.free, ordering: .releasing)
    cp_futex_wake(self)
  }

  /// Sleeps until the word has changed; may also return spuriously.
  private func sleep(while word: UInt32, until deadline: Deadline) {
    var limit = deadline.timespec
    cp_futex_wait(self, word, &limit)
  }

  // MARK: The handler's

  /// Records the frames, if this thread is asked.
  ///
  /// Async-signal-safe: it allocates nothing and takes no lock. Without optimisation a `for` loop
  /// allocates, and generic functions may: neither is used here.
  func answer(_ context: UnsafeMutableRawPointer?) {
    let asked = pointee.word.load(ordering: .acquiring)
    guard asked & Backtrace.Stage.mask == Backtrace.Stage.asked,
      pointee.threadID.load(ordering: .relaxed) == cp_gettid()
    else { return }
    let capture = asked & ~Backtrace.Stage.mask
    // If another capture is under way by now, this fails.
    let claim = pointee.word.compareExchange(
      expected: asked, desired: capture | Backtrace.Stage.claimed, ordering: .acquiring)
    if !claim.exchanged { return }
    let record = pointee.record.load(ordering: .relaxed)
    if record != 0 && UInt(bitPattern: Worker.currentTask?.pointer) != record {
      pointee.frameCount.store(-1, ordering: .relaxed)
      answered(capture)
      return
    }
    let count = cp_trace(context, pointee.frames, Int32(Backtrace.mostFrames))
    pointee.frameCount.store(count, ordering: .relaxed)
    pointee.syscall.store(cp_interrupted_call(context), ordering: .relaxed)
    answered(capture)
  }

  /// Hands the frames to the asker, if it is still waiting.
  private func answered(_ capture: UInt32) {
    let done = pointee.word.compareExchange(
      expected: capture | Backtrace.Stage.claimed, desired: capture | Backtrace.Stage.done,
      ordering: .acquiringAndReleasing)
    if done.exchanged { cp_futex_wake(self) } else { release(capture) }
  }
}
