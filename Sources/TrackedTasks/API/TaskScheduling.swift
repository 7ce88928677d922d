#if !hasFeature(Embedded)

  import CPlatform

  /// How the thread of one task is scheduled, where that is not as its registry's threads are.
  ///
  /// The thread sets it itself before the body, and runs nothing else. Where the system refuses it, the
  /// body runs without it, and there is a `RegistryEvent.Event.schedulingRefused`.
  public struct TaskScheduling: Hashable, Sendable {
    /// The policy; nil: that of the registry's threads, with its priority.
    public var policy: Policy?
    /// What is added to the nice value of the registry's threads, -40 to 40.
    public var niceAdded: Int
    /// The numbers, below 1024, of the CPUs on which the thread may run; nil: those of the registry's
    /// threads.
    public var cpus: Set<Int>?

    /// A policy of sched(7).
    @nonexhaustive
    public enum Policy: Hashable, Sendable {
      case other
      case batch
      case idle
      /// With a priority of 1 to 99.
      case firstInFirstOut(priority: Int)
      /// With a priority of 1 to 99.
      case roundRobin(priority: Int)
    }

    /// Creates a scheduling: each argument is the property of its name; without any it changes nothing.
    public init(
      policy: Policy? = nil, niceAdded: Int = 0, cpus: Set<Int>? = nil
    ) {
      self.policy = policy
      self.niceAdded = niceAdded
      self.cpus = cpus
    }

    /// The words of `cpus`, CPU n in bit n % 64 of word n / 64; nil if a number is out of range, or if
    /// there is none.
    var cpuWords: [UInt64]? {
      guard let cpus else { return [] }
      guard let last = cpus.max(), let first = cpus.min(), first >= 0,
        last < SchedulingWish.mostCPUs
      else { return nil }
      var words = [UInt64](repeating: 0, count: last / 64 + 1)
      for number in cpus { words[number / 64] |= 1 << UInt64(number % 64) }
      return words
    }

    /// What is asked of the core, without the CPUs; nil if it breaks the documented requirements.
    var wish: SchedulingWish? {
      var wish = SchedulingWish()
      guard let nice = Int32(exactly: niceAdded) else { return nil }
      wish.niceAdded = nice
      switch policy {
      case nil: break
      case .other: wish.policy = cp_sched_other()
      case .batch: wish.policy = cp_sched_batch()
      case .idle: wish.policy = cp_sched_idle()
      case .firstInFirstOut(let priority):
        wish.policy = cp_sched_fifo()
        guard let number = UInt32(exactly: priority) else { return nil }
        wish.priority = number
      case .roundRobin(let priority):
        wish.policy = cp_sched_rr()
        guard let number = UInt32(exactly: priority) else { return nil }
        wish.priority = number
      }
      return wish.isValid ? wish : nil
    }
  }

#endif
