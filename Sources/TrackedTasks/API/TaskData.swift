#if !hasFeature(Embedded)

  extension TrackedTask {
    /// The pointer that the task has attached with `setData`, also after its end; nil if it has
    /// attached none.
    ///
    /// What the task wrote to that memory before it attached the pointer is visible to the caller.
    public var data: UnsafeMutableRawPointer? { core.data }

    /// Attaches a pointer to the task, for code that gets the task alone.
    ///
    /// That may be a function deep below the body, by `TrackedTask.current`, a log closure on the
    /// task's thread, or another thread that has the task. A later call replaces the pointer.
    ///
    /// - Parameter data: what it points to stays the caller's: keep it valid for as long as `data`
    ///   may be read. The library neither uses nor frees it.
    /// - Throws: `invalidArgument` when the caller is not this task, or the task has ended;
    ///   `forkedChild`.
    ///
    /// *Concurrency:* the task's own thread only; never blocks.
    public func setData(_ data: UnsafeMutableRawPointer?) throws(TaskRegistryError) {
      try checkCaller()
      try check(core.setData(data))
    }
  }

#endif
