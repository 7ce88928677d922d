/// The task or thread that has the heartbeat interval.
enum HeartbeatSubject {
  case task(TaskReference)
  /// A thread that is not a task.
  case thread(ThreadHeartbeats.Pointer)

  var registry: RegistryReference {
    switch self {
    case .task(let task): task.registry
    case .thread(let thread): thread.pointee.registry
    }
  }

  var name: TaskName {
    switch self {
    case .task(let task): task.name
    case .thread(let thread): thread.pointee.name
    }
  }
}
