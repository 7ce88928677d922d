import CPlatform

/// Runs `body` with POSIX thread cancellation disabled.
///
/// The library's waits are not cancellation points, so that a thread that the application cancels
/// leaves neither a lock held nor a waiter listed.
func withCancellationDisabled<Result>(_ body: () -> Result) -> Result {
  var old: Int32 = 0
  mustSucceed(pthread_setcancelstate(cp_cancel_disable(), &old), "pthread_setcancelstate")
  let result = body()
  mustSucceed(pthread_setcancelstate(old, nil), "pthread_setcancelstate")
  return result
}
