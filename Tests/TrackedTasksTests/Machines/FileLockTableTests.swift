import Testing

@testable import TrackedTasks

@Suite struct FileLockTableTests {
  private static func holder(
    _ text: String, _ kind: FileLockTable.Kind = .flock, inode: UInt64 = 16_220_190,
    waiter: Int32 = 6303
  ) -> Int32 {
    let lock = FileLockTable.Lock(kind: kind, major: 0xFE, minor: 0, inode: inode)
    return Array(text.utf8).withUnsafeBufferPointer {
      FileLockTable(text: $0).holder(of: lock, forWaiter: waiter)
    }
  }

  /// **Proves:** the holder is the process of the line above the one that waits (Q1).
  ///
  /// **Why it matters:** the process that holds the lock file is the one to look at.
  ///
  /// **Catches:** the holder of another lock; a second waiter taken for a holder.
  @Test func theHolderIsAboveTheWaiter() {
    let table = """
      1: POSIX  ADVISORY  WRITE 19310 fe:00:16294984 1073741824 1073742335
      2: FLOCK  ADVISORY  WRITE 14226 fe:00:16220190 0 EOF
      2: -> FLOCK  ADVISORY  WRITE 25510 fe:00:16220190 0 EOF
      2:  -> FLOCK  ADVISORY  WRITE 6303 fe:00:16220190 0 EOF
      3: FLOCK  ADVISORY  WRITE 18688 fe:00:16221552 0 EOF

      """
    #expect(Self.holder(table) == 14226)
    #expect(Self.holder(table, waiter: 25510) == 14226)
    #expect(Self.holder(table, waiter: 18688) == 0)
    #expect(Self.holder(table, waiter: 1) == 0)
  }

  /// **Proves:** no process is named where threads of one process wait for the same file and
  /// different processes, where the holder is an open file or of another namespace, and for text of
  /// any other form (Q1).
  ///
  /// **Why it matters:** a wrong process would be blamed.
  ///
  /// **Catches:** the last of several; a negative number; a read past the end.
  @Test func whatIsNotClearIsNotNamed() {
    let two = """
      1: POSIX  ADVISORY  WRITE 10 fe:00:1 0 9
      1: -> POSIX  ADVISORY  WRITE 6303 fe:00:1 0 9
      2: POSIX  ADVISORY  WRITE 11 fe:00:1 10 EOF
      2: -> POSIX  ADVISORY  WRITE 6303 fe:00:1 10 EOF

      """
    #expect(Self.holder(two, .posix, inode: 1) == 0)
    let open = """
      1: OFDLCK ADVISORY  WRITE -1 fe:00:1 0 EOF
      1: -> POSIX  ADVISORY  WRITE 6303 fe:00:1 0 EOF

      """
    #expect(Self.holder(open, .posix, inode: 1) == 0)
    let texts = [
      "", "\n", "1:\n", "1: ->\n", "-> 6303", "1: -> FLOCK A WRITE 99999999999 fe:00:1\n",
    ]
    for text in texts { #expect(Self.holder(text, inode: 1) == 0) }
    let files = [
      "", "fe", "fe:00", "fe:00:", "fe:00:1:", "fe::1", ":00:1", "fe:00:1a", "0fe:00:1g", "FE:00:1",
      "fe:00:18446744073709551617", "fe:00:2", "fe:01:1", "fd:00:1", "1fe:00:1",
    ]
    for file in files {
      let text = """
        1: FLOCK  ADVISORY  WRITE 10 fe:00:1 0 EOF
        1: -> FLOCK  ADVISORY  WRITE 6303 \(file) 0 EOF

        """
      #expect(Self.holder(text, inode: 1) == 0, "\(file)")
    }
  }

  /// **Proves:** of the waits of one process each has its own holder, by kind and file, and one
  /// that is not in the table has none (Q1).
  ///
  /// **Why it matters:** a thread that waits for a lock of an open file got the holder of another
  /// file's lock, because both are of the same process.
  ///
  /// **Catches:** a kind or a file that is not compared; a lock of an open file taken for one.
  @Test func eachWaitHasItsOwnHolder() {
    let table = """
      1: OFDLCK ADVISORY  WRITE -1 fe:00:100 0 EOF
      1: -> OFDLCK ADVISORY  WRITE -1 fe:00:100 0 EOF
      2: FLOCK  ADVISORY  WRITE 900 fe:00:200 0 EOF
      2: -> FLOCK  ADVISORY  WRITE 6303 fe:00:200 0 EOF
      3: POSIX  ADVISORY  WRITE 901 fe:00:200 0 EOF
      3: -> POSIX  ADVISORY  WRITE 6303 fe:00:200 0 EOF
      4: FLOCK  ADVISORY  WRITE 902 fe:00:300 0 EOF

      """
    #expect(Self.holder(table, .flock, inode: 200) == 900)
    #expect(Self.holder(table, .posix, inode: 200) == 901)
    for inode: UInt64 in [100, 300, 20] {
      #expect(Self.holder(table, .flock, inode: inode) == 0)
      #expect(Self.holder(table, .posix, inode: inode) == 0)
    }
  }
}
