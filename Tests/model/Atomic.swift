import CModel
import Synchronization

/// Replaces `Synchronization.Atomic` when the core is compiled for the explorer, and reports each
/// access to it.
///
/// The explorer runs one thread at a time, so the orderings mean nothing here.
struct Atomic<Value: AtomicRepresentable & BitwiseCopyable & Equatable>: ~Copyable {
  /// The memory, with the layout and the stable address of the original.
  private let storage: Synchronization.Atomic<Value>

  init(_ initial: Value) { storage = Synchronization.Atomic(initial) }

  /// Lets other threads run, and then accesses the value where it lies.
  @inline(__always)
  private func visit<Result>(
    _ kind: Int, _ what: StaticString, _ access: (UnsafeMutablePointer<Value>) -> Result
  ) -> Result {
    withUnsafePointer(to: storage) { place in
      let memory = UnsafeMutableRawPointer(mutating: UnsafeRawPointer(place))
      if kind == MODEL_WRITE { model_keep(memory, Int32(MemoryLayout<Value>.size)) }
      model_access(memory, Int32(kind), what.cText)
      return access(memory.assumingMemoryBound(to: Value.self))
    }
  }

  func load(ordering: AtomicLoadOrdering) -> Value { visit(MODEL_READ, "loads") { $0.pointee } }

  func store(_ value: Value, ordering: AtomicStoreOrdering) {
    visit(MODEL_WRITE, "stores") { $0.pointee = value }
  }

  func exchange(_ value: Value, ordering: AtomicUpdateOrdering) -> Value {
    visit(MODEL_WRITE, "exchanges") { place in
      let old = place.pointee
      place.pointee = value
      return old
    }
  }

  func compareExchange(
    expected: Value, desired: Value, ordering: AtomicUpdateOrdering
  ) -> (exchanged: Bool, original: Value) {
    visit(MODEL_WRITE, "compares and swaps") { place in
      let old = place.pointee
      if old == expected { place.pointee = desired }
      return (old == expected, old)
    }
  }
}

extension Atomic where Value: FixedWidthInteger {
  @discardableResult
  func wrappingAdd(
    _ operand: Value, ordering: AtomicUpdateOrdering
  ) -> (oldValue: Value, newValue: Value) {
    visit(MODEL_WRITE, "adds") { place in
      let old = place.pointee
      place.pointee = old &+ operand
      return (old, old &+ operand)
    }
  }

  @discardableResult
  func bitwiseOr(
    _ operand: Value, ordering: AtomicUpdateOrdering
  ) -> (oldValue: Value, newValue: Value) {
    visit(MODEL_WRITE, "sets bits of") { place in
      let old = place.pointee
      place.pointee = old | operand
      return (old, old | operand)
    }
  }

  @discardableResult
  func bitwiseAnd(
    _ operand: Value, ordering: AtomicUpdateOrdering
  ) -> (oldValue: Value, newValue: Value) {
    visit(MODEL_WRITE, "clears bits of") { place in
      let old = place.pointee
      place.pointee = old & operand
      return (old, old & operand)
    }
  }

  @discardableResult
  func wrappingSubtract(
    _ operand: Value, ordering: AtomicUpdateOrdering
  ) -> (oldValue: Value, newValue: Value) {
    wrappingAdd(0 &- operand, ordering: ordering)
  }
}

// SAFETY: all access goes through the explorer, which runs one thread at a time.
extension Atomic: @unchecked Sendable {}

extension StaticString {
  /// The text for C.
  var cText: UnsafePointer<CChar> {
    UnsafeRawPointer(utf8Start).assumingMemoryBound(to: CChar.self)
  }
}
