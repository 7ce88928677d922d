import Testing

@testable import TrackedTasks

/// The messages for a worker without a task.
@Suite struct MailboxWordTests {
  /// **Proves:** only "leave" and a task count as posted, and only a task names a record (S1, M1).
  ///
  /// **Why it matters:** a worker that takes a word for a task runs whatever lies at that address.
  /// **Catches:** `isPosted` true for a sleeping worker.
  @Test func onlyTasksAndLeavingArePosted() throws {
    #expect(!MailboxWord.listening.isPosted)
    #expect(!MailboxWord.sleeping.isPosted)
    #expect(!MailboxWord.restoring.isPosted)
    #expect(MailboxWord.leave.isPosted)
    for word in [MailboxWord.listening, .sleeping, .restoring, .leave] {
      #expect(word.record == nil)
    }

    let registry = try TaskRegistry()
    let taken = registry.core.pointer.pointee.records.take(for: registry.core)
    let record = try #require(taken)
    defer { registry.core.pointer.pointee.records.release(record) }
    let word = MailboxWord.task(record.pointer)
    #expect(word.isPosted)
    #expect(word.record == record)
  }

  /// **Proves:** the five messages of a mailbox differ (M1).
  ///
  /// **Why it matters:** the old word tells the posting thread whether the worker must be woken.
  /// **Catches:** two of the numbers made equal.
  @Test func noTwoWordsAreAlike() {
    let all: [MailboxWord] = [.listening, .sleeping, .restoring, .leave]
    #expect(Set(all.map(\.bits)).count == all.count)
    // Records are aligned to 64 bytes, so no address is among these.
    #expect(all.allSatisfy { $0.bits < 64 })
  }
}
