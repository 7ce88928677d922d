/// The system call in which a thread is, as its file `syscall` in proc(5) shows it.
struct SystemCall: Equatable {
  /// -1: in none, or not known; see `place`.
  var number: Int32 = -1
  /// The six arguments, the stack pointer, and the address after the instruction that made the
  /// call.
  var words = InlineArray<8, UInt64>(repeating: 0)
  var place = Place.unknown

  /// Where the thread is.
  enum Place: UInt8 {
    /// The file could not be read.
    case unknown
    /// It runs, or is about to.
    case running
    /// It does not run, and is in no system call: it waits for a page of memory, or is stopped.
    case outside
    /// It is in the call.
    case inside
  }

  /// The address after the instruction that made the call.
  var instruction: UInt64 { words[7] }

  static func == (one: SystemCall, other: SystemCall) -> Bool {
    if one.number != other.number || one.place != other.place { return false }
    for index in 0..<8 where one.words[index] != other.words[index] { return false }
    return true
  }
}
