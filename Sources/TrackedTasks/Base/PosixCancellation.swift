import CPlatform

/// Runs `body` with POSIX thread cancellation disabled: the library's waits are no cancellation
/// points, so that a thread cancelled from outside leaves neither a lock held nor a waiter listed.
func withCancellationDisabled<Result>(_ body: () -> Result) -> Result {
  var old: Int32 = 0
  mustSucceed(pthread_setcancelstate(cp_cancel_disable(), &old), "pthread_setcancelstate")
  let result = body()
  mustSucceed(pthread_setcancelstate(old, nil), "pthread_setcancelstate")
  return result
}
