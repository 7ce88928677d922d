import CPlatform

/// Why a command could not do what it is for: a sentence for people, and an exit status for scripts.
enum Failure: Error {
  case noProc
  case noProcess(Int32)
  /// The process has ended, and its parent has not collected that.
  case ended(Int32, [UInt8], parent: UInt64?)
  case kernelThread(Int32, [UInt8])
  /// A right is missing.
  case forbidden(Int32, [UInt8], Right)
  /// The system refused with another error.
  case unreadable(Int32, [UInt8], error: Int32)
  /// With the path of a core file.
  case noLibrary(Int32, [UInt8], core: [UInt8]?)
  case otherLayout(Int32, [UInt8], layout: UInt64)
  case damagedTable(Int32, [UInt8])
  /// A core file cannot be opened.
  case noCore([UInt8], error: Int32)
  case notACore([UInt8], CoreProblem)

  /// Why a file is not read.
  enum CoreProblem {
    case short
    case zstd
    case other
    case machine
    /// There is no thread in it, or no memory.
    case empty
  }

  /// What is missing to read a process's memory, as ptrace(2) lists it.
  enum Right {
    /// It is another user's.
    case user(its: UInt64, own: UInt64)
    /// Yama restricts it, to 1: descendants; 2: administrators; 3: nobody.
    case yama(UInt64)
    /// This one is root's, and has not the capability, as in a container.
    case capability
    /// A filter of system calls forbids it.
    case filter
    /// Its memory may not be dumped, or it has capabilities that this one has not.
    case dumpable
  }

  /// - Parameters:
  ///   - process: which could not be read.
  ///   - name: its name.
  ///   - error: the error number.
  ///   - status: its file `status`.
  init(reading process: Int32, _ name: [UInt8], _ error: Int32, _ status: [UInt8]) {
    switch error {
    case ESRCH, ENOENT: self = .noProcess(process)
    case ENOSYS: self = .forbidden(process, name, .filter)
    case EPERM, EACCES: self = .forbidden(process, name, Self.missing(status))
    default: self = .unreadable(process, name, error: error)
    }
  }

  private static func missing(_ status: [UInt8]) -> Right {
    let own = UInt64(geteuid())
    if own == 0 { return .capability }
    // "Uid:", and the real id.
    let its = status.end(ofLine: "Uid:").flatMap { status.number(at: $0) } ?? own
    if its != own { return .user(its: its, own: own) }
    let path: StaticString = "/proc/sys/kernel/yama/ptrace_scope"
    let scope = File.read(path.utf8Start, most: 16).number(at: 0) ?? 0
    return scope > 0 ? .yama(scope) : .dumpable
  }

  /// The exit status of the program.
  ///
  /// 1: there are no tasks to be read; 3: no process; 4: a right is missing; 5: anything else. 2 is
  /// that of a wrong command.
  var exitStatus: Int32 {
    switch self {
    case .noLibrary: 1
    case .noProcess, .ended, .noCore(_, error: ENOENT): 3
    case .noCore(_, error: EACCES), .noCore(_, error: EPERM): 4
    case .forbidden: 4
    case .noProc, .kernelThread, .unreadable, .otherLayout, .damagedTable, .noCore, .notACore: 5
    }
  }

  /// Writes the sentence, with its end of line.
  func write(to writer: inout TextWriter) {
    writer.write("taskreg: ")
    switch self {
    case .noProc: writer.write("/proc is not mounted, and all that is known of a process is there")
    case .noProcess(let process):
      writer.write("there is no process ")
      writer.write(process)
      writer.write(", or proc(5) hides it from you (hidepid)")
    case .ended(let process, let name, let parent):
      Self.write(process, name, to: &writer)
      writer.write(" has ended and has no memory any more; its parent")
      if let parent {
        writer.write(", process ")
        writer.write(parent)
        writer.write(",")
      }
      writer.write(" has not waited for it yet")
    case .kernelThread(let process, let name):
      Self.write(process, name, to: &writer)
      writer.write(" has no memory of its own: it is a thread of the kernel, or is just ending")
    case .forbidden(let process, let name, let right):
      writer.write("you may not read ")
      Self.write(process, name, to: &writer)
      writer.write(", because ")
      Self.write(right, to: &writer)
    case .unreadable(let process, let name, let error):
      Self.write(process, name, to: &writer)
      writer.write(" cannot be read: error ")
      writer.write(error)
    case .noLibrary(let process, let name, let core):
      Self.write(process, name, to: &writer)
      writer.write(" does not have libtaskreg, so it has no tasks; `taskreg threads ")
      if let core { Self.write(core, to: &writer) } else { writer.write(process) }
      writer.write("` lists its threads")
    case .otherLayout(let process, let name, let layout):
      Self.write(process, name, to: &writer)
      writer.write(" has a libtaskreg whose records have layout ")
      writer.write(layout)
      writer.write(", which this taskreg does not know; use the taskreg of that release")
    case .damagedTable(let process, let name):
      Self.write(process, name, to: &writer)
      writer.write(" has a libtaskreg whose table says what cannot be; its memory is damaged")
    case .noCore(let path, let error):
      writer.write("there is no core file ")
      Self.write(path, to: &writer)
      writer.write(" that can be read: ")
      if error == ENOENT { writer.write("it does not exist") } else { writer.write(failure: error) }
    case .notACore(let path, let problem):
      Self.write(path, to: &writer)
      Self.write(problem, path, to: &writer)
    }
    writer.write("\n")
  }

  private static func write(_ path: [UInt8], to writer: inout TextWriter) {
    path.withUnsafeBufferPointer { if let text = $0.baseAddress { writer.write(text: text) } }
  }

  private static func write(
    _ problem: CoreProblem, _ path: [UInt8], to writer: inout TextWriter
  ) {
    switch problem {
    case .short: writer.write(" is too short for a core file")
    case .zstd:
      writer.write(" is compressed by zstd; let it be read by `zstd -dc ")
      write(path, to: &writer)
      writer.write(" | taskreg ... -`")
    case .other: writer.write(" is not a core file")
    case .machine: writer.write(" is the core file of another kind of machine")
    case .empty:
      writer.write(" has no threads or no memory in it: it was cut off, or is another file")
    }
  }

  static func write(_ process: Int32, _ name: [UInt8], to writer: inout TextWriter) {
    writer.write("process ")
    writer.write(process)
    if name.count < 2 { return }
    writer.write(" (")
    name.withUnsafeBufferPointer { if let text = $0.baseAddress { writer.write(text: text) } }
    writer.write(")")
  }

  private static func write(_ right: Right, to writer: inout TextWriter) {
    switch right {
    case .user(let its, let own):
      writer.write("it is user ")
      writer.write(its)
      writer.write("'s, and you are user ")
      writer.write(own)
      writer.write(": run taskreg as that user or as root (it takes CAP_SYS_PTRACE)")
    case .yama(1):
      writer.write("Yama lets a process read its descendants only: run taskreg as root (it takes ")
      writer.write("CAP_SYS_PTRACE), or set /proc/sys/kernel/yama/ptrace_scope to 0")
    case .yama(2):
      writer.write("Yama lets only administrators read processes: run taskreg as root (it takes ")
      writer.write("CAP_SYS_PTRACE); /proc/sys/kernel/yama/ptrace_scope is 2")
    case .yama:
      writer.write("Yama lets nobody read another process until the machine is started anew; ")
      writer.write("/proc/sys/kernel/yama/ptrace_scope is 3")
    case .capability:
      writer.write("you are root without CAP_SYS_PTRACE, as in a container: start the container ")
      writer.write("with --cap-add=SYS_PTRACE, or run taskreg outside it")
    case .filter:
      writer.write("a filter of system calls forbids process_vm_readv(2): allow it, or run ")
      writer.write("taskreg outside the container")
    case .dumpable:
      writer.write("it has more rights than you, or has said that its memory must not be dumped ")
      writer.write("(PR_SET_DUMPABLE): run taskreg as root (it takes CAP_SYS_PTRACE)")
    }
  }
}
