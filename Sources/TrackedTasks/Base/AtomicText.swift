import CPlatform
import Synchronization

/// A NUL-terminated text of up to `8 * wordCount` - 1 bytes that may be read while it is written.
///
/// The bytes are atomic words, so that a reader without a lock gets old or new words, and no
/// undefined behaviour. The reader must check by other means whether the words belong together.
///
/// atomic: each word relaxed; the order is that of the flag or word that publishes the text.
struct AtomicText<let wordCount: Int>: ~Copyable {
  private let words = InlineArray<wordCount, Atomic<UInt64>> { _ in Atomic(0) }

  /// One of the words.
  @inline(__always)
  subscript(index: Int) -> UInt64 { words[index].load(ordering: .relaxed) }

  /// Stores one of the words.
  @inline(__always)
  func store(_ word: UInt64, at index: Int) { words[index].store(word, ordering: .relaxed) }

  /// Stores `length` bytes of `text`, which fit together with a NUL.
  func store(_ text: UnsafePointer<UInt8>, length: Int) {
    var copy = InlineArray<wordCount, UInt64>(repeating: 0)
    withUnsafeMutableBytes(of: &copy) { bytes in
      _ = memcpy(bytes.baseAddress.unsafelyUnwrapped, text, length)
    }
    for index in 0..<wordCount { words[index].store(copy[index], ordering: .relaxed) }
  }

  /// Passes a copy of the text to `body`, NUL-terminated.
  func withText<Result>(_ body: (UnsafePointer<UInt8>) -> Result) -> Result {
    var copy = InlineArray<wordCount, UInt64>(repeating: 0)
    for index in 0..<wordCount { copy[index] = words[index].load(ordering: .relaxed) }
    return withUnsafeBytes(of: copy) { bytes in
      // SAFETY: never empty, and the last byte is NUL by the requirement of `store`.
      body(bytes.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self))
    }
  }
}
