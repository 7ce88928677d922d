/// One lock that a futex call may be of, to be read at an address.
struct LockCandidate {
  var kind: Kind
  var address: UInt64

  /// What it is, if the call is of it.
  enum Kind {
    case mutex
    case robust
    /// A lock whose owner the kernel knows: PTHREAD_PRIO_INHERIT, or FUTEX_LOCK_PI of others.
    case inheriting
    case rwlock
    /// The word of a thread that becomes 0 at its end; behind it, in the bytes, comes the thread's id
    /// where that is another word.
    case thread
  }
}
