/// What the arguments of a system call say; the numbers are those of `cp_call_arguments`.
enum CallArguments: UInt8 {
  case nothing = 0
  case futex = 1
  /// The first is a descriptor.
  case descriptor = 2
  /// The first is a descriptor, of a call that takes nothing but sockets.
  case socket = 10
  /// An array of `struct pollfd`, and how many.
  case poll = 3
  case select = 4
  case sleep = 5
  /// A process: wait4(2), waitid(2).
  case child = 6
  case childByKind = 7
  case flock = 8
  case fcntl = 9
}

extension WaitEdge {
  /// The edge of a call whose arguments say it, without any memory; nil for one of a lock.
  ///
  /// - Parameters:
  ///   - call: where the thread is.
  ///   - arguments: what its arguments are.
  init?(_ call: SystemCall, _ arguments: CallArguments) {
    switch call.place {
    case .unknown: self = .unknown(.unread)
    case .running: self = WaitEdge(kind: .nothing)
    case .outside: self = .unknown(.outside)
    case .inside:
      let first = Int32(truncatingIfNeeded: call.words[0])
      let second = Int32(truncatingIfNeeded: call.words[1])
      switch arguments {
      case .futex: return nil
      case .nothing: self = .unknown(.call)
      case .descriptor, .socket: self = WaitEdge(kind: .descriptor, descriptor: first)
      case .poll:
        self =
          second == 0
          ? WaitEdge(kind: .time)
          : WaitEdge(kind: .descriptors, count: UInt32(truncatingIfNeeded: call.words[1]))
      case .select: self = first == 0 ? WaitEdge(kind: .time) : WaitEdge(kind: .descriptors)
      case .sleep: self = WaitEdge(kind: .time)
      case .child: self = WaitEdge(kind: .child, process: first > 0 ? first : 0)
      // P_PID is 1.
      case .childByKind: self = WaitEdge(kind: .child, process: first == 1 ? max(0, second) : 0)
      case .flock: self = WaitEdge(kind: .fileLock, descriptor: first)
      case .fcntl:
        // F_SETLKW and F_OFD_SETLKW; others do not wait for a lock.
        self =
          second == 7 || second == 38
          ? WaitEdge(kind: .fileLock, descriptor: first) : .unknown(.call)
      }
    }
  }
}
