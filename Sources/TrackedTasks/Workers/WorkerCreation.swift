import CPlatform

// LOCKING
// The registry's Monitor guards `Worker.beginning`, and what it points to while a creator waits for
// a thread to start. The thread is created outside the lock.

/// How a thread is created.
extension RegistryReference {
  /// Creates the thread of a worker, on the stack that it was given, and, if its start may fail,
  /// waits until it has started.
  ///
  /// - Returns: 0, or an error number: `ENOMEM` if the thread could not start, and has ended.
  func createThread(for worker: Worker.Pointer, stackSize: Int) -> Int32 {
    let mayFail = ProcessState.threadValueTakesMemory
    var beginning = Worker.Beginning.awaited
    return withUnsafeMutablePointer(to: &beginning) { beginning in
      if mayFail { worker.pointee.beginning = beginning }
      let stack = worker.pointee.ownStack ?? worker.pointee.stack
      worker.pointee.life.pointee.start()
      let (code, _) = startThread(
        mask: taskMask, stack: stack.map { $0 + StackArena.guardSize }, stackSize: stackSize,
        isDetached: true, argument: worker, main: { Worker.threadMain($0) })
      if code != 0 { worker.pointee.life.pointee.cancel() }
      if code != 0 || !mayFail { return code }
      _ = monitor.wait(for: WaitKey.threads, until: .never, isCancellable: false) {
        monitor.withLock { _ in beginning.pointee != .awaited }
      }
      // If it was made, the worker may have ended its task by now and belong to another creator.
      if beginning.pointee == .made { return 0 }
      // It is on its last instructions, and its stack is about to be reused.
      while !worker.pointee.life.pointee.hasEnded {
        withParkerOfItsOwn { _ = $0.park(until: .after(10_000)) }
      }
      return ENOMEM
    }
  }
}
