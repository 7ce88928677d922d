#if !hasFeature(Embedded)

  extension TaskContext {
    /// Runs `operation`, and `handler` once if the task is asked to stop before or meanwhile.
    ///
    /// When this returns, `handler` is not running and never will run. Use it to end what the library
    /// does not know: a call of another library, a connection.
    ///
    /// - Parameters:
    ///   - operation: runs at once, in the task's thread.
    ///   - handler: runs on the thread that asks the task to stop, or before `operation` in this one;
    ///     no lock of the library is held meanwhile.
    /// - Returns: what `operation` returns.
    /// - Throws: what `operation` throws; `outOfMemory` or `forkedChild`, and then neither runs.
    ///
    /// *Concurrency:* waits at the end for a handler that another thread is running.
    @available(*, noasync, message: "it may block the thread")
    public func withCancellationHandler<Result>(
      operation: () throws -> Result, onCancel handler: @escaping @Sendable () -> Void
    ) throws -> Result {
      let registration = try handle.onCancel(handler)
      defer { registration.remove() }
      return try operation()
    }
  }

  extension ShutdownToken {
    /// Runs `operation`, and `handler` once if the token is cancelled before or meanwhile.
    ///
    /// When this returns, `handler` is not running and never will run.
    ///
    /// - Parameters:
    ///   - operation: runs at once, in the calling thread.
    ///   - handler: runs on the thread that cancels, or before `operation` in this one; no lock of the
    ///     library is held meanwhile.
    /// - Returns: what `operation` returns.
    /// - Throws: what `operation` throws; `outOfMemory` or `forkedChild`, and then neither runs.
    ///
    /// *Concurrency:* waits at the end for a handler that another thread is running.
    @available(*, noasync, message: "it may block the thread: call it with 'await'")
    public func withCancellationHandler<Result>(
      operation: () throws -> Result, onCancel handler: @escaping @Sendable () -> Void
    ) throws -> Result {
      let registration = try onCancel(handler)
      defer { registration.remove() }
      return try operation()
    }

    /// Runs `operation`, and `handler` once if the token is cancelled before or meanwhile.
    ///
    /// Parameters, result and errors are those of the form that blocks. The operation is not
    /// cancelled with the token; `handler` can do that.
    ///
    /// *Concurrency:* waits at the end, with the thread, for a handler that another one is running;
    /// so let it be brief.
    public func withCancellationHandler<Result>(
      isolation: isolated (any Actor)? = #isolation,
      operation: () async throws -> Result, onCancel handler: @escaping @Sendable () -> Void
    ) async throws -> Result {
      let registration = try onCancel(handler)
      defer { registration.remove() }
      return try await operation()
    }
  }

#endif
