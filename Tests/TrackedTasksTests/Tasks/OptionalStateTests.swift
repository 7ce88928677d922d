import Testing

@testable import TrackedTasks

/// What few tasks need.
@Suite struct OptionalStateTests {
  /// **Proves:** the traits of a task are distinct, and match the options (C12).
  ///
  /// **Why it matters:** each is a bit beside the others.
  /// **Catches:** two traits with one number.
  @Test func traitsAreApart() {
    let all: [TaskTraits] = [
      .essential, .essentialOnFailure, .finalizing, .activity, .heartbeat, .readsFlag, .measured,
    ]
    for (number, trait) in all.enumerated() {
      for other in all[(number + 1)...] { #expect(trait.isDisjoint(with: other)) }
      #expect(trait.rawValue.nonzeroBitCount == 1)
    }
    #expect(SpawnOptions.Essential.no.traits.isEmpty)
    #expect(SpawnOptions.Essential.anyEnd.traits == .essential)
    #expect(SpawnOptions.Essential.failure.traits == .essentialOnFailure)
  }

  /// **Proves:** a request without traits and without a signal has no optional state, each of them
  /// makes it have some (C10, C12).
  ///
  /// **Why it matters:** a task that needs nothing is not to pay for it, and the others are not to
  /// be forgotten.
  /// **Catches:** one of the two left out.
  @Test func whatIsAskedForIsExtra() throws {
    let name = try #require(withUTF8Text("task") { TaskName($0) })
    var request = SpawnRequest(
      name: name, kind: 1, body: { _, _ in 0 }, context: nil, drop: nil)
    #expect(!request.hasOptionalState)
    request.traits = .essential
    #expect(request.hasOptionalState)
    request.traits = []
    request.cancelSignal = 40
    #expect(request.hasOptionalState)
  }
}
