/// The two clocks at one moment, to derive wall time and age of everything listed.
struct ClockPair {
  let monotonic: Int64
  let wall: Int64

  static var now: ClockPair { ClockPair(monotonic: monotonicNow(), wall: wallClockNow()) }
}
