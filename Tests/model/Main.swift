import CModel

/// Explores the scenarios that the arguments name, or all of them.
///
/// `--list` names them, `--deeper=N` allows N preemptions more, or fewer. `--weak` explores with the orders of
/// C++11; then `--stale=N` allows N accesses that see another than the last store, `--weaken=FILE:LINE:N`
/// leaves that operation no more than the order N of scheduler.h, and `--places` lists the operations
/// on atomics that were passed, in place of what is found.
@main
enum Main {
  static func main() {
    var wanted: [String] = []
    var effort = Effort()
    var listsPlaces = false
    for argument in CommandLine.arguments.dropFirst() {
      if argument == "--list" {
        for scenario in Scenario.all { print(scenario.name) }
        return
      }
      if argument.hasPrefix("--deeper=") {
        effort.deeper = number(argument)
      } else if argument == "--weak" {
        effort.isWeak = true
      } else if argument.hasPrefix("--stale=") {
        effort.stale = number(argument)
      } else if argument.hasPrefix("--weaken=") {
        weaken(argument.dropFirst("--weaken=".count))
      } else if argument == "--places" {
        listsPlaces = true
      } else {
        wanted.append(argument)
      }
    }
    let chosen = Scenario.all.filter { wanted.isEmpty || wanted.contains("\($0.name)") }
    Stage.expect(wanted.isEmpty || chosen.count == wanted.count, "every scenario named exists")
    for scenario in chosen { scenario.explore(effort) }
    if listsPlaces { model_list_places() }
  }

  /// The number after the `=`.
  private static func number(_ argument: String) -> Int32 {
    argument.split(separator: "=").last.flatMap { Int32($0) } ?? 0
  }

  private static func weaken(_ place: Substring) {
    let parts = place.split(separator: ":")
    Stage.expect(parts.count == 3, "a place is FILE:LINE:ORDER")
    // Kept for the rest of the process.
    let file = UnsafeMutablePointer<CChar>.allocate(capacity: parts[0].utf8.count + 1)
    for (index, byte) in parts[0].utf8.enumerated() { file[index] = CChar(bitPattern: byte) }
    file[parts[0].utf8.count] = 0
    model_weaken(file, Int32(parts[1]) ?? 0, Int32(parts[2]) ?? 0)
  }
}

/// How much is explored of each scenario.
struct Effort {
  /// More preemptions than the scenario says.
  var deeper: Int32 = 0
  /// Whether atomics have the orders of C++11.
  var isWeak = false
  /// How many accesses see another than the last store.
  var stale: Int32 = 1
}
