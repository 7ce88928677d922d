#if !hasFeature(Embedded)

  import Glibc

  /// What else in the process takes signals, so that a watch would not receive them.
  ///
  /// A descriptor of signalfd(2) takes a pending signal before a handler runs, or after, as it happens.
  /// That is what a signal source of Dispatch is on Linux, and so a `ServiceGroup`, and a
  /// `UnixSignalsSequence`.
  enum SignalConflict {
    /// The first of the signals that a watch would not receive reliably; nil if it would receive all.
    ///
    /// - Parameters:
    ///   - signals: as in `TaskRegistry.startSignalWatch`.
    ///   - roles: as there.
    /// - Returns: its number.
    static func first(of signals: [Int32]?, _ roles: [WatchedSignal]) -> Int32? {
      // No supervisor starts a program so that it cannot be stopped: the program has done that itself, in
      // order to take the signal in another way.
      if signals == nil && action(of: SIGTERM) == .ignored { return SIGTERM }
      let wanted = Set((signals ?? [SIGINT, SIGTERM]) + roles.map(\.number))
      let taken = signalsOfDescriptors
      return wanted.sorted().first { (1...64).contains($0) && taken & (1 << UInt64($0 - 1)) != 0 }
    }

    private enum Action {
      case ignored
      case other
    }

    private static func action(of number: Int32) -> Action {
      var action = sigaction()
      guard sigaction(number, nil, &action) == 0 else { return .other }
      // SAFETY: SIG_IGN is not a function, but the number 1 in the place of one.
      let handler = unsafeBitCast(action.__sigaction_handler.sa_handler, to: UInt.self)
      return handler == 1 ? .ignored : .other
    }

    /// The signals that descriptors of the process take, one bit each: number 1 is bit 0.
    ///
    /// Without /proc it is not known, and none.
    private static var signalsOfDescriptors: UInt64 {
      guard let folder = opendir("/proc/self/fd") else { return 0 }
      defer { closedir(folder) }
      var signals: UInt64 = 0
      while let entry = readdir(folder) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
          String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
        }
        if Int32(name) != nil, isSignalDescriptor(name) { signals |= mask(of: name) }
      }
      return signals
    }

    private static func isSignalDescriptor(_ name: String) -> Bool {
      withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 64) { room in
        // SAFETY: an allocation of this size has a base address.
        let count = readlink(
          "/proc/self/fd/\(name)",
          UnsafeMutableRawPointer(room.baseAddress.unsafelyUnwrapped)
            .assumingMemoryBound(to: CChar.self), 64)
        return count > 0
          && String(decoding: room.prefix(count), as: UTF8.self) == "anon_inode:[signalfd]"
      }
    }

    /// The signals of a descriptor of signalfd(2), from the line "sigmask" of proc_pid_fdinfo(5).
    private static func mask(of name: String) -> UInt64 {
      let file = open("/proc/self/fdinfo/\(name)", O_RDONLY | O_CLOEXEC)
      if file < 0 { return 0 }
      defer { close(file) }
      let text = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 512) { room in
        String(decoding: room.prefix(max(0, read(file, room.baseAddress, 512))), as: UTF8.self)
      }
      let line = text.split(separator: "\n").first { $0.hasPrefix("sigmask:") }
      return line.flatMap { UInt64($0.dropFirst(8).drop { $0 == "\t" || $0 == " " }, radix: 16) }
        ?? 0
    }
  }

#endif
