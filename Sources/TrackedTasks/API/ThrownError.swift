#if !hasFeature(Embedded)

  import CPlatform

  /// The error that a body has thrown, on its way to the event that reports it, in the same thread.
  ///
  /// By then the closure and its object may be gone, and the core carries no Swift objects. So it is
  /// kept in the thread, under the id of the task, and until the next one: in a registry that nobody
  /// listens to, none is kept.
  final class ThrownError {
    private let task: UInt64
    private let error: any Error

    private init(of task: UInt64, _ error: any Error) {
      self.task = task
      self.error = error
    }

    /// The key of the thread's error; nil if the system has none left: then events have no error.
    private static let key: pthread_key_t? = {
      var key = pthread_key_t()
      let code = pthread_key_create(&key) { kept in
        // SAFETY: the value that `keep` has stored; the thread ends, and has no other.
        kept.map { Unmanaged<ThrownError>.fromOpaque($0).release() }
      }
      return code == 0 ? key : nil
    }()

    /// Keeps an error for the event of the calling thread's task.
    static func keep(_ error: any Error, of task: TaskReference) {
      guard let key, task.registry.options.log.isListening else { return }
      replace(by: ThrownError(of: task.id, error), at: key)
    }

    /// The error of the task that the calling thread runs or has just run; nil if it has thrown none.
    static func take(of task: UInt64) -> (any Error)? {
      guard let key, let kept = pthread_getspecific(key) else { return nil }
      // SAFETY: stored by `keep`, in this thread, with a reference.
      let thrown = Unmanaged<ThrownError>.fromOpaque(kept).takeUnretainedValue()
      if thrown.task != task { return nil }
      let error = thrown.error
      replace(by: nil, at: key)
      return error
    }

    private static func replace(by new: ThrownError?, at key: pthread_key_t) {
      let old = pthread_getspecific(key)
      // SAFETY: the thread owns the reference, until it is replaced, or the key's destructor runs.
      let kept = new.map { Unmanaged.passRetained($0) }
      if pthread_setspecific(key, kept?.toOpaque()) == 0 {
        old.map { Unmanaged<ThrownError>.fromOpaque($0).release() }
      } else {
        kept?.release()
      }
    }
  }

#endif
