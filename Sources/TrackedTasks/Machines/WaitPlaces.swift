/// The addresses after the instructions with which glibc's locks wait, and the word that a join waits
/// for, as a trial has shown them (Q2).
struct WaitPlaces: Equatable {
  /// `pthread_mutex_lock`, and the way back from a condition variable.
  var mutex: UInt64 = 0
  var robust: UInt64 = 0
  /// Read-write locks, and mutexes with a time limit.
  var timed: UInt64 = 0
  /// Condition variables, semaphores, and from glibc 2.34 on the end of a thread.
  var signal: UInt64 = 0
  /// How far behind a thread's id the word is that the kernel sets to 0 at the thread's end, in
  /// glibc's descriptor of the thread, in bytes; -1: not known.
  ///
  /// Up to glibc 2.42 that word is the id: 0. From 2.43 on it is a state of its own (BZ #19951).
  var endWord: Int64 = -1

  /// Whether they tell locks apart: an emulator makes all calls of a program with one instruction.
  var areDistinct: Bool {
    mutex != 0 && robust != 0 && timed != 0 && signal != 0 && mutex != robust && mutex != timed
      && mutex != signal && robust != timed && robust != signal && timed != signal
  }
}
