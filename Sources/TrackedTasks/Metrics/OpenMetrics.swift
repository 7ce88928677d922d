/// Metrics as text: OpenMetrics, version 1.0.0 (E9).
///
/// The lines of a family stand together: TYPE, UNIT and HELP, and then its samples, registry by
/// registry. Buckets are cumulative, one for each power of two. The finer ranges of a histogram are
/// not written, as every line costs storage at the receiver.
extension TextWriter {
  /// Writes the metrics of registries: by kind if a registry keeps metrics, otherwise its totals
  /// alone.
  mutating func writeOpenMetrics(_ registries: UnsafeBufferPointer<ExposedRegistry>) {
    writeFamily("taskreg_tasks_spawned", "counter", "Tasks that were admitted.")
    writeCounters("taskreg_tasks_spawned_total", registries) { $0.spawned }
    writeFamily("taskreg_tasks_ended", "counter", "Tasks that ended, by how they did.")
    for number in 0..<registries.count {
      for series in 0..<registries[number].seriesCount {
        writeEndings(registries.baseAddress.unsafelyUnwrapped + number, series)
      }
    }
    writeFamily("taskreg_tasks_rejected", "counter", "Spawns that were rejected.")
    writeCounters("taskreg_tasks_rejected_total", registries) { $0.rejected }
    writeFamily("taskreg_tasks_restarted", "counter", "Times that a task started again.")
    writeCounters("taskreg_tasks_restarted_total", registries) { $0.restarts }
    writeFamily("taskreg_runs_overrun", "counter", "Runs that took longer than their period.")
    writeCounters("taskreg_runs_overrun_total", registries) { $0.overruns }
    writeFamily("taskreg_tasks_live", "gauge", "Tasks that are alive.")
    writeCounters("taskreg_tasks_live", registries) { $0.live }
    if !registries.contains(where: { $0.kinds != nil }) { return }
    writeFamily("taskreg_tasks_peak", "gauge", "The most tasks that were alive at once.")
    writeCounters("taskreg_tasks_peak", registries, isKept: true) { $0.peak }
    writeFamily(
      "taskreg_task_run_seconds", "histogram", unit: "seconds",
      "The time from the spawn of a task to its end.")
    writeHistograms("taskreg_task_run_seconds", registries) {
      writer, family, registry, kind, metrics in
      writer.writeHistogram(family, registry, kind, metrics.pointee.run)
    }
    writeFamily(
      "taskreg_task_stop_seconds", "histogram", unit: "seconds",
      "The time from asking a task to stop to its end.")
    writeHistograms("taskreg_task_stop_seconds", registries) {
      writer, family, registry, kind, metrics in
      writer.writeHistogram(family, registry, kind, metrics.pointee.stop)
    }
  }

  /// Writes the end marker of an exposition, once.
  mutating func endOpenMetrics() { write("# EOF\n") }

  private mutating func writeFamily(
    _ name: StaticString, _ type: StaticString, unit: StaticString? = nil, _ help: StaticString
  ) {
    write("# TYPE ")
    write(name)
    write(" ")
    write(type)
    if let unit {
      write("\n# UNIT ")
      write(name)
      write(" ")
      write(unit)
    }
    write("\n# HELP ")
    write(name)
    write(" ")
    write(help)
    write("\n")
  }

  /// Writes one sample of each series; with `isKept`, registries without metrics are left out.
  private mutating func writeCounters(
    _ name: StaticString, _ registries: UnsafeBufferPointer<ExposedRegistry>, isKept: Bool = false,
    _ value: (TaskCounters) -> UInt64
  ) {
    for number in 0..<registries.count {
      let registry = registries.baseAddress.unsafelyUnwrapped + number
      if isKept && registry.pointee.kinds == nil { continue }
      for series in 0..<registry.pointee.seriesCount {
        write(name)
        var labels = LabelList()
        write(labelsOf: registry, series, &labels)
        endSample(labels, value(registry.pointee.counters(series)))
      }
    }
  }

  private mutating func writeEndings(_ registry: UnsafePointer<ExposedRegistry>, _ series: Int) {
    let counters = registry.pointee.counters(series)
    for outcome in 0..<3 {
      write("taskreg_tasks_ended_total")
      var labels = LabelList()
      write(labelsOf: registry, series, &labels)
      begin("outcome", &labels)
      write(
        outcome == 0 ? "returned" as StaticString : outcome == 1 ? "failed" : "exited")
      write("\"")
      endSample(
        labels,
        outcome == 0 ? counters.returned : outcome == 1 ? counters.failed : counters.exited)
    }
  }

  /// Writes a family of histograms.
  private mutating func writeHistograms(
    _ family: StaticString, _ registries: UnsafeBufferPointer<ExposedRegistry>,
    _ body: (
      inout TextWriter, StaticString, UnsafePointer<ExposedRegistry>, Int,
      UnsafePointer<KindMetrics>
    ) -> Void
  ) {
    for number in 0..<registries.count {
      let registry = registries.baseAddress.unsafelyUnwrapped + number
      guard let kinds = registry.pointee.kinds else { continue }
      for kind in 0..<KindSlot.count {
        body(&self, family, registry, kind, kinds + kind)
      }
    }
  }

  /// Writes the samples of one kind of a family of histograms.
  private mutating func writeHistogram(
    _ family: StaticString, _ registry: UnsafePointer<ExposedRegistry>, _ kind: Int,
    _ histogram: borrowing DurationHistogram
  ) {
    var seen: UInt64 = 0
    var next = 0
    for power in DurationHistogram.powers {
      while next <= power {
        seen &+= histogram[next]
        next += 1
      }
      // No power of two in nanoseconds ends in a zero here, so its text is the shortest.
      writeBucket(family, registry, kind, DurationHistogram.bound(ofRange: power), seen)
    }
    writeBucket(family, registry, kind, nil, histogram.count)
    writeTotalBegin(family, "_count", registry, kind)
    write(histogram.count)
    write("\n")
    writeTotalBegin(family, "_sum", registry, kind)
    write(histogram.sumSeconds)
    write(fraction: histogram.sumRest)
    write("\n")
  }

  private mutating func writeBucket(
    _ family: StaticString, _ registry: UnsafePointer<ExposedRegistry>, _ kind: Int,
    _ bound: Int64?, _ value: UInt64
  ) {
    write(family)
    write("_bucket")
    var labels = LabelList()
    write(labelsOf: registry, kind, &labels)
    begin("le", &labels)
    if let bound { write(seconds: bound) } else { write("+Inf") }
    write("\"")
    endSample(labels, value)
  }

  private mutating func writeTotalBegin(
    _ family: StaticString, _ suffix: StaticString, _ registry: UnsafePointer<ExposedRegistry>,
    _ kind: Int
  ) {
    write(family)
    write(suffix)
    var labels = LabelList()
    write(labelsOf: registry, kind, &labels)
    end(labels)
  }

  // MARK: Labels

  /// Whether a sample has a label already.
  private struct LabelList {
    var isEmpty = true
  }

  /// Writes a label up to its value, which the caller ends with a quotation mark.
  private mutating func begin(_ label: StaticString, _ labels: inout LabelList) {
    write(labels.isEmpty ? "{" : ",")
    labels.isEmpty = false
    write(label)
    write("=\"")
  }

  private mutating func end(_ labels: LabelList) { write(labels.isEmpty ? " " : "} ") }

  private mutating func endSample(_ labels: LabelList, _ value: UInt64) {
    end(labels)
    write(value)
    write("\n")
  }

  /// Writes the labels for the registry and the kind.
  private mutating func write(
    labelsOf registry: UnsafePointer<ExposedRegistry>, _ series: Int, _ labels: inout LabelList
  ) {
    registry.withName {
      if $0[0] == 0 { return }
      begin("registry", &labels)
      write(label: $0)
      write("\"")
    }
    if registry.pointee.kinds == nil { return }
    begin("kind", &labels)
    write(KindSlot(index: series).name)
    write("\"")
  }
}
