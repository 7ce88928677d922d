import CTaskReg

extension tr_metrics: SizedStructure {
  static var firstSize: UInt32 { 144 }
  static var initialiser: StaticString { "TR_METRICS_INIT" }
}

extension tr_metrics_source: SizedStructure {
  static var firstSize: UInt32 { 24 }
  static var initialiser: StaticString { "TR_METRICS_SOURCE_INIT" }
}

@implementation @_cdecl("tr_metrics_read")
public func tr_metrics_read(
  _ handle: OpaquePointer?, _ kind: tr_kind, _ metrics: UnsafeMutablePointer<tr_metrics>?
) -> tr_status {
  withRegistry(handle, "tr_metrics_read") { registry in
    guard let metrics else { return invalid("tr_metrics_read", null: "metrics") }
    let size = claimedSize(of: metrics)
    guard accepts(metrics, "tr_metrics_read", "metrics") else { return Status.invalid.code }
    guard let facts = registry.metricsFacts(kind: kind) else {
      return invalid(
        "tr_metrics_read",
        "kind is not one that is counted apart, or the registry has no TR_REGISTRY_METRICS")
    }
    fill(metrics, size: size) { metrics in
      metrics.pointee.size = size
      metrics.pointee.reserved = 0
      metrics.pointee.spawned = facts.counters.spawned
      metrics.pointee.ended = facts.counters.ended
      metrics.pointee.failed = facts.counters.failed
      metrics.pointee.exited = facts.counters.exited
      metrics.pointee.rejected = facts.counters.rejected
      metrics.pointee.live = facts.counters.live
      metrics.pointee.peak = facts.counters.peak
      metrics.pointee.run_p50_ns = facts.run.p50
      metrics.pointee.run_p90_ns = facts.run.p90
      metrics.pointee.run_p99_ns = facts.run.p99
      metrics.pointee.run_max_ns = facts.run.max
      metrics.pointee.stop_p50_ns = facts.stop.p50
      metrics.pointee.stop_p90_ns = facts.stop.p90
      metrics.pointee.stop_p99_ns = facts.stop.p99
      metrics.pointee.stop_max_ns = facts.stop.max
      metrics.pointee.restarts = facts.counters.restarts
      metrics.pointee.overruns = facts.counters.overruns
    }
    return Status.ok.code
  }
}

@implementation @_cdecl("tr_metrics_write")
public func tr_metrics_write(
  _ handle: OpaquePointer?, _ descriptor: Int32, _ format: UInt32
) -> tr_status {
  let function: StaticString = "tr_metrics_write"
  return withRegistry(handle, function) { registry in
    guard let sink = TextSink(descriptor, function) else { return Status.invalid.code }
    return writeMetrics(of: registry, to: sink, format, function)
  }
}

@implementation @_cdecl("tr_metrics_write_buffer")
public func tr_metrics_write_buffer(
  _ handle: OpaquePointer?, _ format: UInt32, _ buffer: UnsafeMutablePointer<CChar>?,
  _ capacity: Int, _ length: UnsafeMutablePointer<Int>?
) -> tr_status {
  let function: StaticString = "tr_metrics_write_buffer"
  return withRegistry(handle, function) { registry in
    guard let sink = TextSink(buffer, capacity, length, function) else {
      return Status.invalid.code
    }
    return writeMetrics(of: registry, to: sink, format, function)
  }
}

private func writeMetrics(
  of registry: RegistryReference, to sink: TextSink, _ format: UInt32, _ function: StaticString
) -> tr_status {
  guard format == UInt32(TR_FORMAT_OPENMETRICS) else {
    return invalid(function, "format is not TR_FORMAT_OPENMETRICS")
  }
  return Exposition.write(1, to: sink, isEnded: true) { _ in (registry, nil) }.code
}

@implementation @_cdecl("tr_metrics_write_all")
public func tr_metrics_write_all(
  _ sources: UnsafePointer<tr_metrics_source>?, _ count: Int, _ descriptor: Int32,
  _ format: UInt32, _ flags: UInt32
) -> tr_status {
  let function: StaticString = "tr_metrics_write_all"
  if ProcessState.isForkedChild { return Status.forked.code }
  guard let sink = TextSink(descriptor, function) else { return Status.invalid.code }
  return writeMetrics(of: sources, count, to: sink, format, flags, function)
}

@implementation @_cdecl("tr_metrics_write_all_buffer")
public func tr_metrics_write_all_buffer(
  _ sources: UnsafePointer<tr_metrics_source>?, _ count: Int, _ format: UInt32, _ flags: UInt32,
  _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int, _ length: UnsafeMutablePointer<Int>?
) -> tr_status {
  let function: StaticString = "tr_metrics_write_all_buffer"
  if ProcessState.isForkedChild { return Status.forked.code }
  guard let sink = TextSink(buffer, capacity, length, function) else { return Status.invalid.code }
  return writeMetrics(of: sources, count, to: sink, format, flags, function)
}

private func writeMetrics(
  of sources: UnsafePointer<tr_metrics_source>?, _ count: Int, to sink: TextSink,
  _ format: UInt32, _ flags: UInt32, _ function: StaticString
) -> tr_status {
  guard format == UInt32(TR_FORMAT_OPENMETRICS) else {
    return invalid(function, "format is not TR_FORMAT_OPENMETRICS")
  }
  guard flags & ~TR_METRICS_NO_EOF == 0 else {
    return invalid(function, "flags has a bit that this release of the library does not know")
  }
  guard count >= 0 && count <= Exposition.most else {
    return invalid(function, "count is more than 1024")
  }
  guard count == 0 || sources != nil else {
    return invalid(function, "sources is NULL and count is not 0")
  }
  let array = CallersSources(sources, count)
  guard array.areValid(function) else { return Status.invalid.code }
  let isEnded = flags & TR_METRICS_NO_EOF == 0
  return Exposition.write(count, to: sink, isEnded: isEnded, for: function) {
    let source = array[$0]
    return (RegistryReference(source.registry), source.name?.utf8)
  }.code
}

/// The caller's array of sources, all of the size of the first one.
private struct CallersSources {
  private let base: UnsafeRawPointer?
  private let count: Int
  private let elementSize: UInt32

  init(_ sources: UnsafePointer<tr_metrics_source>?, _ count: Int) {
    base = UnsafeRawPointer(sources)
    self.count = count
    elementSize = count == 0 ? 0 : sources.map { claimedSize(of: $0) } ?? 0
  }

  private func place(_ number: Int) -> UnsafePointer<tr_metrics_source> {
    // SAFETY: there is memory if there is an element.
    (base.unsafelyUnwrapped + number * Int(elementSize))
      .assumingMemoryBound(to: tr_metrics_source.self)
  }

  /// Checks each source; an invalid one is recorded for `tr_error_detail`.
  func areValid(_ function: StaticString) -> Bool {
    for number in 0..<count {
      if number == 0 || claimedSize(of: place(number)) == elementSize,
        acceptsElements(tr_metrics_source.self, size: elementSize)
      {
        guard let source = read(place(number), function, "sources") else { return false }
        if registry(source.registry, function) != nil && source.reserved == 0 { continue }
        ErrorDetail.set(
          function,
          source.registry == nil
            ? "sources has a registry that is NULL" : "sources has a reserved that is not 0")
      } else {
        describeSizeError(
          claimedSize(of: place(number)), function, "sources", tr_metrics_source.initialiser)
      }
      return false
    }
    return true
  }

  /// Requires that the sources are valid.
  subscript(number: Int) -> tr_metrics_source { place(number).pointee }
}

@implementation @_cdecl("tr_recent")
public func tr_recent(
  _ handle: OpaquePointer?, _ buffer: UnsafeMutablePointer<tr_ended_task>?,
  _ capacity: Int, _ count: UnsafeMutablePointer<Int>?
) -> tr_status {
  withRegistry(handle, "tr_recent") { registry in
    guard let count else { return invalid("tr_recent", null: "count") }
    guard let metrics = registry.metrics else {
      return invalid("tr_recent", "the registry has no TR_REGISTRY_METRICS")
    }
    guard
      let array = CallersArray(
        buffer, capacity: UInt64(UInt(bitPattern: capacity)), "tr_recent", "buffer")
    else { return Status.invalid.code }
    let remembered = metrics.recent { index, task in
      guard let place = array.place(of: index) else { return }
      store(task.pointee, in: place, size: array.elementSize)
    }
    count.pointee = remembered
    return buffer != nil && remembered > array.capacity ? Status.truncated.code : Status.ok.code
  }
}
