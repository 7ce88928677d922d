import Testing

@testable import TrackedTasks

/// Lines built without allocation, and where they go.
@Suite struct LogSinkTests {
  private static func line(capacity: Int, _ build: (inout FixedText) -> Void) -> String {
    var result = ""
    withFixedText(capacity: capacity, build) { result = String(cString: $0) }
    return result
  }

  /// **Proves:** numbers are written as Swift writes them, at the ends of their ranges too (O2).
  ///
  /// **Why it matters:** a log line is read for its codes and counts.
  /// **Catches:** a sign lost, or `abs` of the smallest number overflowing.
  @Test func numbersReadAsSwiftWritesThem() {
    for number in [0, 1, 9, 10, -1, -10, 1234, Int64.max, Int64.min] as [Int64] {
      #expect(Self.line(capacity: 64) { $0.append(number) } == "\(number)")
    }
    #expect(Self.line(capacity: 64) { $0.append(UInt64.max) } == "\(UInt64.max)")
    #expect(Self.line(capacity: 64) { $0.append(Int32.min) } == "\(Int32.min)")
  }

  /// **Proves:** a line that gets too long is cut at a character, never overrun (O2).
  ///
  /// **Why it matters:** names in a log line come from the application and are any length.
  /// **Catches:** the room computed without the terminating NUL.
  @Test func longLinesAreCutAtACharacter() {
    for capacity in 1...12 {
      let text = Self.line(capacity: capacity) { line in
        withUTF8Text("né€🌍") { line.append(utf8: $0) }
      }
      #expect(text.utf8.count <= capacity - 1)
      #expect("né€🌍".hasPrefix(text))
      #expect(text.utf8.count + 4 > capacity - 1 || text == "né€🌍")
    }
    #expect(Self.line(capacity: 8) { $0.append("full: ") } == "full: ")
    #expect(Self.line(capacity: 1) { $0.append(12345) } == "")
  }

  /// **Proves:** a sink that was not set does nothing, and one that is set gets its own context
  /// (O2).
  ///
  /// **Why it matters:** the library prints nothing by itself.
  /// **Catches:** target and context exchanged in `send`.
  @Test func aSinkDeliversToItsContext() throws {
    let registry = try TaskRegistry()
    #expect(!LogSink.none.isListening)
    #expect(ProcessState.prepare() == .ok)
    let place = UnsafeMutablePointer<UInt32>.allocate(capacity: 1)
    place.initialize(to: 0)
    defer { place.deallocate() }
    let sink = LogSink(
      deliver: { target, context, record in
        guard target == nil, let context else { return }
        let record = record.assumingMemoryBound(to: LogRecord.self)
        context.storeBytes(of: record.pointee.event, as: UInt32.self)
      }, target: nil, context: UnsafeMutableRawPointer(place), dispose: nil)
    #expect(sink.isListening)
    let text: StaticString = ""
    let record = LogRecord(
      level: 1, event: 42, task: text.utf8Start, message: text.utf8Start, registry: registry.core)
    LogSink.none.send(record)
    #expect(place.pointee == 0)
    sink.send(record)
    #expect(place.pointee == 42)
  }
}
