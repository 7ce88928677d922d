import CPlatform

/// `taskreg top`: the tasks of a process with what they use of the processors, page after page.
///
/// On a terminal each page takes the place of the one before, and keys sort or end it. Otherwise one page
/// follows the other.
struct Top {
  private let command: Command
  private let places: (places: WaitPlaces, gap: WaitEdge.Gap)
  private var order: TopOrder
  private var tables = ReaderRoot.Places()
  /// What was measured for the last page.
  private var last = TopPage.Measured()

  init(_ command: Command, _ places: (places: WaitPlaces, gap: WaitEdge.Gap)) {
    self.command = command
    self.places = places
    order = command.order
  }

  /// Shows pages until the process ends, or the user has had enough.
  ///
  /// - Returns: the exit status, 0 if it was the user.
  /// - Throws: why the process can be read no more; the terminal has been put back.
  mutating func run() throws(Failure) -> Int32 {
    if isatty(1) != 1 { return try runPlainly() }
    // The first, before anything is changed.
    var page = try takePage()
    var terminal = cp_terminal()
    enter(&terminal)
    defer { leave(&terminal) }
    while true {
      let lines = Int(cp_terminal_lines())
      let status = write {
        $0.write("\u{1B}[H")
        page.write(to: &$0, order, tasks: max(1, lines - 4), isTerminal: true)
        $0.write("\u{1B}[J")
      }
      if status != .ok { return 5 }
      let end = Deadline.after(Int64(command.interval) * 1_000_000)
      switch wait(&terminal, until: end) {
      case .quit: return 0
      case .draw: break
      case .refresh: page = try takePage()
      }
    }
  }

  private mutating func runPlainly() throws(Failure) -> Int32 {
    while true {
      let page = try takePage()
      if write({ page.write(to: &$0, order, tasks: .max, isTerminal: false) }) != .ok { return 5 }
      Main.pause(command.interval)
    }
  }

  private mutating func takePage() throws(Failure) -> TopPage {
    let target = try Target.find(command.process, trial: places)
    ProbedProcess.target = target
    let roots = try ReaderRoot.all(in: target, known: &tables)
    let page = TopPage(of: target, roots, since: last)
    last = page.measured
    return page
  }

  private func write(_ body: (inout TextWriter) -> Void) -> Status {
    withTextWriter(.descriptor(1), body)
  }

  // MARK: The terminal

  private enum Wish {
    case quit
    /// The same page again, which has changed its looks.
    case draw
    case refresh
  }

  /// Waits for a key, a signal, or the time of the next page.
  private mutating func wait(_ terminal: inout cp_terminal, until end: Deadline) -> Wish {
    while true {
      let left = max(0, end.nanoseconds &- monotonicNow()) / 1_000_000
      let event = cp_terminal_wait(&terminal, left)
      switch event {
      case 0:
        if end.hasPassed { return .refresh }
      case -SIGWINCH: return .draw
      case -SIGTSTP:
        leave(&terminal)
        cp_terminal_stop()
        enter(&terminal)
        return .draw
      case Int32.min..<0: return .quit
      case 0x71, 0x51, 3: return .quit
      case 0x20: return .refresh
      default:
        guard let chosen = TopOrder(key: UInt8(truncatingIfNeeded: event)) else { continue }
        order = chosen
        return .draw
      }
    }
  }

  /// Changes to the other page of the terminal, without a cursor, where long lines are cut.
  private func enter(_ terminal: inout cp_terminal) {
    _ = cp_terminal_enter(&terminal)
    _ = write { $0.write("\u{1B}[?1049h\u{1B}[?25l\u{1B}[?7l\u{1B}[2J") }
  }

  private func leave(_ terminal: inout cp_terminal) {
    _ = write { $0.write("\u{1B}[?7h\u{1B}[?25h\u{1B}[?1049l") }
    cp_terminal_leave(&terminal)
  }
}
