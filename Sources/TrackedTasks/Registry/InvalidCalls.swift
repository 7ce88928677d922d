extension RegistryReference {
  /// Reports to the log that a call was rejected as invalid, and why: the text `ErrorDetail`
  /// recorded last.
  @inline(never)
  func logInvalidCall() {
    let log = options.log
    if !log.isListening { return }
    // A copy, because the callback may make an invalid call itself.
    withFixedText {
      $0.append(utf8: ErrorDetail.text)
    } _: {
      let empty: StaticString = ""
      log.send(
        LogRecord(
          level: LogEventNumber.error, event: LogEventNumber.invalidCall,
          code: Status.invalid.rawValue, task: empty.utf8Start, message: $0))
    }
  }

  /// Reports to the log a grace so short that the program may have meant milliseconds.
  @inline(never)
  func logShortGrace(_ grace: Int64) {
    let log = options.log
    if !log.isListening { return }
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
          code: Status.ok.rawValue, task: empty.utf8Start, message: $0))
    }
  }
}
