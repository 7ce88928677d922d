// The workloads W1 and W1-work for the Swift API: `bench-swift [--quick] WORKLOAD`, with the
// protocol and the output of workloads/latency.c and workloads/main.c. Of other workloads it prints
// nothing, which means that the peer has no figures for them. `bench-swift await` is for itself: it
// compares awaits of tasks with those of Swift's own.

import Glibc
import TrackedTasks

/// The nanoseconds of the monotonic clock, read as bench.h does.
func nowNanoseconds() -> Int64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// Keeps the calling thread busy.
func beBusy(forNanoseconds duration: Int64) {
  let end = nowNanoseconds() + duration
  while nowNanoseconds() < end {}
}

/// The value below which a part of the sorted `times` lies.
func percentile(_ times: [Int64], _ part: Double) -> Int64 {
  times[min(times.count - 1, Int(part * Double(times.count)))]
}

/// Something for the bodies to capture, as those of a program do: a closure without captures is not
/// allocated.
final class Captured: Sendable {
  let duration: Int64
  init(_ duration: Int64) { self.duration = duration }
  func work() { if duration > 0 { beBusy(forNanoseconds: duration) } }
}

/// Spawns one task whose body captures `captured`, and waits for it.
///
/// - Returns: how long that took, in nanoseconds.
func spawnAndWait(_ registry: TaskRegistry, _ captured: Captured) throws -> Int64 {
  let start = nowNanoseconds()
  let task = try registry.spawn("w1", kind: .application()) { _ in captured.work() }
  try task.wait()
  return nowNanoseconds() - start
}

func openRegistry() throws -> TaskRegistry {
  var options = RegistryOptions()
  options.stackSize = 65536
  return try TaskRegistry(options)
}

/// W1: one task at a time; then with a rest for the worker, in which the caller stays busy.
func latency(quick: Bool) throws {
  let warm = quick ? 10_000 : 100_000
  let rested = quick ? 500 : 2_000
  let registry = try openRegistry()
  let nothing = Captured(0)
  for _ in 0..<200 { _ = try spawnAndWait(registry, nothing) }
  var took = [Int64](repeating: 0, count: warm)
  for i in 0..<warm { took[i] = try spawnAndWait(registry, nothing) }
  took.sort()
  print("p50", percentile(took, 0.5))
  print("p99", percentile(took, 0.99))

  took = [Int64](repeating: 0, count: rested)
  for i in 0..<rested {
    beBusy(forNanoseconds: 100_000)
    took[i] = try spawnAndWait(registry, nothing)
  }
  took.sort()
  print("rested_p50", percentile(took, 0.5))
  try registry.shutdown()
}

/// W1-work: an empty body and one of 1 µs, in turns; each Swift task has a closure to be released,
/// which is what a drop is in C.
func latencyWithWork(quick: Bool) throws {
  let turns = 9
  let times = quick ? 2_000 : 10_000
  let registry = try openRegistry()
  let nothing = Captured(0)
  let microsecond = Captured(1_000)
  var took = [Int64](repeating: 0, count: times)
  func median(_ one: () throws -> Int64) rethrows -> Int64 {
    for i in 0..<times { took[i] = try one() }
    took.sort()
    return percentile(took, 0.5)
  }
  var empty: [Int64] = []
  var work: [Int64] = []
  var body: [Int64] = []
  for turn in -1..<turns {
    let found = (
      try median { try spawnAndWait(registry, nothing) },
      try median { try spawnAndWait(registry, microsecond) },
      median {
        let start = nowNanoseconds()
        microsecond.work()
        return nowNanoseconds() - start
      }
    )
    if turn < 0 { continue }  // the first does not count
    empty.append(found.0)
    work.append(found.1)
    body.append(found.2)
  }
  let medians = [empty, work, body].map { Double(percentile($0.sorted(), 0.5)) }
  print("empty", medians[0])
  print("work", medians[1])
  print("body", medians[2])
  print("work_ratio", (medians[1] - medians[2]) / medians[0])
  try registry.shutdown()
}

/// Awaits of tasks, in turns with those of Swift's own: spawn and value, and `Task.detached` and value.
///
/// Not a workload of the harness, whose peers have no `await`.
func awaiting(quick: Bool) async throws {
  let turns = 15
  let times = quick ? 2_000 : 20_000
  let registry = try openRegistry()
  let nothing = Captured(0)
  var took = [Int64](repeating: 0, count: times)
  var (ours, theirs, ratios): ([Int64], [Int64], [Double]) = ([], [], [])
  for turn in -1..<turns {
    for i in 0..<times {
      let start = nowNanoseconds()
      let task = try registry.spawn("await", kind: .application()) { _ in nothing.work() }
      try await task.value
      took[i] = nowNanoseconds() - start
    }
    took.sort()
    let own = percentile(took, 0.5)
    for i in 0..<times {
      let start = nowNanoseconds()
      await Task.detached { nothing.work() }.value
      took[i] = nowNanoseconds() - start
    }
    took.sort()
    if turn < 0 { continue }  // the first does not count
    ours.append(own)
    theirs.append(percentile(took, 0.5))
    ratios.append(Double(own) / Double(max(1, percentile(took, 0.5))))
  }
  print("spawn_value_p50", percentile(ours.sorted(), 0.5))
  print("detached_value_p50", percentile(theirs.sorted(), 0.5))
  print("ratio", ratios.sorted()[ratios.count / 2])
  try await registry.shutdown()
}

var quick = false
var workload: String?
for argument in CommandLine.arguments.dropFirst() {
  if argument == "--quick" { quick = true } else { workload = argument }
}
do {
  switch workload {
  case "W1": try latency(quick: quick)
  case "W1-work": try latencyWithWork(quick: quick)
  case "await": try await awaiting(quick: quick)
  case nil:
    print("usage: bench-swift [--quick] WORKLOAD")
    exit(2)
  default: break
  }
} catch {
  print("! \(error)")
  exit(3)
}
