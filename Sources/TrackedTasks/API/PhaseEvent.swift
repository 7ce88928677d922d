#if !hasFeature(Embedded)

  /// What a shutdown reports to the closure that it was given: each phase, 0 to 7, begins and ends
  /// once, in this order, whether it has tasks or not.
  @nonexhaustive
  public enum PhaseEvent: Hashable, Sendable {
    /// The tasks of the phase have been asked to stop; `tasks` of them were alive.
    case began(phase: Int, tasks: UInt64)
    /// All of its tasks have ended, or its time is over; `remaining` are still alive.
    case ended(phase: Int, remaining: UInt64)
  }

  extension ShutdownRequest {
    /// Calls `body` with the request, whose shutdown reports its phases to `receive`.
    func reporting<Result>(
      to receive: ((PhaseEvent) -> Void)?, _ body: (ShutdownRequest) -> Result
    ) -> Result {
      guard var receive else { return body(self) }
      var request = self
      return withUnsafeMutablePointer(to: &receive) { receive in
        request.phaseCallbacks = PhaseCallbacks(
          begin: { PhaseEvent.began(phase: Int($1), tasks: $2).deliver(to: $0) },
          end: { PhaseEvent.ended(phase: Int($1), remaining: $2).deliver(to: $0) },
          context: UnsafeMutableRawPointer(receive))
        return body(request)
      }
    }
  }

  extension PhaseEvent {
    fileprivate func deliver(to context: UnsafeMutableRawPointer?) {
      // SAFETY: the closure of the call that waits for this one to return.
      context?.assumingMemoryBound(to: ((PhaseEvent) -> Void).self).pointee(self)
    }
  }

#endif
