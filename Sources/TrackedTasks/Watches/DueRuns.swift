import CPlatform

// LOCKING: guarded by the timer thread's Monitor, as part of `TimerState`.

/// Runs of tasks that are due and have no thread yet, in the order in which they became due (B5).
///
/// Periodic tasks are due many at a time, and most runs are short. Waking a thread for each would cost
/// more than the runs. So the timer thread wakes one for the first, and a thread that has put its task
/// to rest takes the next from here. A run that is still here after a millisecond does not wait for
/// that any longer: the timer thread starts two more, then four, and so on, until none is left. So
/// where every run blocks, n of them are started within log2 n milliseconds.
struct DueRuns {
  private var runs = EventQueue()
  /// How many the timer thread is to start now.
  private var startsNow = 0
  /// How many it started the last time.
  private var step = 0
  /// When it starts more; never while there are none.
  private var lateAt = Deadline.never

  /// How long a run waits here for a thread that may soon be free, in nanoseconds.
  private static var patience: Int64 { 1_000_000 }

  /// When the timer thread has something to do here.
  var wakesAt: Deadline { startsNow > 0 ? Deadline(nanoseconds: 0) : lateAt }

  /// Adds the run of a timer that is not queued.
  mutating func append(_ timer: Timer.Pointer, at now: Int64) {
    if runs.isEmpty {
      step = 1
      startsNow = 1
      lateAt = Deadline(nanoseconds: now).extended(by: Self.patience)
    }
    runs.append(timer)
  }

  /// Takes the run that the timer thread starts next; nil if none is to be started now.
  mutating func next(at now: Int64) -> TaskRuns.Pointer? {
    if startsNow == 0 {
      if lateAt.nanoseconds > now { return nil }
      step *= 2
      startsNow = step
      lateAt = Deadline(nanoseconds: now).extended(by: Self.patience)
    }
    startsNow -= 1
    let timer = runs.takeFirst()
    rest()
    return timer?.pointee.runs
  }

  /// Takes a run for a thread of `registry` that is free; nil if there is none among the first.
  mutating func take(in registry: RegistryReference) -> TaskRuns.Pointer? {
    var place = runs.first
    for _ in 0..<Self.mostExamined {
      guard let timer = place, let found = timer.pointee.runs else { return nil }
      if found.pointee.task.registry.root == registry {
        prefetch(after: timer)
        runs.remove(timer)
        rest()
        return found
      }
      place = runs.element(after: timer)
    }
    return nil
  }

  /// Has the processor fetch what the threads of the next two runs will read: it has been out of the
  /// cache since their last ones.
  private func prefetch(after timer: Timer.Pointer) {
    guard let next = runs.element(after: timer), let found = next.pointee.runs else { return }
    cp_prefetch(runs.element(after: next), 256)
    cp_prefetch(found.pointee.task.pointer, 192)
    let runsOfActivity = addressOf(found.pointee.activity.pointee.runs)
    cp_prefetch(UnsafeRawPointer(bitPattern: runsOfActivity), 64)
  }

  private mutating func rest() {
    if !runs.isEmpty { return }
    startsNow = 0
    lateAt = .never
  }

  /// How many runs a thread checks for one of its own registry's.
  private static var mostExamined: Int { 8 }
}

extension Timer {
  /// The runs that the timer starts, if it does.
  fileprivate var runs: TaskRuns.Pointer? {
    if case .start(let runs) = action { return runs }
    return nil
  }
}
