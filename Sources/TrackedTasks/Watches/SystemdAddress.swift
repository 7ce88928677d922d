import CPlatform

/// The address of systemd's socket: a path, or `@` and an abstract name.
struct SystemdAddress {
  let length: Int

  /// Parses NUL-terminated text; nil if it is not such an address.
  init?(_ text: UnsafePointer<UInt8>) {
    // `sockaddr_un` has 108 bytes, of which a path needs one for its NUL.
    let isAbstract = text[0] == 0x40
    let most = isAbstract ? 108 : 107
    if text[0] != 0x2F && !isAbstract { return nil }
    var length = 1
    while text[length] != 0 {
      length += 1
      if length > most { return nil }
    }
    if length == 1 { return nil }
    self.length = length
  }

  // MARK: The environment

  /// The value of NOTIFY_SOCKET, or nil.
  static var inEnvironment: UnsafePointer<UInt8>? {
    let text = variable("NOTIFY_SOCKET")
    return text?[0] == 0 ? nil : text
  }

  /// The watchdog's timeout in nanoseconds, from WATCHDOG_USEC; 0 is none.
  static var watchdogInEnvironment: Int64 {
    if let process = variable("WATCHDOG_PID"), number(process) != UInt64(getpid()) { return 0 }
    guard let text = variable("WATCHDOG_USEC"), let microseconds = number(text) else { return 0 }
    let (nanoseconds, overflow) = microseconds.multipliedReportingOverflow(by: 1_000)
    return overflow ? .max : Int64(clamping: nanoseconds)
  }

  private static func variable(_ name: StaticString) -> UnsafePointer<UInt8>? {
    // SAFETY: CChar and UInt8 have the same layout, and the name is NUL-terminated.
    let name = UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self)
    // SAFETY: likewise.
    return cp_environment(name).map {
      UnsafeRawPointer($0).assumingMemoryBound(to: UInt8.self)
    }
  }

  /// A decimal number and nothing else; nil if the text is not one.
  private static func number(_ text: UnsafePointer<UInt8>) -> UInt64? {
    var value: UInt64 = 0
    var place = 0
    while text[place] >= 0x30 && text[place] <= 0x39 {
      let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = tens.addingReportingOverflow(UInt64(text[place] - 0x30))
      if overflow || carry { return nil }
      value = sum
      place += 1
    }
    return place > 0 && text[place] == 0 ? value : nil
  }
}
