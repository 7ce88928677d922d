#if !hasFeature(Embedded)

  extension TaskSummary {
    /// Decodes a task of a list, as docs/schema/snapshot.json describes it.
    ///
    /// `spawnedAt` and `cancelRequestedAt` are derived from the wall clock of the process that
    /// decodes it.
    public init(from decoder: any Decoder) throws {
      let object = try decoder.object()
      id = try object.decode(UInt64.self, forKey: "id")
      name = try object.decode(String.self, forKey: "name")
      group = try object.decode(String.self, forKey: "group")
      kind = try object.decodeKind()
      state = try object.decode(State.self, forKey: "state")
      threadID = try object.decode(Int32.self, forKey: "thread_id")
      age = try object.decode(nanoseconds: "age_ns")
      let wall = try object.decode(String.self, forKey: "spawned_at_unix_ns")
      guard let wall = Int64(wall) else {
        throw DecodingError.dataCorruptedError(
          forKey: "spawned_at_unix_ns", in: object,
          debugDescription: "this is not a number: \(wall)")
      }
      spawnedAtUnix = .nanoseconds(wall)
      cancelRequestedFor = try object.decodeOrNil(nanoseconds: "cancel_requested_for_ns")
      let clocks = ClockPair.now
      let spawned = SuspendingClock.Instant.monotonic(clocks.monotonic &- (clocks.wall &- wall))
      let listed = spawned.advanced(by: age)
      moments = Unencoded(
        Moments(spawned: spawned, asked: cancelRequestedFor.map { listed.advanced(by: .zero - $0) })
      )
      stopLevel = try object.decode(StopLevel.self, forKey: "stop_level")
      drainingFor = try object.decodeOrNil(nanoseconds: "draining_for_ns")
      isCleanup = try object.decode(Bool.self, forKey: "cleanup")
      isUnjoined = try object.decode(Bool.self, forKey: "unjoined")
      label = try object.decodeIfPresent(String.self, forKey: "label")
      checkpoint = try object.decodeIfPresent(String.self, forKey: "checkpoint")
      progress = try object.decodeIfPresent(TaskProgress.self, forKey: "progress")
        .map { $0.seen(at: listed) }
      phase = try object.decode(Int.self, forKey: "phase")
      isStalled = try object.decode(Bool.self, forKey: "stalled")
      runs = try object.decodeIfPresent(RunsOfTask.self, forKey: "runs")
      parentID = try object.decodeIfPresent(UInt64.self, forKey: "parent_id")
      spawnAddress = try object.decodeSpawnAddress()
    }

    /// Encodes the task as docs/schema/snapshot.json describes it.
    public func encode(to encoder: any Encoder) throws {
      var object = encoder.object()
      try object.encode(id, forKey: "id")
      try object.encode(name: name, group: group, kind: kind)
      try object.encode(orNull: label, "label")
      try object.encode(state, forKey: "state")
      try object.encode(threadID, forKey: "thread_id")
      try object.encode(spawnedAtUnix.wholeNanoseconds.description, forKey: "spawned_at_unix_ns")
      try object.encode(nanoseconds: age, "age_ns")
      try object.encode(nanoseconds: cancelRequestedFor, "cancel_requested_for_ns")
      try object.encode(isCleanup, forKey: "cleanup")
      try object.encode(isUnjoined, forKey: "unjoined")
      try object.encode(stopLevel, forKey: "stop_level")
      try object.encode(nanoseconds: drainingFor, "draining_for_ns")
      try object.encode(phase, forKey: "phase")
      try object.encode(isStalled, forKey: "stalled")
      try object.encode(orNull: checkpoint, "checkpoint")
      try object.encode(orNull: progress, "progress")
      try object.encode(orNull: runs, "runs")
      try object.encode(parentID: parentID, spawnAddress: spawnAddress)
    }
  }

  extension TaskSummary.State {
    /// Decodes the name of the state: "running".
    public init(from decoder: any Decoder) throws {
      self = try decoder.decode { Names.state(($0 as Self).rawValue) }
    }

    /// Encodes the name of the state: "running".
    public func encode(to encoder: any Encoder) throws {
      try encoder.encode(name: Names.state(rawValue))
    }
  }

  extension TaskProgress {
    /// Decodes what docs/schema has for progress; `reportedAt` is counted from now.
    public init(from decoder: any Decoder) throws {
      let object = try decoder.object()
      done = try object.decode(UInt64.self, forKey: "done")
      let total = try object.decode(UInt64.self, forKey: "total")
      self.total = total == 0 ? nil : total
      unit = try object.decodeIfPresent(String.self, forKey: "unit")
      age = try object.decode(nanoseconds: "age_ns")
      moment = Unencoded(SuspendingClock.now.advanced(by: .zero - age))
    }

    /// Encodes the progress as docs/schema describes it.
    public func encode(to encoder: any Encoder) throws {
      var object = encoder.object()
      try object.encode(count: done, "done")
      try object.encode(count: total ?? 0, "total")
      try object.encode(orNull: unit, "unit")
      try object.encode(nanoseconds: age, "age_ns")
    }

    /// The same, seen at a moment.
    fileprivate func seen(at moment: SuspendingClock.Instant) -> TaskProgress {
      var progress = self
      progress.moment = Unencoded(moment.advanced(by: .zero - age))
      return progress
    }
  }

  extension RunsOfTask {
    /// Decodes what docs/schema has for the runs of a task.
    public init(from decoder: any Decoder) throws {
      let object = try decoder.object()
      begun = try object.decode(UInt64.self, forKey: "begun")
      let how = try object.decodeIfPresent(EndedTask.Ending.self, forKey: "last_how")
      let code = try object.decode(Int32.self, forKey: "last_code")
      last =
        switch how {
        case .returned: .returned
        case .failed: .failed(code: code)
        case .exited: .exited
        case nil: nil
        }
      isPaused = try object.decode(Bool.self, forKey: "paused")
      startsIn = try object.decodeOrNil(nanoseconds: "starts_in_ns")
    }

    /// Encodes the runs as docs/schema describes them.
    public func encode(to encoder: any Encoder) throws {
      var object = encoder.object()
      try object.encode(count: begun, "begun")
      var (how, code): (EndedTask.Ending?, Int32) = (nil, 0)
      switch last {
      case .returned: how = .returned
      case .failed(let number): (how, code) = (.failed, number)
      case .exited: how = .exited
      case nil: break
      }
      try object.encode(orNull: how, "last_how")
      try object.encode(code, forKey: "last_code")
      try object.encode(isPaused, forKey: "paused")
      try object.encode(nanoseconds: startsIn, "starts_in_ns")
    }
  }

  extension EndedTask {
    /// Decodes a task that has ended, as docs/schema/report.json describes it; `spawnedAt` is nil
    /// then.
    public init(from decoder: any Decoder) throws {
      let object = try decoder.object()
      id = try object.decode(UInt64.self, forKey: "id")
      name = try object.decode(String.self, forKey: "name")
      group = try object.decode(String.self, forKey: "group")
      kind = try object.decodeKind()
      ending = try object.decode(Ending.self, forKey: "how")
      code = try object.decode(Int32.self, forKey: "code")
      moment = Unencoded(nil)
      ran = try object.decode(nanoseconds: "ran_ns")
      stop = try object.decodeOrNil(nanoseconds: "stop_ns")
    }

    /// Encodes the task as docs/schema/report.json describes it.
    public func encode(to encoder: any Encoder) throws {
      var object = encoder.object()
      try object.encode(id, forKey: "id")
      try object.encode(name: name, group: group, kind: kind)
      try object.encode(ending, forKey: "how")
      try object.encode(code, forKey: "code")
      try object.encode(nanoseconds: ran, "ran_ns")
      try object.encode(nanoseconds: stop, "stop_ns")
    }
  }

  extension EndedTask.Ending {
    /// Decodes how a task ended: "returned".
    public init(from decoder: any Decoder) throws {
      self = try decoder.decode { Names.ending(($0 as Self).rawValue) }
    }

    /// Encodes how a task ended: "returned".
    public func encode(to encoder: any Encoder) throws {
      try encoder.encode(name: Names.ending(rawValue))
    }
  }

#endif
