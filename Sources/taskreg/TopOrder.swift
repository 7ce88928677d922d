/// By what `taskreg top` sorts.
enum TopOrder {
  /// The most busy first, of late.
  case processor
  /// The most CPU time in total first.
  case time
  /// The oldest first.
  case age
  case id
  case name

  /// Its name on the command line, and on the page.
  var text: StaticString {
    switch self {
    case .processor: "cpu"
    case .time: "time"
    case .age: "age"
    case .id: "id"
    case .name: "name"
    }
  }

  private static var all: InlineArray<5, TopOrder> { [.processor, .time, .age, .id, .name] }

  /// The order of that name.
  init?(name: [UInt8]) {
    for place in 0..<5 where name.is(Self.all[place].text) {
      self = Self.all[place]
      return
    }
    return nil
  }

  /// The order whose name begins with a character.
  init?(key: UInt8) {
    for place in 0..<5 where Self.all[place].text.utf8Start[0] == key {
      self = Self.all[place]
      return
    }
    return nil
  }

  /// Whether one task comes before another; of equals the one with the smaller id.
  func puts(_ one: TopPage.Row, before other: TopPage.Row) -> Bool {
    switch self {
    case .processor where one.share != other.share: return one.share > other.share
    case .time where one.used != other.used: return one.used > other.used
    case .age where one.task.facts.spawnedAt != other.task.facts.spawnedAt:
      return one.task.facts.spawnedAt < other.task.facts.spawnedAt
    case .name:
      for place in 0..<8 {
        // As text is compared: the first byte counts most.
        let (its, that) = (
          one.task.facts.name.words[place].bigEndian, other.task.facts.name.words[place].bigEndian
        )
        if its != that { return its < that }
      }
    default: break
    }
    return one.task.facts.id < other.task.facts.id
  }
}
