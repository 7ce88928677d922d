extension MailboxWord {
  /// A posted task, also while it runs; records are aligned, so no address is below 4.
  static func task(_ record: UnsafeMutablePointer<TaskRecord>) -> MailboxWord {
    MailboxWord(bits: UInt(bitPattern: record))
  }

  /// The task posted, if one was.
  var record: TaskReference? {
    bits > 3 ? UnsafeMutablePointer<TaskRecord>(bitPattern: bits).map(TaskReference.init) : nil
  }
}
