import CPlatform

#if !hasFeature(Embedded)

  extension TaskContext {
    /// Waits until `descriptor` has one of `events` (those of poll(2)), an error or a hang-up.
    ///
    /// The wait ends early when the task is asked to stop.
    ///
    /// - Throws: `timedOut`; `cancelled`; `invalidArgument` when the descriptor is not open; `outOfMemory`, `systemFailure`.
    ///
    /// *Concurrency:* blocks.
    @available(*, noasync, message: "it blocks the thread")
    public func wait(
      forDescriptor descriptor: Int32, events: Int16, timeout: Duration? = nil
    ) throws(TaskRegistryError) {
      try checkCaller()
      let deadline = Deadline.after(timeoutNanoseconds(timeout))
      try check(waitForDescriptor(descriptor, events: events, until: deadline))
    }

    /// Waits until one of several descriptors has one of its events, an error or a hang-up.
    ///
    /// The wait ends early when the task is asked to stop.
    ///
    /// - Parameters:
    ///   - descriptors: in the form of poll(2); `revents` of each is set. A negative descriptor is
    ///     left out.
    ///   - timeout: how long; nil waits indefinitely.
    /// - Throws: as `wait(forDescriptor:events:timeout:)`.
    ///
    /// *Concurrency:* blocks.
    @available(*, noasync, message: "it blocks the thread")
    public func wait(
      forDescriptors descriptors: inout [pollfd], timeout: Duration? = nil
    ) throws(TaskRegistryError) {
      try checkCaller()
      let deadline = Deadline.after(timeoutNanoseconds(timeout))
      let status = descriptors.withUnsafeMutableBufferPointer {
        waitForDescriptors($0.baseAddress, count: $0.count, until: deadline)
      }
      try check(status)
    }
  }

#endif
