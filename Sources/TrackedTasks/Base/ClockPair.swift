/// The two clocks at one moment, from which wall time and age of everything listed are derived.
struct ClockPair {
  let monotonic: Int64
  let wall: Int64

  static var now: ClockPair { ClockPair(monotonic: monotonicNow(), wall: wallClockNow()) }
}
