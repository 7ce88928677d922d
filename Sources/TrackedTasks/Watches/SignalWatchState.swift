import CPlatform

/// What a signal is to ask for.
struct SignalAssignment {
  /// 1 to 64.
  let number: Int32
  let role: SignalRole
  /// Where to a signal that explains writes; -1 for others.
  let descriptor: Int32
}

/// What the watch's Monitor guards.
///
/// Watch1: there is a registry from the start of a watch to its end; a reference of the
///         application's is held.
struct WatchState: MonitorState {
  var registry: RegistryReference?
  /// Whether the deadline of the registry was forced.
  var isDeadlineForced = false
  /// Whether the receiver is forcing it: it has a reference to the registry, and must not be the one
  /// that releases the last, as that could call the application.
  var isForcing = false
  /// Whether the threads must finish.
  var isEnding = false
  /// Whether the handlers are installed, so that the threads may let the signals through.
  var hasHandlers = false
  var receiver = cp_thread(0)
  /// The thread of the answerer, once it runs.
  var answerer = cp_thread(0)
  /// Whether there is an answerer, or one that has finished and was not joined.
  var hasAnswerer = false
  var hasAnswererFinished = false
  /// When the answerer is left to an explanation that it is writing; never while it writes none.
  var explainsUntil = Deadline.never

  /// Whether the calling thread is the answerer.
  var isOwnThread: Bool { hasAnswerer && answerer == cp_thread_self() }

  func checkInvariants() {
    if hasAnswererFinished && !hasAnswerer {
      fatalError("an answerer has finished that was not there")
    }
    if !explainsUntil.isNever && !hasAnswerer {
      fatalError("an explanation is being written by nobody")
    }
  }
}
