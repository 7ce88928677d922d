/// The message for a worker without a task, in one machine word.
///
/// Pure, like `TaskWord`.
///
/// M1: `listening` is open to all: a spawner that exchanges it for a task has given the worker that
///     task. The worker closes it by exchanging it for `sleeping`.
/// M2: to a sleeping worker only the thread posts that took it off the idle list, once.
struct MailboxWord: Equatable {
  var bits: UInt

  /// Nothing is posted; the worker is awake and polls (M1).
  static var listening: MailboxWord { MailboxWord(bits: 0) }
  /// Nothing is posted; the worker sleeps, or is about to, and must be unparked (M2).
  static var sleeping: MailboxWord { MailboxWord(bits: 1) }
  /// Nothing is posted, and no thread may post: the last task's end is observable, and the thread's
  /// state is being restored for the next task.
  static var restoring: MailboxWord { MailboxWord(bits: 2) }
  /// The thread is to leave.
  static var leave: MailboxWord { MailboxWord(bits: 3) }

  /// Whether something was posted.
  var isPosted: Bool { bits > 2 }
}
