import CTaskReg

extension tr_metrics: SizedStructure {
  static var firstSize: UInt32 { 128 }
  static var initialiser: StaticString { "TR_METRICS_INIT" }
}

@implementation @_cdecl("tr_metrics_read")
public func tr_metrics_read(
  _ handle: OpaquePointer?, _ kind: tr_kind, _ metrics: UnsafeMutablePointer<tr_metrics>?
) -> tr_status {
  guard let registry = registry(handle) else { return refusal("tr_metrics_read", "registry") }
  guard let metrics else { return refusal("tr_metrics_read", "metrics") }
  let size = claimedSize(of: metrics)
  guard accepts(metrics, "tr_metrics_read", "metrics") else { return Status.invalid.code }
  guard let facts = registry.metricsFacts(kind: kind) else {
    return refuse(
      "tr_metrics_read",
      "kind is not one that is counted apart, or the registry has no TR_REGISTRY_METRICS",
      in: registry)
  }
  fill(metrics, size: size) { metrics in
    metrics.pointee.size = size
    metrics.pointee.reserved = 0
    metrics.pointee.spawned = facts.counters.spawned
    metrics.pointee.ended = facts.counters.ended
    metrics.pointee.failed = facts.counters.failed
    metrics.pointee.exited = facts.counters.exited
    metrics.pointee.refused = facts.counters.refused
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
  }
  return Status.ok.code
}

@implementation @_cdecl("tr_metrics_write")
public func tr_metrics_write(
  _ handle: OpaquePointer?, _ descriptor: Int32, _ format: UInt32
) -> tr_status {
  guard let registry = registry(handle) else { return refusal("tr_metrics_write", "registry") }
  guard descriptor >= 0 else { return refuse("tr_metrics_write", "fd is negative", in: registry) }
  guard format == TR_FORMAT_OPENMETRICS else {
    return refuse("tr_metrics_write", "format is not TR_FORMAT_OPENMETRICS", in: registry)
  }
  return registry.writeMetrics(to: descriptor).code
}

@implementation @_cdecl("tr_recent")
public func tr_recent(
  _ handle: OpaquePointer?, _ buffer: UnsafeMutablePointer<tr_ended_task>?,
  _ capacity: Int, _ count: UnsafeMutablePointer<Int>?
) -> tr_status {
  guard let registry = registry(handle) else { return refusal("tr_recent", "registry") }
  guard let count else { return refusal("tr_recent", "count") }
  guard let metrics = registry.metrics else {
    return refuse("tr_recent", "the registry has no TR_REGISTRY_METRICS", in: registry)
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
