@testable import TrackedTasks

/// Builds a line of at most `capacity` - 1 bytes and hands it to `body`: the library's own has one
/// capacity.
func withFixedText(
  capacity: Int, _ build: (inout FixedText) -> Void, _ body: (UnsafePointer<UInt8>) -> Void
) {
  withUnsafeTemporaryAllocation(of: UInt8.self, capacity: capacity) { buffer in
    var text = FixedText(in: buffer)
    build(&text)
    body(text.text)
  }
}
