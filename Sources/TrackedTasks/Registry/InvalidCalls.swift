import Synchronization

extension RegistryReference {
  /// Reports to the log that a call was rejected as invalid, and why: the text `ErrorDetail`
  /// recorded last.
  ///
  /// Sends nothing once the log's context may be gone.
  @inline(never)
  func logInvalidCall() {
    let log = options.log
    if !log.isListening || mayLackContext { return }
    // A copy, because the callback may make an invalid call itself. The caller reads the text of
    // its own afterwards.
    withFixedText {
      $0.append(utf8: ErrorDetail.text)
    } _: {
      let empty: StaticString = ""
      log.send(
        LogRecord(
          level: LogEventNumber.error, event: LogEventNumber.invalidCall,
          code: Status.invalid.rawValue, task: empty.utf8Start, message: $0,
          registry: self))
      ErrorDetail.restore($0)
    }
  }

  /// Reports to the log a grace so short that the program may have meant milliseconds.
  ///
  /// Sends nothing once the log's context may be gone.
  @inline(never)
  func logShortGrace(_ grace: Int64) {
    let log = options.log
    if !log.isListening || mayLackContext { return }
    withFixedText {
      $0.append("the grace of a shutdown is ")
      $0.append(grace)
      $0.append(" ns, less than a millisecond; graces are nanoseconds: TR_MILLISECONDS(")
      $0.append(grace)
      $0.append(")?")
    } _: {
      let empty: StaticString = ""
      log.send(
        LogRecord(
          level: LogEventNumber.warning, event: LogEventNumber.shortGrace,
          code: Status.ok.rawValue, task: empty.utf8Start, message: $0, registry: self))
    }
  }

  /// Whether the application may have freed the context of the log (O2).
  ///
  /// It may once the registry is closed, or its last reference released, and its last task has
  /// ended. A call that begins before that may still use the context, so a check that comes too
  /// early for what another thread does meanwhile is harmless.
  private var mayLackContext: Bool {
    if isFinished { return true }
    return pointer.pointee.handleRefs.load(ordering: .sequentiallyConsistent) == 0 && isEmpty
  }
}
