/// How much is read of a target at the most.
///
/// Its memory may say anything: a list need not end, and the same record may be in many places of a
/// core file. No process has as much; of one that seems to, it is said that some may be missing.
struct ReadingBudget {
  /// Registries and groups that are listed.
  var registries = 1 << 19
  /// Tasks that are listed.
  var tasks = 1 << 20
  /// Steps from one element of a list to the next.
  var steps = 1 << 22
  /// Records that are read, of tasks that live or not.
  var records: UInt64 = 1 << 24
}
