import CPlatform

/// What a body may change of the thread it runs in, and what is done about it before the thread
/// serves another task.
///
/// Put back: the signal mask, the cancel state and type, errno, the thread's locale, the kernel's
/// name. Looked at: scheduling policy, priority, nice value and processor affinity; a thread that differs is not
/// kept. What nobody can put back (the application's thread-specific data, its floating-point
/// environment, and so on) is why `TR_SPAWN_FRESH_THREAD` exists.
struct ThreadState {
  init() {}
  private init(digest: UInt64) { self.digest = digest }

  /// What is looked at, hashed to eight bytes, as every worker keeps one.
  private var digest: UInt64 = 0

  /// How the calling thread is now.
  static var current: ThreadState { ThreadState(digest: cp_scheduling_digest()) }

  /// Whether a body that ran for `ticks`, as `cp_ticks` counts, can have changed any of the above
  /// but cancel state, cancel type, errno and locale.
  ///
  /// It takes a system call, and none returns in so few ticks of the time-stamp counter: at the 2
  /// to 5 GHz such counters have, 80 are 16 to 40 ns, and an empty system call took 294 ticks at
  /// 2 GHz where this was measured, an empty body 34. Where there is no such counter a body always
  /// counts as long.
  @inline(__always)
  static func mayHaveChanged(inTicks ticks: UInt64) -> Bool { ticks >= 80 }

  /// Puts back what can be put back.
  ///
  /// - Parameter registry: whose thread it is.
  /// - Returns: false if the thread is not to be kept.
  func restore(in registry: RegistryReference) -> Bool {
    ThreadState.restoreMask(in: registry)
    return digest == ThreadState.current.digest
  }

  /// Gives the calling thread the mask that tasks of its registry begin with: the registry's, but for the
  /// signal that asks for backtraces, once there is one (S7, E12).
  ///
  /// - Returns: that signal, or 0.
  @discardableResult
  static func restoreMask(in registry: RegistryReference) -> Int32 {
    let signal = Backtrace.signal
    registry.taskMask.without(signal).apply()
    return signal
  }
}
