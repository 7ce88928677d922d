/// What a worker without a task is told through its mailbox, in one machine word.
///
/// Pure, like `TaskWord`.
///
/// M1: `listening` is an invitation to all: a spawner who exchanges it for a task has given the
///     worker that task. The worker takes it back by exchanging it for `sleeping`.
/// M2: to a sleeping worker only the one posts who took it off the idle list, once.
struct MailboxWord: Equatable {
  var bits: UInt

  /// Nothing posted; the worker is awake and looks again by itself (M1).
  static var listening: MailboxWord { MailboxWord(bits: 0) }
  /// Nothing posted; the worker sleeps, or is about to, and must be unparked (M2).
  static var sleeping: MailboxWord { MailboxWord(bits: 1) }
  /// Nothing posted, and nobody may; the end of the last task is known, and the thread is being put right for the next.
  static var restoring: MailboxWord { MailboxWord(bits: 2) }
  /// The thread is to leave.
  static var leave: MailboxWord { MailboxWord(bits: 3) }

  /// Whether something was posted.
  var isPosted: Bool { bits > 2 }
}
