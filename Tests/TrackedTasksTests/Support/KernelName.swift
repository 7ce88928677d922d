import CPlatform
import Glibc

/// The kernel's name of the calling thread.
func kernelNameOfCallingThread() -> String { kernelName(ofThread: "\(cp_gettid())") }

/// The kernel's name of a thread; empty if there is no thread with that id.
private func kernelName(ofThread number: String) -> String {
  let file = open("/proc/self/task/\(number)/comm", O_RDONLY)
  if file < 0 { return "" }
  defer { close(file) }
  var bytes = [UInt8](repeating: 0, count: 64)
  let count = read(file, &bytes, 64)
  return String(decoding: bytes.prefix(max(0, count - 1)), as: UTF8.self)
}
