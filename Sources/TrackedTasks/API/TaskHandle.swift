#if !hasFeature(Embedded)

  /// A reference to a task whose body returns a value.
  ///
  /// *Concurrency:* every member may be used from any thread.
  public final class TaskHandle<Value: Sendable>: TrackedTask, @unchecked Sendable {
    // SAFETY: unchecked because of the two variables, which are guarded as said there.

    /// What the task is to run; nil once it has run.
    // SAFETY: written before the task is published, read and released in the task's own thread.
    private nonisolated(unsafe) var body: ((TaskContext) throws -> Value)?
    /// The task-locals of its body.
    private let locals: CarriedTaskLocals?
    /// What the body returned or threw, the last time it ran; nil before, and if its thread left it.
    // SAFETY: written in the task's own thread before the task ends, read once it has ended.
    private nonisolated(unsafe) var result: Result<Value, any Error>?

    /// Prepares a task that is to be spawned.
    init(
      running body: sending @escaping (TaskContext) throws -> Value,
      with locals: CarriedTaskLocals? = nil
    ) {
      self.body = body
      self.locals = locals
      super.init()
    }

    override func runBody() throws {
      // Of a task that runs again: a body that is left has no value.
      result = nil
      do {
        if let locals {
          result = .success(
            try locals.whileBound { try body.unsafelyUnwrapped(TaskContext(self)) })
        } else {
          result = .success(try body.unsafelyUnwrapped(TaskContext(self)))
        }
      } catch {
        result = .failure(error)
        throw error
      }
    }

    override func releaseBody() { body = nil }

    /// What the body returned, once it has.
    ///
    /// - Throws: the error that the body threw, whether or not it counts as a failure;
    ///   `TaskRegistryError.exited` if the task's thread left the body; what `wait` throws.
    ///
    /// *Concurrency:* holds no thread.
    public var value: Value {
      get async throws {
        try await wait()
        return try endedValue()
      }
    }

    /// What the body returned; waits for it for a limited time.
    ///
    /// - Parameter timeout: how long; nil never times out.
    /// - Returns: the value.
    /// - Throws: as `value`.
    ///
    /// *Concurrency:* holds no thread.
    public func waitForValue(timeout: Duration? = nil) async throws -> Value {
      try await wait(timeout: timeout)
      return try endedValue()
    }

    /// What the body returned; waits for it.
    ///
    /// - Parameter timeout: how long; nil never times out.
    /// - Returns: the value.
    /// - Throws: as `value`.
    ///
    /// *Concurrency:* blocks the calling thread; in `async` code, `await` chooses the form that does
    /// not.
    @available(*, noasync, message: "it blocks the thread: call it with 'await'")
    public func waitForValue(timeout: Duration? = nil) throws -> Value {
      try wait(timeout: timeout)
      return try endedValue()
    }

    /// The value of the task, which has ended.
    private func endedValue() throws -> Value {
      guard let result else { throw TaskRegistryError.exited }
      return try result.get()
    }
  }

#endif
