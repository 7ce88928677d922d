public import TrackedTasks

/// Runs `async` code on threads of a registry, where it may block: `Task(executorPreference:)`,
/// `withTaskExecutorPreference`.
///
/// The code runs in tasks of the registry, at most `width` of them at a time, which are listed,
/// explained in a report and joined as others. Each runs what is due, in its order, and ends when
/// nothing is.
///
/// Swift's own tasks cannot be dropped, and need not end. So once the registry is asked to stop, a
/// shutdown waits only for what runs up to its next suspension; whatever is due then or comes later
/// runs on the global executor, as does what a limit of the registry keeps out.
///
/// *Concurrency:* every member may be used from any thread.
public final class RegistryTaskExecutor: TaskExecutor {
  private let registry: TaskRegistry
  private let name: String
  private let kind: TaskKind
  private let options: SpawnOptions
  /// The most tasks that run `async` code at a time.
  public let width: Int
  private let state = Guarded(State())

  private struct State {
    var jobs: [UnownedJob] = []
    /// Where in `jobs` the next one is; those before have been taken.
    var next = 0
    var running = 0

    mutating func take() -> UnownedJob? {
      if next == jobs.count { return nil }
      let job = jobs[next]
      next += 1
      if next == jobs.count {
        jobs.removeAll(keepingCapacity: true)
        next = 0
      } else if next > 1024 && next * 2 > jobs.count {
        jobs.removeFirst(next)
        next = 0
      }
      return job
    }
  }

  /// Makes an executor; no task is spawned yet.
  ///
  /// - Parameters:
  ///   - registry: where the tasks run.
  ///   - name: of the tasks: 1 to 63 bytes of UTF-8 without NUL.
  ///   - kind: what they are for.
  ///   - width: the most tasks at a time, at least 1; so many calls may block at once.
  ///   - options: how the tasks are spawned; not periodic, and without restarts.
  public init(
    _ registry: TaskRegistry, name: String = "async", kind: TaskKind = .backgroundLoop,
    width: Int = 64, options: SpawnOptions = SpawnOptions()
  ) {
    precondition(width >= 1, "an executor needs a task")
    self.registry = registry
    self.name = name
    self.kind = kind
    self.width = width
    self.options = options
  }

  /// Takes a job of Swift's; the runtime calls it.
  ///
  /// *Concurrency:* does not block.
  public func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    let needsTask = state.withLock { state in
      state.jobs.append(job)
      if state.running == width { return false }
      state.running += 1
      return true
    }
    if !needsTask { return }
    do {
      try registry.spawn(name, kind: kind, options: options) { [self] task in
        while let job = nextJob(unless: task.isCancelled) {
          job.runSynchronously(on: asUnownedTaskExecutor())
        }
      }
    } catch {
      leave()
    }
  }

  /// The next job for a running task; nil if the task is to end.
  private func nextJob(unless isCancelled: Bool) -> UnownedJob? {
    if isCancelled {
      leave()
      return nil
    }
    return state.withLock { state in
      let job = state.take()
      if job == nil { state.running -= 1 }
      return job
    }
  }

  /// Counts one task less, and hands what no task of the registry will run to the global executor.
  ///
  /// While other tasks run, they do that: the last one leaves nothing due.
  private func leave() {
    let jobs = state.withLock { state in
      state.running -= 1
      var jobs: [UnownedJob] = []
      if state.running == 0 { while let job = state.take() { jobs.append(job) } }
      return jobs
    }
    for job in jobs { globalConcurrentExecutor.enqueue(job) }
  }
}
