import Glibc

/// An empty file without a name, which goes with this object.
final class TemporaryFile: Sendable {
  let descriptor: Int32

  init() {
    var path = Array("/tmp/taskreg-test-XXXXXX".utf8CString)
    descriptor = mkstemp(&path)
    precondition(descriptor >= 0)
    unlink(path)
  }

  deinit { close(descriptor) }

  /// All that was written to it.
  var bytes: [UInt8] {
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = pread(descriptor, &part, part.count, off_t(bytes.count))
      if count <= 0 { return bytes }
      bytes += part[0..<count]
    }
  }

  var text: String { String(decoding: bytes, as: UTF8.self) }
}
