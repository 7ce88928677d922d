extension Snapshot {
  /// When the last event happened that is known of its tasks, on the target's monotonic clock.
  ///
  /// A core file does not say when it was made, on that clock. So times that it tells of are at least
  /// as long as it says.
  var lastMoment: Int64 {
    var last: Int64 = 0
    func take(_ moment: Int64) {
      if moment > last && moment < Int64.max / 2 { last = moment }
    }
    for task in tasks {
      take(task.facts.spawnedAt)
      take(task.facts.cancelledAt)
      if let activity = task.facts.activity {
        take(activity.progress.at)
        take(activity.drainingSince)
      }
      if let note = ExaminedTask(snapshot: self, task: task).note { take(note.since) }
      if let worker = root.word(at: task.record &+ root[.worker]),
        let seen = root.word(at: worker &+ root[.restSince])
      {
        take(Int64(bitPattern: seen))
      }
    }
    return last
  }
}
