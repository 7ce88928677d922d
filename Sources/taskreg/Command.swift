import CPlatform

/// What is asked for on the command line.
struct Command {
  enum Verb {
    case ps
    case threads
    case why
    case metrics
    case top
    case help
    case version
  }

  private(set) var verb = Verb.help
  private(set) var process: Int32 = 0
  /// The path of a core file, NUL-terminated; "-": standard input; nil: it is about a process.
  private(set) var core: [UInt8]?
  private(set) var isJSON = false
  private(set) var isTree = false
  /// Milliseconds between two lists; 0: one list.
  private(set) var interval: UInt32 = 0
  /// By what top sorts.
  private(set) var order = TopOrder.processor
  private var isSorted = false

  /// Why a command line cannot be understood.
  struct Misuse: Error {
    let reason: StaticString
    /// The argument in question, NUL-terminated; empty if there is none.
    var argument: [UInt8] = []
  }

  /// - Parameter arguments: those behind the name of the program, NUL-terminated.
  /// - Throws: what is wrong with them.
  init(_ arguments: [[UInt8]]) throws(Misuse) {
    let words = ArgumentWords(arguments)
    var argument: UnsafePointer<CChar>?
    var letter: (CChar, CChar, CChar) = (0, 0, 0)
    var place: Int32 = 0
    while true {
      let option = withUnsafeMutableBytes(of: &letter) {
        cp_next_option(
          words.count, words.pointer, &place, &argument,
          $0.baseAddress?.assumingMemoryBound(to: CChar.self))
      }
      if option < 0 { break }
      let value = ArgumentWords.copy(argument)
      switch UInt8(truncatingIfNeeded: option) {
      case UInt8(ascii: "h"): return
      case UInt8(ascii: "V"):
        verb = .version
        return
      case UInt8(ascii: "w"):
        guard let milliseconds = value.milliseconds, milliseconds > 0, milliseconds <= 86_400_000
        else {
          throw Misuse(reason: "--watch needs a number of seconds, 0.001 to 86400", argument: value)
        }
        interval = UInt32(milliseconds)
      case UInt8(ascii: "s"):
        guard let order = TopOrder(name: value) else {
          throw Misuse(reason: "--sort needs cpu, time, age, id or name", argument: value)
        }
        (self.order, isSorted) = (order, true)
      case UInt8(ascii: "j"): isJSON = true
      case UInt8(ascii: "t"): isTree = true
      case UInt8(ascii: ":"):
        throw Misuse(
          reason: "--watch needs a number of seconds, --sort a key, and no other option anything",
          argument: value)
      default: throw Misuse(reason: "there is no such option", argument: value)
      }
    }
    var operands: [[UInt8]] = []
    for place in Int(place)..<Int(words.count) {
      operands.append(ArgumentWords.copy(words.pointer[place]))
    }
    try take(operands)
  }

  private mutating func take(_ operands: [[UInt8]]) throws(Misuse) {
    guard let first = operands.first else {
      throw Misuse(reason: "what is to be done is missing: ps, why, threads, metrics or top")
    }
    if first.is("help") { return }
    if first.is("ps") {
      verb = .ps
    } else if first.is("threads") {
      verb = .threads
    } else if first.is("why") {
      verb = .why
    } else if first.is("metrics") {
      verb = .metrics
    } else if first.is("top") {
      verb = .top
      if interval == 0 { interval = 2000 }
    } else {
      throw Misuse(reason: "there is no such command", argument: first)
    }
    if operands.count < 2 {
      throw Misuse(reason: "the id of a process is missing, or a core file")
    }
    if operands.count > 2 { throw Misuse(reason: "one process at a time", argument: operands[2]) }
    if operands[1].isNumber {
      guard let process = operands[1].wholeNumber, process > 0, process <= UInt64(Int32.max) else {
        throw Misuse(reason: "this is not the id of a process", argument: operands[1])
      }
      self.process = Int32(process)
    } else {
      core = operands[1]
    }
    if interval > 0 && core != nil { throw Misuse(reason: "a core file does not change") }
    if verb == .top && core != nil { throw Misuse(reason: "top needs the id of a process") }
    if verb == .top && isJSON { throw Misuse(reason: "top has no --json") }
    if isSorted && verb != .top { throw Misuse(reason: "only top has --sort") }
    if isTree && verb != .ps { throw Misuse(reason: "only ps has --tree") }
    if isJSON && verb == .metrics { throw Misuse(reason: "metrics has no --json") }
    if isTree && isJSON { throw Misuse(reason: "--tree and --json exclude each other") }
  }

  static var usage: StaticString {
    """
    taskreg: the tasks and threads of a process, from outside, or of a core file

      taskreg ps PID|CORE        the tasks of a program with libtaskreg
      taskreg why PID|CORE       what each of them waits for, and who holds it up
      taskreg threads PID|CORE   the threads of any program: what they wait for, and who holds it
      taskreg top PID            what they use of the processors, page after page
      taskreg metrics PID|CORE   how many tasks were spawned, have ended and are alive (OpenMetrics)

    CORE is the path of a core file; - is standard input: coredumpctl dump PID | taskreg why -

      -j, --json            as one JSON object on one line
      -t, --tree            ps: registries, their groups, and the tasks of each
      -w, --watch SECONDS   again and again, until the process ends or you interrupt it; of top: 2
      -s, --sort KEY        top: by cpu, time, age, id or name; a key of the keyboard as well
      -h, --help            this text
      -V, --version         the release

    The process is neither stopped nor asked, so it may hang. Exit status: 0 done; 1 the process
    does not have libtaskreg; 2 the command is wrong; 3 there is no such process or file, or it has
    ended; 4 a right is missing; 5 anything else.

    """
  }
}

/// A command line as C has it: the program's name and the arguments, which may be put into another
/// order.
private final class ArgumentWords {
  let count: Int32
  let pointer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
  private let bytes: UnsafeMutablePointer<CChar>

  init(_ arguments: [[UInt8]]) {
    let name: [UInt8] = [0]
    var all = name
    for argument in arguments { all += argument }
    bytes = UnsafeMutablePointer<CChar>.allocate(capacity: all.count)
    for place in all.indices { bytes[place] = CChar(bitPattern: all[place]) }
    count = Int32(clamping: arguments.count + 1)
    pointer = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(
      capacity: arguments.count + 2)
    pointer[0] = bytes
    var place = 1
    for (number, argument) in arguments.enumerated() {
      pointer[number + 1] = bytes + place
      place += argument.count
    }
    pointer[arguments.count + 1] = nil
  }

  deinit {
    pointer.deallocate()
    bytes.deallocate()
  }

  /// The bytes of a text with their NUL; none if there is no text.
  static func copy(_ text: UnsafePointer<CChar>?) -> [UInt8] {
    guard let text else { return [] }
    return (0...strlen(text)).map { UInt8(bitPattern: text[Int($0)]) }
  }
}

extension [UInt8] {
  /// Whether it is a text, NUL-terminated.
  func `is`(_ text: StaticString) -> Bool {
    if count != text.utf8CodeUnitCount + 1 { return false }
    for place in 0..<text.utf8CodeUnitCount where self[place] != text.utf8Start[place] {
      return false
    }
    return true
  }

  /// Whether it has digits alone.
  var isNumber: Bool {
    for place in 0..<Swift.max(0, count - 1) where self[place] < 0x30 || self[place] > 0x39 {
      return false
    }
    return true
  }

  /// The seconds that it is, in thousandths: 2, 0.5 or 0.001.
  var milliseconds: UInt64? {
    var whole: [UInt8] = []
    while whole.count < count && self[whole.count] != 0x2E { whole.append(self[whole.count]) }
    if whole.count == count { return wholeNumber.map { $0 > 1 << 32 ? 1 << 42 : $0 * 1000 } }
    whole.append(0)
    var part = [UInt8](self[whole.count...])
    // Three digits, and the NUL.
    if part.count > 4 || part.count < 2 || whole.count < 2 { return nil }
    while part.count < 4 { part.insert(0x30, at: part.count - 1) }
    guard let seconds = whole.wholeNumber, seconds <= 1 << 32, let rest = part.wholeNumber else {
      return nil
    }
    return seconds * 1000 + rest
  }

  /// The number that it is, if it is nothing else.
  var wholeNumber: UInt64? {
    isNumber ? number(at: 0) : nil
  }
}
