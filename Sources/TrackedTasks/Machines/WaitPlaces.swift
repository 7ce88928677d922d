/// The addresses after the instructions with which glibc's locks wait, as a trial has shown them
/// (Q2).
struct WaitPlaces: Equatable {
  /// `pthread_mutex_lock`, and the way back from a condition variable.
  var mutex: UInt64 = 0
  var robust: UInt64 = 0
  /// Read-write locks, and mutexes with a time limit.
  var timed: UInt64 = 0
  /// Condition variables, semaphores, and the end of a thread.
  var signal: UInt64 = 0

  /// Whether they tell locks apart: an emulator makes all calls of a program with one instruction.
  var areDistinct: Bool {
    mutex != 0 && robust != 0 && timed != 0 && signal != 0 && mutex != robust && mutex != timed
      && mutex != signal && robust != timed && robust != signal && timed != signal
  }
}
