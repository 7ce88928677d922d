/// What happened to a task since its flag rose, in 32 bits.
///
/// Pure, like `TaskWord`.
struct CancelChecks: Equatable {
  var bits: UInt32

  /// The most looks that are counted.
  static var most: UInt32 { (1 << 30) - 1 }
  /// Somebody is taking a sample of the processor time; nobody else is to.
  static var sampling: UInt32 { 1 << 30 }
  /// The sample is in the notes.
  static var sampled: UInt32 { 1 << 31 }

  /// How often the task itself has looked at its flag.
  var count: UInt32 { bits & Self.most }
  /// Whether the notes tell how much processor time its thread had used then.
  var isSampled: Bool { bits & Self.sampled != 0 }
}
