import CPlatform

/// One registry of an exposition: a copy of its metrics, and the name that distinguishes its
/// samples from those of the others (E9).
struct ExposedRegistry {
  /// As the caller gave it, NUL-terminated; nil: the path is used, or what its options say.
  fileprivate let name: UnsafePointer<UInt8>?
  /// Empty in a root registry without a name, which then has no label.
  fileprivate let path: GroupPath
  /// The metrics of each kind; nil if the registry keeps none.
  let kinds: UnsafePointer<KindMetrics>?
  fileprivate let totals: TaskCounters

  fileprivate init(
    name: UnsafePointer<UInt8>?, path: GroupPath, kinds: UnsafePointer<KindMetrics>?,
    totals: TaskCounters
  ) {
    self.name = name
    self.path = path
    self.kinds = kinds
    self.totals = totals
  }

  /// A registry of which only the totals are known, with its label; empty: none.
  init(_ label: GroupPath, totals: TaskCounters) {
    self.init(name: nil, path: label, kinds: nil, totals: totals)
  }

  /// How many series it has of a family whose only labels are registry and kind.
  var seriesCount: Int { kinds == nil ? 1 : KindSlot.count }

  func counters(_ series: Int) -> TaskCounters { kinds?[series].counters ?? totals }
}

extension UnsafePointer<ExposedRegistry> {
  /// Passes the value of its label to `body`; empty is none.
  func withName<Result>(_ body: (UnsafePointer<UInt8>) -> Result) -> Result {
    if let name = pointee.name { return body(name) }
    return pointee.path.withText(body)
  }
}

/// The metrics of several registries as one text.
enum Exposition {
  /// How many registries one exposition has at the most: their names are compared pair by pair.
  static var most: Int { 1024 }
  /// The maximum length of a name in bytes.
  static var longestName: Int { 255 }

  /// Writes the metrics of registries in the OpenMetrics text format.
  ///
  /// - Parameters:
  ///   - count: how many.
  ///   - sink: to where.
  ///   - isEnded: whether nothing follows, so that the end marker is written.
  ///   - function: of the C interface, for `tr_error_detail`.
  ///   - registry: number 0, 1, …, to which the caller has a reference, and a name or nil.
  /// - Returns: `.ok`; `.invalid` if two have the same name, or one has an invalid name;
  ///   `.noMemory`; `.system` with errno set; `.truncated`.
  static func write(
    _ count: Int, to sink: TextSink, isEnded: Bool,
    for function: StaticString = "tr_metrics_write_all",
    _ registry: (Int) -> (RegistryReference, name: UnsafePointer<UInt8>?)
  ) -> Status {
    var size = count * MemoryLayout<ExposedRegistry>.stride
    for number in 0..<count {
      let (registry, name) = registry(number)
      if let name, !isName(name) {
        return .invalid(
          function, "sources has a name that is empty, longer than 255 bytes or not UTF-8")
      }
      if registry.metrics != nil { size += MetricsState.kindsSize }
    }
    guard let memory = malloc(max(size, 1)) else { return .noMemory }
    let exposed = memory.bindMemory(to: ExposedRegistry.self, capacity: count)
    var kinds = (memory + count * MemoryLayout<ExposedRegistry>.stride)
      .bindMemory(to: KindMetrics.self, capacity: 0)
    for number in 0..<count {
      let (registry, name) = registry(number)
      (exposed + number).initialize(to: registry.exposed(as: name, room: kinds))
      if registry.metrics != nil { kinds += KindSlot.count }
    }
    let all = UnsafeBufferPointer(start: exposed, count: count)
    let status =
      hasNameTwice(all)
      ? Status.invalid(
        function,
        "sources has two registries with the same name, or without: their samples are one's")
      : withTextWriter(sink) { writer in
        writer.writeOpenMetrics(all)
        if isEnded { writer.endOpenMetrics() }
      }
    // It may change errno, which has the cause of a failed write.
    let failure = cp_errno()
    free(memory)
    cp_set_errno(failure)
    return status
  }

  private static func isName(_ text: UnsafePointer<UInt8>) -> Bool {
    let (kept, isWellFormed) = UTF8Text.measure(text, limit: longestName)
    return kept > 0 && isWellFormed && text[kept] == 0
  }

  private static func isSame(_ one: UnsafePointer<UInt8>, _ other: UnsafePointer<UInt8>) -> Bool {
    var place = 0
    while one[place] == other[place] {
      if one[place] == 0 { return true }
      place += 1
    }
    return false
  }

  private static func hasNameTwice(_ all: UnsafeBufferPointer<ExposedRegistry>) -> Bool {
    for number in 1..<max(all.count, 1) {
      let one = all.baseAddress.unsafelyUnwrapped + number
      for other in 0..<number {
        let isTwice = one.withName { name in
          (all.baseAddress.unsafelyUnwrapped + other).withName { isSame(name, $0) }
        }
        if isTwice { return true }
      }
    }
    return false
  }
}

extension RegistryReference {
  /// Copies its metrics at one moment; `room` is for `KindSlot.count` of them, if it keeps metrics.
  fileprivate func exposed(
    as name: UnsafePointer<UInt8>?, room: UnsafeMutablePointer<KindMetrics>
  ) -> ExposedRegistry {
    metrics?.copyKinds(to: room)
    let ownName = pointer.pointee.name
    return ExposedRegistry(
      name: name,
      path: ownName.words[0] == 0
        ? pointer.pointee.path : ownName.withText { GroupPath(whole: $0) },
      kinds: metrics == nil ? nil : UnsafePointer(room),
      totals: metrics == nil ? totals : TaskCounters())
  }
}
