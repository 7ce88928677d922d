/// Where the fields of glibc's locks are, in bytes from the start of the lock.
struct LockLayout {
  var mutexCount: Int
  var mutexOwner: Int
  var mutexUsers: Int
  var mutexKind: Int
  /// The links of the robust mutexes that a thread holds; 0 in others.
  var mutexPrevious: Int
  var mutexNext: Int
  var readers: Int
  var phase: Int
  var writers: Int
  /// Two words that are always 0.
  var pad: Int
  var writer: Int
  var isShared: Int
  var flags: Int
}
