import Synchronization

/// What the Monitor of the descriptors guards.
///
/// D1: those in the list are the ones that are not raised; those that have room come first.
struct WaitDescriptors: MonitorState {
  private var list = LinkedList<WaitDescriptorPlace>()
  /// How many threads are making one.
  var making = 0

  /// Gives a task a place at the first one in the list.
  ///
  /// - Returns: the descriptor; nil if it has no room or, with `beyondLimit`, if the list is empty.
  mutating func take(for place: TaskActivity.Pointer, beyondLimit: Bool) -> Int32? {
    guard let this = list.first, beyondLimit || this.shared.pointee.users < WaitDescriptor.places
    else {
      return nil
    }
    this.shared.pointee.users += 1
    if this.shared.pointee.users >= WaitDescriptor.places {
      list.remove(this)
      list.append(this)
    }
    place.pointee.waitDescriptor.store(UInt(bitPattern: this), ordering: .relaxed)
    return this.pointee.descriptor
  }

  /// Takes a task's place away, if it has one.
  ///
  /// - Returns: the descriptor that must be closed, if any.
  mutating func leave(_ place: TaskActivity.Pointer) -> WaitDescriptor.Pointer? {
    let bits = place.pointee.waitDescriptor.load(ordering: .relaxed)
    guard let this = WaitDescriptor.Pointer(bitPattern: bits) else { return nil }
    place.pointee.waitDescriptor.store(0, ordering: .relaxed)
    return drop(this) ? this : nil
  }

  /// Adds a new one, without users.
  mutating func insert(_ this: WaitDescriptor.Pointer) { list.prepend(this) }

  /// Raises it for a task whose flag is up; the caller is a user until it has written.
  mutating func raise(_ this: WaitDescriptor.Pointer) {
    this.shared.pointee.users += 1
    if this.pointee.isRaised.load(ordering: .relaxed) { return }
    list.remove(this)
    this.pointee.isRaised.store(true, ordering: .relaxed)
  }

  /// Uncounts a user.
  ///
  /// - Returns: whether it was the last one: no thread can find the descriptor any more.
  mutating func drop(_ this: WaitDescriptor.Pointer) -> Bool {
    this.shared.pointee.users -= 1
    let isLast = this.shared.pointee.users == 0
    if this.pointee.isRaised.load(ordering: .relaxed) { return isLast }
    if isLast || this.shared.pointee.users == WaitDescriptor.places - 1 {
      list.remove(this)
      if !isLast { list.prepend(this) }
    }
    return isLast
  }

  func checkInvariants() {
    var wasFull = false
    list.checkLinks()
    var place = list.first
    while let this = place {
      let isFull = this.shared.pointee.users >= WaitDescriptor.places
      if this.shared.pointee.users <= 0 || this.pointee.isRaised.load(ordering: .relaxed) {
        fatalError("a wait descriptor on the list is unused, or raised")
      }
      if wasFull && !isFull {
        fatalError("D1: a full wait descriptor comes before one that is not")
      }
      wasFull = isFull
      place = list.element(after: this)
    }
  }
}

/// The place of a wait descriptor among those that are not raised.
private enum WaitDescriptorPlace: ListPlace {
  static subscript(element: WaitDescriptor.Pointer) -> ListLinks<WaitDescriptor.Pointer> {
    get { element.shared.pointee.links }
    set { element.shared.pointee.links = newValue }
  }
}
