import CModel

/// Explores the scenarios that the arguments name, or all of them; `--list` names them,
/// `--deeper=N` allows N preemptions more.
@main
enum Main {
  static func main() {
    var wanted: [String] = []
    var deeper: Int32 = 0
    for argument in CommandLine.arguments.dropFirst() {
      if argument == "--list" {
        for scenario in Scenario.all { print(scenario.name) }
        return
      }
      if argument.hasPrefix("--deeper=") {
        deeper = Int32(argument.dropFirst("--deeper=".count)) ?? 0
      } else {
        wanted.append(argument)
      }
    }
    let chosen = Scenario.all.filter { wanted.isEmpty || wanted.contains("\($0.name)") }
    Stage.expect(wanted.isEmpty || chosen.count == wanted.count, "every scenario named exists")
    for scenario in chosen { scenario.explore(deeper: deeper) }
  }
}
