import CPlatform

// LOCKING
// `Worker.beginning`, and what it points to while a creator waits for a thread to begin. The thread is
// created and joined outside the lock.

/// How a thread comes to be.
extension RegistryReference {
  /// Creates the thread of a worker, on its own stack if that has the size wanted.
  ///
  /// - Returns: 0, or an error number.
  func createThread(for worker: Worker.Pointer, stackSize: Int) -> Int32 {
    let stack = stackSize == options.stackSize ? worker.pointee.stack : nil
    // The thread stores its own id, too: it may leave before this one is stored here.
    var thread = pthread_t()
    return withBeginning(of: worker) {
      let (code, made) = startThread(
        mask: taskMask, stack: stack.map { $0 + pageSize }, stackSize: stackSize, argument: worker,
        main: { Worker.threadMain($0) })
      thread = made
      return code
    } join: {
      pthread_join(thread, nil)
    }
  }

  /// Creates a thread and, where its beginning may fail, waits for that.
  ///
  /// - Returns: the error number of `create`, or `ENOMEM` if the thread could not begin and has been
  ///   joined.
  private func withBeginning(
    of worker: Worker.Pointer, create: () -> Int32, join: () -> Int32
  ) -> Int32 {
    if !ProcessState.threadValueTakesMemory { return create() }
    var beginning = Worker.Beginning.awaited
    return withUnsafeMutablePointer(to: &beginning) { beginning in
      worker.pointee.beginning = beginning
      let code = create()
      if code != 0 { return code }
      _ = monitor.wait(for: WaitKey.threads, until: .never, heedsFlag: false) {
        monitor.withLock { _ in beginning.pointee != .awaited }
      }
      // If it was made, the worker may have ended its task by now and be another creator's.
      if beginning.pointee == .made { return 0 }
      withCancellationDisabled { mustSucceed(join()) }
      return ENOMEM
    }
  }
}
