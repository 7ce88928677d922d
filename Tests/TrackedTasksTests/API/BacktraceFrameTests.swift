import Glibc
import Testing

@testable import TrackedTasks

/// A return address, and the code it belongs to.
@Suite struct BacktraceFrameTests {
  /// **Proves:** an address in a library is found with its function, an address that belongs to no
  /// object is not, and both read well (E10, E12).
  ///
  /// **Why it matters:** a number alone is useless without the core file.
  /// **Catches:** the name of the object for that of the function; "+0x" without a function; a call
  /// that does not return shown as one in the function behind.
  @Test func addressesAreFound() throws {
    let address = UInt64(UInt(bitPattern: dlsym(nil, "getenv")))
    try #require(address != 0)
    let innermost = try #require(BacktraceFrame(address: address, depth: 0).symbol)
    #expect(innermost.functionOffset == 0 && innermost.function?.contains("getenv") == true)
    let frame = BacktraceFrame(address: address + 2, depth: 1)
    let symbol = try #require(frame.symbol)
    #expect(symbol.object.contains("libc") && symbol.objectOffset == innermost.objectOffset + 1)
    // The call is one byte before the return address, and may be the last of its function.
    #expect(symbol.functionOffset == 1 && symbol.function == innermost.function)
    #expect(BacktraceFrame(address: address, depth: 1).symbol?.function != innermost.function)
    let number = "0x" + String(address + 2, radix: 16)
    let function = try #require(symbol.function)
    #expect(frame.description.hasPrefix("\(number) \(function)+0x1 (\(symbol.object)+0x"))
    let nowhere = BacktraceFrame(address: 0x10, depth: 0)
    #expect(nowhere.symbol == nil && nowhere.description == "0x10")
  }
}
