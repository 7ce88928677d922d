import CPlatform

/// The workers of a registry, several to an allocation: ten thousand workers shall not pay ten
/// thousand times for alignment.
///
/// Batch1: every worker of a batch is initialised, from `make` to `destroyAll`.
struct WorkerBatch {
  /// The batch made before it; the header has a cache line of its own.
  private var previous: UnsafeMutablePointer<WorkerBatch>?

  private static var count: Int { 15 }
  private static var headerRoom: Int { 64 }
  /// Where its `ThreadLife` is behind a worker, and behind that its Parker.
  private static var lifePlace: Int { (MemoryLayout<Worker>.size + 7) & ~7 }
  private static var parkerPlace: Int { (lifePlace + MemoryLayout<ThreadLife>.size + 15) & ~15 }
  /// Bytes from one worker to the next: 384 where a Parker has 104.
  static var stride: Int { (parkerPlace + Parker.byteCount + 63) & ~63 }

  /// Allocates a batch of workers without threads; nil without memory.
  ///
  /// Called without the lock.
  static func make(for registry: RegistryReference) -> UnsafeMutablePointer<WorkerBatch>? {
    var memory: UnsafeMutableRawPointer?
    guard posix_memalign(&memory, 64, headerRoom + count * stride) == 0, let memory else {
      return nil
    }
    let batch = memory.bindMemory(to: WorkerBatch.self, capacity: 1)
    batch.initialize(to: WorkerBatch())
    for number in 0..<count {
      let place = memory + headerRoom + number * stride
      let worker = place.bindMemory(to: Worker.self, capacity: 1)
      let life = (place + lifePlace).bindMemory(to: ThreadLife.self, capacity: 1)
      life.initialize(to: ThreadLife())
      worker.initialize(
        to: Worker(
          registry: registry, parker: Parker(at: place + parkerPlace), life: life))
      if number + 1 < count { worker.pointee.next = self.worker(number + 1, of: batch) }
    }
    return batch
  }

  /// Makes the workers of a new batch the registry's first spare ones.
  static func add(_ batch: UnsafeMutablePointer<WorkerBatch>, to state: inout RegistryState) {
    batch.pointee.previous = state.batches
    state.batches = batch
    worker(count - 1, of: batch).pointee.next = state.spare
    state.spare = worker(0, of: batch)
  }

  /// Calls `visit` for every worker there is, with or without a thread.
  static func forEach(
    from newest: UnsafeMutablePointer<WorkerBatch>?, _ visit: (Worker.Pointer) -> Void
  ) {
    var batch = newest
    while let current = batch {
      for number in 0..<count { visit(worker(number, of: current)) }
      batch = current.pointee.previous
    }
  }

  /// Frees a batch and all made before.
  ///
  /// Requires that no thread uses a worker any more.
  static func destroyAll(from newest: UnsafeMutablePointer<WorkerBatch>?) {
    forEach(from: newest) { worker in
      worker.pointee.parker.destroy()
      // The stack of a thread that nobody had to reap.
      worker.dropOwnStack()
      worker.deinitialize(count: 1)
    }
    var batch = newest
    while let current = batch {
      batch = current.pointee.previous
      free(current)
    }
  }

  private static func worker(
    _ number: Int, of batch: UnsafeMutablePointer<WorkerBatch>
  ) -> Worker.Pointer {
    (UnsafeMutableRawPointer(batch) + headerRoom + number * stride)
      .assumingMemoryBound(to: Worker.self)
  }
}
