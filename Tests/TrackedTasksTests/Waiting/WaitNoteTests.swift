import CPlatform
import Glibc
import Testing

@testable import TrackedTasks

/// Whether a thread sleeps in the wait that it has noted.
@Suite struct WaitNoteTests {
  private func call(_ number: Int32, _ operation: UInt64 = 0, value: UInt64 = 0) -> SystemCall {
    var call = SystemCall(number: number, place: .inside)
    call.words[1] = operation
    call.words[2] = value
    return call
  }

  /// **Proves:** a note counts in the calls in which such a wait sleeps, with every option of futex(2), in older versions
  /// of glibc and after SIGCONT, and not in those of a mutex, of another wait, or in none (E15).
  ///
  /// **Why it matters:** who waits for a mutex is not idle.
  /// **Catches:** an option that hides the operation; a wait of one kind in the call of another.
  @Test func aNoteCountsInTheCallOfItsWait() {
    let futex = Int32(SYS_futex)
    // FUTEX_WAIT_BITSET, private, with CLOCK_REALTIME; FUTEX_WAIT of a condition variable.
    let signalled = [
      call(futex, 9, value: 2), call(futex, 137), call(futex, 393, value: 5), call(futex, 0),
      call(futex, 128), call(Int32(SYS_restart_syscall), 137),
    ]
    // FUTEX_WAIT of a mutex, FUTEX_LOCK_PI; others.
    let others = [
      call(futex, 0, value: 2), call(futex, 128, value: 2), call(futex, 134),
      call(Int32(SYS_read)), call(Int32(SYS_restart_syscall), 128, value: 2),
      SystemCall(number: -1, place: .running), SystemCall(number: -1, place: .outside),
    ]
    let polls = call(Int32(SYS_ppoll), 2)
    for kind in [
      WaitNote.Kind.time, .cancel, .descriptor, .condition, .task, .tasks, .token,
    ] {
      let wait = WaitFacts(kind: kind)
      for call in signalled { #expect(wait.fits(call) == (kind != .descriptor), "\(kind)") }
      for call in others { #expect(!wait.fits(call), "\(kind)") }
      #expect(wait.fits(polls) == [.time, .cancel, .descriptor].contains(kind), "\(kind)")
      #expect(wait.fits(SystemCall()) == (kind != .condition), "\(kind)")
    }
  }
}
