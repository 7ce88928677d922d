import Testing

@testable import TrackedTasks

/// Where a group is listed.
@Suite struct GroupPathTests {
  private static func path(_ names: [String]) -> String {
    var path = GroupPath()
    for name in names {
      guard let name = withUTF8Text(name, { GroupPath.name($0) }) else { return "no name: \(name)" }
      path = GroupPath(below: path, name)
    }
    return path.withText { String(cString: $0) }
  }

  /// **Proves:** a path is the names from the top, with slashes between them; that of the topmost
  /// registry is empty (T3).
  ///
  /// **Why it matters:** it is what a person reads.
  /// **Catches:** a slash in front; the names in the other order.
  @Test func namesAreJoinedFromTheTop() {
    #expect(Self.path([]) == "")
    #expect(GroupPath().isEmpty)
    #expect(Self.path(["net"]) == "net")
    #expect(Self.path(["net", "peers", "10.0.0.1:443"]) == "net/peers/10.0.0.1:443")
    #expect(Self.path(["é", "🌍"]) == "é/🌍")
  }

  /// **Proves:** whatever the names, what is kept is the longest beginning of the whole path that has
  /// 127 bytes at the most and ends at a character (T3).
  ///
  /// **Why it matters:** a path that says something else than the whole names another group.
  /// **Catches:** a limit of 126 or 128; a name appended to a path that was cut.
  @Test(arguments: ["a", "é", "€", "🌍"])
  func longPathsAreBeginningsOfTheWhole(character: String) {
    for count in 1...63 / character.utf8.count {
      let name = String(repeating: character, count: count)
      for shift in 0...4 {
        let names = [String(repeating: "x", count: shift + 1)] + Array(repeating: name, count: 40)
        let whole = names.joined(separator: "/")
        var expected = ""
        var size = 0
        for next in whole {
          size += next.utf8.count
          if size > 127 { break }
          expected.append(next)
        }
        #expect(Self.path(names) == expected)
      }
    }
  }

  /// **Proves:** a name is one of a task without a slash, wherever the slash is (T3, S2, P4).
  ///
  /// **Why it matters:** with one, two groups could have the same path.
  /// **Catches:** the slash looked for in what is kept only.
  @Test func aNameHasNoSlash() {
    let long = String(repeating: "a", count: 100)
    for name in ["", "/", "a/b", "/a", "a/", long + "/"] {
      #expect(withUTF8Text(name) { GroupPath.name($0) } == nil)
    }
    #expect(Self.path([long]) == String(long.prefix(63)))
  }
}
