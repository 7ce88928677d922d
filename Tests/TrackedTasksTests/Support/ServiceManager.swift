import Glibc
import Testing

/// A socket in systemd's place, at an abstract address.
struct ServiceManager {
  let descriptor: Int32
  let address: String

  init(_ name: String) throws {
    address = "@taskreg-swift-\(getpid())-\(name)"
    descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
    var own = sockaddr_un()
    own.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(address.utf8)
    withUnsafeMutableBytes(of: &own.sun_path) { $0.copyBytes(from: [0] + bytes.dropFirst()) }
    let length = socklen_t(MemoryLayout.offset(of: \sockaddr_un.sun_path)! + bytes.count)
    let code = withUnsafePointer(to: &own) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
    }
    try #require(descriptor >= 0 && code == 0)
    var limit = timeval(tv_sec: 300, tv_usec: 0)
    setsockopt(
      descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
  }

  func receive() -> String {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = recv(descriptor, &buffer, buffer.count, 0)
    return count < 0 ? "(nothing)" : String(decoding: buffer.prefix(count), as: UTF8.self)
  }
}
