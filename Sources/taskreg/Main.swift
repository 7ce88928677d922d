import CPlatform
import CTaskReg

/// The program.
@main
struct Main {
  static func main() {
    do throws(Command.Misuse) {
      let command = try Command(arguments())
      exit(run(command))
    } catch {
      write(to: 2) { writer in
        writer.write("taskreg: ")
        writer.write(error.reason)
        if error.argument.count > 1 {
          writer.write(": ")
          error.argument.withUnsafeBufferPointer {
            if let text = $0.baseAddress { writer.write(text: text) }
          }
        }
        writer.write("\nTry `taskreg --help`.\n")
      }
      exit(2)
    }
  }

  /// The arguments behind the program's name, NUL-terminated.
  ///
  /// Embedded Swift has no other way to them
  /// than proc(5), without which there is nothing to be done anyway.
  private static func arguments() -> [[UInt8]] {
    let path: StaticString = "/proc/self/cmdline"
    var arguments: [[UInt8]] = []
    var argument: [UInt8] = []
    for byte in File.read(path.utf8Start, most: 1 << 20) {
      argument.append(byte)
      if byte != 0 { continue }
      arguments.append(argument)
      argument = []
    }
    if !arguments.isEmpty { arguments.removeFirst() }
    return arguments
  }

  /// - Returns: the exit status.
  private static func run(_ command: Command) -> Int32 {
    switch command.verb {
    case .help: return write(to: 1) { $0.write(Command.usage) }
    case .version:
      return write(to: 1) {
        $0.write("taskreg ")
        $0.write(TR_VERSION >> 16)
        $0.write(".")
        $0.write(TR_VERSION >> 8 & 255)
        $0.write(".")
        $0.write(TR_VERSION & 255)
        $0.write("\n")
      }
    default: break
    }
    // Tried out in this process, before there is another.
    return look(command, LockTrial.places())
  }

  /// Shows what a command asks for of a process or a core file.
  ///
  /// - Parameters:
  ///   - command: neither for help nor for the version.
  ///   - places: where this process's C library waits.
  /// - Returns: the exit status.
  static func look(
    _ command: Command, _ places: (places: WaitPlaces, gap: WaitEdge.Gap)
  ) -> Int32 {
    // What it reads is of the process or file for as long as it shows it.
    defer { ProbedProcess.target = nil }
    if command.verb == .top { return showTop(command, places) }
    var last = LastTarget()
    while true {
      let status = show(command, places, &last)
      if status != 0 || command.interval == 0 { return status }
      pause(command.interval)
    }
  }

  private static func show(
    _ command: Command, _ places: (places: WaitPlaces, gap: WaitEdge.Gap),
    _ last: inout LastTarget
  ) -> Int32 {
    do throws(Failure) {
      let target = try last.target(of: command, trial: places)
      ProbedProcess.target = target
      defer { write(to: 2) { target.writeMissing(to: &$0) } }
      if command.verb == .threads { return showThreads(of: target, command) }
      let roots = try ReaderRoot.all(in: target, known: &last.tables)
      target.findLastMoment(roots)
      return show(roots, of: target, command)
    } catch {
      write(to: 2) { error.write(to: &$0) }
      return error.exitStatus
    }
  }

  /// Waits for as many milliseconds.
  static func pause(_ milliseconds: UInt32) {
    _ = sleep(milliseconds / 1000)
    usleep(milliseconds % 1000 * 1000)
  }

  private static func showTop(
    _ command: Command, _ places: (places: WaitPlaces, gap: WaitEdge.Gap)
  ) -> Int32 {
    var top = Top(command, places)
    do throws(Failure) {
      return try top.run()
    } catch {
      write(to: 2) { error.write(to: &$0) }
      return error.exitStatus
    }
  }

  private static func showThreads(of target: Target, _ command: Command) -> Int32 {
    let status = Examination.withReport(on: []) { report in
      let lists = ThreadLists(of: target, report)
      return write(to: 1) {
        if command.isJSON { return lists.writeJSON(to: &$0) }
        target.writeHead([], to: &$0)
        lists.writeText(to: &$0)
      }
    }
    return status ?? withoutMemory()
  }

  private static func show(
    _ roots: [ReaderRoot], of target: Target, _ command: Command
  ) -> Int32 {
    var snapshots: [Snapshot] = []
    var budget = ReadingBudget()
    for root in roots { snapshots.append(Snapshot(of: target, root, &budget)) }
    if command.verb == .why {
      let status = Examination.withReport(on: snapshots) { report in
        if !command.isJSON { write(to: 1) { target.writeHead(snapshots, to: &$0) } }
        let sink = TextSink.descriptor(1)
        let status = command.isJSON ? report.writeJSON(to: sink) : report.writeText(to: sink)
        return status == .ok ? 0 : outputFailed()
      }
      return status ?? withoutMemory()
    }
    return write(to: 1) { writer in
      if command.verb == .metrics { return Snapshot.writeMetrics(snapshots, to: &writer) }
      if command.isJSON { return Snapshot.writeJSON(snapshots, to: &writer) }
      target.writeHead(snapshots, hasHolders: false, to: &writer)
      for snapshot in snapshots {
        if command.isTree {
          snapshot.writeTree(to: &writer)
        } else {
          snapshot.writeTable(to: &writer)
        }
      }
    }
  }

  /// Lets `body` write to a descriptor.
  ///
  /// - Returns: the exit status.
  @discardableResult
  private static func write(to descriptor: Int32, _ body: (inout TextWriter) -> Void) -> Int32 {
    withTextWriter(.descriptor(descriptor), body) == .ok ? 0 : outputFailed()
  }

  private static func outputFailed() -> Int32 {
    let error = cp_errno()
    _ = withTextWriter(.descriptor(2)) {
      $0.write("taskreg: the output cannot be written: error ")
      $0.write(error)
      $0.write("\n")
    }
    return 5
  }

  private static func withoutMemory() -> Int32 {
    write(to: 2) { $0.write("taskreg: there is not enough memory\n") }
    return 5
  }
}
