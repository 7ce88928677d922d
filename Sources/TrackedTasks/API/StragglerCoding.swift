#if !hasFeature(Embedded)

  extension StragglerReport {
    /// Decodes a straggler, as docs/schema/report.json describes it.
    public init(from decoder: any Decoder) throws {
      let object = try decoder.object()
      id = try object.decode(UInt64.self, forKey: "id")
      name = try object.decode(String.self, forKey: "name")
      group = try object.decode(String.self, forKey: "group")
      kind = try object.decodeKind()
      state = try object.decode(TaskSummary.State.self, forKey: "state")
      phase = try object.decode(Int.self, forKey: "phase")
      parentID = try object.decodeIfPresent(UInt64.self, forKey: "parent_id")
      spawnAddress = try object.decodeSpawnAddress()
      isUnjoined = try object.decode(Bool.self, forKey: "unjoined")
      threadID = try object.decode(Int32.self, forKey: "thread_id")
      age = try object.decode(nanoseconds: "age_ns")
      cancelRequestedFor = try object.decodeOrNil(nanoseconds: "cancel_requested_for_ns")
      stopLevel = try object.decode(StopLevel.self, forKey: "stop_level")
      drainingFor = try object.decodeOrNil(nanoseconds: "draining_for_ns")
      diagnosis = try object.decode(Diagnosis.self, forKey: "diagnosis")
      cpu = try object.decodeOrNil(nanoseconds: "cpu_ns")
      cpuSince = try object.decodeOrNil(nanoseconds: "cpu_since_ns")
      cpuSinceSpan = try object.decodeOrNil(nanoseconds: "cpu_since_span_ns")
      cancelChecks = try object.decode(Int.self, forKey: "cancel_checks")
      readsFlagDirectly = try object.decode(Bool.self, forKey: "reads_flag_directly")
      schedulerText = try object.decodeIfPresent(String.self, forKey: "scheduler_state")
      waitChannel = try object.decodeIfPresent(String.self, forKey: "wait_channel")
      syscall = try object.decodeIfPresent(Int.self, forKey: "syscall")
      syscallName = try object.decodeIfPresent(String.self, forKey: "syscall_name")
      libraryWait = try object.decodeIfPresent(LibraryWait.self, forKey: "library_wait")
      runQueueTime = try object.decodeOrNil(nanoseconds: "run_queue_ns")
      descriptor = try object.decodeIfPresent(TaskDescriptor.self, forKey: "descriptor")
      let wait = try object.decode(SchemaWait.self, forKey: "waits_for")
      self.wait = wait.wait
      waitedAtLeast = wait.waitedAtLeast
      probeError = try object.decodeIfPresent(Int32.self, forKey: "probe_error")
      label = try object.decodeIfPresent(String.self, forKey: "label")
      checkpoint = try object.decodeIfPresent(String.self, forKey: "checkpoint")
      progress = try object.decodeIfPresent(TaskProgress.self, forKey: "progress")
      isStalled = try object.decode(Bool.self, forKey: "stalled")
      runs = try object.decodeIfPresent(RunsOfTask.self, forKey: "runs")
      frames = try object.decode([BacktraceFrame].self, forKey: "frames").enumerated().map {
        BacktraceFrame(address: $1.address, depth: $0)
      }
      backtrace = try object.decode(BacktraceOutcome.self, forKey: "backtrace")
    }

    /// Encodes the straggler as docs/schema/report.json describes it.
    public func encode(to encoder: any Encoder) throws {
      var object = encoder.object()
      try object.encode(id, forKey: "id")
      try object.encode(name: name, group: group, kind: kind)
      try object.encode(orNull: label, "label")
      try object.encode(state, forKey: "state")
      try object.encode(diagnosis, forKey: "diagnosis")
      try object.encode(phase, forKey: "phase")
      try object.encode(isUnjoined, forKey: "unjoined")
      try object.encode(threadID, forKey: "thread_id")
      try object.encode(nanoseconds: age, "age_ns")
      try object.encode(nanoseconds: cancelRequestedFor, "cancel_requested_for_ns")
      try object.encode(stopLevel, forKey: "stop_level")
      try object.encode(nanoseconds: drainingFor, "draining_for_ns")
      try object.encode(cancelChecks, forKey: "cancel_checks")
      try object.encode(readsFlagDirectly, forKey: "reads_flag_directly")
      try object.encode(nanoseconds: cpu, "cpu_ns")
      try object.encode(nanoseconds: cpuSince, "cpu_since_ns")
      try object.encode(nanoseconds: cpuSinceSpan, "cpu_since_span_ns")
      try object.encode(orNull: schedulerText, "scheduler_state")
      try object.encode(orNull: waitChannel, "wait_channel")
      try object.encode(orNull: syscall, "syscall")
      try object.encode(orNull: syscallName, "syscall_name")
      try object.encode(orNull: libraryWait, "library_wait")
      try object.encode(nanoseconds: runQueueTime, "run_queue_ns")
      try object.encode(orNull: descriptor, "descriptor")
      try object.encode(
        SchemaWait(wait: wait, waitedAtLeast: waitedAtLeast), forKey: "waits_for")
      try object.encode(orNull: probeError, "probe_error")
      try object.encode(isStalled, forKey: "stalled")
      try object.encode(orNull: checkpoint, "checkpoint")
      try object.encode(orNull: progress, "progress")
      try object.encode(orNull: runs, "runs")
      try object.encode(parentID: parentID, spawnAddress: spawnAddress)
      try object.encode(backtrace, forKey: "backtrace")
      try object.encode(frames, forKey: "frames")
    }
  }

  extension StragglerReport.Diagnosis {
    private static func name(of diagnosis: Self) -> StaticString {
      (StragglerFacts.Diagnosis(rawValue: diagnosis.rawValue) ?? .unknown).text
    }

    /// Decodes what a straggler seemed to be doing: "spinning".
    public init(from decoder: any Decoder) throws {
      self = try decoder.decode { Self.name(of: $0) }
    }

    /// Encodes what the straggler seems to be doing: "spinning".
    public func encode(to encoder: any Encoder) throws {
      try encoder.encode(name: Self.name(of: self))
    }
  }

  extension StragglerReport.BacktraceOutcome {
    private static func name(of outcome: Self) -> StaticString {
      (Backtrace.Outcome(rawValue: outcome.rawValue) ?? .notEnabled).text
    }

    /// Decodes whether a backtrace was taken: "left-out".
    public init(from decoder: any Decoder) throws {
      self = try decoder.decode { Self.name(of: $0) }
    }

    /// Encodes whether a backtrace was taken: "left-out".
    public func encode(to encoder: any Encoder) throws {
      try encoder.encode(name: Self.name(of: self))
    }
  }

  extension BacktraceFrame {
    /// Decodes a frame, as docs/schema/report.json describes it; by itself it is the innermost one.
    public init(from decoder: any Decoder) throws {
      address = try decoder.object().decodeOrNil(hexadecimal: "address") ?? 0
      depth = 0
    }

    /// Encodes the frame as docs/schema/report.json describes it.
    public func encode(to encoder: any Encoder) throws {
      let place = StragglerFacts.place(ofFrame: depth, at: address)
      try SchemaPlace(address: address, probedAt: place).encode(to: encoder)
    }
  }

  extension ThreadReport {
    /// Decodes a thread, as docs/schema/report.json describes it.
    public init(from decoder: any Decoder) throws {
      let object = try decoder.object()
      id = try object.decode(Int32.self, forKey: "thread_id")
      name = try object.decode(String.self, forKey: "name")
      schedulerText = try object.decodeIfPresent(String.self, forKey: "scheduler_state")
      waitChannel = try object.decodeIfPresent(String.self, forKey: "wait_channel")
      syscall = try object.decodeIfPresent(Int.self, forKey: "syscall")
      syscallName = try object.decodeIfPresent(String.self, forKey: "syscall_name")
      cpu = try object.decodeOrNil(nanoseconds: "cpu_ns")
      runQueueTime = try object.decodeOrNil(nanoseconds: "run_queue_ns")
      probeError = try object.decodeIfPresent(Int32.self, forKey: "probe_error")
      holdsUp = try object.decode(Int.self, forKey: "holds_up")
      holdsUpDirectly = try object.decode(Int.self, forKey: "holds_up_directly")
      holdsUpIsCertain = try object.decode(Bool.self, forKey: "is_certain")
      wait = try object.decode(WaitReport.self, forKey: "waits_for")
    }

    /// Encodes the thread as docs/schema/report.json describes it.
    public func encode(to encoder: any Encoder) throws {
      var object = encoder.object()
      try object.encode(id, forKey: "thread_id")
      try object.encode(name, forKey: "name")
      try object.encode(orNull: schedulerText, "scheduler_state")
      try object.encode(orNull: waitChannel, "wait_channel")
      try object.encode(orNull: syscall, "syscall")
      try object.encode(orNull: syscallName, "syscall_name")
      try object.encode(nanoseconds: cpu, "cpu_ns")
      try object.encode(nanoseconds: runQueueTime, "run_queue_ns")
      try object.encode(orNull: probeError, "probe_error")
      try object.encode(holdsUp, forKey: "holds_up")
      try object.encode(holdsUpDirectly, forKey: "holds_up_directly")
      try object.encode(holdsUpIsCertain, forKey: "is_certain")
      try object.encode(wait, forKey: "waits_for")
    }
  }

#endif
