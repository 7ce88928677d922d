/// Metrics as text: OpenMetrics, version 1.0.0 (E9).
///
/// The lines of a family stand together: TYPE, UNIT and HELP, and then its samples. Buckets are cumulative,
/// one for each power of two: what a histogram tells apart within is not written, as each line costs those
/// who store it.
extension DescriptorWriter {
  /// Writes what is known of each kind; there are `KindSlot.count`.
  mutating func writeOpenMetrics(_ kinds: UnsafePointer<KindMetrics>) {
    writeCounters(KindSlot.count) { (kinds[$0].counters, KindSlot(index: $0)) }
    write("# TYPE taskreg_tasks_peak gauge\n")
    write("# HELP taskreg_tasks_peak The most tasks that were alive at once.\n")
    for place in 0..<KindSlot.count {
      writeSample("taskreg_tasks_peak", KindSlot(index: place), kinds[place].counters.peak)
    }
    write("# TYPE taskreg_task_run_seconds histogram\n# UNIT taskreg_task_run_seconds seconds\n")
    write("# HELP taskreg_task_run_seconds The time from the spawn of a task to its end.\n")
    for place in 0..<KindSlot.count {
      writeHistogram("taskreg_task_run_seconds", KindSlot(index: place), kinds[place].run)
    }
    write("# TYPE taskreg_task_stop_seconds histogram\n# UNIT taskreg_task_stop_seconds seconds\n")
    write("# HELP taskreg_task_stop_seconds The time from asking a task to stop to its end.\n")
    for place in 0..<KindSlot.count {
      writeHistogram("taskreg_task_stop_seconds", KindSlot(index: place), kinds[place].stop)
    }
    write("# EOF\n")
  }

  /// Writes what is known of a registry that keeps no metrics: no kinds, no durations.
  mutating func writeOpenMetrics(_ totals: TaskCounters) {
    writeCounters(1) { _ in (totals, nil) }
    write("# EOF\n")
  }

  /// Writes the families that there are in any case; `of` tells the counters number 0, 1, … and their kind.
  private mutating func writeCounters(_ count: Int, of: (Int) -> (TaskCounters, KindSlot?)) {
    write("# TYPE taskreg_tasks_spawned counter\n")
    write("# HELP taskreg_tasks_spawned Tasks that were admitted.\n")
    for place in 0..<count {
      let (counters, kind) = of(place)
      writeSample("taskreg_tasks_spawned_total", kind, counters.spawned)
    }
    write("# TYPE taskreg_tasks_ended counter\n")
    write("# HELP taskreg_tasks_ended Tasks that ended, by how they did.\n")
    for place in 0..<count {
      let (counters, kind) = of(place)
      writeSample("taskreg_tasks_ended_total", kind, outcome: "returned", counters.returned)
      writeSample("taskreg_tasks_ended_total", kind, outcome: "failed", counters.failed)
      writeSample("taskreg_tasks_ended_total", kind, outcome: "exited", counters.exited)
    }
    write("# TYPE taskreg_tasks_refused counter\n")
    write("# HELP taskreg_tasks_refused Spawns that were refused.\n")
    for place in 0..<count {
      let (counters, kind) = of(place)
      writeSample("taskreg_tasks_refused_total", kind, counters.refused)
    }
    write("# TYPE taskreg_tasks_live gauge\n")
    write("# HELP taskreg_tasks_live Tasks that are alive.\n")
    for place in 0..<count {
      let (counters, kind) = of(place)
      writeSample("taskreg_tasks_live", kind, counters.live)
    }
  }

  /// Writes one line with a whole number.
  private mutating func writeSample(
    _ name: StaticString, _ kind: KindSlot?, outcome: StaticString? = nil, _ value: UInt64
  ) {
    write(name)
    if kind != nil || outcome != nil { write("{") }
    if let kind { writeLabel(of: kind) }
    if let outcome {
      if kind != nil { write(",") }
      write("outcome=\"")
      write(outcome)
      write("\"")
    }
    if kind != nil || outcome != nil { write("}") }
    write(" ")
    write(value)
    write("\n")
  }

  private mutating func writeLabel(of kind: KindSlot) {
    write("kind=\"")
    write(kind.name)
    write("\"")
  }

  /// Writes the samples of one kind of a family of histograms.
  private mutating func writeHistogram(
    _ family: StaticString, _ kind: KindSlot, _ histogram: borrowing DurationHistogram
  ) {
    var seen: UInt64 = 0
    var next = 0
    for power in DurationHistogram.powers {
      while next <= power {
        seen &+= histogram[next]
        next += 1
      }
      writeBucketBegin(family, kind)
      // No power of two in nanoseconds ends in a zero here, so that its text is the shortest.
      write(seconds: DurationHistogram.bound(ofRange: power) ?? 0)
      write("\"} ")
      write(seen)
      write("\n")
    }
    writeBucketBegin(family, kind)
    write("+Inf\"} ")
    write(histogram.count)
    write("\n")
    writeTotalBegin(family, "_count", kind)
    write(histogram.count)
    write("\n")
    writeTotalBegin(family, "_sum", kind)
    write(histogram.sumSeconds)
    write(fraction: histogram.sumRest)
    write("\n")
  }

  private mutating func writeBucketBegin(_ family: StaticString, _ kind: KindSlot) {
    write(family)
    write("_bucket{")
    writeLabel(of: kind)
    write(",le=\"")
  }

  private mutating func writeTotalBegin(
    _ family: StaticString, _ suffix: StaticString, _ kind: KindSlot
  ) {
    write(family)
    write(suffix)
    write("{")
    writeLabel(of: kind)
    write("} ")
  }
}
