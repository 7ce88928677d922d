#if !hasFeature(Embedded)

  /// Values of task-locals that a task takes along from where it is spawned.
  ///
  /// A task runs in a thread of its own, where task-locals otherwise have their default values.
  ///
  ///     let options = SpawnOptions(taskLocals: CarriedTaskLocals(Request.$id, ServiceContext.$current))
  ///
  /// So the context of a trace goes along, too.
  public struct CarriedTaskLocals: Sendable {
    private let bind: @Sendable (() throws -> Void) throws -> Void

    /// Takes the values that the task-locals have now, in the calling Swift task or thread.
    ///
    /// - Parameter locals: the projected values of `@TaskLocal` properties: `Request.$id`.
    public init<each Value: Sendable>(_ locals: repeat TaskLocal<each Value>) {
      var bind: @Sendable (() throws -> Void) throws -> Void = { try $0() }
      for local in repeat each locals { bind = Self.binding(local, within: bind) }
      self.bind = bind
    }

    private static func binding<Value: Sendable>(
      _ local: TaskLocal<Value>,
      within outer: @escaping @Sendable (() throws -> Void) throws -> Void
    ) -> @Sendable (() throws -> Void) throws -> Void {
      let value = local.get()
      return { body in try outer { try local.withValue(value) { try body() } } }
    }

    /// Runs `body` where the task-locals have the values.
    func whileBound<Value>(_ body: () throws -> Value) throws -> Value {
      var value: Value?
      try bind { value = try body() }
      // SAFETY: `bind` has called its argument, or has thrown.
      return value.unsafelyUnwrapped
    }
  }

#endif
