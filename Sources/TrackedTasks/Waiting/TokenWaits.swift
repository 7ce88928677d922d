import CPlatform

// LOCKING
// A wait for several tokens has one waiter on the list of each, all with the same parker. The lists
// are entered one after the other, each under its token's Monitor, and never two at once. The
// predicate, which reads all tokens, is read after the last list was entered, so a token that is
// cancelled earlier is seen, and one that is cancelled later finds the waiter (`WaiterList`). If a
// list cannot be entered by the deadline, there is no wait.

/// Waits on the calling thread until one of several tokens is cancelled (C18).
///
/// - Parameters:
///   - tokens: at least one; a reference to each is held by the caller.
///   - deadline: when to give up.
/// - Returns: `.ok`, and the index of the first that is cancelled; `.timedOut`; `.cancelled` by the
///   flag of the calling task, which is looked at after the tokens.
func waitForAny(
  _ tokens: UnsafeBufferPointer<TokenReference>, until deadline: Deadline
) -> (Status, Int) {
  func cancelled() -> Int? { tokens.firstIndex { $0.isCancelled } }
  if let index = cancelled() { return (.ok, index) }
  let task = Worker.currentTask
  if let task, task.endsWait() { return (.cancelled, 0) }
  return withHeartbeatsSuspended {
    withCancellationDisabled {
      withParker { parker in
        withUnsafeTemporaryAllocation(of: Waiter.self, capacity: tokens.count) { waiters in
          // SAFETY: there is at least one token, so the allocation has a base address.
          let first = waiters.baseAddress.unsafelyUnwrapped
          var entered = 0
          while entered < tokens.count {
            let waiter = first + entered
            waiter.initialize(to: Waiter(parker: parker, key: WaitKey.token))
            let isIn: Void? = tokens[entered].monitor.withLock(until: deadline) {
              $0.waiters.add(waiter)
            }
            if isIn == nil { break }
            entered += 1
          }
          var wait = NotedWait(.token)
          let end: (Status, Int)
          wait: while true {
            if let index = cancelled() {
              end = (.ok, index)
              break wait
            }
            if let task, task.endsWait() {
              end = (.cancelled, 0)
              break wait
            }
            if entered < tokens.count || deadline.hasPassed {
              end = (.timedOut, 0)
              break wait
            }
            _ = wait.block(until: deadline) { parker.park(until: deadline) }
          }
          for number in 0..<entered {
            tokens[number].monitor.withLock { $0.waiters.remove(first + number) }
          }
          return end
        }
      }
    }
  }
}
