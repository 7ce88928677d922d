/// Stands in for `Base/Spin.swift`: spinning is on, and is one look.
///
/// Looks before the last change nothing, and the explorer lets others run before it, so one look
/// shows all that many do.
struct SpinPolicy {
  let worker: Int64
  let joiner: Int64
  let spawner: Int64

  init(nanoseconds: Int64) {
    worker = nanoseconds
    joiner = nanoseconds
    spawner = nanoseconds
  }
}

func spin(
  for nanoseconds: Int64, until deadline: Deadline = .never, unless isFutile: () -> Bool,
  until isReady: () -> Bool
) -> Bool { isReady() }
