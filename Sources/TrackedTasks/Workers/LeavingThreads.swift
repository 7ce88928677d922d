import CPlatform

/// Threads of the library's own that nobody joins and that may be on their last instructions;
/// guarded by the Monitor of the state that counts them.
struct LeavingThreads {
  /// The kernel's ids; 0 in a free place.
  private var ids = InlineArray<16, Int32>(repeating: 0)

  /// Adds the calling thread, which is on its last instructions.
  mutating func add() {
    var place = 0
    for index in ids.indices where ids[index] == 0 || !cp_thread_exists(ids[index]) {
      place = index
    }
    ids[place] = cp_gettid()
  }

  /// Whether none of them exists any more.
  var isEmpty: Bool {
    for index in ids.indices where ids[index] != 0 && cp_thread_exists(ids[index]) {
      return false
    }
    return true
  }
}
