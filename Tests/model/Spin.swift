/// Replaces `Base/Spin.swift`: spinning is on, and checks once.
///
/// Checks before the last one change nothing, and the explorer lets other threads run before it, so
/// one check shows everything that many would.
struct SpinPolicy {
  let worker: Int64
  let joiner: Int64
  let awaiter: Int64
  let spawner: Int64

  init(nanoseconds: Int64) {
    worker = nanoseconds
    joiner = nanoseconds
    awaiter = nanoseconds
    spawner = nanoseconds
  }
}

func spin(
  for nanoseconds: Int64, until deadline: Deadline = .never, unless isFutile: () -> Bool,
  until isReady: () -> Bool
) -> Bool { isReady() }
