import CModel
import Synchronization

/// Replaces `Synchronization.Atomic` when the core is compiled for the explorer, and reports each
/// access to it, with its order and its place in the source.
struct Atomic<Value: AtomicRepresentable & BitwiseCopyable & Equatable>: ~Copyable {
  /// The memory, with the layout and the stable address of the original.
  private let storage: Synchronization.Atomic<Value>

  init(_ initial: Value) { storage = Synchronization.Atomic(initial) }

  /// Lets other threads run, then accesses the value where it lies, and returns the one before.
  @inline(__always)
  private func visit(
    _ kind: Int, _ order: Int32, _ file: StaticString, _ line: Int32, _ operand: UInt64 = 0,
    expecting expected: UInt64 = 0
  ) -> Value {
    let old = withUnsafePointer(to: storage) { place in
      model_atomic(
        model_operation(
          address: UnsafeMutableRawPointer(mutating: place), operand: operand, expected: expected,
          size: Int32(MemoryLayout<Value>.size), kind: Int32(kind), order: order,
          file: file.cText, line: line))
    }
    return withUnsafeBytes(of: old) { $0.load(as: Value.self) }
  }

  @inline(__always)
  private func bits(_ value: Value) -> UInt64 {
    var bits: UInt64 = 0
    withUnsafeMutableBytes(of: &bits) { $0.storeBytes(of: value, as: Value.self) }
    return bits
  }

  func load(
    ordering: AtomicLoadOrdering, file: StaticString = #fileID, line: Int32 = #line
  ) -> Value {
    visit(MODEL_LOAD, ordering.number, file, line)
  }

  func store(
    _ value: Value, ordering: AtomicStoreOrdering, file: StaticString = #fileID,
    line: Int32 = #line
  ) {
    _ = visit(MODEL_STORE, ordering.number, file, line, bits(value))
  }

  func exchange(
    _ value: Value, ordering: AtomicUpdateOrdering, file: StaticString = #fileID,
    line: Int32 = #line
  ) -> Value {
    visit(MODEL_EXCHANGE, ordering.number, file, line, bits(value))
  }

  func compareExchange(
    expected: Value, desired: Value, ordering: AtomicUpdateOrdering,
    file: StaticString = #fileID, line: Int32 = #line
  ) -> (exchanged: Bool, original: Value) {
    let old = visit(
      MODEL_COMPARE, ordering.number, file, line, bits(desired), expecting: bits(expected))
    return (old == expected, old)
  }
}

extension Atomic where Value: FixedWidthInteger {
  @discardableResult
  func wrappingAdd(
    _ operand: Value, ordering: AtomicUpdateOrdering, file: StaticString = #fileID,
    line: Int32 = #line
  ) -> (oldValue: Value, newValue: Value) {
    let old = visit(MODEL_ADD, ordering.number, file, line, bits(operand))
    return (old, old &+ operand)
  }

  @discardableResult
  func bitwiseOr(
    _ operand: Value, ordering: AtomicUpdateOrdering, file: StaticString = #fileID,
    line: Int32 = #line
  ) -> (oldValue: Value, newValue: Value) {
    let old = visit(MODEL_OR, ordering.number, file, line, bits(operand))
    return (old, old | operand)
  }

  @discardableResult
  func bitwiseAnd(
    _ operand: Value, ordering: AtomicUpdateOrdering, file: StaticString = #fileID,
    line: Int32 = #line
  ) -> (oldValue: Value, newValue: Value) {
    let old = visit(MODEL_AND, ordering.number, file, line, bits(operand))
    return (old, old & operand)
  }

  @discardableResult
  func wrappingSubtract(
    _ operand: Value, ordering: AtomicUpdateOrdering, file: StaticString = #fileID,
    line: Int32 = #line
  ) -> (oldValue: Value, newValue: Value) {
    let old = visit(MODEL_ADD, ordering.number, file, line, bits(0 &- operand))
    return (old, old &- operand)
  }
}

// SAFETY: all access goes through the explorer, which runs one thread at a time.
extension Atomic: @unchecked Sendable {}

/// Replaces `atomicMemoryFence`; scripts/model changes the name in the copy that it compiles, as the
/// original would be preferred for having fewer arguments.
func exploredFence(
  ordering: AtomicUpdateOrdering, file: StaticString = #fileID, line: Int32 = #line
) {
  model_fence(ordering.number, file.cText, line)
}

// The explorer's numbers of the orders.
extension AtomicLoadOrdering {
  fileprivate var number: Int32 {
    switch self {
    case .relaxed: 0
    case .acquiring: 1
    default: 7
    }
  }
}
extension AtomicStoreOrdering {
  fileprivate var number: Int32 {
    switch self {
    case .relaxed: 0
    case .releasing: 2
    default: 7
    }
  }
}
extension AtomicUpdateOrdering {
  fileprivate var number: Int32 {
    switch self {
    case .relaxed: 0
    case .acquiring: 1
    case .releasing: 2
    case .acquiringAndReleasing: 3
    default: 7
    }
  }
}

extension StaticString {
  /// The text for C.
  var cText: UnsafePointer<CChar> {
    UnsafeRawPointer(utf8Start).assumingMemoryBound(to: CChar.self)
  }
}
