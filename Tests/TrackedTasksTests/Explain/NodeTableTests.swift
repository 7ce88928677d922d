import Testing

@testable import TrackedTasks

/// The table of a report's nodes by a hash (Q3, Q6).
@Suite struct NodeTableTests {
  /// **Proves:** nodes of the same hash are found each, in the order in which they were added, also
  /// behind the end of the table; what is not there is not found, and the two tables of a pair are
  /// apart (Q3).
  ///
  /// **Why it matters:** a holder that is not found has no name in the report.
  /// **Catches:** a search that stops at the first node; one that does not begin anew at the end.
  @Test func nodesOfTheSameHashAreFound() throws {
    let (table, other) = try #require(NodeTable.makeTwo(for: 32))
    defer { table.free() }
    let last: UInt64 = 63
    for node in 0..<32 { #expect(table.find(last, orAdd: node) { _ in false } == nil) }
    for node in 0..<32 { #expect(table.find(last) { $0 == node } == node) }
    #expect(table.find(last) { $0 >= 7 } == 7)
    #expect(table.find(last) { $0 == 32 } == nil)
    #expect(table.find(last, orAdd: 40) { $0 == 3 } == 3)
    #expect(table.find(last) { $0 == 40 } == nil)
    #expect(other.find(last) { _ in true } == nil)
  }

  /// **Proves:** no more places are checked than allowed, and nothing is added behind them (Q6).
  ///
  /// **Why it matters:** the time of a report of many stragglers.
  /// **Catches:** a search without a bound.
  @Test func theNumberOfProbesIsBounded() throws {
    let (table, _) = try #require(NodeTable.makeTwo(for: 32))
    defer { table.free() }
    for node in 0..<32 { _ = table.find(5, orAdd: node) { _ in false } }
    var checked = 0
    let isMissing = table.find(5, orAdd: 50, mostProbes: 8) { _ in
      checked += 1
      return false
    }
    #expect(isMissing == nil && checked == 8)
    #expect(table.find(5) { $0 == 50 } == nil)
  }
}
