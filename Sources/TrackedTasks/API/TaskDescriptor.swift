#if !hasFeature(Embedded)

  /// The descriptor that a task waits for, and what it was when the task was examined.
  public struct TaskDescriptor: Hashable, Sendable, Codable {
    /// What it is.
    @nonexhaustive
    public enum Kind: UInt32, Hashable, Sendable, Codable, CaseIterable {
      /// `text` says why.
      case notKnown = 1
      /// A file or a directory.
      case file = 2
      /// A device with a path, other than a terminal.
      case device = 3
      /// A terminal, with its path.
      case terminal = 4
      /// A pipe, with a name or without.
      case pipe = 5
      /// A socket of TCP, with both addresses and its state.
      case tcp = 6
      /// A socket of UDP, with its addresses.
      case udp = 7
      /// A unix socket, with its names and the process at its other end.
      case unix = 8
      /// A socket of another family or protocol, or one that was not asked.
      case otherSocket = 9
      /// See eventfd(2).
      case eventfd = 10
      /// See timerfd_create(2).
      case timerfd = 11
      /// An epoll instance; see epoll(7).
      case epoll = 12
      /// See signalfd(2).
      case signalfd = 13
      /// An inotify instance; see inotify(7).
      case inotify = 14
      /// Something else without a name.
      case other = 15
    }

    /// Its number.
    public let number: Int32
    /// What it is.
    public let kind: Kind
    /// What is known of it: "pipe, written by this process's fd 6".
    ///
    /// Without control characters, and at most 255 bytes of UTF-8; of a long path the end.
    public let text: String

    init(_ face: DescriptorFace) {
      number = face.number
      kind = Kind(rawValue: face.kind.rawValue) ?? .notKnown
      text = face.withText { String(cString: $0) }
    }
  }

#endif
