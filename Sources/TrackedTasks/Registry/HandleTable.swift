import CPlatform
import Synchronization

// LOCKING: see `HandleCheck.swift`.

/// The kind of object that a handle refers to.
enum HandleKind {
  case registry
  case token
  case task
  case registration
  case report

  /// Its type in C.
  var text: StaticString {
    switch self {
    case .registry: "tr_registry"
    case .token: "tr_token"
    case .task: "tr_task"
    case .registration: "tr_registration"
    case .report: "tr_report"
    }
  }
}

/// The facts of one handle.
struct HandleEntry {
  let object: UnsafeRawPointer
  let kind: HandleKind
  /// How many references the program has.
  var given: UInt64 = 0
  /// Who released its last reference; nil before that.
  var releasedBy: Callers?
  /// Whether the object is gone.
  var isGone = false
  /// The next in the same bucket.
  var next: Pointer?
  /// The object that went next.
  var nextGone: Pointer?

  typealias Pointer = UnsafeMutablePointer<HandleEntry>

  /// Whether the program can no longer use the handle: its object is gone, or a registry about to
  /// go.
  ///
  /// The memory is valid: the thread that frees it first removes the entry, under the same lock.
  var isOver: Bool {
    if isGone { return true }
    guard kind == .registry, given == 0 else { return false }
    return RegistryReference(OpaquePointer(object)).pointer.pointee.isUnreachable.load(
      ordering: .sequentiallyConsistent)
  }
}

/// All handles, by address.
struct Handles: MonitorState {
  private let buckets: UnsafeMutablePointer<HandleEntry.Pointer?>
  private var oldestGone: HandleEntry.Pointer?
  private var newestGone: HandleEntry.Pointer?
  private(set) var goneCount = 0

  init(buckets: UnsafeMutablePointer<HandleEntry.Pointer?>) { self.buckets = buckets }

  func checkInvariants() {}

  func isIn(_ memory: UnsafeMutableRawPointer) -> Bool {
    UnsafeMutableRawPointer(buckets) == memory
  }

  private func bucket(of object: UnsafeRawPointer) -> UnsafeMutablePointer<HandleEntry.Pointer?> {
    // Objects are at least 32 bytes apart.
    let number = UInt(bitPattern: object) >> 5
    return buckets + Int((number ^ (number >> 12)) & 4095)
  }

  func find(_ object: UnsafeRawPointer) -> HandleEntry.Pointer? {
    var entry = bucket(of: object).pointee
    while let current = entry {
      if current.pointee.object == object { return current }
      entry = current.pointee.next
    }
    return nil
  }

  /// Finds an entry or makes one; nil if there is no memory.
  func entry(of object: UnsafeRawPointer, _ kind: HandleKind) -> HandleEntry.Pointer? {
    if let found = find(object) { return found }
    guard let memory = malloc(MemoryLayout<HandleEntry>.size) else { return nil }
    let entry = memory.bindMemory(to: HandleEntry.self, capacity: 1)
    let bucket = bucket(of: object)
    entry.initialize(to: HandleEntry(object: object, kind: kind, next: bucket.pointee))
    bucket.pointee = entry
    return entry
  }

  mutating func append(_ entry: HandleEntry.Pointer) {
    if let newestGone { newestGone.pointee.nextGone = entry } else { oldestGone = entry }
    newestGone = entry
    goneCount += 1
  }

  /// Frees the memory of the object that went first.
  mutating func discardOldest() {
    guard let entry = oldestGone else { return }
    oldestGone = entry.pointee.nextGone
    if oldestGone == nil { newestGone = nil }
    goneCount -= 1
    remove(entry)
    let object = entry.pointee.object
    switch entry.pointee.kind {
    case .registry: RegistryReference(OpaquePointer(object)).freeMemory()
    case .task: TaskReference(OpaquePointer(object)).releaseRecord()
    case .token, .registration, .report: free(UnsafeMutableRawPointer(mutating: object))
    }
    free(entry)
  }

  private func remove(_ entry: HandleEntry.Pointer) {
    let bucket = bucket(of: entry.pointee.object)
    if bucket.pointee == entry {
      bucket.pointee = entry.pointee.next
      return
    }
    var previous = bucket.pointee
    while let current = previous {
      if current.pointee.next == entry {
        current.pointee.next = entry.pointee.next
        return
      }
      previous = current.pointee.next
    }
  }
}
