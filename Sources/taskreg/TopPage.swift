import CPlatform

/// One page of `taskreg top`.
struct TopPage {
  /// A task, and what it uses.
  struct Row {
    let task: ListedTask
    let path: GroupPath
    /// Its CPU time in nanoseconds; -1: not known.
    let used: Int64
    /// The part of a processor, in tenths of a percent, since the last page; or, in the first one that
    /// it is on, since it was spawned; -1: not known, as when another run of it has begun.
    let share: Int64
  }

  /// What was measured of each task, in the order of their registries and ids.
  struct Measured {
    struct Entry {
      let registry: UInt64
      let id: UInt64
      /// By whom: the next run of a task begins with 0 again, in another thread.
      let thread: Int32
      let run: UInt64
      let used: Int64
      let at: Int64
    }
    fileprivate(set) var entries: [Entry] = []

    fileprivate func find(_ registry: UInt64, _ id: UInt64) -> Entry? {
      var (low, high) = (0, entries.count)
      while low < high {
        let middle = (low + high) / 2
        let entry = entries[middle]
        if entry.id < id || entry.id == id && entry.registry < registry {
          low = middle + 1
        } else {
          high = middle
        }
      }
      guard low < entries.count, entries[low].id == id, entries[low].registry == registry else {
        return nil
      }
      return entries[low]
    }
  }

  private let target: Target
  private var rows: [Row] = []
  private let now: Int64
  private var isIncomplete = false
  private(set) var measured = Measured()

  /// Measures what each task has used.
  init(of target: Target, _ roots: [ReaderRoot], since last: Measured) {
    self.target = target
    now = monotonicNow()
    var budget = ReadingBudget()
    for root in roots {
      let snapshot = Snapshot(of: target, root, &budget)
      if snapshot.isIncomplete { isIncomplete = true }
      for task in snapshot.tasks {
        let registry = snapshot.registries[task.registry]
        let used = Self.used(by: ExaminedTask(snapshot: snapshot, task: task))
        let at = monotonicNow()
        let before = last.find(registry.address, task.facts.id)
        let span = max(1, at &- (before?.at ?? task.facts.spawnedAt))
        let (thread, run) = (task.facts.threadID, task.facts.activity?.runs ?? 0)
        // Of a task that starts again, the earlier runs are not in `used`.
        let isKnown =
          used >= 0 && (before.map { $0.thread == thread && $0.run == run } ?? (run <= 1))
        let part = isKnown ? max(0, used &- max(0, before?.used ?? 0)) : -1
        // No thread uses more than one processor.
        let share = part < 0 ? -1 : Int64(min(1000, Double(part) / Double(span) * 1000 + 0.5))
        rows.append(Row(task: task, path: registry.path, used: used, share: share))
        measured.entries.append(
          Measured.Entry(
            registry: registry.address, id: task.facts.id, thread: thread, run: run, used: used,
            at: at))
      }
    }
    measured.entries.sort { $0.id != $1.id ? $0.id < $1.id : $0.registry < $1.registry }
  }

  /// The CPU time of a task, without that of earlier tasks on its thread; -1: not known.
  private static func used(by found: ExaminedTask) -> Int64 {
    let (root, facts) = (found.snapshot.root, found.task.facts)
    if facts.threadID == 0 { return -1 }
    let time = ProbedProcess.processorTime(ofThread: facts.threadID)
    guard time >= 0, let worker = root.word(at: found.task.record &+ root[.worker]),
      let base = root.word(at: worker &+ root[.cpuBase]), Int64(bitPattern: base) >= 0,
      found.isStillThere
    else { return -1 }
    return max(0, time &- Int64(bitPattern: base))
  }

  /// Writes the page, of which 80 columns have everything but long names.
  ///
  /// - Parameters:
  ///   - writer: to which.
  ///   - order: by which it is sorted.
  ///   - tasks: how many are shown at the most.
  ///   - isTerminal: whether lines replace older ones, and the head stands out.
  func write(
    to writer: inout TextWriter, _ order: TopOrder, tasks: Int, isTerminal: Bool
  ) {
    let shown = rows.sorted { order.puts($0, before: $1) }
    Failure.write(target.process, target.name, to: &writer)
    writer.write(": ")
    writer.write(rows.count)
    writer.write(rows.count == 1 ? " task, " : " tasks, ")
    write(share: shown.reduce(0) { $0 + max(0, $1.share) }, width: 1, to: &writer)
    writer.write(" % of a processor, by ")
    writer.write(order.text)
    if isIncomplete { writer.write("; some may be missing") }
    end(&writer, isTerminal)
    if isTerminal { writer.write("\u{1B}[7m") }
    writer.write("      ID   THREAD   CPU%   CPU TIME        AGE  STATE       NAME")
    if isTerminal { writer.write("\u{1B}[K\u{1B}[0m") }
    end(&writer, isTerminal)
    for row in shown.prefix(tasks) { write(row, to: &writer, isTerminal) }
    if isTerminal {
      if shown.count > tasks {
        writer.write(shown.count - tasks)
        writer.write(" more")
      }
      end(&writer, isTerminal)
      writer.write("q quit, space now; by c cpu, t time, a age, i id, n name\u{1B}[K")
    }
  }

  private func write(_ row: Row, to writer: inout TextWriter, _ isTerminal: Bool) {
    let facts = row.task.facts
    writer.write(facts.id, width: 8)
    writer.write(UInt64(facts.threadID.magnitude), width: 9)
    write(share: row.share, width: 7, to: &writer)
    write(time: row.used, width: 11, to: &writer)
    write(time: max(0, now &- facts.spawnedAt), width: 11, to: &writer)
    writer.write("  ")
    writer.write(facts.state.text, width: 12)
    writer.write(path: row.path, name: facts.name)
    if !row.task.label.isEmpty {
      writer.write(" for \"")
      row.task.label.withText { writer.write(text: $0) }
      writer.write("\"")
    }
    if let activity = facts.activity { writer.write(remarksOn: activity, at: now) }
    end(&writer, isTerminal)
  }

  private func end(_ writer: inout TextWriter, _ isTerminal: Bool) {
    writer.write(isTerminal ? "\u{1B}[K\n" : "\n")
  }

  /// Writes tenths of a percent, or a dash.
  private func write(share: Int64, width: Int, to writer: inout TextWriter) {
    if share < 0 { return write(dash: width, to: &writer) }
    writer.write(UInt64(share) / 10, width: max(1, width - 2))
    writer.write(".")
    writer.write(UInt64(share) % 10)
  }

  /// Writes seconds with milliseconds, or from 1000 s on minutes with seconds, or a dash.
  private func write(time: Int64, width: Int, to writer: inout TextWriter) {
    if time < 0 { return write(dash: width, to: &writer) }
    let milliseconds = UInt64(time) / 1_000_000
    if milliseconds < 1_000_000 {
      writer.write(milliseconds / 1000, width: width - 4)
      writer.write(".")
      for place: UInt64 in [100, 10, 1] { writer.write(milliseconds / place % 10) }
    } else {
      let seconds = milliseconds / 1000
      writer.write(seconds / 60, width: width - 3)
      writer.write(":")
      writer.write(seconds % 60 / 10)
      writer.write(seconds % 10)
    }
  }

  private func write(dash width: Int, to writer: inout TextWriter) {
    for _ in 1..<width { writer.write(" ") }
    writer.write("-")
  }
}
