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

  /// **Proves:** a path is the names from the root registry, with slashes between them; the root
  /// registry's own is empty (T3).
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

  /// **Proves:** whatever the names, the kept part is the longest prefix of the whole path that has
  /// at most 127 bytes and ends at a character boundary (T3).
  ///
  /// **Why it matters:** a wrong path names another group.
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

  /// **Proves:** a name is valid as a task's name and has no slash anywhere (T3, S2, P4).
  ///
  /// **Why it matters:** with one, two groups could have the same path.
  /// **Catches:** the slash searched only in the part that is kept.
  @Test func aNameHasNoSlash() {
    let long = String(repeating: "a", count: 100)
    for name in ["", "/", "a/b", "/a", "a/", long + "/"] {
      #expect(withUTF8Text(name) { GroupPath.name($0) } == nil)
    }
    #expect(Self.path([long]) == String(long.prefix(63)))
  }
}
