#if !hasFeature(Embedded)

  extension TrackedTask {
    /// The pointer that the task has attached with `setData`, also after its end; nil if it has
    /// attached none.
    ///
    /// What the task wrote to that memory before it attached the pointer is visible to the caller.
    public var data: UnsafeMutableRawPointer? { core.data }
  }

  extension TaskContext {
    /// The pointer that the task has attached; see `TrackedTask.data`.
    public var data: UnsafeMutableRawPointer? { handle.data }

    /// Attaches a pointer to the task, for code that gets the task alone.
    ///
    /// That may be a function deep below the body, by `TaskContext.current`, a log closure on the
    /// task's thread, or another thread that has the task. A later call replaces the pointer.
    ///
    /// - Parameter data: what it points to stays the caller's: keep it valid for as long as `data`
    ///   may be read. The library neither uses nor frees it.
    ///
    /// *Concurrency:* never blocks.
    public func setData(_ data: UnsafeMutableRawPointer?) {
      if isOwn { _ = core.setData(data) }
    }
  }

#endif
