import CPlatform

// LOCKING
// `Worker.beginning`, and what it points to while a creator waits for a thread to begin. The thread is
// created and joined outside the lock.

/// How a thread comes to be.
extension RegistryReference {
  /// `pthread_create` with an explicit stack and every signal blocked but the synchronous faults;
  /// the mask goes in through the attributes, so the caller's is never touched (S7).
  func createThread(for worker: Worker.Pointer, stackSize: Int) -> Int32 {
    var attributes = pthread_attr_t()
    var code = pthread_attr_init(&attributes)
    if code != 0 { return code }
    var mask = ThreadState.initialMask
    if let stack = worker.pointee.stack, stackSize == options.stackSize {
      code = pthread_attr_setstack(&attributes, stack + pageSize, stackSize)
    } else {
      code = pthread_attr_setstacksize(&attributes, stackSize)
    }
    if code == 0 { code = cp_attr_setsigmask(&attributes, &mask) }
    if code == 0 {
      // The thread stores its own id, too: it may leave before this call has stored it here.
      var thread = pthread_t()
      code = withBeginning(of: worker) {
        pthread_create(&thread, &attributes, { Worker.threadMain($0) }, worker)
      } join: {
        pthread_join(thread, nil)
      }
    }
    mustSucceed(pthread_attr_destroy(&attributes))
    return code
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
