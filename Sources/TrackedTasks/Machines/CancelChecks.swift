/// What has happened to a task since its flag was raised, in 32 bits.
///
/// Pure, like `TaskWord`.
struct CancelChecks: Equatable {
  var bits: UInt32

  /// The most checks that are counted.
  static var most: UInt32 { (1 << 30) - 1 }
  /// A thread is sampling the CPU time; no other thread does.
  static var sampling: UInt32 { 1 << 30 }
  /// The sample is in the activity.
  static var sampled: UInt32 { 1 << 31 }

  /// How often the task itself has checked its flag.
  var count: UInt32 { bits & Self.most }
  /// Whether the activity has the CPU time that its thread had used by the sample.
  var isSampled: Bool { bits & Self.sampled != 0 }
}
