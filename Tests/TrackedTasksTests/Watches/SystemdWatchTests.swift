import Testing

@testable import TrackedTasks

/// The address of systemd's socket; `SystemdNotificationTests` has the notifications.
@Suite struct SystemdWatchTests {
  /// **Proves:** an address is a path or an abstract name, of a length that a socket can have
  /// (E11).
  ///
  /// **Why it matters:** it is copied into a structure of 108 bytes.
  /// **Catches:** an off-by-one at either end.
  @Test func addressesArePathsAndAbstractNames() {
    func length(_ text: String) -> Int? { withUTF8Text(text) { SystemdAddress($0)?.length } }
    #expect(length("/run/systemd/notify") == 19)
    #expect(length("@name") == 5)
    for text in ["", "/", "@", "run", "vsock:2:1", " /run"] { #expect(length(text) == nil) }
    let long = String(repeating: "x", count: 106)
    #expect(length("/" + long) == 107)
    #expect(length("/" + long + "x") == nil)
    #expect(length("@" + long + "x") == 108)
    #expect(length("@" + long + "xx") == nil)
  }
}
