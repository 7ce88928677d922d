#if !hasFeature(Embedded)

  import Synchronization

  /// A blocking call of this library, made for `async` code in a thread of its own.
  ///
  /// The thread is detached: nobody has to join it, and it ends with the call.
  final class AsyncCall<Value: Sendable>: Sendable {
    private let call: @Sendable () throws(TaskRegistryError) -> Value
    private let continuation: CheckedContinuation<Result<Value, TaskRegistryError>, Never>
    private let end: AsyncCallEnd

    private init(
      _ call: @escaping @Sendable () throws(TaskRegistryError) -> Value,
      _ continuation: CheckedContinuation<Result<Value, TaskRegistryError>, Never>,
      _ end: AsyncCallEnd
    ) {
      self.call = call
      self.continuation = continuation
      self.end = end
    }

    /// Returns the result of `call`; `threadUnavailable`, without a call, when the system refuses a
    /// thread.
    static func result(
      of call: @escaping @Sendable () throws(TaskRegistryError) -> Value
    ) async -> Result<Value, TaskRegistryError> {
      let end = AsyncCallEnd()
      let result = await withCheckedContinuation { continuation in
        // SAFETY: the thread releases the reference, or, if there is none, this function.
        let reference = Unmanaged.passRetained(AsyncCallStart(AsyncCall(call, continuation, end)))
        let (code, _) = startThread(
          stackSize: RegistryOptionsCore.defaultStackSize, isDetached: true,
          argument: reference.toOpaque()
        ) { argument in
          guard let argument else { return nil }
          beginOwnThread("taskreg-async")
          // SAFETY: matches passRetained above.
          Unmanaged<AsyncCallStart>.fromOpaque(argument).takeRetainedValue().run()
          return nil
        }
        if code != 0 {
          reference.release()
          continuation.resume(returning: .failure(TaskRegistryError.threadUnavailable))
        }
      }
      _ = end.hasCome.load(ordering: .acquiring)
      return result
    }

    fileprivate func run() {
      let result = Result { () throws(TaskRegistryError) in try call() }
      end.hasCome.store(true, ordering: .releasing)
      continuation.resume(returning: result)
    }
  }

  /// Orders what a call did before what its caller does with the result.
  ///
  /// A continuation does so as well; but ThreadSanitizer does not learn of it if the call ends before
  /// the caller suspends, and would report the users' programs.
  private final class AsyncCallEnd: Sendable {
    // atomic: released by the call, acquired by its caller; nobody asks for the value.
    let hasCome = Atomic<Bool>(false)
  }

  /// What the thread's main function gets, which cannot be generic.
  private final class AsyncCallStart: Sendable {
    let run: @Sendable () -> Void

    init<Value>(_ call: AsyncCall<Value>) { run = { call.run() } }
  }

#endif
